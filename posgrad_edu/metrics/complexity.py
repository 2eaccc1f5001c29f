"""How complex is a map, and does it become more so when the network loses what it learned?

The test of random parameters compares two maps pixel by pixel, and what it says hangs on the measure of likeness and on
the layers' order. eMPRT looks at each map alone: its complexity is the entropy of the histogram of its values, and a
map that explains a trained network should have less of it than one of a network whose every layer is random.

    rise = (entropy of the random network's map - entropy of the trained network's) / the latter

Above 0 the map tells trained from random. The photo's edges get exactly 0, and so does noise on average.

Reference: Hedström et al. Sanity Checks Revisited. XAI in Action, NeurIPS 2023. arXiv:2401.06465, sec. 3.2 (eMPRT).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from posgrad_edu.engine.inputs import Contrast, Target, check_network, check_photos
from posgrad_edu.methods import AnyHandling, Methods, explain
from posgrad_edu.metrics.randomization import randomizable_layers, with_random
from posgrad_edu.metrics.sensitivity import by_layer_names, check_copy, explained_class
from posgrad_edu.metrics.similarity import is_degenerate
from posgrad_edu.metrics.tables import as_table, batches, by_label, of_photos

if TYPE_CHECKING:
    from pandas import DataFrame

BINS = 100  # as in the published code


def entropy(saliency: Tensor, bins: int = BINS) -> float:
    """Return the entropy of the histogram of a map's values, in nats, 0 to log(bins); nan for a constant map.

    The bins are equally wide, from the map's smallest value to its largest.
    """
    from scipy import stats

    if is_degenerate(saliency):
        return math.nan
    counts, _ = np.histogram(saliency.detach().cpu().double().numpy(), bins=bins)
    return float(stats.entropy(counts))


def complexity_sensitivity(
    net: nn.Module,
    x: Tensor,
    method: Methods = "gradcam",
    handling: AnyHandling = None,
    target: Target | None = None,
    seeds: Iterable[int] = (0, 1, 2),
    bins: int = BINS,
    contrast: Contrast = None,
    **options: Any,
) -> DataFrame:
    """Return how much more complex maps become when all layers are random: one row a photo and seed.

    net, x, method, handling, contrast, options: as for ``explain``. target: one class for all or (N,); ``None`` for the
    one that the trained network finds most likely; it is kept. seeds: of the random layers, see ``randomization.py``.
    Columns: photo, target, seed, entropy, entropy_random, rise, degenerate; of several methods first method.
    Raises what ``explain`` does, and ``ValueError`` for a network without layers to make random, or whose copies don't
    lose what it learned.
    """
    methods = by_layer_names(net, by_label(method, handling, options))
    check_network(net)
    check_photos(x)
    layers, draws = randomizable_layers(net, x), list(seeds)
    if not layers or not draws or bins < 2:
        raise ValueError("This needs a network with layers that have weights, one seed at least, and two bins or more.")
    check_copy(net, x, layers)
    copies = {seed: with_random(net, layers, seed) for seed in draws}
    of_photo = explained_class(net, x, target)
    rows = []
    for photos in batches(range(len(x))):
        some, asked, against = x[photos], of_photo[photos], of_photos(contrast, photos, x)
        trained = explain(net, some, asked, methods, contrast=against)
        for seed, changed in copies.items():
            for label, maps in explain(changed, some, asked, methods, contrast=against).items():
                for n, photo in enumerate(photos):
                    row = {"method": label, "photo": photo, "target": int(asked[n]), "seed": seed}
                    rows.append({**row, **_rise(entropy(trained[label][n], bins), entropy(maps[n], bins))})
    return as_table(rows, method)


def _rise(before: float, after: float) -> dict[str, Any]:
    rise = (after - before) / before if before else math.nan
    return {"entropy": before, "entropy_random": after, "rise": rise, "degenerate": math.isnan(rise)}
