"""OwnPhoto: a photo by upload or path reaches the Explorer as it is, and what can't be read is said in words."""

from __future__ import annotations

import datetime
import io
import re
from pathlib import Path

import pytest
import torch
from ipywidgets.widgets.widget import _instances
from PIL import Image
from showing import is_pale

import posgrad_edu as pg
from posgrad_edu import widgets
from posgrad_edu.widgets import OwnPhoto

ORIENTATION = 274
PLACE = 0x8825  # where EXIF keeps what a GPS found


@pytest.fixture(scope="module")
def clf() -> pg.Classifier:
    return pg.load_classifier("efficientnet-lite0")


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rocket that was saved lying down, with the note to turn it."""
    path = tmp_path_factory.mktemp("photos") / "my rocket.png"
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    pg.load_photo("rocket").rotate(90, expand=True).save(path, exif=exif)
    return path


@pytest.fixture
def own(clf: pg.Classifier) -> OwnPhoto:
    return OwnPhoto(clf)


def uploaded(name: str, data: bytes) -> tuple[dict, ...]:
    """What the browser sends."""
    when = datetime.datetime.now(datetime.timezone.utc)
    return ({"name": name, "type": "", "size": len(data), "content": memoryview(data), "last_modified": when},)


def png(photo: Image.Image) -> bytes:
    file = io.BytesIO()
    photo.save(file, "PNG")
    return file.getvalue()


def test_it_asks_first(own: OwnPhoto) -> None:
    assert own.photo is own.explorer is None
    assert own.maps.numel() == 0
    assert "Upload a photo" in own.summary
    assert "stays on this computer" in repr(own)
    with pytest.raises(ValueError, match="no photo yet"):
        own.figure()


def test_a_path_is_read_upright_and_explored(own: OwnPhoto, clf: pg.Classifier, lying: Path) -> None:
    own.path.value = str(lying)
    rocket = pg.load_photo("rocket")
    assert own.photo is not None
    assert own.explorer is not None
    assert own.photo.tobytes() == rocket.tobytes()
    logits = clf.logits(rocket)
    classes = [int(logits.argmax()), int(logits.argmin())]
    assert torch.equal(own.maps, pg.explain(clf.net, clf.batch(rocket), [classes], "gradcam")[0])
    best = clf.top(rocket, k=1)[0]
    assert f"my rocket.png: 640 × 427 pixels, shown to the network as 224 × 224. The network says: {best.label}" in (
        own.summary
    )
    assert own.explorer in own.children


def test_an_upload_is_read_and_not_kept(own: OwnPhoto, clf: pg.Classifier) -> None:
    own.path.value = "nowhere.jpg"
    own.upload.value = uploaded("cat.png", png(pg.load_photo("cat")))
    assert own.photo is not None
    assert own.photo.tobytes() == pg.load_photo("cat").tobytes()
    assert own.summary.startswith("cat.png: 451 × 300")
    assert own.upload.value == ()
    assert own.path.value == ""
    own.upload.value = uploaded("cat.png", png(pg.load_photo("coffee")))  # the same name, another photo
    expected = pg.class_sensitivity(clf.net, clf.batch(pg.load_photo("coffee")), "gradcam").spearman[0]
    assert own.explorer is not None
    assert own.explorer.similarity is not None
    assert own.explorer.similarity.spearman == pytest.approx(expected)


def test_what_the_camera_noted_is_not_kept(own: OwnPhoto, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[PLACE] = {1: "N", 2: (52.0, 30.0, 0.0)}
    pg.load_photo("cat").save(tmp_path / "cat.jpg", exif=exif)
    assert Image.open(tmp_path / "cat.jpg").getexif().get_ifd(PLACE)
    own.path.value = str(tmp_path / "cat.jpg")
    assert own.photo is not None
    assert not own.photo.getexif()


@pytest.mark.slow
def test_the_next_photo_finds_the_controls_as_they_are(clf: pg.Classifier, lying: Path) -> None:
    own = OwnPhoto(clf, str(lying), method="guided-backprop", handling="signed", class_b="espresso")
    assert own.explorer is not None
    assert own.explorer.method.value == "guided-backprop"
    own.explorer.handling.value = "positive"
    own.show("..")  # an error in between doesn't make it forget
    own.show(png(pg.load_photo("cat")), "cat.png")
    assert own.explorer is not None
    settings = own.explorer.method.value, own.explorer.handling.value, own.explorer.labels[1]
    assert settings == ("guided-backprop", "positive", "espresso")
    assert own.explorer.photo.value == "cat.png"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("nowhere.jpg", "no file 'nowhere.jpg'"),
        (b"", "empty"),
        (b"hello", "isn't a picture"),
        (png(Image.new("RGB", (64, 64), "red"))[:90], "damaged or cut short"),
        (b"\0\0\0\x18ftypheic" + bytes(64), "HEIC"),
    ],
)
def test_what_cannot_be_read_is_said_and_leaves_no_maps(own: OwnPhoto, lying: Path, source: object, says: str) -> None:
    own.path.value = str(lying)
    assert own.maps.numel()
    own.show(source, "x")  # type: ignore[arg-type]
    assert says in own.summary
    assert 'role="status"' in own.words.value
    assert own.maps.numel() == 0
    assert own.photo is own.explorer is None
    assert is_pale(own)
    assert not any(isinstance(shown, widgets.Explorer) for shown in own.children)


def test_words_of_a_file_are_no_html(own: OwnPhoto, clf: pg.Classifier) -> None:
    own.show(png(pg.load_photo("cat")), "<b>cat</b>.png")
    assert "<b>" not in own.words.value + own.pictures.value
    assert "&lt;b&gt;cat" in own.words.value


def test_quotes_around_a_path_do_no_harm(own: OwnPhoto, lying: Path) -> None:
    own.path.value = f' "{lying}" '
    assert own.photo is not None


def test_pictures_have_words_and_controls_have_names(own: OwnPhoto, lying: Path) -> None:
    own.path.value = str(lying)
    assert re.findall(r'alt="([^"]+)"', own.pictures.value) == [
        "Your photo: my rocket.png",
        "What the network sees of it",
    ]
    assert all(control.description for control in own.controls.values())
    assert own.explorer is not None
    assert own.figure().alt == own.explorer.figure().alt


def test_a_network_of_ones_own_and_mistakes(lying: Path) -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    ).eval()
    small = pg.Classifier(net, pg.Preprocessing(size=32, resize=32), ["yes", "no"])
    own = OwnPhoto(small, str(lying))
    assert own.maps.shape == (2, 32, 32)
    wrong = pg.Classifier(net, pg.Preprocessing(size=32, resize=32), ["yes", "no"])
    wrong.net = torch.nn.Sequential(net, torch.nn.Linear(2, 3)).eval()  # labels that don't fit are refused before this
    assert "There are 2 labels, but 3 logits" in OwnPhoto(wrong, str(lying)).summary
    with pytest.raises(ValueError, match="no setting 'photo'"):
        OwnPhoto(small, photo="cat")


def test_an_error_of_the_network_is_said_in_words(
    clf: pg.Classifier, lying: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = OwnPhoto(clf)

    def fail(*asked: object, **options: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory")

    monkeypatch.setattr(own, "_introduce", fail)
    own.path.value = str(lying)
    assert own.summary == "DefaultCPUAllocator: not enough memory"
    assert own.photo is own.explorer is None


@pytest.mark.slow
def test_many_photos_leave_as_many_widgets_as_one(clf: pg.Classifier) -> None:
    opened = set(_instances)
    own = OwnPhoto(clf)
    explorers = []
    for n, name in enumerate(["cat", "coffee", "rocket", "china", "cat"]):
        own.show(png(pg.load_photo(name)), f"{n}.png")
        assert own.explorer is not None
        own.explorer.handling.value = "positive"
        explorers.append(own.explorer)
        if n == 0:
            first = len(_instances)
    assert len(_instances) == first
    assert own.explorer.handling.value == "positive"
    for old in explorers[:-1]:  # a notebook may hold them on: they hold no photo, no maps and no pictures
        assert old.photos == {}
        assert old.maps.numel() == 0
        assert old.view.size == (1, 1)
        assert all(kept.cache_info().currsize == 0 for kept in vars(old).values() if hasattr(kept, "cache_info"))
        assert "closed" in repr(old)
    own.show("nowhere.jpg")
    assert len(_instances) < first
    own.show(png(pg.load_photo("cat")), "cat.png")
    own.close()
    assert set(_instances) == opened


def test_a_photo_that_is_refused_leaves_no_widget(clf: pg.Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnPhoto(clf)
    opened = set(_instances)

    def interrupt(*asked: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("posgrad_edu.widgets.Explorer._maps", interrupt)
        with pytest.raises(KeyboardInterrupt):
            own.show(png(pg.load_photo("cat")), "cat.png")
    assert own.summary.startswith("Interrupted")
    assert own.photo is own.explorer is None
    assert own.pictures.value == ""
    assert set(_instances) == opened
    own.show(png(pg.load_photo("cat")), "cat.png")
    assert own.summary.startswith("cat.png")


def test_any_exception_is_said_in_words(clf: pg.Classifier, lying: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnPhoto(clf, str(lying))

    def fail(*asked: object) -> None:
        raise TypeError("no such thing")

    with monkeypatch.context() as patch:
        patch.setattr(own, "_introduce", fail)
        own.upload.value = uploaded("cat.png", png(pg.load_photo("cat")))
        assert "TypeError: no such thing" in own.summary
        assert "in fail" in own.trace
        assert own.photo is own.explorer is None
        assert is_pale(own)
    own.path.value = ""
    own.path.value = str(lying)
    assert own.photo is not None
    assert own.trace == ""


def test_it_says_beside_the_button_what_fits(clf: pg.Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    own = OwnPhoto(clf)
    assert "up to 10 MB" in own.fits.value
    assert "give its path" in own.fits.value
    assert own.fits in own._choice.children
    own.show(png(pg.load_photo("cat")), "cat.png")
    assert own._choice in own.children
    monkeypatch.setenv("POSGRAD_EDU_UPLOAD_MB", "100")  # posgrad-edu lab
    assert "up to 100 MB" in OwnPhoto(clf).fits.value
    for wrong in ("", "0", "lots", "-5", "²"):
        monkeypatch.setenv("POSGRAD_EDU_UPLOAD_MB", wrong)
        assert "up to 10 MB" in OwnPhoto(clf).fits.value


def test_an_upload_that_fails_is_said_and_leaves_no_old_photo(own: OwnPhoto, lying: Path) -> None:
    own.path.value = str(lying)
    (file,) = uploaded("cat.png", png(pg.load_photo("cat")))
    own.upload.value = ({**file, "size": file["size"] + 1000},)
    assert "cat.png arrived incomplete" in own.summary
    assert own.photo is own.explorer is None
    own.path.value = str(lying)
    assert own.photo is not None
    own.upload.error = "NotReadableError"
    assert "The browser couldn't read this file (NotReadableError)" in own.summary
    assert own.photo is own.explorer is None


def test_the_words_follow_a_network_that_changes(lying: Path) -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(4, 2),
    ).eval()
    own = OwnPhoto(pg.Classifier(net, pg.Preprocessing(size=32, resize=32), ["yes", "no"]), str(lying))
    before = own.summary
    net[4].bias.data.copy_(torch.tensor([50.0, -50.0]))
    assert own.explorer is not None
    own.explorer.handling.value = "positive"
    assert (
        "The network says: yes 100\N{NO-BREAK SPACE}%, no <\N{NO-BREAK SPACE}0.1\N{NO-BREAK SPACE}%"
        in own.summary
        != before
    )
    net.train()
    own.explorer.handling.value = "signed"
    assert "eval" in own.summary
    assert is_pale(own)
    net.eval()
    own.explorer.handling.value = "positive"
    assert "The network says: yes 100\N{NO-BREAK SPACE}%, no <\N{NO-BREAK SPACE}0.1\N{NO-BREAK SPACE}%" in own.summary
    assert own.pictures.value


def test_a_name_that_is_not_utf8_can_be_said(own: OwnPhoto) -> None:
    own.show(b"no picture", "caf\udce9.png")
    own.show("caf\udce9.png")
    assert own.words.value.encode()
    own.show(png(pg.load_photo("cat")), "caf\udce9.png")
    assert own.explorer is not None
    assert own.explorer.photo.value == "caf?.png"
    assert (own.words.value + own.pictures.value).encode()
