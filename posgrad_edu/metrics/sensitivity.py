"""Does a map depend on what it claims to explain? On the class, on what the network learned, on the data it saw?

    class      the maps of one photo for two classes, of one network
    parameter  the maps of one photo and class, of the trained network and of copies with random layers
    data       the maps of one photo and class, of the trained network and of one trained on permuted labels

In each case two maps are compared that have to differ if the map shows what it says. Where they are alike, the map
shows something else. The reverse isn't true. Noise differs, too: it passes all three, and explains nothing. So read
the numbers beside those of the controls (``methods/controls.py``), and see where a map points (``localization.py``).

Several methods by label share forward passes where they can, and the table then says which in its column ``method``:

    class_sensitivity(net, x, "gradcam", "positive")
    class_sensitivity(net, x, {"signed": GradCAM("signed"), "positive": GradCAM("positive")})

The tables have a row for each comparison, with ``spearman``, ``spearman_abs``, ``ssim`` and ``hog``, and ``degenerate``
where one of the two maps is constant and nothing can be compared: ``nan``, and counted, never dropped.

References:
    Khakzar, Baselizadeh, Navab 2020. arXiv:2012.00362, sec. 4 (class sensitivity, parameter randomization).
    Adebayo et al. Sanity Checks for Saliency Maps. NeurIPS 2018. arXiv:1810.03292, sec. 3 (parameters and data).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor, nn

from posgrad_edu.engine.inputs import Contrast, Target, as_target, check_network, check_photos
from posgrad_edu.engine.passes import predict
from posgrad_edu.errors import unknown_name
from posgrad_edu.methods import AnyHandling, Method, Methods, explain
from posgrad_edu.methods.sharing import explain_contrasts
from posgrad_edu.metrics.randomization import (
    BatchNormMode,
    Mode,
    Step,
    randomizable_layers,
    randomized_steps,
    steps,
    still_trained,
    with_random,
)
from posgrad_edu.metrics.similarity import Features, compare_features, features, similarities
from posgrad_edu.metrics.tables import as_table, batches, by_label, of_photos
from posgrad_edu.progress import bar

if TYPE_CHECKING:
    from pandas import DataFrame

Other = Literal["least", "runner-up", "random"]
OTHERS: tuple[Other, ...] = get_args(Other)
Own = Literal["own"]
RANDOM: Other = "random"
LIKELY = ("least", "runner-up")
RANDOM_CLASSES = 10
_OWN_SEED = "A method's own seed belongs into an instance, such as LRP(seed='logit')."
OWN: Own = "own"  # explain the class that each network finds most likely itself

# --- Class ---


def class_sensitivity(
    net: nn.Module,
    x: Tensor,
    method: Methods = "gradcam",
    handling: AnyHandling = None,
    target: Target | None = None,
    other: Other | str | Target = "least",
    *,
    contrast: Contrast = None,
    classes: int | None = None,
    **options: Any,
) -> DataFrame:
    """Return how alike the maps of each photo are for two classes: one row a photo, or for each of its random classes.

    net, x, method, handling, contrast, options: as for ``explain``. target: one class for all or (N,); ``None`` for the
    most likely. other: "least" for the class with the smallest logit, "runner-up" for the second largest, "random" for
    several of all others, or classes.
    classes, seed: for "random", how many (10, or all there are, if ``None``), drawn without repetition, and the number
    (0) that decides which. A method's own ``seed`` then belongs into an instance, such as ``LRP(seed="logit")``.
    Columns: photo, target, other, spearman, spearman_abs, ssim, hog, degenerate; of several methods first method. For
    "random" also spearman_mean: over the photo's classes that could be compared.
    Raises what ``explain`` does, and ``ValueError`` for the same class twice.
    """
    drawn = isinstance(other, str) and other == RANDOM
    seed = options.pop("seed", 0) if drawn else 0  # else it's the method's
    methods = by_label(method, handling, options)
    check_network(net)
    check_photos(x)
    logits = _logits(net, x)
    first = logits.argmax(1) if target is None else _one_each(target, len(x), x.device)
    second = _others(logits, first, other, contrast, classes, seed)
    rows = []
    for photos in _bar(batches(range(len(x))), "classes"):
        asked, against = torch.cat([first[photos, None], second[photos]], dim=1), of_photos(contrast, photos, x)
        for label, maps in explain(net, x[photos], asked, methods, contrast=against).items():
            for photo, of_photo in zip(photos, maps, strict=True):
                alike = similarities(of_photo[1:], of_photo[0])
                for c, similarity in zip(second[photo].tolist(), alike, strict=True):
                    pair = {"target": int(first[photo]), "other": c}
                    rows.append({"method": label, "photo": photo, **pair, **similarity._asdict()})
    table = as_table(rows, method)
    if drawn:
        of_one = ["method", "photo"] if "method" in table else ["photo"]
        table["spearman_mean"] = table.groupby(of_one).spearman.transform("mean")
    return table


def _others(
    logits: Tensor,
    first: Tensor,
    other: Other | str | Target,
    contrast: Contrast,
    classes: int | None,
    seed: int,
) -> Tensor:
    """Return the classes (N, K) that each photo's map for the class ``first`` (N,) is compared with."""
    if isinstance(other, str) and logits.shape[1] < 2:
        raise ValueError("The network has a single class, so there is no other to compare with.")
    if isinstance(other, str) and other == RANDOM:
        taken = first[:, None]
        if contrast is not None and not isinstance(contrast, str):
            taken = torch.cat([taken, as_target(contrast, len(logits), logits.device, "contrast")], dim=1)
        left = logits.shape[1] - max(len(set(used)) for used in taken.tolist())
        return random_classes(taken, logits.shape[1], min(RANDOM_CLASSES, left) if classes is None else classes, seed)
    if classes is not None:
        raise ValueError(f"classes says how many random classes to draw. Give it with other='random', not {other!r}.")
    second = other_classes(logits, other)
    if (first == second).any():
        photo = int((first == second).nonzero()[0])
        raise ValueError(f"Photo {photo} would be compared with itself: both classes are {int(first[photo])}.")
    return second[:, None]


