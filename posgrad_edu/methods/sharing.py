"""``explain``: one method, or several at once for the price of few forward passes.

GradCAM, GradCAM++ and LayerCAM read the same activations and gradients; a map with positive gradients is made of the
same ones as a map with signed gradients. So methods with equal ``record_key`` share one record:

    explain(net, x, target, {"signed": GradCAM("signed"), "positive": GradCAM("positive")})

The gradient, DeconvNet, Guided Backprop and RectGrad share their forward pass, and each goes back through it with its
own rule. FullGrad's forward pass serves them, too, and its way back gives the gradient. LRP shares with nothing: its
rules decide what each layer keeps on the way up.

Where the handlings are asked for one after another, as in a widget, ``Records`` keeps what they share.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, overload

from torch import Tensor, nn

from posgrad_edu.engine.audit import explaining
from posgrad_edu.engine.contrast import Each, Reference, contrasted, ignore_reference
from posgrad_edu.engine.inputs import Contrast, Target, as_reference, checked_classes
from posgrad_edu.engine.passes import with_gradients
from posgrad_edu.methods.base import Method
from posgrad_edu.methods.registry import AnyHandling, Methods, OneMethod, resolve


@overload
def explain(
    net: nn.Module, x: Tensor, target: Target, method: Mapping[Any, OneMethod], *, contrast: Contrast = ...
) -> dict[Any, Tensor]: ...
@overload
def explain(
    net: nn.Module,
    x: Tensor,
    target: Target,
    method: OneMethod = ...,
    handling: AnyHandling = ...,
    layer: str | nn.Module | None = ...,
    contrast: Contrast = ...,
    **options: Any,
) -> Tensor: ...
def explain(
    net: nn.Module,
    x: Tensor,
    target: Target,
    method: Methods = "gradcam",
    handling: AnyHandling = None,
    layer: str | nn.Module | None = None,
    contrast: Contrast = None,
    **options: Any,
) -> Tensor | dict[Any, Tensor]:
    """Return the saliency maps of photos for the classes asked about, raw and signed.

    net: a classifier in evaluation mode, x -> logits (N, classes); nothing in it is changed.
    x: photos (N, C, H, W). target: one class for all, (N,) one each, or (N, K) for K classes at once.
    method: a name of ``METHODS``, ``ATTENTION_METHODS`` or ``CONTROLS``, a ``Method`` class, a ``Method`` with its
    options, or several of these by label. handling: "signed", "positive", "negative", "absolute", or ``None`` for the
    method as published. layer: for CAMs only, a module or its name, ``None`` for the last layer with positions.
    options: those of the method, such as ``q`` of rectgrad. All three are for a name or a class.
    contrast: what each logit is held against: ``None``, "mean" for the mean of all logits, or a class, in any form that
    a target may have; see ``engine/contrast.py``.
    Returns (N, H, W), or (N, K, H, W), in x's dtype, device and resolution (a CAM with ``upsample=False`` in its
    layer's); with ``reduce=None`` the colour channels stand before H. Of several methods a dict with their labels, each
    map the same that its method gives alone.
    Raises ``ValueError`` for input that makes no sense, ``UnsupportedOperation`` for an operation of the network
    that the method has no rule for; one of several methods that refuses the network refuses them all.
    """
    chosen = resolve(method, handling, layer, **options)
    if isinstance(chosen, dict):
        return explain_contrasts(net, x, target, chosen, [contrast])[0]
    return chosen(net, x, target, contrast)


def explain_contrasts(
    net: nn.Module, x: Tensor, target: Target, methods: Mapping[Any, Method], contrasts: Sequence[Contrast]
) -> list[dict[Any, Tensor]]:
    """Return for each contrast what ``explain`` gives for several methods: one forward pass serves all contrasts.

    net, x, target, contrasts: as for ``explain``. methods: ready to be called, by label.
    """
    with explaining(net):
        return _explain_contrasts(net, x, target, methods, contrasts)


def _explain_contrasts(
    net: nn.Module, x: Tensor, target: Target, methods: Mapping[Any, Method], contrasts: Sequence[Contrast]
) -> list[dict[Any, Tensor]]:
    classes = checked_classes(net, x, target)
    references = [as_reference(contrast, classes) for contrast in contrasts]
    against = references[0] if len(references) == 1 else Each(tuple(references))
    asked = classes.repeat(1, len(references))
    found: list[dict[Any, Tensor]] = [{} for _ in references]
    for labels in by_record(methods):
        first = methods[labels[0]]
        with with_gradients(), contrasted(against, first.name):
            if len(labels) == 1:
                maps = {labels[0]: first.maps(net, x.detach().clone(), asked.clone())}
            else:
                record = first.record(net, x.detach().clone(), asked.clone())
                maps = {label: methods[label].read(record) for label in labels}
                del record
        for label in labels:
            methods[label].check_shape(maps[label], *asked.shape)
            for of_one, part in zip(found, maps.pop(label).chunk(len(references), dim=1), strict=True):
                of_one[label] = methods[label].finish(part, x, target)
    return [{label: of_one[label] for label in methods} for of_one in found]


def by_record(methods: Mapping[Any, Method]) -> Iterable[list[Any]]:
    """Return the labels in groups; within a group the record of the first serves all."""
    groups: dict[Hashable, list[Any]] = {}
    for label, method in methods.items():
        groups.setdefault(method.record_key(), []).append(label)
    for labels in [*groups.values()]:
        labels += groups.pop(methods[labels[0]].record_serves, [])
    return groups.values()


class Records:
    """``explain`` for one method at a time, where the next one may read what the last one recorded.

    So another handling of the same method, network, photo, classes and contrast costs no forward pass, nor do other
    classes where the method only goes back for them (``record_again``). A record holds on to what that pass left in
    memory (EfficientNet-Lite0: up to 80 MB), so no more than ``most`` are kept, those used last.
    Nothing here notices that a network or photo has changed: whoever changes one calls ``clear``.
    """

    def __init__(self, most: int = 2) -> None:
        self.most = most
        self._kept: OrderedDict[tuple[Hashable, ...], tuple[Any, nn.Module, Tensor]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def clear(self, x: Tensor | None = None) -> None:
        """Let go of all records, or of those of the photos ``x``."""
        for key in [key for key, (_, _, photos) in self._kept.items() if x is None or photos is x]:
            del self._kept[key]

    def explain(
        self,
        net: nn.Module,
        x: Tensor,
        target: Target,
        method: OneMethod,
        handling: AnyHandling = None,
        layer: str | nn.Module | None = None,
        contrast: Contrast = None,
        **options: Any,
    ) -> Tensor:
        """Return what the function ``explain`` returns for one method."""
        chosen = resolve(method, handling, layer, **options)
        if chosen.record_options is None:
            return chosen(net, x, target, contrast)
        with explaining(net), with_gradients():
            classes = checked_classes(net, x, target)
            against = as_reference(contrast, classes)
            record = self._record(chosen, net, x, classes, against)
            with contrasted(against, chosen.name):
                ignore_reference()  # whether it was applied, recording has told
                return chosen.finish(chosen.read(record), x, target)

    def _record(self, method: Method, net: nn.Module, x: Tensor, classes: Tensor, against: Reference) -> Any:
        """Return the record of this question, kept or made anew."""
        asked = str(classes.tolist()), str(against.tolist() if isinstance(against, Tensor) else against)
        one_pass = method.record_key(), id(net), id(x)  # both are kept alive below, so nobody else gets their ids
        key = *one_pass, *asked
        if key not in self._kept:
            with contrasted(against, method.name):
                record = self._again(one_pass, method, classes)
                if record is None:
                    self._keep(self.most - 1)  # before the next one takes memory
                    record = method.record(net, x.detach().clone(), classes.clone())
            self._kept[key] = record, net, x
            self._keep(self.most)
        self._kept.move_to_end(key)
        return self._kept[key][0]

    def _again(self, one_pass: tuple[Hashable, ...], method: Method, classes: Tensor) -> Any | None:
        """Return the record of these classes from a forward pass that was kept for others, if there is one."""
        kept = [record for key, (record, _, _) in self._kept.items() if key[: len(one_pass)] == one_pass]
        return method.record_again(kept[-1], classes.clone()) if kept else None

    def _keep(self, most: int) -> None:
        while len(self._kept) > most:
            self._kept.popitem(last=False)
