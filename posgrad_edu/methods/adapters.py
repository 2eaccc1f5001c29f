"""Methods of other packages by name, so that they can be measured as they are.

    explain(net, x, 282, "captum:GuidedBackprop")
    class_sensitivity(net, x, "grad-cam:GradCAMPlusPlus")
    parameter_sensitivity(net, x, "zennit:EpsilonPlus")

    captum:NAME      a class of ``captum.attr``: the network's inputs, or for ``Layer...`` the layer that our CAMs take
    grad-cam:NAME    a CAM of ``pytorch_grad_cam``, at the layer that our CAMs take
    zennit:NAME      a composite of ``zennit.composites``, with its canonizer for BatchNorm

Each is run with its package's defaults. One that needs more than a photo and a class is refused: write it as a
``FunctionMethod``. The packages come with the extra "audit".

References:
    Kokhlikyan et al. Captum. 2020. arXiv:2009.07896. Gildenblat. pytorch-grad-cam. 2021.
    Anders et al. Software for Dataset-wide XAI: Zennit, CoRelAy, and ViRelAy. 2021. arXiv:2106.13200.
"""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from posgrad_edu.engine.cam_layer import find_layer
from posgrad_edu.errors import UnsupportedOperation, unknown_name
from posgrad_edu.methods.function import Contrasts, Function, FunctionMethod


def adapted(name: str) -> FunctionMethod:
    """Return the method of another package, such as "captum:GuidedBackprop".

    Raises ``ValueError`` for a package or method that isn't known, or that needs more than a photo and a class, and
    ``ImportError`` for a package that isn't installed.
    """
    package, _, method = name.partition(":")
    if package not in ADAPTERS:
        raise unknown_name("package of methods", package, ADAPTERS)
    found = ADAPTERS[package](method)

    def maps(net: nn.Module, x: Tensor, target: Tensor) -> Any:
        try:
            return found(net, x, target)
        except Exception as error:  # each package has its own
            words = " ".join(str(error).split())
            raise UnsupportedOperation(
                f"{name} doesn't work on this network ({type(error).__name__}: {words})."
            ) from error

    return FunctionMethod(maps, name)


def _captum(name: str) -> Function:
    attr = _imported("captum", "captum.attr")
    known = [n for n in attr.__all__ if _is(getattr(attr, n), attr.Attribution) and not n.startswith("Neuron")]
    kind = _one_of(attr, name, known, "method of captum")
    of_layer = issubclass(kind, attr.LayerAttribution)
    ours = {"self", "forward_func", "model", "inputs", "target", *(["layer"] if of_layer else [])}
    _refuse_more("captum", name, kind.__init__, ours)
    _refuse_more("captum", name, kind.attribute, ours)

    def maps(net: nn.Module, x: Tensor, target: Tensor) -> Any:
        method = kind(net, *([_layer(net, x)] if of_layer else []))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it sets hooks, and requires_grad
            return method.attribute(x.requires_grad_(), target=target)

    return maps


def _grad_cam(name: str) -> Function:
    cams = _imported("grad-cam", "pytorch_grad_cam")
    base = importlib.import_module("pytorch_grad_cam.base_cam").BaseCAM
    kind = _one_of(cams, name, [n for n in vars(cams) if _is(getattr(cams, n), base)], "CAM of pytorch-grad-cam")
    _refuse_more("grad-cam", name, kind.__init__, {"self", "model", "target_layers"})
    of_class = importlib.import_module("pytorch_grad_cam.utils.model_targets").ClassifierOutputTarget

    def maps(net: nn.Module, x: Tensor, target: Tensor) -> Any:
        with kind(net, target_layers=[_layer(net, x)]) as cam:
            return cam(input_tensor=x.requires_grad_(), targets=[of_class(int(c)) for c in target])

    return maps


def _zennit(name: str) -> Function:
    composites = _imported("zennit", "zennit.composites")
    known = [n for n in vars(composites) if _is(getattr(composites, n), composites.LayerMapComposite)]
    bases = ("LayerMapComposite", "SpecialFirstLayerMapComposite")
    kind = _one_of(composites, name, [n for n in known if n not in bases], "composite of zennit")
    _refuse_more("zennit", name, kind.__init__, {"self"})
    canonizer = importlib.import_module("zennit.canonizers").SequentialMergeBatchNorm
    attributor = importlib.import_module("zennit.attribution").Gradient

    def maps(net: nn.Module, x: Tensor, target: Tensor) -> Any:
        with attributor(model=net, composite=kind(canonizers=[canonizer()])) as attribute:
            _, relevance = attribute(x, lambda out: F.one_hot(target, out.shape[1]).to(out))
        return relevance

    return maps


ADAPTERS: dict[str, Callable[[str], Function]] = {"captum": _captum, "grad-cam": _grad_cam, "zennit": _zennit}


# --- What they share ---


def _imported(package: str, module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ImportError(f"{package} isn't installed: pip install {package}") from error


def _is(kind: object, base: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, base) and kind is not base


def _one_of(module: ModuleType, name: str, known: list[str], what: str) -> Any:
    if name not in known:
        raise unknown_name(what, name, known)
    return getattr(module, name)


def _refuse_more(package: str, name: str, call: Callable, ours: set[str]) -> None:
    """Refuse a method that needs other arguments than ours."""
    needed = [p for p in inspect.signature(call).parameters.values() if p.default is p.empty]
    more = [p.name for p in needed if p.name not in ours and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if more:
        raise ValueError(
            f"{package}:{name} needs {', '.join(more)}, which isn't ours to choose. Write it as "
            "pg.FunctionMethod(function, name), with function(net, x, target) -> maps."
        )


def _layer(net: nn.Module, x: Tensor) -> nn.Module:
    """Return the layer that CAMs of this package look at."""
    return find_layer(net.net if isinstance(net, Contrasts) else net, None, x)
