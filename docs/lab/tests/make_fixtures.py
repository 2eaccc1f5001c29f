"""Write fixtures.json: numbers of the package that the page's own functions must give, too.

python docs/lab/tests/make_fixtures.py
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.stats import rankdata

from posgrad_edu import viz
from posgrad_edu.data.preprocessing import Preprocessing
from posgrad_edu.metrics.similarity import spearman
from posgrad_edu.models.labels import matches, single_match
from posgrad_edu.widgets.sentences import describe, full_colour

OUT = Path(__file__).with_name("fixtures.json")
LABELS = ["tabby", "tiger cat", "Egyptian cat", "espresso", "cup", "crane", "crane", "mud turtle", "T-shirt", "axolotl"]
SYNONYMS = [
    ["tabby cat"], [], [], [], [], ["bird"], ["machine"], [], ["jersey", "tee shirt"], ["mud puppy", "Ambystoma"]
]  # fmt: skip
WORDS = [
    *("tabby", "Tabby Cat", "cat", "espresso", "crane", "bird", "turtle", "t shirt", "tee-shirt", "puppy", "presso"),
    *("mud", "", "zebra", "tig", "cup", "axolotls", "cat)", "tee_shirt"),
]


def main() -> None:
    rng = np.random.default_rng(0)
    parts = {
        "ranks": ranks(rng),
        "views": views(rng),
        "colours": colours(rng),
        "words": words(rng),
        "classes": classes(),
        "relu": relu(rng),
    }
    OUT.write_text(json.dumps(parts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{OUT.name}: {OUT.stat().st_size / 1000:.0f} kB")


def packed(values: Any, kind: str) -> str:
    """Return numbers as base64 of their bytes."""
    return base64.b64encode(np.ascontiguousarray(values, dtype=kind).tobytes()).decode()


def ranks(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Lists of numbers with and without ties, zeros of both signs, and tiny values; ranks and correlations."""
    first = rng.normal(size=90)
    pairs = [
        (first, first + rng.normal(size=90)),
        (np.round(first), np.round(-first, 1)),
        (np.where(first > 0, 0.0, -0.0), first * 1e-38),
        (first * 1e30, first**3),
    ]
    return [
        {
            "a": packed(a, "f4"),
            "b": packed(b, "f4"),
            "ranks": packed(rankdata(np.float32(a)), "f8"),
            "spearman": None if np.ptp(np.float32(a)) == 0 else spearman(np.float32(a), np.float32(b)),
        }
        for a, b in pairs
    ]


def views(rng: np.random.Generator) -> list[dict[str, Any]]:
    """Random photos, larger and smaller than the crop, upright and wide."""
    found = []
    for (width, height), interpolation in [((53, 37), "bicubic"), ((19, 45), "bicubic"), ((40, 33), "bilinear")]:
        recipe = Preprocessing(
            size=24, resize=28, mean=(0.5, 0.4, 0.3), std=(0.5, 0.2, 0.3), interpolation=interpolation
        )
        photo = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        seen = recipe.view(photo)
        found.append(
            {
                "width": width,
                "height": height,
                "photo": packed(np.asarray(photo.convert("RGBA")), "u1"),
                "recipe": {
                    **{"size": [24, 24], "resize": 28, "interpolation": interpolation},
                    **{"mean": recipe.mean, "std": recipe.std},
                },
                "view": packed(np.asarray(seen.convert("RGBA")), "u1"),
                "input": packed(recipe(photo).numpy(), "f4"),
            }
        )
    return found


def colours(rng: np.random.Generator) -> dict[str, Any]:
    """A photo and two maps of its size, their scales, and their pictures."""
    photo = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
    maps = rng.normal(size=(2, 12, 12)).astype("f4") * np.array([[[1.0]], [[0.02]]], dtype="f4")
    limit = viz.symmetric_limit(maps, 0.995)
    return {
        "photo": packed(np.asarray(photo.convert("RGBA")), "u1"),
        "maps": [packed(m, "f4") for m in maps],
        "symmetric": limit,
        "pair": viz.pair_limit(maps),
        "overlay": packed(np.asarray(viz.overlay(photo, maps[0], limit).convert("RGBA")), "u1"),
        "heatmap": packed(np.asarray(viz.heatmap(maps[0], limit).convert("RGBA")), "u1"),
    }


def words(rng: np.random.Generator) -> dict[str, Any]:
    """Sentences and numbers."""
    correlations = [1.0, 0.901, 0.9, 0.6, 0.5, 0.3, 0.2, 0.0, -0.19, -0.2, -0.3, -0.5, -0.51, -1.0]
    maps = [
        rng.normal(size=(8, 8)),
        np.abs(rng.normal(size=(7, 7))),
        -np.abs(rng.normal(size=(6, 6))),
        np.zeros((5, 5)),
    ]
    maps = [m.astype("f4") for m in maps]
    return {
        "describe": [[c, describe(c, "espresso", "cup")] for c in correlations],
        "networks": describe(0.95, "the trained network", "the random one", "networks"),
        "signed": [[v, viz.signed_number(v)] for v in (0.25, -1.5, -0.001, 0.004, 11.416, -3.599)],
        "digits": [[v, viz.two_digits(v)] for v in (0.1534, 24.2, 476.0, 3.0, 0.000023, 12345.0, 0.0999, 2.5e7)],
        "percent": [[v, viz.percent(v)] for v in (0.0, 1.0, 0.0005, 0.001, 0.0123, 0.094, 0.2, 0.9512, 0.995)],
        "maps": [[packed(m, "f4"), viz.describe_map(m, 2.0)] for m in maps],
        "full": [full_colour(0.3, "in both maps", m) for m in map(_tensor, (maps[0], maps[3]))],
        "peak": float(np.abs(maps[0]).max()),
    }


def _tensor(values: Any) -> Any:
    import torch

    return torch.as_tensor(values)


def relu(rng: np.random.Generator) -> dict[str, str]:
    """Cells, enlarged as they are, and clamped before."""
    from torch.nn.functional import interpolate

    cells = _tensor(rng.normal(size=(1, 1, 4, 4)).astype("f4"))
    maps = [interpolate(each, size=(32, 32), mode="bilinear")[0, 0] for each in (cells, cells.clamp(min=0))]
    return {"map": packed(maps[0], "f4"), "clamped": packed(maps[1], "f4")}


def classes() -> dict[str, Any]:
    """Words, and the class that each stands for, or the classes that it may mean."""
    found: dict[str, Any] = {}
    for word in WORDS:
        try:
            found[word] = single_match(word, LABELS, SYNONYMS)
        except ValueError:
            try:
                found[word] = [index for _, index in matches(word, LABELS, SYNONYMS)]
            except ValueError:
                found[word] = []
    return {"labels": LABELS, "synonyms": SYNONYMS, "words": found}


if __name__ == "__main__":
    main()
