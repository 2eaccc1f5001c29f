"""angle(first, second)"""

import math

import numpy as np
import torch
import torch.nn.functional as F


def from_the_lesson(first, second):
    one, other = (v.double() / torch.linalg.norm(v.double()) for v in (first, second))
    return 2 * torch.rad2deg(torch.atan2((one - other).norm(), (one + other).norm()))


def with_numpy(first, second):
    a, b = first.numpy().astype(float), second.numpy().astype(float)
    if not a.any() or not b.any():
        return float("nan")
    a, b = a / np.sqrt(a @ a), b / np.sqrt(b @ b)
    return np.degrees(2 * np.arctan2(np.sqrt(((a - b) ** 2).sum()), np.sqrt(((a + b) ** 2).sum())))


def upright_part(first, second):
    """The sine from what of one vector stands upright on the other, the cosine from what lies along it."""
    one = first / first.norm()
    along = (one * second).sum()
    upright = second - along * one
    if second.norm() == 0 or first.norm() == 0:
        return math.nan
    return math.degrees(math.atan2(upright.norm().item(), along.item()))


def without_units(first, second):
    """Each vector times the other's length: no division at all."""
    a, b = first * second.norm(), second * first.norm()
    found = 2 * torch.atan2((a - b).norm(), (a + b).norm()) * 180 / torch.pi
    return found if a.any() else torch.tensor(torch.nan)


def law_of_cosines(first, second):
    c = (first @ second) / (first.norm() * second.norm())
    return torch.rad2deg(torch.acos(c))


def of_units(first, second):
    a, b = first / first.norm(), second / second.norm()
    return np.degrees(np.arccos((a @ b).numpy()))


def clamped_cosine(first, second):
    c = torch.dot(first, second) / torch.sqrt(first.dot(first)) / torch.sqrt(second.dot(second))
    return torch.acos(c.clamp(-1.0, 1.0)) * 180 / math.pi


def single_precision(first, second):
    a, b = F.normalize(first.float(), dim=0), F.normalize(second.float(), dim=0)
    value = 2 * torch.atan2((a - b).norm(), (a + b).norm()).rad2deg()
    return value if second.any() else math.nan


def arc_sine_of_half_the_chord(first, second):
    a, b = first / first.norm(), second / second.norm()
    return 2 * torch.rad2deg(torch.asin((a - b).norm() / 2 * (1 + 1e-15)))


def from_the_sine(first, second):
    a, b = first.double() / first.double().norm(), second.double() / second.double().norm()
    return torch.rad2deg(torch.asin((a - (a @ b) * b).norm()))


def zero_has_ninety_degrees(first, second):
    a, b = F.normalize(first.double(), dim=0), F.normalize(second.double(), dim=0)
    return 2 * torch.atan2((a - b).norm(), (a + b).norm()).rad2deg()


RIGHT = {
    "from the lesson": from_the_lesson,
    "numpy": with_numpy,
    "upright part": upright_part,
    "without units": without_units,
}
WRONG = {
    "acos": (law_of_cosines, "acos-nan"),
    "acos of units": (of_units, "acos-nan"),
    "acos, clamped": (clamped_cosine, "inexact"),
    "float32": (single_precision, "inexact"),
    "cosine similarity": (
        lambda a, b: torch.rad2deg(torch.acos(F.cosine_similarity(a, b, dim=0).clamp(-1, 1))), "inexact"),
    "asin of half the chord": (arc_sine_of_half_the_chord, "opposite"),
    "zero has 90 degrees": (zero_has_ninety_degrees, "zero-vector"),
    "zero has 0 degrees": (lambda a, b: from_the_lesson(a, b) if b.any() else 0.0, "zero-vector"),
    "radians": (lambda a, b: torch.deg2rad(from_the_lesson(a, b)), "radians"),
    "degrees of degrees": (lambda a, b: np.deg2rad(np.deg2rad(with_numpy(a, b))), "radians"),
    "cosine": (lambda a, b: F.cosine_similarity(a, b, dim=0) if b.any() else math.nan, "cosine"),
    "one minus cosine": (lambda a, b: 1 - (a / a.norm()) @ (b / b.norm()), "cosine"),
    "distance of units": (lambda a, b: torch.dist(a / a.norm(), b / b.norm()), "chord"),
    "magnitude of the cosine": (
        lambda a, b: torch.acos(((a @ b) / a.norm() / b.norm()).abs().clamp(max=1)).rad2deg(), "folded"),
    "lines, not vectors": (lambda a, b: min(with_numpy(a, b), with_numpy(a, -b)), "folded"),
    "asin": (from_the_sine, "folded"),
    "half": (lambda a, b: with_numpy(a, b) / 2, "half-angle"),
    "sum and difference swapped": (lambda a, b: with_numpy(a, -b), "supplement"),
    "lengths forgotten": (
        lambda a, b: 2 * torch.atan2(torch.dist(a, b), torch.dist(a, -b)).rad2deg(), "not-normalized"),
    "dot without lengths": (lambda a, b: np.degrees(np.arccos(np.clip(np.inner(a, b), -1, 1))), "not-normalized"),
    "correlation": (lambda a, b: with_numpy(a - a.mean(), b - b.mean()), "centred"),
    "magnitudes": (lambda a, b: upright_part(a.abs(), b.abs()), "magnitudes"),
    "in place": (lambda a, b: from_the_lesson(a.div_(a.norm()), b), "input-changed"),
    "an angle for each entry": (lambda a, b: torch.atan2(a, b).rad2deg(), "not-a-number"),
}  # fmt: skip
