"""Scenes: two to four handwritten digits at known places in a dark picture, among strokes that are no digits.

    scene = make_scene(seed=3)
    scene.image                                  # a grey picture of 64 x 64 pixels
    scene.digits, scene.boxes                    # (4, 1, 2), [(left, top, right, bottom), ...]

A map for the class 4 should point into the first box. Nobody had to draw that box by hand, and what is asked about (one
of several things that are all there) isn't the biggest or the only thing in the picture.

The digits are the 1,797 of scikit-learn, 8 x 8 pixels each, in fixed parts (``split``):

    test        every fifth of each class, 355 digits: no network here has seen them
    train       all others, 1,442
    memorized   the first twenty of each class among those, 200. A network whose labels were permuted can only learn
                its digits by heart, and these are the ones

Test and training digits may be by the same hand: scikit-learn doesn't say who wrote which digit.

``load_classifier("scenes")`` is a small network that answers, for each of the ten classes, whether it is there;
``weights="permuted-labels"`` is one that has learnt wrong names by heart. They were made by these commands
(``training.py``), in two and three minutes on two cores:

    python -m posgrad_edu.scenes train
    python -m posgrad_edu.scenes train --permuted-labels

``load_classifier("scenes-transformer")`` is a small vision transformer with the same answers (``transformer.py``).

References:
    Alpaydin, Kaynak. Optical Recognition of Handwritten Digits. UCI Machine Learning Repository, 1998. CC BY 4.0.
    Zhang et al. Top-down Neural Attention by Excitation Backprop. ECCV 2016. arXiv:1608.00507 (pointing at one of
    several things that are there).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from posgrad_edu.data import Box
from posgrad_edu.errors import unknown_name

SIZE = 64  # a scene's width and height, in pixels
CLASSES = 10
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
Split = Literal["train", "test", "memorized"]
SPLITS: tuple[Split, ...] = get_args(Split)
MEMORIZED = 20  # digits of each class
HEIGHTS = (18, 26)  # a digit's 8 x 8 pixels become this many, from and to
WIDTHS = (16, 24)
INK = 0.1  # darker than this is paper: an enlarged digit's faint rim would make its box larger than what one sees
GAP = 1  # free pixels between two boxes, at least
CLUTTER = 6  # pieces in a scene, as a rule

Grey = NDArray[np.float32]  # brightness, 0 (dark) to 1


class Scene(NamedTuple):
    """A picture (mode "L", 64 x 64), the classes in it, and for each its box ``(left, top, right, bottom)``."""

    image: Image.Image
    digits: tuple[int, ...]
    boxes: list[Box]
    seed: int


class Digits(NamedTuple):
    """Handwritten digits (n, 8, 8), brightness 0..1, their classes (n,), and their rows in scikit-learn's table."""

    images: Grey
    classes: NDArray[np.int64]
    rows: NDArray[np.int64]


@functools.cache
def load_digits(split: Split | str = "test") -> Digits:
    """Return the digits of a part: "train", "test" or "memorized"; ``ValueError`` for another."""
    from sklearn import datasets

    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    bunch = datasets.load_digits()
    rank = np.zeros(len(bunch.target), dtype=int)  # 0 for the first of its class, 1 for the second, ...
    for digit in range(CLASSES):
        of_class = bunch.target == digit
        rank[of_class] = np.arange(of_class.sum())
    kept_for_testing = rank % 5 == 4
    train_rank = rank - rank // 5  # the same count, with test digits left out
    parts = {
        "train": ~kept_for_testing,
        "test": kept_for_testing,
        "memorized": ~kept_for_testing & (train_rank < MEMORIZED),
    }
    rows = np.flatnonzero(parts[split])
    images = (bunch.images[rows] / 16).astype(np.float32)
    return Digits(images, bunch.target[rows], rows)


# --- Scenes ---


