"""Others' methods: any function, and captum's, pytorch-grad-cam's and zennit's by name."""

from __future__ import annotations

import re
import sys
import warnings
from typing import Any

import networks as nets
import pytest
import torch
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.methods import FunctionMethod, adapters, resolve


@pytest.fixture
def case() -> tuple[nn.Module, Tensor, Tensor]:
    return nets.make("plain")


def gradient(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    x.requires_grad_()
    return torch.autograd.grad(net(x).gather(1, target[:, None]).sum(), x)[0]


GRADIENT = FunctionMethod(gradient, "by hand")


@pytest.mark.parametrize("contrast", [None, "mean", 2], ids=str)
@pytest.mark.parametrize("target", [nets.TARGET, nets.TARGETS], ids=["one", "several"])
def test_a_function_gives_the_maps_it_returns(case: Any, target: Tensor, contrast: Any) -> None:
    net, x, _ = case
    if contrast == 2:
        target = torch.where(target == 2, 0, target)
    expected = pg.explain(net, x, target, "gradient", contrast=contrast)
    torch.testing.assert_close(pg.explain(net, x, target, GRADIENT, contrast=contrast), expected)


def test_arrays_and_coarse_maps_will_do(case: Any) -> None:
    net, x, target = case
    coarse = FunctionMethod(lambda net, x, target: torch.ones(len(x), 4, 4).numpy(), "coarse")
    maps = pg.explain(net, x, target, coarse)
    assert (maps.shape, maps.dtype) == ((len(x), *x.shape[-2:]), x.dtype)
    torch.testing.assert_close(maps, torch.ones_like(maps))


@pytest.mark.parametrize("shape", [(2, 16, 16), (3, 16), (3, 1, 1, 16, 16)])
def test_maps_of_another_shape_are_refused(shape: tuple[int, ...], case: Any) -> None:
    net, x, target = case
    with pytest.raises(ValueError, match=re.escape(f"wrong returned maps of shape {shape} for 3 photos")):
        pg.explain(net, x, target, FunctionMethod(lambda *_: torch.ones(shape), "wrong"))


def test_a_function_may_write_into_its_photos(case: Any) -> None:
    net, x, target = case
    before = x.clone()
    pg.explain(net, x, target, FunctionMethod(lambda net, x, target: x.zero_(), "writes"))
    assert torch.equal(x, before)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="function is called with a network"):
        FunctionMethod("gradient", "no function")  # type: ignore[arg-type]


def test_methods_of_other_functions_are_others() -> None:
    assert FunctionMethod(gradient, "a") == FunctionMethod(gradient, "a")
    assert FunctionMethod(gradient, "a") != FunctionMethod(gradient, "b")
    assert FunctionMethod(gradient, "a") != FunctionMethod(print, "a")


def test_measures_take_a_function(case: Any) -> None:
    net, x, _ = case
    table = pg.class_sensitivity(net, x, {"ours": "gradient", "theirs": GRADIENT})
    ours, theirs = (table[table.method == name].spearman.tolist() for name in ("ours", "theirs"))
    assert ours == pytest.approx(theirs)


# Another package's method, and the one of ours that it is.
SAME = [
    ("captum:InputXGradient", "input-x-gradient", "signed"),
    ("captum:GuidedBackprop", "guided-backprop", "positive"),
    ("captum:Deconvolution", "deconvnet", "positive"),
    ("captum:LayerGradCam", "gradcam", "signed"),
    ("zennit:EpsilonPlus", "lrp", None),
    ("zennit:GuidedBackprop", "guided-backprop", "positive"),
    ("zennit:DeconvNet", "deconvnet", "positive"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "ours", "handling"), SAME, ids=[row[0] for row in SAME])
def test_other_packages_methods_are_run_as_they_are(name: str, ours: str, handling: str | None, case: Any) -> None:
    net, x, target = case
    torch.testing.assert_close(
        pg.explain(net, x, target, name), pg.explain(net, x, target, ours, handling), rtol=1e-5, atol=1e-5
    )


def test_captum_s_saliency_is_the_magnitude_of_the_gradient(case: Any) -> None:
    net, x, target = case
    ours = pg.explain(net, x, target, "gradient", reduce=None).abs().sum(1)
    torch.testing.assert_close(pg.explain(net, x, target, "captum:Saliency"), ours)


@pytest.mark.parametrize("name", ["grad-cam:LayerCAM", "grad-cam:HiResCAM"])
def test_pytorch_grad_cam_scales_each_map_from_0_to_1(name: str, case: Any) -> None:
    net, x, target = case
    maps = pg.explain(net, x, target, name)
    assert maps.amin() == 0
    assert maps.flatten(1).amax(1).tolist() == pytest.approx([1] * len(x), abs=1e-3)


