"""What the widgets have in common: controls with pictures and a sentence below them, which follow the controls.

``Panel`` knows when to compute, to say and to draw, and a widget says what, in the methods at the end of that class.
What any of them raises is said in words, in place of the picture (``answer.py``).

``MapPanel`` shows maps of a photo beside each other: two, for two classes or for two networks. Its widgets say which
maps, what they are called, and what the note below them says. Before each answer it asks whether the network has
changed since the last one; if so, it clears all that it kept, and ``_settle`` finds anew what follows from the network:
classes, layers, places in the ranking.

What a map panel keeps is bounded: the maps of the latest 256 answers, words and pictures of 128 states (on
EfficientNet-Lite0 0.4 and 0.3 MB each, so at most 100 and 40 MB), and for all panels together what the last two forward
passes left (80 MB each at most), which another handling reads again, and a copy of the network's weights (19 MB).
``close`` lets go of it.
"""

from __future__ import annotations

import functools
import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import ipywidgets as widgets
import torch
from PIL import Image
from torch import Tensor, nn

from posgrad_edu import viz
from posgrad_edu.data.photos import load_photo
from posgrad_edu.methods import ATTENTION_METHODS, COARSE, METHODS, Records
from posgrad_edu.methods.cam import CAM
from posgrad_edu.metrics.randomization import randomizable_layers, with_random
from posgrad_edu.metrics.similarity import Similarity, compare, is_degenerate, spearman
from posgrad_edu.models.classifier import Classifier, resolve_class
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.widgets.answer import Answer
from posgrad_edu.widgets.controls import in_rows, set_options
from posgrad_edu.widgets.fingerprint import Fingerprint, fingerprint
from posgrad_edu.widgets.lessons import about
from posgrad_edu.widgets.sentences import OWN_UNIT, full_colour
from posgrad_edu.widgets.theme import AGAINST, FOR, Picture, colour_bar, gallery

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT_PICTURES = 128  # with their words, of the latest states; the pictures of one state take up to half a megabyte
# What the last forward passes left: one store for all panels, since one is toggled at a time. Two, since some panels
# show two networks, or classes that change one by one.
RECORDS = Records(most=2)
FULL_COLOUR = 0.995  # maps in input space have a few extreme pixels: this share isn't saturated
Style = Literal["overlay", "heatmap"]


