"""What a study measures: its units, its pictures, and each check against a plain restatement."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import posgrad_edu as pg
from posgrad_edu.data.photos import PHOTOS, photo_names
from posgrad_edu.engine.passes import predict
from posgrad_edu.methods import CONTROLS, METHODS
from posgrad_edu.metrics.localization import energy_in_box, pointing_game
from posgrad_edu.metrics.randomization import evenly_spaced, randomizable_layers, randomized
from posgrad_edu.metrics.similarity import compare
from posgrad_edu.scenes.pictures import make_scene
from posgrad_edu.study import Study, Unit, measure, plan
from posgrad_edu.study.measuring import _asked, _show, example, stays_trained
from posgrad_edu.study.planning import Label, Picture, pictures, usable
from posgrad_edu.study.schema import CHECKS, TYPES, combined

WITH = {"logit": None, "mean": "mean"}  # explain's word for each of a study's contrasts
SMALL = Study(methods=("gradcam", "guided-backprop"), networks=("scenes",), scenes=2, depths=2, seeds=2)


@pytest.fixture(scope="module")
def units() -> dict[str, Unit]:
    """The units of the first scene, by check."""
    return {unit.check: unit for unit in plan(SMALL).units if unit.picture.name == "scene-0"}


@pytest.fixture(scope="module")
def tables(units: dict[str, Unit]) -> dict[str, pd.DataFrame]:
    return {check: measure(unit) for check, unit in units.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photos in two folders, and a file that is none."""
    rng = np.random.default_rng(0)
    for name in ("b/2.png", "a/1.JPG", "b/1.png", "a/2.jpeg", "b/3.webp"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    return tmp_path / "photos"


# --- What is asked for ---


def test_the_default_measures_everything_as_published_too() -> None:
    study = Study()
    assert study.methods == tuple(METHODS)
    assert study.checks == CHECKS
    labels, refused = usable(pg.load_classifier("scenes"), study)
    assert refused == {}
    assert {("gradcam", "signed"), ("gradcam", "positive"), ("fullgrad", "absolute"), ("lrp", "published")} <= {*labels}
    assert len(labels) == len(set(labels)) == 2 * len(METHODS) + 2 + len(CONTROLS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ("gradcan",)}, "Did you mean 'gradcam'"),
        ({"handlings": ("positiv",)}, "Did you mean 'positive'"),
        ({"checks": ("clas",)}, "Did you mean 'class'"),
        ({"mode": "cascade"}, "Did you mean 'cascading'"),
        ({"methods": ()}, "one of the methods"),
        ({"seeds": 0}, "seeds is 1 or more"),
        ({"depths": 1}, "depths is 2 or more"),
    ],
)
def test_what_does_not_exist_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Study(**options)


def test_a_study_without_a_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to measure: data"):
        plan(Study(checks=("data",), networks=("efficientnet-lite0",)))


def test_a_method_that_refuses_a_network_is_left_out_with_its_reason() -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.SiLU(), torch.nn.Flatten()).eval()
    clf = pg.Classifier(net, pg.Preprocessing(size=8, resize=8))
    labels, refused = usable(clf, Study(methods=("gradient", "lrp")))
    assert ("gradient", "signed") in labels
    assert "lrp" not in [method for method, _ in labels]
    assert "silu" in refused["lrp"].lower()