def other_classes(logits: Tensor, other: Other | str | Target) -> Tensor:
    """Return the class (N,) that each photo's map is compared with."""
    if not isinstance(other, str):
        return _one_each(other, len(logits), logits.device)
    if other not in LIKELY:
        raise unknown_name("class to compare with", other, OTHERS)
    return logits.argmin(1) if other == "least" else logits.topk(2, dim=1).indices[:, 1]


def random_classes(taken: Tensor, of: int, count: int, seed: int = 0) -> Tensor:
    """Return ``count`` classes (N, count) for each photo, each once, of all ``of`` but those in ``taken`` (N, T)."""
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ValueError(f"seed is a whole number, which decides the random classes, not {seed!r}. {_OWN_SEED}")
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for used in taken.tolist():
        left = torch.tensor([c for c in range(of) if c not in used], device="cpu")
        if not 1 <= count <= len(left):
            raise ValueError(f"classes is {count}: of {of} classes {len(left)} are left to draw, so 1 to {len(left)}.")
        drawn.append(left[torch.randperm(len(left), generator=generator, device="cpu")[:count]])
    return torch.stack(drawn).to(taken.device)


# --- Parameters ---


def parameter_sensitivity(
    net: nn.Module,
    x: Tensor,
    method: Methods = "gradcam",
    handling: AnyHandling = None,
    target: Target | Own | str | None = None,
    mode: Mode | str = "cascading",
    seeds: Iterable[int] = (0, 1, 2),
    depths: int | Iterable[int] | None = None,
    batchnorm: BatchNormMode | str = "keep",
    progress: bool = True,
    contrast: Contrast = None,
    **options: Any,
) -> DataFrame:
    """Return how alike the maps of a trained network and of copies with random layers are.

    One row for each photo, depth and seed. net, x, method, handling, contrast, options: as for ``explain``. Several
    methods by label look at the same copies, so that each has to be made only once.
    target: one class for all or (N,); ``None`` for the one that the trained network finds most likely. It is kept: the
        randomized copies are asked about the same class. "own" asks each about the class it finds most likely itself,
        as in the code published with Adebayo et al. 2018; then a part of the difference is that of the classes.
    mode: "cascading" (from the output), "cascading-from-input" or "independent". depths: numbers of random layers, an
        int for that many evenly spaced ones, ``None`` for all. batchnorm: "keep" or "reset"; see ``randomization.py``.
    progress: whether a bar is shown if it takes more than two seconds.
    Columns: photo, target, mode, depth, layers (how many there are), layer (the last one made random), seed, spearman,
    spearman_abs, ssim, hog, degenerate; of several methods first method. ``attrs["still_trained"]`` names what stays
    trained where all layers are random: norms, embeddings, ... Raises what ``explain`` does, and ``ValueError`` for a
    mode, depth or way to treat BatchNorm that doesn't exist, and for a network whose copies don't lose what it learned.
    """
    how = (method, handling, target, mode, seeds, depths, batchnorm, progress)
    return parameter_sensitivities(net, x, [contrast], *how, **options)[0]


