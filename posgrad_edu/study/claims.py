"""The paper's claims in our words, and what may explain a study that doesn't agree with one.

The paper says that two ways to handle gradients break saliency methods: adding up only positive gradients (GradCAM++,
FullGrad) and passing only positive gradients back (LRP, RectGrad, Guided Backprop). Their maps still show what stands
out in the photo, but no longer depend on the class that is asked about, nor on what the network has learnt. So each
method gives two claims, one a check; ``verdicts.py`` holds them against a study.

The abstract proposes "several variants of aggregation methods with positive handling" and doesn't list them. Ours are
GradCAM and LayerCAM with positive gradients, and DeconvNet for propagation. We can't know whether the authors chose the
same. No number of theirs is in the abstract, so none is held against ours.

FullGrad adds up magnitudes, as published. Both are judged, this (absolute) and FullGrad with positive terms only.

Reference: Khakzar, Baselizadeh, Navab. Rethinking Positive Aggregation and Propagation of Gradients in Gradient-based
Saliency Methods. 2020. arXiv:2012.00362, abstract.
"""

from __future__ import annotations

from typing import NamedTuple

from posgrad_edu.study.schema import LOGIT

# What each check's claims say of a method.
SAYS = {
    "class": "much the same map for the most likely class and for another",
    "parameters": "much the same map while more and more of the network becomes random",
}


class Claim(NamedTuple):
    """One claim: this version of this method fails this check."""

    check: str  # "class" or "parameters"
    method: str
    handling: str  # of the version that is held against the signed one
    version: str  # in words
    source: str  # "abstract": the paper's abstract names the method; "variant": it doesn't

    @property
    def text(self) -> str:
        """The claim in one sentence."""
        return f"{self.version}: {SAYS[self.check]}."


_VERSIONS = (
    ("gradcam", "positive", "GradCAM with weights from positive gradients only", "variant"),
    ("gradcam++", "positive", "GradCAM++, which adds up positive gradients only", "abstract"),
    ("layercam", "positive", "LayerCAM, which weights each position by its positive gradient", "variant"),
    ("fullgrad", "absolute", "FullGrad as published, which adds up magnitudes", "abstract"),
    ("fullgrad", "positive", "FullGrad with positive terms only", "abstract"),
    ("lrp", "positive", "LRP that shares relevance out by positive contributions only (z+)", "abstract"),
    ("rectgrad", "positive", "RectGrad, which passes back where contributions are large and positive", "abstract"),
    ("guided-backprop", "positive", "Guided Backprop, which passes back positive gradients only", "abstract"),
    ("deconvnet", "positive", "DeconvNet, which passes back positive gradients whatever the ReLU's gate", "variant"),
)

CLAIMS: tuple[Claim, ...] = tuple(Claim(check, *version) for check in SAYS for version in _VERSIONS)

_READS_ONE_LAYER = (
    "The map is a weighted sum of one layer's activations. Once the cascade reaches that layer, its activations are "
    "those of random weights, and no handling of gradients can keep the map as it was; what likeness is left may come "
    "from where random layers are active on any picture (lesson 13). Positive gradients can hide the change of the "
    "layers above: see the stage “classifier”."
)
_POSITIVE_WEIGHTS = (
    "Positive weights for channels still differ between classes. Where activations are few and lie in different "
    "places, as in a small network or where both classes are in the picture, another choice of channels is "
    "another map."
)
_SHALLOW = (
    "Positive propagation loses the class by multiplying many non-negative matrices, a product that comes ever "
    "closer to rank one. In a network of few layers the loss can stay partial."
)
_CLAMPS = (
    "A clamp on the signal at each ReLU brings two classes' signals nearer, step by step. In a network of few layers "
    "the loss can stay partial."
)
_DEPTH_OF_CASCADE = (
    "The layers nearest the photo shape the map of a method that propagates. While they are as trained the map "
    "can stay; it changes when the cascade comes to them. The mean over the cascade counts both parts."
)
_SELECTS = (
    "RectGrad passes back through few units, those with the largest contributions. Which ones these are depends "
    "on activations and on what arrives from above, so that some dependence on them survives, more so in a "
    "network of few layers."
)
_TERMS = (
    "FullGrad adds a term for each layer, brought to one range each. Terms of layers near the output differ "
    "between classes, and in a network of few layers they can be a large part of the sum."
)
_BIASES = (
    "FullGrad's terms are biases times gradients. A term follows the gates and gradients at its own layer, and these "
    "change when the cascade comes near it, whatever is done with signs. (Biases of convolutions are redrawn, too; "
    "those of BatchNorm are kept.)"
)

_CANCELS = (
    "LRP shares relevance out linearly: the map of a contrast is the class's map minus the mean of all classes' maps. "
    "With z+ these are nearly alike, and what they have in common cancels. Guided Backprop and DeconvNet clamp what "
    "flows back in each layer, whatever it began with, so that nothing cancels."
)

# What may explain a verdict other than "agrees": reasons that follow from how the methods are built, not measurements.
WHY: dict[tuple[str, str], str] = {
    ("gradcam", "class"): _POSITIVE_WEIGHTS,
    ("gradcam++", "class"): _POSITIVE_WEIGHTS,
    ("layercam", "class"): _POSITIVE_WEIGHTS,
    ("fullgrad", "class"): _TERMS,
    ("lrp", "class"): _SHALLOW,
    ("rectgrad", "class"): _SELECTS,
    ("guided-backprop", "class"): _CLAMPS,
    ("deconvnet", "class"): _CLAMPS,
    ("gradcam", "parameters"): _READS_ONE_LAYER,
    ("gradcam++", "parameters"): _READS_ONE_LAYER,
    ("layercam", "parameters"): _READS_ONE_LAYER,
    ("fullgrad", "parameters"): _BIASES,
    ("lrp", "parameters"): _DEPTH_OF_CASCADE,
    ("rectgrad", "parameters"): _SELECTS,
    ("guided-backprop", "parameters"): _DEPTH_OF_CASCADE,
    ("deconvnet", "parameters"): _DEPTH_OF_CASCADE,
}
WHY_OF_A_CONTRAST = {"lrp": _CANCELS}  # by method, where it isn't the logit's reason


def reason(claim: Claim, contrast: str) -> str:
    """Return what may explain that a claim doesn't hold for logits, or for a contrast."""
    other = None if contrast == LOGIT else WHY_OF_A_CONTRAST.get(claim.method)
    return other or WHY[claim.method, claim.check]