class Halving(torch.nn.Module):
    """A network that halves its input in place, which LRP refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x.div_(2)).relu().mean((2, 3)))


@pytest.fixture
def halving(monkeypatch: pytest.MonkeyPatch) -> pg.Classifier:
    """A classifier that studies find under the name "halving"."""
    clf = pg.Classifier(Halving().eval(), pg.Preprocessing(size=8, resize=8))

    def load(name: str, **options: object) -> pg.Classifier:
        return clf if name == "halving" else pg.load_classifier(name, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("posgrad_edu.study.planning.load_classifier", load)
    return clf


def test_a_network_that_all_methods_refuse_is_left_out(halving: pg.Classifier) -> None:
    chosen = Study(methods=("lrp",), networks=("halving", "scenes"), scenes=1, checks=("class",))
    units, refused = plan(chosen)
    assert {unit.network for unit in units} == {"scenes"}
    assert [*refused] == [("halving", "lrp")]
    with pytest.raises(ValueError, match=r"nothing to measure: class .* lrp on halving: .*div_"):
        plan(Study(methods=("lrp",), networks=("halving",), checks=("class",)))


def test_classes_are_chosen_without_changing_the_picture(halving: pg.Classifier) -> None:
    shown = _show(Picture("cat", "photo", (str(PHOTOS[0].path),)), halving)
    before = shown.x.clone()
    target, others = _asked(halving, shown)
    assert torch.equal(shown.x, before)
    order = predict(halving.net, before)[0].argsort(descending=True).tolist()
    assert (target, others) == (order[0], [("runner-up", order[1]), ("least", order[-1])])


# --- Pictures ---


def test_photos_and_mosaics_of_pairs() -> None:
    found = pictures(Study(), "efficientnet-lite0")
    photos = [picture.name for picture in found if picture.kind == "photo"]
    mosaics = [picture.name for picture in found if picture.kind == "mosaic"]
    assert photos == photo_names()
    assert len(mosaics) == len(photos) // 2
    assert mosaics[0] == f"{photos[0]}+{photos[len(photos) // 2]}"


@pytest.mark.parametrize("network", ["scenes", "scenes-transformer"])
def test_networks_of_digits_are_shown_scenes(network: str) -> None:
    study = Study(methods=("gradient",), networks=(network,), scenes=2, classes=0, checks=("class", "data"))
    assert [picture.kind for picture in pictures(study, network)] == ["scene", "scene"]
    units = plan(study).units
    assert ("data" in {unit.check for unit in units}) is (network == "scenes")  # it alone has a twin
    table = measure(units[0])
    assert table.target.unique().tolist() == [make_scene(0).digits[0]]
    assert set(table.comparison) == {"present", "least"}


def test_a_folder_of_photos(folder: Path) -> None:
    found = pictures(Study(images=folder), "vgg16")
    assert [p.name for p in found if p.kind == "photo"] == ["a/1.JPG", "a/2.jpeg", "b/1.png", "b/2.png", "b/3.webp"]
    assert [p.name for p in found if p.kind == "mosaic"] == ["a/1.JPG+b/1.png", "a/2.jpeg+b/2.png"]
    few = pictures(Study(images=folder, limit=2), "vgg16")
    assert [p.name for p in few if p.kind == "photo"] == ["a/1.JPG", "b/1.png"]


def test_folders_without_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no pictures"):
        pictures(Study(images=tmp_path), "vgg16")
    with pytest.raises(FileNotFoundError, match="no folder"):
        pictures(Study(images=tmp_path / "nowhere"), "vgg16")


# --- Units ---


def test_every_check_has_its_units() -> None:
    counts = pd.Series([unit.check for unit in plan(SMALL).units]).value_counts().to_dict()
    assert counts == dict.fromkeys(CHECKS, 2)
    of_photos = plan(Study(methods=("gradcam",), networks=("efficientnet-lite0",))).units
    counts = pd.Series([unit.check for unit in of_photos]).value_counts().to_dict()
    assert counts == {"class": 16 + 8, "parameters": 16, "localization": 8}


def test_a_key_names_what_a_result_depends_on(folder: Path) -> None:
    base = Study(methods=("gradcam",), networks=("scenes",), scenes=1, depths=2)

    def keys(study: Study) -> dict[str, str]:
        return {unit.check: unit.key for unit in plan(study).units}

    assert keys(base) == keys(base)
    other = keys(Study(methods=("gradcam",), networks=("scenes",), scenes=1, depths=3))
    assert other["parameters"] != keys(base)["parameters"]
    assert other["class"] == keys(base)["class"]  # which knows nothing of depths
    assert not {*keys(Study(methods=("gradient",), networks=("scenes",), scenes=1)).values()} & {*keys(base).values()}
    photos = Study(methods=("gradcam",), networks=("efficientnet-lite0",), images=folder, checks=("parameters",))
    before = {unit.picture.name: unit.key for unit in plan(photos).units}
    os.utime(folder / "b/1.png", (0, 0))  # somebody replaced this photo
    after = {unit.picture.name: unit.key for unit in plan(photos).units}
    assert {name for name in before if before[name] != after[name]} == {"b/1.png"}


def test_a_key_names_the_weights(halving: pg.Classifier) -> None:
    study = Study(methods=("gradient",), networks=("halving",), checks=("class",), limit=1)
    (before,) = plan(study).units
    with torch.no_grad():
        halving.net.fc.bias[0] += 1  # trained on
    (after,) = plan(study).units
    assert before._replace(key="") == after._replace(key="")
    assert before.key != after.key


def test_a_key_names_the_twins_weights_where_data_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    both, alone = (Study(methods=("gradient",), networks=("scenes",), scenes=1, checks=c) for c in (CHECKS, CHECKS[:1]))
    before = {unit.check: unit.key for unit in plan(both).units}, plan(alone).units[0].key
    twin = pg.load_classifier("scenes", weights="permuted-labels")
    with torch.no_grad():
        next(twin.net.parameters())[0] += 1

    def load(name: str, weights: str = "pretrained", **options: Any) -> pg.Classifier:
        return twin if weights == "permuted-labels" else pg.load_classifier(name, **options)

    monkeypatch.setattr("posgrad_edu.study.planning.load_classifier", load)
    after = {unit.check: unit.key for unit in plan(both).units}, plan(alone).units[0].key
    assert before[0]["data"] != after[0]["data"]
    assert before[1] == after[1]


def test_files_have_names_that_any_system_allows() -> None:
    unit = Unit("timm/x y", "class", Picture("Ü/ñ:?*.png", "photo", ()), (), (), "0123")
    assert unit.file.as_posix().isascii() or "Ü" in unit.file.as_posix()
    assert not set(':?*" <>|\\') & set(str(unit.file))
    assert len(unit.file.parts) == 3


# --- What is measured ---


def test_all_tables_have_the_same_columns_and_types(tables: dict[str, pd.DataFrame]) -> None:
    for table in tables.values():
        assert {name: str(kind) for name, kind in table.dtypes.items()} == TYPES
    assert len(combined(tables.values())) == sum(map(len, tables.values()))
    assert {str(kind) for kind in combined(tables.values()).dtypes} == set(TYPES.values())


def test_controls_are_always_there(tables: dict[str, pd.DataFrame]) -> None:
    for check, table in tables.items():
        assert {*CONTROLS} < {*table.method}, check
        assert {*table.handling[table.method.isin(CONTROLS)]} == {"none"}
    classes = tables["class"].set_index("method").spearman
    assert len(classes["edges"]) > 2
    assert classes["edges"].tolist() == pytest.approx([1] * len(classes["edges"]))
    assert abs(classes["noise"]).max() < 5 / 64  # five standard deviations of a rank correlation over 64 x 64 pixels


def explained(clf: pg.Classifier, x: Tensor, target: int, row: Any, net: nn.Module | None = None) -> Tensor:
    """Return the map (H, W) that a row is about: of the logit, or of the logit minus the mean of all logits."""
    return pg.explain(net or clf.net, x, target, row.method, row.handling, contrast=WITH[row.contrast])[0]


def test_the_class_check(tables: dict[str, pd.DataFrame]) -> None:
    clf, scene = pg.load_classifier("scenes"), make_scene(0)
    x = clf.batch(scene.image)
    least = int(clf.net(x).argmin())
    others = {"present": [scene.digits[1]], "least": [least]}
    table = tables["class"]
    drawn = table[table.comparison == "random"]
    for _, rows in drawn.groupby(["method", "handling", "contrast"]):
        others["random"] = rows.other.tolist()
        assert len({*others["random"]} - {scene.digits[0]}) == SMALL.classes == 3
    assert drawn.groupby("other").size().nunique() == 1  # the same ones for all methods and both contrasts
    for row in table[~table.method.isin(CONTROLS)].itertuples():
        maps = [explained(clf, x, c, row) for c in (scene.digits[0], row.other)]
        expected = compare(*maps)
        assert row.target == scene.digits[0]
        assert row.other in others[row.comparison]
        assert (row.spearman, row.ssim) == pytest.approx((expected.spearman, expected.ssim), abs=1e-4)


@pytest.mark.slow
def test_a_photo_is_asked_about_least_likely_class_and_runner_up() -> None:
    study = Study(methods=("gradcam",), handlings=("signed",), networks=("efficientnet-lite0",), checks=("class",))
    by_name = {unit.picture.name: unit for unit in plan(study).units}
    clf, cat = pg.load_classifier(), pg.load_photo("cat")
    table = measure(by_name["cat"]).query("method == 'gradcam' and contrast == 'logit'").set_index("comparison")
    assert table.target.unique().tolist() == [clf.top(cat, 1)[0].index]
    assert table.drop("random").other.to_dict() == {"least": clf.least_likely(cat), "runner-up": clf.runner_up(cat)}
    name, unit = next((name, unit) for name, unit in by_name.items() if name.startswith("coffee+"))
    second = name.partition("+")[2]
    row = measure(unit).query("method == 'gradcam'").iloc[0]
    assert row.comparison == "present"
    assert (row.target, row.other) == tuple(clf.top(pg.load_photo(n), 1)[0].index for n in ("coffee", second))


def test_a_mosaic_of_one_class_twice_compares_nothing() -> None:
    cat = str(next(photo.path for photo in PHOTOS if photo.name == "cat"))
    picture = Picture("cat+cat", "mosaic", (cat, cat))
    clf = pg.load_classifier()
    target, others = _asked(clf, _show(picture, clf))
    assert (target, others) == (clf.top(pg.load_photo("cat"), 1)[0].index, [])
    options = (("contrasts", ("logit", "mean")), ("classes", 2))
    table = measure(Unit("efficientnet-lite0", "class", picture, (Label("gradient", "signed"),), options, ""))
    assert table.empty
    assert {name: str(kind) for name, kind in table.dtypes.items()} == TYPES


def test_the_parameters_check(tables: dict[str, pd.DataFrame]) -> None:
    clf, scene = pg.load_classifier("scenes"), make_scene(0)
    x = clf.batch(scene.image)
    layers = randomizable_layers(clf.net, x)
    table = tables["parameters"]
    assert sorted({*table.depth}) == evenly_spaced(len(layers), 2)
    assert {*table.seed} == {0, 1}
    for row in table[~table.method.isin(CONTROLS)].itertuples():
        nets = clf.net, randomized(clf.net, row.depth, row.seed, layers=layers)
        maps = [explained(clf, x, scene.digits[0], row, net) for net in nets]
        assert row.spearman == pytest.approx(compare(*maps).spearman, abs=1e-4)
        assert (row.layers, row.layer) == (len(layers), layers[row.depth - 1])


def test_the_localization_check(tables: dict[str, pd.DataFrame]) -> None:
    clf, scene = pg.load_classifier("scenes"), make_scene(0)
    x = clf.batch(scene.image)
    table = tables["localization"]
    assert {*table.target} == {*scene.digits}
    for row in table[~table.method.isin(CONTROLS)].itertuples():
        saliency = explained(clf, x, row.target, row)
        assert row.energy == pytest.approx(energy_in_box(saliency, scene.boxes[row.object]), abs=1e-4)
        assert row.hit == pytest.approx(pointing_game(saliency, scene.boxes[row.object]))


def test_the_data_check(tables: dict[str, pd.DataFrame]) -> None:
    nets = [pg.load_classifier("scenes", weights=weights).net for weights in ("pretrained", "permuted-labels")]
    scene, clf = make_scene(0), pg.load_classifier("scenes")
    x = clf.batch(scene.image)
    for row in tables["data"][~tables["data"].method.isin(CONTROLS)].itertuples():
        maps = [explained(clf, x, scene.digits[0], row, net) for net in nets]
        assert row.spearman == pytest.approx(compare(*maps).spearman, abs=1e-4)


def test_the_number_of_threads_is_put_back_and_changes_nothing(units: dict[str, Unit]) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        table = measure(units["class"])
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        pd.testing.assert_frame_equal(measure(units["class"]), table)
    finally:
        torch.set_num_threads(before)


# --- An example for the report ---


def test_an_example_shows_the_handlings_that_all_methods_have() -> None:
    chosen = Study(methods=("gradcam++", "fullgrad"), networks=("scenes",), scenes=1, checks=("class",))
    _, maps = example(plan(chosen).units[0])
    assert [*maps] == ["gradcam++", "fullgrad"]
    for titles in maps.values():  # two classes each; "absolute", fullgrad's own, is left out
        assert [title.partition(":")[0] for title in titles] == ["signed", "signed", "positive", "positive"]


def test_an_example_of_methods_without_a_common_handling_shows_each_method_s_own() -> None:
    chosen = Study(
        methods=("gradcam++", "fullgrad"), handlings=("published",), networks=("scenes",), scenes=1, checks=("class",)
    )
    _, maps = example(plan(chosen).units[0])
    shown = {method: [title.partition(":")[0] for title in titles] for method, titles in maps.items()}
    assert shown == {"gradcam++": ["positive", "positive"], "fullgrad": ["absolute", "absolute"]}


def test_what_no_randomization_reaches_is_said() -> None:
    assert stays_trained("efficientnet-lite0") == "196 tensors of BatchNormAct2d layers"  # 49 with two and two
    assert stays_trained("scenes") == ""