def test_captum_s_guided_backprop_is_the_gradient_where_relus_are_clipped() -> None:
    """Its rule is for nn.ReLU, and nn.ReLU6 is another class: nothing is said, and nothing is guided."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(4 * 36, 3)).double().eval()
    x = nets.photos(8)
    theirs = pg.explain(net, x, 0, "captum:GuidedBackprop")
    torch.testing.assert_close(theirs, pg.explain(net, x, 0, "gradient"))
    assert not torch.allclose(theirs, pg.explain(net, x, 0, "guided-backprop"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("captum:Salency", "Did you mean 'Saliency'"),
        ("captum:NeuronGradient", "no method of captum"),
        ("captum:Occlusion", "needs sliding_window_shapes"),
        ("captum:NoiseTunnel", "needs attribution_method"),
        ("grad-cam:GradCam", "Did you mean 'GradCAM'"),
        ("zennit:EpsilonGammaBox", "needs low, high"),
        ("tensorflow:Saliency", "There are: captum, grad-cam, zennit"),
    ],
)
def test_what_cannot_be_run_is_refused_at_once(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        resolve(name)


def test_an_error_of_another_package_is_said_with_its_name(case: Any) -> None:
    net, x, target = case
    with pytest.raises(pg.UnsupportedOperation, match=r"captum:LRP doesn't work on this network \(TypeError: Module"):
        pg.explain(net, x, target, "captum:LRP")


def test_another_package_s_method_has_no_handling() -> None:
    with pytest.raises(ValueError, match=r"captum:Saliency is somebody else's method, as it is: leave handling out\."):
        resolve("captum:Saliency", "positive")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["captum:GuidedBackprop", "grad-cam:GradCAM", "zennit:EpsilonPlus"])
def test_nothing_is_left_in_the_network(name: str, case: Any) -> None:
    net, x, target = case
    before = pg.explain(net, x, target, "gradient")
    pg.explain(net, x, target, name)
    assert not any(m._forward_hooks or m._backward_hooks or m._forward_pre_hooks for m in net.modules())
    assert torch.equal(pg.explain(net, x, target, "gradient"), before)


def test_a_contrast_belongs_to_its_photo_whatever_a_function_asks_at_once(case: Any) -> None:
    """Integrated gradients ask about all photos at each step of the way: photo after photo, again and again."""
    net, x, target = case
    against = (target + 1) % nets.CLASSES
    together = pg.explain(net, x, target, "captum:IntegratedGradients", contrast=against)
    alone = [
        pg.explain(net, x[[n]], target[[n]], "captum:IntegratedGradients", contrast=against[[n]]) for n in range(len(x))
    ]
    torch.testing.assert_close(together, torch.cat(alone))
    linear = pg.explain(net, x, torch.stack([target, against], 1), "captum:IntegratedGradients")
    torch.testing.assert_close(together, linear[:, 0] - linear[:, 1])  # its maps are linear in the logit


@pytest.mark.parametrize(
    ("target", "contrast", "message"),
    [(6, None, "Class 6 is out of range"), (0, 6, "Class 6 is out of range"), (0, 0, "held against itself")],
)
def test_classes_that_do_not_exist_are_refused_in_our_words(
    target: int, contrast: int | None, message: str, case: Any
) -> None:
    net, x, _ = case
    with pytest.raises(ValueError, match=message):
        pg.explain(net, x, target, "captum:Saliency", contrast=contrast)


def test_a_single_class_has_no_mean_to_be_held_against() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 1)).double().eval()
    with pytest.raises(ValueError, match="single class"):
        pg.explain(net, nets.photos(8), 0, GRADIENT, contrast="mean")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("captum:Salency", "There is no method of captum 'Salency'. Did you mean 'Saliency' or "),
        ("captum:a:b", "There is no method of captum 'a:b'."),
        ("captum:Attribution", "There is no method of captum 'Attribution'. "),
        ("captum:NeuronDeepLift", "There is no method of captum 'NeuronDeepLift'. "),
        ("grad-cam:GradCam", "There is no CAM of pytorch-grad-cam 'GradCam'. Did you mean 'GradCAM'"),
        ("grad-cam:BaseCAM", "There is no CAM of pytorch-grad-cam 'BaseCAM'. "),
        ("zennit:LayerMapComposite", "There is no composite of zennit 'LayerMapComposite'. "),
        ("zennit:SpecialFirstLayerMapComposite", "There is no composite of zennit 'SpecialFirstLayerMapComposite'. "),
        ("zennit:Composite", "There is no composite of zennit 'Composite'. "),
        ("tensorflow:Saliency", "There is no package of methods 'tensorflow'. There are: captum, grad-cam, zennit."),
        ("captum:Occlusion", "captum:Occlusion needs sliding_window_shapes, which isn't ours to choose. Write it as "),
        ("captum:LayerActivation", None),
        ("captum:DeepLift", None),
        ("zennit:EpsilonGammaBox", "zennit:EpsilonGammaBox needs low, high, which isn't ours to choose. Write it as "),
    ],
)
def test_names_of_other_packages_are_answered_in_full(name: str, says: str | None) -> None:
    if says is None:
        assert resolve(name).name == name
        return
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        resolve(name)


@pytest.mark.parametrize(
    ("package", "module"),
    [("captum", "captum.attr"), ("grad-cam", "pytorch_grad_cam"), ("zennit", "zennit.composites")],
)
def test_a_package_that_is_not_installed_is_named(package: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"^{package} isn't installed: pip install {package}$"):
        resolve(f"{package}:Anything")


def test_words_of_another_package_come_in_one_line(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
        raise RuntimeError("two\n   words")

    monkeypatch.setitem(adapters.ADAPTERS, "other", lambda method: fails)
    net, x, target = case
    with pytest.raises(
        pg.UnsupportedOperation, match=r"^other:It doesn't work on this network \(RuntimeError: two words\)"
    ):
        pg.explain(net, x, target, "other:It")


def test_other_packages_say_nothing_of_their_hooks(case: Any) -> None:
    net, x, target = case
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pg.explain(net, x, target, "captum:GuidedBackprop")
