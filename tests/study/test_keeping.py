"""Small promises of planning, measuring and running: keys, bars, workers, bounds, and the words for what is missing."""

from __future__ import annotations

import contextlib
import dataclasses
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import posgrad_edu as pg
from posgrad_edu.data import mosaic, read_image
from posgrad_edu.data.files import write_table
from posgrad_edu.methods import CONTROLS
from posgrad_edu.metrics.sensitivity import random_classes
from posgrad_edu.scenes.pictures import make_scene
from posgrad_edu.study import Study, measure, plan, results, run, running, summarize
from posgrad_edu.study.measuring import example
from posgrad_edu.study.planning import MOST, Label, Picture, Plan, Unit, file_name, pictures, printable
from posgrad_edu.study.results import write_figures, write_results
from posgrad_edu.study.running import Failure, Outcome
from posgrad_edu.study.schema import TYPES, combined, leading_contrast, typed, validated
from posgrad_edu.study.summary import read_summary

SCENE = Picture("scene-0", "scene", ("0",))
LABELS = (Label("gradcam", "signed"), Label("edges", "none"))
BOTH = (("contrasts", ("logit", "mean")),)


# --- Planning ---


def test_a_keys_parts_stay_as_they_are() -> None:
    """Another key for the same study measures anew what people have measured. If that is meant, raise ``VERSION``."""
    chosen = Study(("gradcam",), ("signed",), ("class", "parameters", "perturbation"), ("scenes",), scenes=1)
    units = {unit.check: unit for unit in plan(chosen).units}
    assert {check: unit.key for check, unit in units.items()} == KEYS
    assert {check: dict(unit.options) for check, unit in units.items()} == {
        "class": {"contrasts": ("logit", "mean"), "classes": 3},
        "parameters": {"contrasts": ("logit", "mean"), "mode": "cascading", "depths": 8, "seeds": (0, 1, 2)},
        "perturbation": {"contrasts": ("logit", "mean"), "baseline": "mean"},
    }
    data = plan(dataclasses.replace(chosen, checks=("data", "class"))).units  # hang on the twin, too
    assert {unit.check: unit.key for unit in data} == KEYS_BESIDE_DATA
    assert units["class"].file == Path("scenes", "class", f"scene-0-{KEYS['class']}.parquet")


KEYS_BESIDE_DATA = {"data": "f3c5f232cb789348", "class": "84cf8ea5beb490b2"}
KEYS = {"class": "1e56fa04d689f3ef", "parameters": "1779769db58584e6", "perturbation": "1e0340a424c81595"}


def test_weights_that_are_missing_are_fetched_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def load(name: str, **options: Any) -> pg.Classifier:
        asked.append(options)
        return pg.load_classifier(name, **options)

    monkeypatch.setattr("posgrad_edu.study.planning.load_classifier", load)
    chosen = Study(("gradient",), ("signed",), ("class",), ("scenes",), scenes=1)
    for options in ({}, {"download": False}, {"download": True}):
        plan(chosen, **options)
    assert asked == [{"download": False}, {"download": False}, {"download": True}]