class Panel(Answer):
    """Controls, pictures and a sentence. Each control is an ipywidget with a plain ``value``.

    ``controls`` holds them by name; ``summary`` is the sentence, or the words for what can't be computed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.controls: dict[str, Any] = {}
        self._busy = False
        self._drawn = functools.lru_cache(maxsize=KEPT_PICTURES)(self._say_and_draw)

    def __repr__(self) -> str:
        since = " The network has changed since: refresh() asks it anew." if self._is_stale() else ""
        try:
            setting = f"{self.setting}. " if self.setting else ""
        except Exception:  # words for what the controls say may be what is missing
            setting = ""
        return f"{type(self).__name__}: {setting}{self.summary}{since}"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        """Show the panel in a notebook, as the network is now."""
        if self._is_stale():
            self.refresh()
        return super()._repr_mimebundle_(**options)

    def _begin(self, names: Sequence[str], start: Mapping[str, Any], *below: widgets.Widget) -> None:
        """Give the controls their start values, show everything, and follow the controls from now on.

        names: the attributes that hold the controls. below: what else stands between them and the pictures.
        Raises ``ValueError`` for a start value of a control that doesn't exist.
        """
        self.controls = {name: getattr(self, name) for name in names}
        for name, value in start.items():
            if name not in self.controls:
                raise ValueError(f"{type(self).__name__} has no control {name!r}. There are: {', '.join(names)}.")
            self.controls[name].value = value
        for control in self.controls.values():
            control.observe(self._changed, "value")
        self._arrange(in_rows(self.controls.values()), *below, self.pictures, self.words)
        self._clear()
        self._open = True
        try:
            self.refresh()
        except BaseException:  # an interrupt: nobody gets this panel, so nobody could close it
            self.close()
            raise

    def _changed(self, change: dict) -> None:
        if not self._busy:  # else it's the panel that sets its controls
            self.refresh()

    def refresh(self) -> None:
        """Compute what the controls ask for, and show it; what can't be computed is said in words."""
        if not self._open:
            return
        try:
            self._busy = True
            with self._answering():
                self._follow_network()
                self._measure()
                words, pictures = self._drawn(*(control.value for control in self.controls.values()))
                self._say(words)
                self._show(pictures)
        finally:
            self._busy = False

    def _say_and_draw(self, *state: Any) -> tuple[str, str]:
        """Return words and pictures for what the controls say. It's called through a cache, as ``_drawn``."""
        words = " ".join(filter(None, (self._remark(), self._sentence())))
        self._say(words)  # now, since pictures take a while, and some have them in their alt text
        return words, self._html()

    def _offer(self, name: str, options: Sequence[Any], otherwise: Any) -> None:
        """Give a control its options anew, if it's there and they are others; it keeps its value if that is left."""
        if name in self.controls:
            set_options(self.controls[name], options, otherwise)

    def _clear_caches(self) -> None:
        for kept in vars(self).values():
            if hasattr(kept, "cache_clear"):
                kept.cache_clear()

    def close(self) -> None:
        """Close the panel with all its controls, and let go of what it kept."""
        self._clear_caches()
        super().close()

    def figure(self) -> Figure:
        """Return what is shown as a figure, for readers without a running kernel; ``figure.alt`` says it in words.

        Raises ``ValueError`` where there is nothing to show.
        """
        if self._is_stale():
            self.refresh()
        if self._failed:
            raise ValueError(f"There is nothing to draw. {self.summary}")
        return self._figure()

    # --- What each widget has of its own ---

    @property
    def setting(self) -> str:
        """What the controls say, in words."""
        return ""

    def _is_stale(self) -> bool:
        """Tell whether what is shown no longer holds, though no control was moved."""
        return False

    def _follow_network(self) -> None:
        """Drop what no longer holds."""

    def _measure(self) -> None:
        """Compute the results; an exception says why they can't be computed."""

    def _remark(self) -> str:
        """Say what was taken for something else than the controls say."""
        return ""

    def _sentence(self) -> str:
        """Say the results in words."""
        return ""

    def _html(self) -> str:
        """Draw the results."""
        return ""

    def _figure(self) -> Figure:
        """Draw the results as a figure."""
        raise NotImplementedError


