"""Two tests of random parameters that were made after criticism of the first: sMPRT and eMPRT, held against Quantus."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import networks as nets
import numpy as np
import pytest
import quantus
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.methods import GradCAM, Gradient, InputXGradient, Smoothed
from posgrad_edu.metrics import complexity
from posgrad_edu.metrics.complexity import entropy
from posgrad_edu.metrics.randomization import with_random

generator = torch.Generator().manual_seed(0)
PHOTOS = torch.randn(2, 1, 12, 12, generator=generator)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(1)
    body = nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 5)).eval()


def explained(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: Any) -> np.ndarray:
    """What Quantus calls: gradient maps of each photo's class."""
    x = torch.as_tensor(inputs, dtype=torch.float32)
    return pg.explain(model.eval(), x, torch.as_tensor(targets), "gradient").unsqueeze(1).numpy()


def quantus_says(metric: Any, net: nn.Module, target: Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inputs = {"x_batch": PHOTOS.numpy(), "y_batch": target.numpy(), "explain_func": explained}
        return metric(model=copy.deepcopy(net), **inputs, device="cpu")


def quantus_copies(net: nn.Module) -> list[nn.Module]:
    """Quantus' networks from the first random layer to all of them."""
    model = quantus.helpers.model.pytorch_model.PyTorchModel(copy.deepcopy(net), channel_first=True)
    return [copy.deepcopy(changed).eval() for _, changed in model.get_random_layer_generator("top_down", seed=42)]


# --- eMPRT ---


def test_entropy_is_its_definition() -> None:
    saliency = torch.randn(20, 20, generator=generator)
    low, high = saliency.min().item(), saliency.max().item()
    bins = ((saliency - low) / (high - low) * 7).floor().clamp(max=6).flatten().tolist()
    shares = [bins.count(b) / len(bins) for b in set(bins)]
    assert entropy(saliency, bins=7) == pytest.approx(-sum(p * math.log(p) for p in shares))
    assert entropy(torch.arange(100.0).reshape(10, 10)) == pytest.approx(math.log(100))
    assert math.isnan(entropy(torch.ones(5, 5)))


def test_the_rise_is_quantus_s(net: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    target = net(PHOTOS).argmax(1)
    metric = quantus.EfficientMPRT(layer_order="top_down", seed=42, disable_warnings=True)
    theirs = quantus_says(metric, net, target)
    changed = quantus_copies(net)[-1]
    monkeypatch.setattr(complexity, "with_random", lambda *_: changed)
    ours = pg.complexity_sensitivity(net, PHOTOS, "gradient", seeds=[0])
    assert ours.rise.tolist() == pytest.approx(theirs, abs=1e-6)


def test_the_rise_in_plain_form(net: nn.Module) -> None:
    table = pg.complexity_sensitivity(net, PHOTOS, "gradcam", "positive", layer="0", target=[2, 3], seeds=[4, 5])
    assert table[["photo", "target", "seed"]].to_numpy().tolist() == [[0, 2, 4], [1, 3, 4], [0, 2, 5], [1, 3, 5]]
    for row in table.itertuples():
        changed = with_random(net, ["0", "2", "6"], row.seed)
        before, after = (
            entropy(pg.explain(one, PHOTOS[[row.photo]], row.target, "gradcam", "positive", layer="0")[0])
            for one in (net, changed)
        )
        assert row.rise == pytest.approx((after - before) / before, abs=1e-3)


def test_edges_do_not_rise(net: nn.Module) -> None:
    assert (pg.complexity_sensitivity(net, PHOTOS, "edges").rise == 0).all()


def test_a_constant_map_has_no_complexity(net: nn.Module) -> None:
    silent = nn.Sequential(*net[:4], nn.Threshold(1e9, 0.0), *net[4:]).eval()
    table = pg.complexity_sensitivity(silent, PHOTOS, "gradcam", target=0)
    assert table.degenerate.all()
    assert table.rise.isna().all()


def test_what_cannot_be_made_random_is_refused(net: nn.Module) -> None:
    with pytest.raises(ValueError, match="one seed"):
        pg.complexity_sensitivity(net, PHOTOS, "gradient", seeds=[])


# --- sMPRT ---


def test_a_smoothed_map_is_the_mean_over_noisy_photos(net: nn.Module) -> None:
    seen: list[Tensor] = []

    class Seen(Gradient):
        def maps(self, net: nn.Module, x: Tensor, target: Tensor) -> Tensor:
            seen.append(x.detach().clone())
            return super().maps(net, x, target)

    smoothed = Smoothed(method=Seen(), samples=60, spread=0.2)(net, PHOTOS, [[0, 1], [2, 3]])
    plain = [pg.explain(net, x, [[0, 1], [2, 3]], "gradient") for x in seen]
    assert torch.allclose(smoothed, torch.stack(plain).mean(0), atol=1e-6)
    noise = torch.stack([x - PHOTOS for x in seen])
    assert sum(bool((n == 0).all()) for n in noise) == 1
    for n, photo in enumerate(PHOTOS):
        assert noise[:, n].std().item() == pytest.approx(0.2 * (photo.max() - photo.min()).item(), rel=0.04)


def test_noise_is_a_photo_s_own_and_the_same_for_each_network(net: nn.Module) -> None:
    method = Smoothed(method=Gradient(), samples=3)
    together = method(net, PHOTOS, 0)
    assert torch.allclose(method(net, PHOTOS[1:], 0)[0], together[1], atol=1e-7)
    assert torch.equal(method(net, PHOTOS, 0), together)
    assert not torch.allclose(Smoothed(method=Gradient(), samples=3, seed=1)(net, PHOTOS, 0), together)


def test_one_sample_or_no_spread_is_the_method_itself(net: nn.Module) -> None:
    expected = pg.explain(net, PHOTOS, 1, "gradcam", "positive")
    inner = GradCAM("positive")
    assert torch.equal(Smoothed(method=inner, samples=1)(net, PHOTOS, 1), expected)
    assert torch.allclose(Smoothed(method=inner, samples=4, spread=0.0)(net, PHOTOS, 1), expected, atol=1e-7)


def test_the_method_comes_first_and_keeps_its_options(net: nn.Module) -> None:
    assert Smoothed(Gradient()) == Smoothed(method=Gradient())
    pooled = nn.Sequential(nn.AvgPool2d(2), net).eval()
    inner = GradCAM(upsample=False, layer="1.0")
    assert torch.equal(Smoothed(inner, samples=1)(pooled, PHOTOS, 0), inner(pooled, PHOTOS, 0))
    with pytest.raises(ValueError, match="leave upsample=False out of smoothed"):
        pg.class_sensitivity(pooled, PHOTOS, Smoothed(inner, samples=1))


@pytest.mark.slow
def test_correlations_are_quantus_s_but_for_its_own_noise(net: nn.Module) -> None:
    """Both average over 300 copies; what is left of the noise moves a correlation by a few hundredths."""
    target = net(PHOTOS).argmax(1)
    options: dict[str, Any] = {"layer_order": "top_down", "seed": 42, "nr_samples": 300, "abs": False}
    theirs = quantus_says(quantus.SmoothMPRT(normalise=False, disable_warnings=True, **options), net, target)
    method = Smoothed(method=Gradient(), samples=300)
    trained = method(net, PHOTOS, target)
    layers = [name for name in theirs if name != "original"]
    for name, changed in zip(layers, quantus_copies(net), strict=True):
        maps = method(changed, PHOTOS, target)
        ours = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(trained, maps, strict=True)]
        assert theirs[name] == pytest.approx(ours, abs=0.08)


def test_measures_take_it_like_any_method(net: nn.Module) -> None:
    table = pg.parameter_sensitivity(
        net, PHOTOS, {"plain": InputXGradient(), "smooth": Smoothed(method=InputXGradient(), samples=4)}, seeds=[0]
    )
    assert set(table.method) == {"plain", "smooth"}
    assert not table.degenerate.any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"handling": "positive"}, "method inside"),
        ({"method": "gradient"}, "a Method"),
        ({"method": GradCAM(layer=nn.ReLU())}, "Name the method's layer"),
        ({"samples": 0}, "samples"),
        ({"spread": -1.0}, "spread"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Smoothed(**options)


def test_complexity_of_a_contrast() -> None:
    net, x, target = nets.make("plain")
    table = pg.complexity_sensitivity(net, x, "gradient", target=target, seeds=[0], contrast="mean")
    maps = pg.explain(net, x, target, "gradient", contrast="mean")
    assert table.entropy.tolist() == pytest.approx([entropy(saliency) for saliency in maps])
    assert table.entropy.tolist() != [entropy(saliency) for saliency in pg.explain(net, x, target, "gradient")]