def test_a_method_may_be_refused_by_several_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, **options: Any) -> pg.Classifier:
        kind = torch.nn.SiLU() if name != "served" else torch.nn.ReLU()
        body = torch.nn.Conv2d(3, 2, 3), kind, torch.nn.Flatten(), torch.nn.Linear(72, 3)
        return pg.Classifier(torch.nn.Sequential(*body).eval(), pg.Preprocessing(size=8, resize=8), name=name)

    monkeypatch.setattr("posgrad_edu.study.planning.load_classifier", load)
    networks = ("one", "two", "served")
    units, refused = plan(Study(("gradient", "guided-backprop"), ("signed",), ("class",), networks, limit=1))
    assert [*refused] == [("one", "guided-backprop"), ("two", "guided-backprop")]
    assert [unit.network for unit in units] == list(networks)
    assert [len(unit.labels) for unit in units] == [1 + len(CONTROLS)] * 2 + [2 + len(CONTROLS)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"handlings": ("positiv",)}, r"^There is no handling 'positiv'"),
        ({"contrasts": ("meen",)}, r"^There is no contrast 'meen'"),
        ({"mode": "cascade"}, r"^There is no mode of randomization 'cascade'"),
        ({"baseline": "blurr"}, r"^There is no baseline 'blurr'"),
        *(({field: ()}, f"^A study needs one of the {field}") for field in ("handlings", "checks", "contrasts")),
        ({"networks": ()}, "^A study needs one of the networks"),
        ({"scenes": 0}, "^scenes is 1 or more, not 0"),
        ({"classes": -1}, "^classes is 0 or more, not -1"),
        ({"limit": 0}, "^limit is 1 or more, not 0"),
        *(({field: most + 1}, f"^{field} is {most} at most, not {most + 1}") for field, most in MOST.items()),
    ],
)
def test_what_a_study_cannot_hold(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Study(**options)


def test_the_bounds_of_a_study_can_be_reached_and_names_come_once() -> None:
    Study(**MOST)
    least = Study(("lrp", "lrp"), ("signed",) * 2, ("data",) * 2, ("scenes",) * 2, None, 1, 1, ("mean",) * 2, 0)
    found = (least.methods, least.handlings, least.checks, least.networks, least.contrasts)
    assert found == (("lrp",), ("signed",), ("data",), ("scenes",), ("mean",))
    assert Study(depths=2, seeds=1, classes=0, limit=1).scenes == 16


def test_few_photos_are_spread_over_the_folder(tmp_path: Path) -> None:
    for n in range(7):
        Image.new("RGB", (8, 8), (n, n, n)).save(tmp_path / f"{n}.PNG")
    (tmp_path / "folder.png").mkdir()

    def names(limit: int | None) -> list[str]:
        return [picture.name for picture in pictures(Study(images=tmp_path, limit=limit), "net")]

    assert names(3) == ["0.PNG", "2.PNG", "4.PNG", "0.PNG+2.PNG"]
    assert names(7) == names(None) == names(9)
    assert names(None)[7:] == ["0.PNG+3.PNG", "1.PNG+4.PNG", "2.PNG+5.PNG"]
    assert names(1) == ["0.PNG"]
    (photo, *_) = pictures(Study(images=tmp_path), "net")
    assert (photo.kind, photo.parts) == ("photo", (str(tmp_path / "0.PNG"),))
    (both,) = [picture for picture in pictures(Study(images=tmp_path, limit=2), "net") if picture.kind == "mosaic"]
    assert both.parts == (str(tmp_path / "0.PNG"), str(tmp_path / "3.PNG"))


def test_names_for_files() -> None:
    assert file_name("timm/x y:z.+-") == "timm_x_y_z.+-"
    assert file_name("a" * 60 + "b" * 60) == "a" * 40 + "b" * 60
    assert printable("cat\udcff") == "cat\\udcff"


def test_a_photo_that_is_gone_has_a_unit_still(tmp_path: Path) -> None:
    try:
        (tmp_path / "link.png").symlink_to(tmp_path / "nowhere")
    except OSError:
        pytest.skip("this system makes no links (Windows without the right to)")
    chosen = Study(("gradient",), ("signed",), ("class",), ("efficientnet-lite0",), images=tmp_path)
    (unit,) = plan(chosen).units
    with pytest.raises(OSError, match=r"nowhere|link"):
        measure(unit)


def test_why_nothing_is_left_to_measure() -> None:
    with pytest.raises(ValueError, match=r"^There is nothing to measure: data fits none of these networks\.$"):
        plan(Study(("gradient",), checks=("data",), networks=("efficientnet-lite0",)))


# --- Measuring ---


def test_a_unit_covers_patches_for_the_digit_that_is_there_too() -> None:
    table = measure(Unit("scenes", "perturbation", SCENE, LABELS, (*BOTH, ("baseline", "mean")), ""))
    clf, scene = pg.load_classifier("scenes"), make_scene(0)
    x, asked = clf.batch(scene.image), {"target": scene.digits[0], "other": scene.digits[1]}
    assert {*table.comparison} == {"present"}
    for contrast, held in (("logit", None), ("mean", "mean")):
        rows = table[(table.contrast == contrast) & (table.method == "gradcam")]
        curves = pg.perturbation(clf.net, x, "gradcam", "signed", **asked, patch=4, steps=8, contrast=held)
        areas = pg.perturbation_areas(curves)
        for name in ("auc", "auc_other", "advantage", "target", "other"):
            assert rows[name].tolist() == pytest.approx(areas[name].tolist(), abs=1e-6)
        assert rows["mode"].tolist() == ["deletion", "insertion"]
    one = (("contrasts", ("logit",)), ("baseline", "blur"))
    blurred = measure(Unit("scenes", "perturbation", SCENE, LABELS[:1], one, "")).auc.astype(float)
    assert not np.allclose(blurred, table.auc[(table.contrast == "logit") & (table.method == "gradcam")].astype(float))


def test_random_classes_of_a_picture_are_its_own() -> None:
    """The draw follows the picture's name, so that it's the same in each study and another for another picture."""
    options = (*BOTH, ("classes", 3))
    digit = make_scene(0).digits[0]
    for name in ("scene-0", "scene-0 again"):
        table = measure(Unit("scenes", "class", SCENE._replace(name=name), LABELS, options, ""))
        some = table[(table.comparison == "random") & (table.method == "gradcam") & (table.contrast == "mean")]
        drawn = random_classes(torch.tensor([[digit]]), 10, 3, zlib.crc32(name.encode()))[0].tolist()
        assert some.other.tolist() == drawn
        assert {*table.photo} == {name}
    every = measure(Unit("scenes", "class", SCENE, LABELS, (*BOTH, ("classes", 99)), ""))
    assert len({*every[every.comparison == "random"].other}) == 9
    none = measure(Unit("scenes", "class", SCENE, LABELS, (*BOTH, ("classes", 0)), ""))
    assert "random" not in set(none.comparison)


def test_a_mosaic_is_asked_about_what_each_photo_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a small network of random weights; the photos' own classes are compared, nothing else."""
    torch.manual_seed(3)
    body = torch.nn.Conv2d(3, 8, 5, stride=2), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten()
    net = torch.nn.Sequential(*body, torch.nn.Linear(32, 50)).eval()
    clf = pg.Classifier(net, pg.Preprocessing(size=32, resize=32), name="small")
    monkeypatch.setattr("posgrad_edu.study.measuring.load_classifier", lambda *_, **__: clf)
    parts = []
    for n, name in enumerate(("a.png", "b.png")):
        pixels = np.random.default_rng(n).integers(0, 255 - 200 * n, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / name)
        parts.append(str(tmp_path / name))
    photos = [read_image(part) for part in parts]
    asked = [clf.top(photo, k=1)[0].index for photo in photos]
    assert asked[0] != asked[1]
    picture, labels = Picture("a+b", "mosaic", tuple(parts)), (Label("gradient", "signed"),)
    table = measure(Unit("a small one", "class", picture, labels, (*BOTH, ("classes", 2)), ""))
    assert {*zip(table.comparison, table.target, table.other, strict=True)} == {("present", *asked)}
    places = measure(Unit("a small one", "localization", picture, labels, BOTH, ""))
    together = mosaic(photos, size=32)
    expected = pg.localization(net, clf.batch(together.image), [together.boxes], [asked], "gradient")
    assert places[places.contrast == "logit"].energy.tolist() == pytest.approx(expected.energy.tolist(), abs=1e-6)


def test_an_example_is_scaled_by_all_but_its_largest_pixels() -> None:
    view, maps = example(Unit("scenes", "class", SCENE, LABELS, BOTH, ""))
    clf, scene = pg.load_classifier("scenes"), make_scene(0)
    x = clf.batch(scene.image)
    classes = [scene.digits[0], int(clf.net(x).argmin())]
    expected = pg.explain(clf.net, x, [classes], "gradcam", "signed")[0]
    limit = torch.quantile(expected.abs().flatten(), 0.99)
    assert not CONTROLS.keys() & maps.keys()
    assert list(maps["gradcam"]) == [f"signed: {clf.labels[c]}" for c in classes]
    for (_, found), saliency in zip(maps["gradcam"].items(), expected, strict=True):
        torch.testing.assert_close(found, saliency / limit, rtol=1e-2, atol=1e-3)
    assert view.size == clf.view(scene.image).size


# --- Running ---


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[Unit]:
    """Three units that take no time to measure."""
    units = [Unit("net", "class", Picture(name, "photo", (name,)), LABELS, (), name) for name in "abc"]
    rows = {"network": "net", "check": "class", "method": "gradcam", "handling": "signed", "degenerate": False}
    table = {name: typed(pd.DataFrame([rows | {"photo": name, "spearman": 0.5}])) for name in "abc"}
    monkeypatch.setattr(running, "measure", lambda unit: table[unit.key])
    return units


def test_a_bar_goes_on_where_the_study_stopped(
    quick: list[Unit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    @contextlib.contextmanager
    def noted(items: Any, what: str, total: int, **options: Any) -> Iterator[Any]:
        seen.append((items, total, options["initial"], options["smoothing"], options["disable"]))
        yield type("Bar", (), {"update": lambda self: seen.append(1)})()
        seen.append("closed")

    monkeypatch.setattr(running, "bar", noted)
    run(quick[:1], tmp_path, progress=False)
    assert seen == [(None, 1, 0, 0, True), 1, "closed"]
    seen.clear()
    assert run(quick, tmp_path).computed == 2
    assert seen == [(None, 3, 1, 0, False), 1, 1, "closed"]


def test_workers_have_one_thread_each_and_end_when_they_have_nothing_to_do(
    quick: list[Unit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import joblib

    seen: list[Any] = []

    class Here(joblib.Parallel):
        def __init__(self, **options: Any) -> None:
            seen.append(options)
            super().__init__(**(options | {"n_jobs": 1}))

    @contextlib.contextmanager
    def noted(*backend: str, **options: Any) -> Iterator[None]:
        seen.append((backend, options))
        yield

    monkeypatch.setattr(joblib, "Parallel", Here)
    monkeypatch.setattr(joblib, "parallel_config", noted)
    how = {"batch_size": 1, "return_as": "generator_unordered"}
    run(quick, tmp_path / "two", jobs=2, progress=False)
    assert seen == [(("loky",), {"inner_max_num_threads": 1, "idle_worker_timeout": 30}), {"n_jobs": 2, **how}]
    seen.clear()
    run(quick, tmp_path / "one", progress=False)
    assert seen == [{"n_jobs": 1, **how}]


def test_a_cluster_s_workers_are_used(quick: list[Unit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed
    import joblib

    seen: list[Any] = []

    class Client:
        def __init__(self, address: str, timeout: float) -> None:
            seen.append((address, timeout))

        def __enter__(self) -> Client:
            return self

        def __exit__(self, *error: object) -> None:
            seen.append("closed")

    @contextlib.contextmanager
    def noted(backend: str, client: Any) -> Iterator[None]:
        seen.append((backend, type(client)))
        yield

    monkeypatch.setattr(distributed, "Client", Client)
    monkeypatch.setattr(joblib, "parallel_config", noted)
    run(quick, tmp_path, scheduler="tcp://host:8786", progress=False)
    assert seen == [("tcp://host:8786", running.SCHEDULER_TIMEOUT), ("dask", Client), "closed"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(11, "Resource temporarily unavailable"),
            "^The processes that measure can't be started or reached: Res",
        ),
        (OSError("no handle"), "reached: no handle. 0 of 3 units"),
        (RuntimeError("two\n words"), "^two words 0 of 3 units are finished and kept in"),
    ],
)
def test_why_a_study_stopped(
    error: Exception, says: str, quick: list[Unit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(running, "_results", fails)
    with pytest.raises(running.StudyStopped, match=says):
        run(quick, tmp_path, progress=False)


def test_a_unit_without_words_fails_by_its_kind(
    quick: list[Unit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(unit: Unit) -> Any:
        raise MemoryError if unit.key == "a" else RuntimeError("b\udcff")

    monkeypatch.setattr(running, "measure", fails)
    outcome = run(quick[:2], tmp_path, progress=False)
    assert outcome.failures == [("net", "class", "a", "MemoryError"), ("net", "class", "b", "b\\udcff")]
    assert outcome.rows.empty


def test_a_disk_that_knows_no_locks_is_written_to(
    quick: list[Unit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import filelock

    def unknown(self: Any, *args: Any, **options: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(filelock.FileLock, "acquire", unknown)
    assert run(quick, tmp_path / "new" / "folder", progress=False).computed == 3


# --- Results ---


def rows_of(check: str, **more: Any) -> pd.DataFrame:
    found = []
    for photo in ("a", "scene-0"):
        for handling, value in (("signed", 0.1), ("positive", 0.9)):
            row = {"network": "scenes", "photo": photo, "method": "gradcam", "handling": handling, "check": check}
            row |= {"contrast": "mean", "target": 1, "spearman": value, "degenerate": False}
            found.append(row | more)
    return typed(pd.DataFrame(found))


def test_what_stays_trained_is_said_by_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"scenes": "two norms", "other": ""}
    monkeypatch.setattr(results, "stays_trained", said.__getitem__)
    monkeypatch.setattr(results, "write_figures", lambda *_: {})
    cascade = [
        rows_of("parameters", mode="cascading", layers=2, depth=depth, seed=0, layer=str(depth)) for depth in (1, 2)
    ]
    rows = pd.concat([one.assign(network=network) for one in cascade for network in said], ignore_index=True)
    write_results(Outcome(rows, [Failure("n", "class", "p", "why")], 1), Plan([], {("n", "m"): "no"}), tmp_path)
    assert (
        (tmp_path / "report.md")
        .read_text(encoding="utf-8")
        .endswith(
            "\n## What keeps its trained values where all layers are random\n\n* scenes: two norms\n"
            "\n## Figures\n\n\n"
            "\n## What couldn't be measured\n\n* p (n, class): why\n* m on n: no\n"
        )
    )
    monkeypatch.setattr(results, "stays_trained", lambda name: "")
    write_results(Outcome(rows, [], 1), Plan([], {}), tmp_path)
    assert (tmp_path / "report.md").read_text(encoding="utf-8").endswith("|\n\n## Figures\n\n\n")


def test_figures_of_what_was_covered_and_an_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    covered = {"comparison": "least", "auc": 0.1, "auc_other": 0.2, "advantage": 0.1}
    rows = pd.concat([rows_of("perturbation", mode=mode, **covered) for mode in ("deletion", "insertion")])
    units = [Unit("other", "class", SCENE, LABELS, BOTH, "")]
    units += [Unit("scenes", "class", SCENE._replace(name=name), LABELS, BOTH, "") for name in ("torn", "a", "scene-0")]
    tried: list[str] = []

    def shown(unit: Unit) -> Any:
        tried.append(unit.picture.name)
        if unit.picture.name == "a":
            raise OSError
        return example(unit)

    monkeypatch.setattr(results, "example", shown)
    words = write_figures(rows, summarize(rows), Plan(units, {}), tmp_path)
    assert tried == ["a", "scene-0"]  # the torn one has no rows, and the other network no part in it
    assert list(words) == [
        "perturbation-deletion-scenes.png",
        "perturbation-insertion-scenes.png",
        "maps-scenes.jpg",
    ]
    assert {Image.open(tmp_path / name).format for name in words} == {"PNG", "JPEG"}
    assert words["maps-scenes.jpg"].startswith("scene-0, scenes. gradcam, signed: ")
    assert words["perturbation-deletion-scenes.png"].startswith("Area by which the asked class's map is better")


# --- Files of a summary, and rows that can't be taken ---


def small_summary() -> pd.DataFrame:
    rows = pd.concat([rows_of("class", comparison="least", other=2), rows_of("data")], ignore_index=True)
    return summarize(rows.assign(network="NA"))  # a name that pandas takes for a missing value


def test_a_small_summary_comes_back_from_its_file(tmp_path: Path) -> None:
    summary, path = small_summary(), tmp_path / "summary.csv"
    write_table(summary, path)
    pd.testing.assert_frame_equal(read_summary(path), summary, check_exact=True)
    assert read_summary(str(path)).photos.tolist() == [2] * 4
    areas = [name for name in summary if name.startswith(("auc", "advantage"))]
    assert len(areas) == 9
    summary.drop(columns=areas).to_csv(path, index=False)  # as it was before there was perturbation
    old = read_summary(path)
    assert old[areas].isna().all(axis=None)
    assert old.spearman.tolist() == summary.spearman.tolist()
    summary.drop(columns=["mode", "depth", "ssim_low"]).to_csv(path, index=False)
    with pytest.raises(ValueError, match=r"^summary\.csv isn't a summary: it has no mode, depth, ssim_low\.$"):
        read_summary(path)


def test_rows_without_a_score_are_counted_and_the_first_is_named() -> None:
    rows = rows_of("class", comparison="least", other=2)
    rows.loc[[1, 3], "spearman"] = float("nan")
    says = r"^2 row\(s\) of the check 'class' have no spearman and aren't flagged as degenerate; the first is gradcam, "
    with pytest.raises(ValueError, match=says + r"positive, photo a\. Measure them again\.$"):
        summarize(rows)
    rows["degenerate"] = rows.spearman.isna()
    assert summarize(rows).degenerate.tolist() == [2, 0]  # positive comes before signed
    places = rows_of("localization", object=0, energy=0.5)
    with pytest.raises(ValueError, match=r"^4 row\(s\) of the check 'localization' have no energy or no hit and"):
        summarize(places)
    covered = rows_of("perturbation", mode="deletion", auc=0.5)
    with pytest.raises(ValueError, match=r"^4 row\(s\) of the check 'perturbation' have no advantage and"):
        summarize(covered)


def test_rows_are_taken_with_what_they_lack_filled_in() -> None:
    rows = rows_of("class", comparison="least", other=2).drop(columns=["contrast", "ssim", "object", "layer"])
    table = validated(rows)
    assert {*table.contrast} == {"logit"}
    assert {*table.layer} == {""}
    assert {*table.object} == {*table.depth} == {-1}
    assert table.ssim.isna().all()
    assert table.degenerate.dtype == bool
    assert table.spearman.tolist() == [0.9, 0.1] * 2
    assert list(zip(table.photo, table.handling, strict=True)) == [
        *(("a", "positive"), ("a", "signed")),
        *(("scene-0", "positive"), ("scene-0", "signed")),
    ]
    with pytest.raises(ValueError, match=r"^These rows have no network, degenerate\.$"):
        validated(rows.drop(columns=["network", "degenerate"]))
    with pytest.raises(ValueError, match=r"^Some rows have no method, handling\. Each row needs them; controls'"):
        validated(rows.assign(method=[None, "a", "b", "c"], handling=["a", None, "b", "c"]))
    with pytest.raises(ValueError, match=r"^There is no check 'clas'"):
        validated(rows.assign(check="clas"))


def test_the_leading_contrast_is_the_mean_where_it_was_measured() -> None:
    rows = rows_of("data")
    assert leading_contrast(rows) == "mean"
    assert leading_contrast(rows.assign(contrast="logit")) == "logit"
    assert leading_contrast(rows.assign(contrast=["logit", "mean", "logit", "logit"])) == "mean"


def test_tables_of_no_rows_have_all_columns() -> None:
    for table in (typed(pd.DataFrame()), combined([]), combined([pd.DataFrame(), typed(pd.DataFrame())])):
        assert {name: str(kind) for name, kind in table.dtypes.items()} == TYPES
        assert table.empty
    both = combined([rows_of("data"), typed(pd.DataFrame()), rows_of("data")])
    assert list(both.index) == list(range(8))