class MapPanel(Panel):
    """A panel about a network and a photo, which shows two maps of it beside each other, ``maps`` (2, H, W).

    clf: a ``Classifier``, the default network if ``None``. photo: a picture, or the name of a sample photo.
    known: the fingerprint of the classifier that the last answer is of, ``None`` where it couldn't answer.
    """

    _kept = 256  # the latest answers
    _style: Style = "overlay"  # how maps are drawn: coarse ones over the photo, those as fine as the photo alone
    _ends = (FOR, AGAINST)  # what red and blue stand for
    _unit = ""  # of the colours' scale
    _scale_of = "in both maps of this setting"  # where the scale of the colours holds
    photo_name = "photo"
    _alt_text = "{what}, for {title}"

    _x = torch.empty(0)  # before a photo was read

    def __init__(self, clf: Classifier | None, photo: Image.Image | str) -> None:
        super().__init__()
        self.clf = load_classifier() if clf is None else clf
        self._shown_photo = load_photo(photo) if isinstance(photo, str) else photo
        self.view, self._x, self._logits = self._read(self._shown_photo)
        self.known: Fingerprint | None = fingerprint(self.clf)
        self._compute = functools.lru_cache(maxsize=self._kept)(self._explain)
        # What is asked several times of the maps now shown. Of earlier ones ``_drawn`` has kept the words.
        self._compare = functools.lru_cache(maxsize=1)(lambda maps: compare(*maps))
        self._rank = functools.lru_cache(maxsize=2)(rank_correlation)  # of values and of magnitudes
        self._scale = functools.lru_cache(maxsize=1)(lambda maps: viz.symmetric_limit(maps, FULL_COLOUR))

    def _read(self, photo: Image.Image) -> tuple[Image.Image, Tensor, Tensor]:
        """Return the part of the photo that the network sees, the same as a batch of one, and its logits."""
        return self.clf.view(photo), self.clf.batch(photo), self.clf.logits(photo)

    # --- A network that changes ---

    def _is_stale(self) -> bool:
        return self._open and not fingerprint(self.clf).same_as(self.known)

    def _follow_network(self) -> None:
        now = fingerprint(self.clf)
        if now.same_as(self.known):
            return
        self._clear_caches()
        self.known = None  # what raises below is tried again the next time
        self.view, self._x, self._logits = self._read(self._shown_photo)
        self._settle()
        self.known = now

    def _settle(self) -> None:
        """Find what follows from the network's answer or its structure; called at the start, and when it changed."""

    def _clear_caches(self) -> None:
        super()._clear_caches()
        RECORDS.clear(self._x)  # its own alone: a closed panel may be cleared away while another one is moved

    def close(self) -> None:
        super().close()
        self.known = None
        self._shown_photo = self.view = Image.new("RGB", (1, 1))
        self._x = self._logits = torch.empty(0)

    # --- From the controls to maps ---

    def _clear(self) -> None:
        self._kept_maps = torch.empty(0)

    def _measure(self) -> None:
        if "method" in self.controls:
            self._style = style_of(self.controls["method"].value)
        self._say_computing()
        self._kept_maps = self._maps()
        if self.known is not None:
            self.known = self.known.with_layer(self.clf)

    @property
    def maps(self) -> Tensor:
        """The two maps (2, H, W), empty where there are none: a copy, which may be changed."""
        return self._kept_maps.clone()

    def _maps(self) -> Tensor:
        """Return the two maps (2, H, W) that the controls ask for."""
        raise NotImplementedError

    def _explain(self, *asked: Any) -> Any:
        """Compute maps. It's called through a cache, as ``_compute``."""
        raise NotImplementedError

    @property
    def similarity(self) -> Similarity | None:
        """How alike the two maps are, by all measures; ``None`` where there are no maps."""
        return self._compare(self._kept_maps) if self._kept_maps.numel() else None

    @property
    def spearman(self) -> float:
        """The rank correlation of the two maps; nan where one is constant, or there are no maps."""
        return self._rank(self._kept_maps) if self._kept_maps.numel() else math.nan

    @property
    def spearman_abs(self) -> float:
        """The rank correlation of the two maps' magnitudes; nan as for ``spearman``."""
        if not (self._kept_maps < 0).any():  # the same, without ranking again
            return self.spearman
        return self._rank(self._kept_maps, magnitudes=True)

    # --- What is shown ---

    @property
    def limit(self) -> float:
        """The magnitude of full colour, one for both maps."""
        return self._scale(self._kept_maps)

    @property
    def _scaled(self) -> Tensor:
        """The two maps as they are drawn."""
        return self.maps

    @property
    def _heading(self) -> str:
        """What stands above the figure."""
        return self.setting

    @property
    def _what(self) -> str:
        """What the maps are, for their alt text."""
        return self._heading

    def _titles(self) -> list[str]:
        """Return a title for each map."""
        raise NotImplementedError

    def _captions(self) -> list[str]:
        """Return what stands below each map."""
        return self._titles()

    def _note(self) -> str:
        """Return how strong the colours are, which stands below the maps."""
        return full_colour(self.limit, self._scale_of, self.maps)

    def _method(self) -> str | None:
        """Return the name of the method, where one is chosen."""
        return self.controls["method"].value if "method" in self.controls else None

    def _panels(self) -> list[Picture]:
        """Return the photo and both maps."""
        panels: list[Picture] = [(self.view, f"{self.photo_name}, as the network sees it", self.photo_name)]
        limit = self.limit
        for title, caption, values in zip(self._titles(), self._captions(), self._scaled, strict=True):
            alt = viz.alt_text(self._alt_text.format(what=self._what, title=title), values, limit)
            panels.append((self._picture(values, limit), alt, caption))
        return panels

    def _picture(self, values: Tensor, limit: float) -> Image.Image:
        return viz.overlay(self.view, values, limit) if self._style == "overlay" else viz.heatmap(values, limit)

    def _html(self) -> str:
        bar = colour_bar(self.limit, *self._ends, self._unit)
        return gallery(self._panels(), about(self._method()), html.escape(self._note()), bar=bar)

    def _figure(self) -> Figure:
        panels = dict(zip(self._titles(), self._scaled, strict=True))
        return viz.show_grid(self.view, panels, limit=self.limit, style=self._style, title=self._heading)


