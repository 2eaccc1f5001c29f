"""Export the package's own methods for the browser: python docs/lab/export.py OUT.

    OUT/model/manifest.json     what there is: methods, layers, handlings, labels, photos, random layers, shift
    OUT/model/weights.bin       the network's weights, once for all graphs
    OUT/model/graphs/*.onnx     what each method does with a photo
    OUT/model/random/*.bin      what replaces parts of the weights where layers are random
    OUT/photos/*.png            the sample photos

It takes the extra ``lab``, one core, and about half a minute. Nothing is fetched. For the page's tests:

    python docs/lab/export.py OUT --references FILE     numbers of ``pg.explain``, and nothing else
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from exporting.catalogue import PHOTOS, POSITIVE, SHIFTS, GraphSpec, entry, graphs
from exporting.onnx_graph import OnnxGraph
from exporting.references import references
from exporting.tracing import INPUTS, Shifted, trace
from exporting.weights import FILE, as_bytes, place, random_steps, ranges, summary, tensors
from torch import Tensor

import posgrad_edu as pg
from posgrad_edu.data.files import whole_file, write_text
from posgrad_edu.data.photos import photo_credits
from posgrad_edu.models import Classifier

SEED = 0
RANDOM_STAGES = ("blocks.6", "blocks.5")  # the head, and these


def main(arguments: list[str]) -> None:
    asked = _parsed(arguments)
    torch.set_num_threads(1)
    clf = pg.load_classifier()
    if asked.references is not None:
        write_text(json.dumps(references(clf), separators=(",", ":")), asked.references)
        return
    begin = time.monotonic()
    for parameter in clf.net.parameters():
        parameter.requires_grad_(False)  # no graph to the weights: photos are explained
    export(clf, asked.out, asked.only)
    print(f"{asked.out}: {sum(_sizes(asked.out).values()) / 1e6:.1f} MB in {time.monotonic() - begin:.0f} s")


def _parsed(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("out", type=Path, help="the folder to write to")
    parser.add_argument("--only", nargs="*", help="names of graphs, such as gradient or cam-bn2.act; all others stay")
    parser.add_argument("--references", type=Path, help="only write numbers of pg.explain, for the page's tests, here")
    return parser.parse_args(arguments)


def export(clf: Classifier, out: Path, only: Collection[str] | None = None) -> None:
    """Write all files. only: names of graphs to make anew."""
    x = clf.preprocess(pg.load_photo(PHOTOS[0])).unsqueeze(0)
    model = out / "model"
    _write(model / FILE, as_bytes(tensors(clf.net).values()))
    for spec in graphs(clf.net):
        if only is None or spec.name in only:
            start = time.monotonic()
            data = graph(clf, spec, x)
            _write(model / "graphs" / f"{spec.name}.onnx", data)
            print(f"{spec.name}: {len(data) / 1e3:.0f} kB, {time.monotonic() - start:.1f} s", flush=True)
    _photos(out / "photos")
    random = [*_random(clf, x, model / "random")]
    manifest = described(clf, random) | {"bytes": _sizes(model)}
    write_text(json.dumps(manifest, ensure_ascii=False, indent=1), model / "manifest.json")


def graph(clf: Classifier, spec: GraphSpec, x: Tensor) -> bytes:
    """Return the ONNX file of some methods with one record. x: a sample photo (1, 3, H, W)."""
    traced = trace(Shifted(clf.net), x, spec.methods)
    translated = OnnxGraph(tensors(clf.net))
    results = translated.add(traced, INPUTS)
    model = translated.model(dict(zip([*spec.methods, "logits"], results, strict=True)), spec.name)
    place(model, ranges(clf.net))
    data: bytes = model.SerializeToString()
    return data


def described(clf: Classifier, random: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the manifest."""
    recipe = clf.preprocess
    settings = {name: getattr(recipe, name) for name in ("size", "resize", "mean", "std", "interpolation")}
    return {
        "format": 1,
        "network": clf.name,
        "preprocess": settings,
        "inputs": {"photo": [1, 3, *settings["size"]], "score": [1, len(clf.labels)], "positive": [], "shift": []},
        "handlings": POSITIVE,
        "methods": [entry(name) for name in pg.METHODS],
        "labels": clf.labels,
        "synonyms": clf.synonyms,
        "photos": [_photo(clf, name) for name in PHOTOS],
        "weights": FILE,
        "randomized": {"seed": SEED, "layers": len(_all_layers(clf)), "steps": random},
        "shift": {"values": SHIFTS, "default": 0.0},
    }


def _all_layers(clf: Classifier) -> list[str]:
    return pg.metrics.randomizable_layers(clf.net, clf.batch())


def _random(clf: Classifier, x: Tensor, folder: Path) -> Iterator[dict[str, Any]]:
    for step in random_steps(clf.net, x, SEED, RANDOM_STAGES):
        name = f"{step.depth:02d}.bin"
        _write(folder / name, step.data)
        yield summary(step, f"random/{name}")


def _photo(clf: Classifier, name: str) -> dict[str, Any]:
    credit = next(photo for photo in photo_credits() if photo.name == name)
    picture = pg.load_photo(name)
    asks, other = clf.top(picture, 1)[0].index, clf.least_likely(picture)
    return {
        "name": name,
        "file": f"photos/{name}.png",
        "shows": credit.shows,
        "licence": credit.licence,
        "credit": credit.credit,
        "source": f"{credit.package}, {credit.file}",
        "size": picture.size,
        "asks": {"index": asks, "label": clf.labels[asks]},
        "least": {"index": other, "label": clf.labels[other]},
    }


def _photos(folder: Path) -> None:
    """As PNG: browsers decode JPEG each in its own way, in the last bit."""
    for name in PHOTOS:
        with whole_file(folder / f"{name}.png") as file:
            pg.load_photo(name).save(file, format="PNG", optimize=True)


def _write(path: Path, data: bytes) -> None:
    with whole_file(path) as file:
        file.write(data)


def _sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


if __name__ == "__main__":
    main(sys.argv[1:])