def parameter_sensitivities(
    net: nn.Module,
    x: Tensor,
    contrasts: Sequence[Contrast],
    method: Methods = "gradcam",
    handling: AnyHandling = None,
    target: Target | Own | str | None = None,
    mode: Mode | str = "cascading",
    seeds: Iterable[int] = (0, 1, 2),
    depths: int | Iterable[int] | None = None,
    batchnorm: BatchNormMode | str = "keep",
    progress: bool = True,
    **options: Any,
) -> list[DataFrame]:
    """Return the table of ``parameter_sensitivity`` for each contrast: they share random layers and forward passes."""
    methods = by_layer_names(net, by_label(method, handling, options))
    check_network(net)
    check_photos(x)
    _check_own(target, contrasts)
    layers = randomizable_layers(net, x, batchnorm=batchnorm)
    order, draws = steps(layers, mode, depths), list(seeds)
    if not draws:
        raise ValueError("seeds holds no number. One draw of random weights is the least; three or more are better.")
    check_copy(net, x, layers, batchnorm)
    of_trained = explained_class(net, x, target)
    trained = _features(net, x, of_trained, methods, contrasts)
    rows: list[list[dict[str, Any]]] = [[] for _ in contrasts]
    for seed, step, changed in _bar(_copies(net, order, draws), "parameters", len(order) * len(draws), progress):
        asked = explained_class(changed, x, OWN) if isinstance(target, str) else of_trained
        place = {"mode": mode, "depth": step.depth, "layers": len(layers), "layer": step.layer, "seed": seed}
        random = _features(changed, x, asked, methods, contrasts)
        for of_one, before, after in zip(rows, trained, random, strict=True):
            of_one += _compared(before, after, asked, place)
    tables = [as_table(of_one, method) for of_one in rows]
    for table in tables:
        table.attrs["still_trained"] = still_trained(net, layers)
    return tables


def check_copy(net: nn.Module, x: Tensor, layers: Sequence[str], batchnorm: BatchNormMode | str = "keep") -> None:
    """Refuse a network whose copies go on computing with its own layers, as a function that holds one makes them do."""
    changed = with_random(net, layers)
    own = set(randomizable_layers(changed, x, batchnorm=batchnorm))
    if not own >= set(layers) or torch.equal(predict(changed, x[:1]), predict(net, x[:1])):
        kept = next((name for name in layers if name not in own), layers[0])
        raise ValueError(
            f"A copy of this network still computes with the trained {kept!r}: something in it, such as a lambda or a "
            "hook, holds the layer itself. Write it as a module that calls self.layer(...)."
        )


def by_layer_names(net: nn.Module, methods: Mapping[str, Method]) -> dict[str, Method]:
    """Return the methods with layers that were given as modules by their names, which copies know, too."""
    names = {module: name for name, module in net.named_modules()}
    return {
        label: dataclasses.replace(method, layer=names[layer])  # type: ignore[call-arg]  # a CAM's
        if isinstance(layer := getattr(method, "layer", None), nn.Module) and layer in names
        else method
        for label, method in methods.items()
    }