class WeightsPanel(MapPanel):
    """Maps of one class by the trained network and by a copy with random layers, each map in its own unit.

    Random weights change the scale of all that flows back, in some networks by a factor of a million. What is compared
    here is where a map is strong; the caption says how large its unit is.

    target: the class that is explained all along, a word, an index or a rank. seed: which random weights.
    """

    _alt_text = "{what}, {title}"
    _unit = " unit"

    def __init__(self, clf: Classifier | None, photo: Image.Image | str, target: str | int, seed: int) -> None:
        super().__init__(clf, photo)
        self.seed, self._target_word = seed, str(target)
        self._network = functools.lru_cache(maxsize=2)(self._with_random)  # copies of a network can be large
        self._settle()

    def _settle(self) -> None:
        self.target = resolve_class(self.clf, self._target_word, self._logits)
        self.layers = randomizable_layers(self.clf.net, self._x)

    def _with_random(self, layers: tuple[str, ...]) -> nn.Module:
        return with_random(self.clf.net, layers, self.seed) if layers else self.clf.net

    def _pair(self, layers: tuple[str, ...], *asked: Any) -> Tensor:
        """Return the trained network's map, and that of the one where these layers are random."""
        return torch.stack([self._compute(names, *asked) for names in ((), layers)])

    @property
    def units(self) -> list[float]:
        """The magnitude of full colour of each map."""
        return [viz.symmetric_limit([values], FULL_COLOUR) for values in self.maps]

    @property
    def limit(self) -> float:
        """The magnitude of full colour, in each map's own unit."""
        return 1.0

    @property
    def _scaled(self) -> Tensor:
        return torch.stack([values / unit for values, unit in zip(self.maps, self.units, strict=True)])

    def _captions(self) -> list[str]:
        units = (f"(full colour at ±{viz.two_digits(unit)})" for unit in self.units)
        return [f"{title} {unit}" for title, unit in zip(self._titles(), units, strict=True)]

    def _note(self) -> str:
        return OWN_UNIT


# --- Maps ---


def is_cam(method: str) -> bool:
    """Tell whether a method looks at one layer, so that its maps are coarse."""
    return method in METHODS and issubclass(METHODS[method], CAM)


def style_of(method: str) -> Style:
    """Return how a method's maps are drawn."""
    kind = (METHODS | ATTENTION_METHODS).get(method)
    return "overlay" if kind is not None and issubclass(kind, COARSE) else "heatmap"


def rank_correlation(maps: Tensor, magnitudes: bool = False) -> float:
    """Return Spearman's correlation of two maps (2, H, W) and nothing else, which is quick; nan if one is constant."""
    if any(is_degenerate(values) for values in maps):
        return math.nan
    values = maps.detach().cpu().double()
    return spearman(*(values.abs() if magnitudes else values).numpy())
