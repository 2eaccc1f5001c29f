"""Classifiers: networks with their preprocessing, labels and weights, by name or your own; and what they explain."""

from posgrad_edu.models.classifier import Classifier, Prediction, resolve_class
from posgrad_edu.models.devices import as_device, device_names
from posgrad_edu.models.explanation import Comparison, Explanation, Explanations
from posgrad_edu.models.loading import load_classifier
from posgrad_edu.models.shift import shift_vector, shifted
from posgrad_edu.models.weights import DEFAULT_CLASSIFIER, SCENES, SCENES_TRANSFORMER, OfflineError, WeightsError

__all__ = [
    "DEFAULT_CLASSIFIER",
    "SCENES",
    "SCENES_TRANSFORMER",
    "Classifier",
    "Comparison",
    "Explanation",
    "Explanations",
    "OfflineError",
    "Prediction",
    "WeightsError",
    "as_device",
    "device_names",
    "load_classifier",
    "resolve_class",
    "shift_vector",
    "shifted",
]
