"""The AlphaSlider: LRP for two digits of one scene, on the road from signed to positive contributions.

LRP shares out relevance in proportion to contributions c. Two families of rules let the negative ones count less. Both
can be read by one number: the weight k of the negative contributions, against 1 for the positive ones.

    gamma        c⁺ + k c⁻ in one sum: k = 1 is the epsilon rule, k = 1 / (1 + γ), and γ → ∞ is z+
    alpha-beta   c⁺ and c⁻ shared out apart: k = β / α, so that α = 1 / (1 - k); α = 1, β = 0 is z+

At k = 0 the two meet: only positive contributions are left. That is so where the sum of contributions is positive.
Where it's negative, gamma favours the negative ones instead. The logit of a class that the network denies is such a
sum, so both digits must be there in the network's eyes. And if biases are ignored, there are neurons which only their
bias made active: gamma's road then ends beside z+, and the last step is a jump.

References:
    Bach et al. On Pixel-Wise Explanations. PLoS ONE 2015 (epsilon, alpha-beta).
    Montavon et al. Layer-Wise Relevance Propagation: An Overview. 2019 (gamma).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageDraw
from torch import Tensor

from posgrad_edu.handling import POSITIVE, SIGNED
from posgrad_edu.methods.lrp_rules import AlphaBeta, Gamma
from posgrad_edu.metrics.localization import energy_in_box
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.scenes.pictures import Scene, make_scene
from posgrad_edu.viz import signed_number, true_minus
from posgrad_edu.widgets.class_panels import TwoClassPanel
from posgrad_edu.widgets.controls import slider, toggles
from posgrad_edu.widgets.sentences import whole_percent
from posgrad_edu.widgets.theme import BLACK, GREY, Picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KEPT = (1.0, 0.95, 0.9, 0.8, 2 / 3, 0.5, 1 / 3, 0.2, 0.1, 0.0)  # γ = 0, .05, .11, .25, .5, 1, 2, 4, 9, ∞
LIMIT = 0.006  # relevance of one pixel, where the logit is 1: one scale for all rules
ENLARGED = 4  # pixels drawn for each pixel of a scene, so that none is blurred


class AlphaSlider(TwoClassPanel):
    """A slider over the weight of negative contributions, and toggles for the rule's family and the biases.

    scene: a ``Scene``; ``None`` for one with a 3 and a 7. Its first two digits are explained.
    clf: a classifier of scenes that LRP can treat, ``load_classifier("scenes")`` if ``None``.
    start: values for the controls kept (one of ``KEPT``), rule ("gamma", "alpha-beta"), bias ("absorb", "ignore").
    Results: ``maps`` (2, H, W), in shares of the logit; ``energies``, for each map the share of its positive part on
    the first and on the second digit; ``sums``; ``summary`` (text), ``figure()`` (static).
    Raises ``ValueError`` for a digit whose logit isn't positive, and for a control that doesn't exist.
    """

    _style = "heatmap"
    _ends = ("relevance for", "relevance against")
    _scale_of = "of the logit in all maps"

    def __init__(self, scene: Scene | None = None, clf: Classifier | None = None, **start: Any) -> None:
        self.scene = make_scene(3, digits=(3, 7)) if scene is None else scene
        if len(set(self.scene.digits[:2])) < 2:
            raise ValueError(f"The AlphaSlider holds two different digits against each other, not {self.scene.digits}.")
        super().__init__(load_classifier("scenes") if clf is None else clf, self.scene.image)
        self.classes = self.digits = self.scene.digits[:2]
        self.boxes = self.scene.boxes[:2]
        self._settle()
        self.kept = slider("Negatives count", [(whole_percent(k), k) for k in KEPT])
        rules = ["both signs in one sum", "positive and negative shared out apart"]
        self.rule = toggles("Rule", ["gamma", "alpha-beta"], rules)
        biases = ["a bias receives its share", "biases stay out of the sharing"]
        self.bias = toggles("Biases", ["absorb", "ignore"], biases)
        self._begin(["kept", "rule", "bias"], start)

    def _settle(self) -> None:
        for digit, label in zip(self.digits, self.labels, strict=True):
            if self._logits[digit] <= 0:
                raise ValueError(
                    f"The network sees no {label} in this scene: its logit is {self._logits[digit]:.1f}, and the road "
                    "from epsilon to z+ is a road only for positive logits. Choose another scene."
                )

    def _clear(self) -> None:
        super()._clear()
        self.energies: list[list[float]] = []
        self.sums: list[float] = []

    def _maps(self) -> Tensor:
        options = rule_options(self.kept.value, self.rule.value)
        maps = self._explain_classes("lrp", bias=self.bias.value, **options)
        self.energies = [[energy_in_box(m, box) for box in self.boxes] for m in maps]
        self.sums = maps.cpu().double().sum((1, 2)).tolist()
        return maps

    @property
    def setting(self) -> str:
        return f"{rule_name(self.kept.value, self.rule.value)}, biases {self.bias.value}"

    @property
    def limit(self) -> float:
        """The magnitude of full colour, one for all rules."""
        return LIMIT

    @property
    def _heading(self) -> str:
        return f"LRP, {self.setting}"

    def _sentence(self) -> str:
        sentences = []
        for n, (label, shares, total) in enumerate(zip(self.labels, self.energies, self.sums, strict=True)):
            if math.isnan(shares[0]):
                sentences.append(f"The map for {label} has no red, so there is nothing to place.")
                continue
            own, other = map(whole_percent, (shares[n], shares[1 - n]))
            there = f"{own} on the {label}, {other} on the {self.labels[1 - n]}"
            sentences.append(f"Of the red for {label}, {there}; the map adds up to {short(total)} of 1.")
        return " ".join(sentences)

    def _panels(self) -> list[Picture]:
        """Return the scene and both maps, each with the digits' boxes."""
        scene = (boxed(self.scene.image, self.boxes, None), f"The scene: {', '.join(self.labels)}", "scene")
        framed = [
            (boxed(picture, self.boxes, n), alt, title) for n, (picture, alt, title) in enumerate(super()._panels()[1:])
        ]
        return [scene, *framed]

    def _note(self) -> str:
        return f"Black box: the digit asked for. {super()._note()}"

    def _figure(self) -> Figure:
        from matplotlib.patches import Rectangle

        figure = super()._figure()
        for n, axes in enumerate(figure.axes[1:3]):
            for m, (left, top, right, bottom) in enumerate(self.boxes):
                edge = "black" if m == n else "grey"
                frame = Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, fill=False, edgecolor=edge)
                axes.add_patch(frame)
        return figure


