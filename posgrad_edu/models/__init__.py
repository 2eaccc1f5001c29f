"""Classifiers: networks with their preprocessing, labels and weights, by name or your own."""

from posgrad_edu.models.classifier import Classifier, Prediction, resolve_class
from posgrad_edu.models.loading import DEFAULT_CLASSIFIER, OfflineError, WeightsError, load_classifier

__all__ = [
    "DEFAULT_CLASSIFIER",
    "Classifier",
    "OfflineError",
    "Prediction",
    "WeightsError",
    "load_classifier",
    "resolve_class",
]
