"""posgrad_edu: build gradient-based saliency methods, flip one switch, measure what positive gradients take away.

>>> import posgrad_edu as pg
>>> clf = pg.load_classifier("efficientnet-lite0")
>>> x = clf.preprocess(pg.load_photo("coffee")).unsqueeze(0)
>>> maps = pg.explain(clf.net, x, clf.index("espresso"), method="gradcam", handling="positive")
"""

from __future__ import annotations

from posgrad_edu.handling import ABSOLUTE, HANDLINGS, NEGATIVE, POSITIVE, SIGNED, Handling
from posgrad_edu.loading import load_classifier
from posgrad_edu.methods import METHODS, Method, explain
from posgrad_edu.models import Classifier
from posgrad_edu.photos import load_photo, mosaic, photo_names, read_image

__all__ = [
    "ABSOLUTE",
    "HANDLINGS",
    "METHODS",
    "NEGATIVE",
    "POSITIVE",
    "SIGNED",
    "Classifier",
    "Handling",
    "Method",
    "explain",
    "load_classifier",
    "load_photo",
    "mosaic",
    "photo_names",
    "read_image",
]