def _copies(net: nn.Module, order: Sequence[Step], seeds: Iterable[int]) -> Iterator[tuple[int, Step, nn.Module]]:
    for seed in seeds:
        for step, changed in randomized_steps(net, order, seed):
            yield seed, step, changed


# --- Data ---


def data_sensitivity(
    net: nn.Module,
    other_net: nn.Module,
    x: Tensor,
    method: Methods = "gradcam",
    handling: AnyHandling = None,
    target: Target | Own | str | None = None,
    contrast: Contrast = None,
    **options: Any,
) -> DataFrame:
    """Return how alike the maps of a network and of one that was trained on permuted labels are: one row a photo.

    Such a pair: ``load_classifier("scenes")`` and ``load_classifier("scenes", weights="permuted-labels")``.
    net, x, method, handling, contrast, options: as for ``explain``. target: as for ``parameter_sensitivity``.
    Columns: photo, target, spearman, spearman_abs, ssim, hog, degenerate; of several methods first method.
    Raises what ``explain`` does.
    """
    methods = by_layer_names(net, by_label(method, handling, options))
    for either in (net, other_net):
        check_network(either)
    check_photos(x)
    _check_own(target, [contrast])
    asked = explained_class(net, x, target)
    (true,) = _features(net, x, asked, methods, [contrast])
    if isinstance(target, str):  # OWN: any other word has been refused
        asked = explained_class(other_net, x, OWN)
    (false,) = _features(other_net, x, asked, methods, [contrast])
    return as_table(_compared(true, false, asked, {}), method)


# --- What the checks share ---


def _logits(net: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([predict(net, x[photos]) for photos in batches(range(len(x)))])


def _one_each(target: Target, photos: int, device: torch.device) -> Tensor:
    """Return one class a photo (N,); ``ValueError`` for several."""
    classes = as_target(target, photos, device)
    if classes.shape[1] > 1:
        raise ValueError(
            f"Here each photo has one class, not {classes.shape[1]}: give a number, or ({photos},) of them."
        )
    return classes[:, 0]


def _check_own(target: Target | str | None, contrasts: Iterable[Contrast]) -> None:
    """Refuse to hold the class that each network finds most likely against one class: they may be the same."""
    classes = [contrast for contrast in contrasts if contrast is not None and not isinstance(contrast, str)]
    if isinstance(target, str) and classes:
        raise ValueError(
            f"With target={target!r} another network may find the contrast's class most likely itself. Use "
            "contrast='mean'."
        )


def explained_class(net: nn.Module, x: Tensor, target: Target | str | None) -> Tensor:
    """Return the class (N,) that a network is asked about."""
    if isinstance(target, str):
        if target != OWN:
            raise unknown_name("target", target, [OWN])
        target = None
    return _logits(net, x).argmax(1) if target is None else _one_each(target, len(x), x.device)


def _features(
    net: nn.Module, x: Tensor, target: Tensor, methods: Mapping[str, Method], contrasts: Sequence[Contrast]
) -> list[dict[str, list[Features | None]]]:
    """Return, for each contrast and method, what the measures see of the photos' maps."""
    found: list[dict[str, list[Features | None]]] = [{label: [] for label in methods} for _ in contrasts]
    for photos in batches(range(len(x))):
        against = [of_photos(contrast, photos, x) for contrast in contrasts]
        explained = explain_contrasts(net, x[photos], target[photos], methods, against)
        for of_one, maps in zip(found, explained, strict=True):
            for label in methods:
                of_one[label] += features(maps[label])
    return found


def _compared(
    first: Mapping[str, list[Features | None]],
    second: Mapping[str, list[Features | None]],
    target: Tensor,
    place: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return a row for each method and photo."""
    return [
        {"method": label, "photo": photo, "target": int(target[photo]), **place, **similarity._asdict()}
        for label in first
        for photo, similarity in enumerate(compare_features(first[label], second[label]))
    ]


def _bar(items: Iterable[Any], what: str, total: int | None = None, shown: bool = True) -> Iterable[Any]:
    """Show a progress bar if it takes more than two seconds, and take it away at the end."""
    return bar(items, what, total, disable=not shown, delay=2, leave=False)