def make_scene(
    seed: int, digits: Sequence[int] | None = None, split: Split | str = "test", clutter: int = CLUTTER
) -> Scene:
    """Return the scene of this seed: the same one each time.

    digits: two to four different classes, in the order of the boxes; ``None`` for two to four random ones.
    split: "test" for digits that no network has seen, "train" or "memorized" for those of a training.
    clutter: how many strokes and fragments lie about; one that finds no room outside the boxes is left out.
    Raises ``ValueError`` for classes that don't exist or are repeated, another split, or a negative seed.
    """
    scene, _ = scene_and_rows(seed, digits, split, clutter)
    return scene


def make_scenes(n: int, seed: int = 0, split: Split | str = "test") -> list[Scene]:
    """Return ``n`` scenes: those of the seeds ``seed``, ``seed + 1``, and so on."""
    return [make_scene(seed + i, split=split) for i in range(n)]


def make_single(seed: int, digit: int | None = None, split: Split | str = "test") -> Scene:
    """Return a scene of one digit alone, without clutter: the same one for a seed each time.

    Whatever a network looks at in it, it can look at this digit only. So even a right map stays where it is when the
    network's layers become random, or when another class is asked about (Yona and Greenfeld. Revisiting Sanity Checks
    for Saliency Maps. 2021. arXiv:2110.14297). digit: ``None`` for a random class. split: as for ``make_scene``.
    """
    pool = load_digits(split)
    if seed < 0 or not (digit is None or 0 <= digit < CLASSES):
        raise ValueError(f"seed is 0 or more and a digit 0 to 9, not {seed} and {digit}.")
    rng = np.random.default_rng([seed, SPLITS.index(split), 1])  # another stream than that of a scene with this seed
    chosen = int(rng.integers(CLASSES)) if digit is None else digit
    row = int(rng.choice(np.flatnonzero(pool.classes == chosen)))
    (piece,), boxes = _laid_out([pool.images[row]], rng)
    left, top, right, bottom = boxes[0]
    canvas = np.zeros((SIZE, SIZE), dtype=np.float32)
    canvas[top:bottom, left:right] = piece
    return Scene(Image.fromarray(np.rint(255 * canvas).astype(np.uint8)), (chosen,), boxes, seed)


def scene_tensors(scenes: Sequence[Scene]) -> tuple[Tensor, Tensor]:
    """Return pictures (N, 1, 64, 64), 0..1, and answers (N, 10): 1 where a class is in the scene, else 0."""
    pictures = np.stack([np.asarray(scene.image, dtype=np.float32) for scene in scenes]) / 255
    answers = torch.zeros(len(scenes), CLASSES, device="cpu")
    for answer, scene in zip(answers, scenes, strict=True):
        answer[list(scene.digits)] = 1
    return torch.from_numpy(pictures).unsqueeze(1), answers


def scene_and_rows(
    seed: int, digits: Sequence[int] | None = None, split: Split | str = "test", clutter: int = CLUTTER
) -> tuple[Scene, list[int]]:
    """Return ``make_scene``'s scene, and for each of its digits the row in scikit-learn's table."""
    pool = load_digits(split)
    if seed < 0 or clutter < 0:
        raise ValueError(f"seed and clutter are 0 or more, not {seed} and {clutter}.")
    rng = np.random.default_rng([seed, SPLITS.index(split)])
    classes = _random_classes(rng) if digits is None else _checked(digits)
    chosen = [int(rng.choice(np.flatnonzero(pool.classes == digit))) for digit in classes]
    pieces, boxes = _laid_out([pool.images[i] for i in chosen], rng)
    canvas = np.zeros((SIZE, SIZE), dtype=np.float32)
    for piece, (left, top, right, bottom) in zip(pieces, boxes, strict=True):
        canvas[top:bottom, left:right] = piece
    taken = list(boxes)
    for _ in range(clutter):
        _add_clutter(canvas, taken, pool.images, rng)
    image = Image.fromarray(np.rint(255 * canvas).astype(np.uint8))
    return Scene(image, classes, boxes, seed), [int(pool.rows[i]) for i in chosen]


