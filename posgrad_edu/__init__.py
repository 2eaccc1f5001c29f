"""posgrad_edu: build gradient-based saliency methods, flip one switch, measure what positive gradients take away.

>>> import posgrad_edu as pg
>>> clf = pg.load_classifier("efficientnet-lite0")
>>> x = clf.preprocess(pg.load_photo("coffee")).unsqueeze(0)
>>> maps = pg.explain(clf.net, x, clf.index("espresso"), method="gradcam", handling="positive")
"""

from posgrad_edu.data.photos import load_photo, mosaic, photo_names, read_image
from posgrad_edu.data.preprocessing import Preprocessing
from posgrad_edu.errors import UnsupportedOperation
from posgrad_edu.handling import ABSOLUTE, HANDLINGS, NEGATIVE, POSITIVE, SIGNED, Handling
from posgrad_edu.methods import CONTROLS, METHODS, Method, explain, explain_all
from posgrad_edu.metrics.sensitivity import (
    class_sensitivity,
    class_sensitivity_all,
    data_sensitivity,
    data_sensitivity_all,
    parameter_sensitivity,
    parameter_sensitivity_all,
)
from posgrad_edu.models.classifier import Classifier
from posgrad_edu.models.loading import load_classifier

__version__ = "0.1.0"

__all__ = [
    "ABSOLUTE",
    "CONTROLS",
    "HANDLINGS",
    "METHODS",
    "NEGATIVE",
    "POSITIVE",
    "SIGNED",
    "Classifier",
    "Handling",
    "Method",
    "Preprocessing",
    "UnsupportedOperation",
    "class_sensitivity",
    "class_sensitivity_all",
    "data_sensitivity",
    "data_sensitivity_all",
    "explain",
    "explain_all",
    "load_classifier",
    "load_photo",
    "mosaic",
    "parameter_sensitivity",
    "parameter_sensitivity_all",
    "photo_names",
    "read_image",
]