# --- The road, as rules and in words ---


def rule_options(kept: float, rule: str) -> dict[str, Any]:
    """Return the options for ``explain`` in which negative contributions count ``kept`` times.

    rule: "gamma" or "alpha-beta". Raises ``ValueError`` where there is no such rule: alpha-beta with kept = 1.
    """
    if kept == 0:
        return {"handling": POSITIVE}
    if rule == "gamma":
        return {"handling": SIGNED} if kept == 1 else {"rule": Gamma(gamma=1 / kept - 1)}
    if kept == 1:
        raise ValueError(
            "In the alpha-beta rule, negatives can't count as much as positives: alpha would be infinite. "
            "Let them count less, or choose gamma."
        )
    return {"rule": AlphaBeta(alpha=1 / (1 - kept), beta=kept / (1 - kept))}


def rule_name(kept: float, rule: str) -> str:
    """Return a rule's name with its parameters, as the papers write them."""
    if rule == "gamma":
        parameters = "γ = ∞: z+" if kept == 0 else "γ = 0: epsilon" if kept == 1 else f"γ = {1 / kept - 1:.3g}"
    elif kept == 1:
        parameters = "α = ∞"
    else:
        ends = ": z+" if kept == 0 else ""
        parameters = f"α = {1 / (1 - kept):.3g}, β = {kept / (1 - kept):.3g}{ends}"
    return f"{rule} ({parameters})"


def short(value: float) -> str:
    """Return a number in two digits after the point, or with a power of ten where it's large."""
    if abs(value) >= 1000:
        return true_minus(f"{value:+.0e}")
    return signed_number(value) if round(value, 2) else "0.00"


def boxed(picture: Image.Image, boxes: list[tuple[int, int, int, int]], asked: int | None) -> Image.Image:
    """Return a picture, each pixel enlarged, boxes drawn just outside: black for the one asked, grey for others."""
    size = picture.width * ENLARGED, picture.height * ENLARGED
    large = picture.convert("RGB").resize(size, Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(large)
    for n, (left, top, right, bottom) in enumerate(boxes):
        corners = (left * ENLARGED - 1, top * ENLARGED - 1, right * ENLARGED, bottom * ENLARGED)
        draw.rectangle(corners, outline=BLACK if n == asked else GREY)
    return large