def _random_classes(rng: np.random.Generator) -> tuple[int, ...]:
    return tuple(int(digit) for digit in rng.permutation(CLASSES)[: rng.integers(2, 5)])


def _checked(digits: Sequence[int]) -> tuple[int, ...]:
    classes = tuple(int(digit) for digit in digits)
    if not 2 <= len(classes) <= 4 or len(set(classes)) < len(classes):
        raise ValueError(f"A scene holds two to four different digits, not {list(digits)}.")
    if not all(0 <= digit < CLASSES for digit in classes):
        raise ValueError(f"Digits are 0 to 9, not {list(digits)}.")
    return classes


# --- Where things go ---


def _laid_out(digits: Sequence[Grey], rng: np.random.Generator) -> tuple[list[Grey], list[Box]]:
    """Enlarge digits (8, 8) by random factors and give each a free place; return them with their boxes."""
    while True:  # four large digits may leave no room for the last: begin again, with other sizes
        pieces: list[Grey] = []
        boxes: list[Box] = []
        for digit in digits:
            size = int(rng.integers(*HEIGHTS, endpoint=True)), int(rng.integers(*WIDTHS, endpoint=True))
            piece = _enlarged(digit, size) * np.float32(rng.uniform(0.7, 1))
            box = _free_place(piece.shape, boxes, rng)
            if box is None:
                break
            pieces.append(piece)
            boxes.append(box)
        else:
            return pieces, boxes


def _enlarged(small: Grey, size: tuple[int, int]) -> Grey:
    """Return a piece enlarged to (height, width) and cut to its ink: no empty row or column at its rim."""
    large = np.asarray(Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)).clip(0, 1)
    ink = large > INK
    rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
    return np.where(ink, large, 0)[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _free_place(shape: tuple[int, ...], taken: Sequence[Box], rng: np.random.Generator) -> Box | None:
    """Return a random box of that (height, width) which touches none of those taken; ``None`` after 30 tries."""
    height, width = shape
    for _ in range(30):
        left, top = int(rng.integers(SIZE - width + 1)), int(rng.integers(SIZE - height + 1))
        box = (left, top, left + width, top + height)
        if not any(_touch(box, other) for other in taken):
            return box
    return None


def _touch(a: Box, b: Box) -> bool:
    """Tell whether two boxes overlap, or are less than ``GAP`` pixels apart."""
    return a[0] < b[2] + GAP and b[0] < a[2] + GAP and a[1] < b[3] + GAP and b[1] < a[3] + GAP


def _add_clutter(canvas: Grey, taken: list[Box], digits: Grey, rng: np.random.Generator) -> None:
    """Draw a stroke or a quarter of a digit where nothing else is, if it finds room, and add its box to ``taken``."""
    small = _stroke(rng) if rng.random() < 0.5 else _quarter(digits[rng.integers(len(digits))], rng)
    if small.max() <= 2 * INK:  # a corner without ink
        return
    side = int(rng.integers(8, 12, endpoint=True))  # the scale of the digits: about three pixels for one
    piece = _enlarged(small, (side, side)) * np.float32(rng.uniform(0.5, 1))
    box = _free_place(piece.shape, taken, rng)
    if box is not None:
        left, top, right, bottom = box
        canvas[top:bottom, left:right] = piece
        taken.append(box)


def _quarter(digit: Grey, rng: np.random.Generator) -> Grey:
    """Return 4 x 4 pixels of a digit, turned by a random multiple of 90 degrees."""
    top, left = rng.integers(5, size=2)
    return np.ascontiguousarray(np.rot90(digit[top : top + 4, left : left + 4], int(rng.integers(4))))


def _stroke(rng: np.random.Generator) -> Grey:
    """Return a line of four pixels on 4 x 4: level, upright or slanting."""
    small = np.zeros((4, 4), dtype=np.float32)
    along, across = np.arange(4), np.full(4, rng.integers(4))
    rows, columns = ((across, along), (along, across), (along, along), (along, along[::-1]))[rng.integers(4)]
    small[rows, columns] = 1
    return small
