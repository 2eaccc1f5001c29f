from . import checks, data, engine, errors, handling, methods, metrics, models, scenes, study, viz, widgets
from .data import Preprocessing, load_photo, mosaic, photo_names, read_image
from .errors import UnsupportedOperation
from .handling import ABSOLUTE, HANDLINGS, NEGATIVE, POSITIVE, SIGNED, Handling
from .methods import ATTENTION_METHODS, CONTROLS, METHODS, FunctionMethod, Method, explain
from .metrics import (
    class_sensitivity,
    compare,
    complexity_sensitivity,
    data_sensitivity,
    energy_in_box,
    localization,
    parameter_sensitivity,
    perturbation,
    perturbation_areas,
    pointing_game,
)
from .models import Classifier, Explanation, load_classifier
from .study import MapReport, map_report, plot

__version__: str

__all__ = [
    "ABSOLUTE",
    "ATTENTION_METHODS",
    "CONTROLS",
    "HANDLINGS",
    "METHODS",
    "NEGATIVE",
    "POSITIVE",
    "SIGNED",
    "Classifier",
    "Explanation",
    "FunctionMethod",
    "Handling",
    "MapReport",
    "Method",
    "Preprocessing",
    "UnsupportedOperation",
    "checks",
    "class_sensitivity",
    "compare",
    "complexity_sensitivity",
    "data",
    "data_sensitivity",
    "energy_in_box",
    "engine",
    "errors",
    "explain",
    "handling",
    "load_classifier",
    "load_photo",
    "localization",
    "map_report",
    "methods",
    "metrics",
    "models",
    "mosaic",
    "parameter_sensitivity",
    "perturbation",
    "perturbation_areas",
    "photo_names",
    "plot",
    "pointing_game",
    "read_image",
    "scenes",
    "study",
    "viz",
    "widgets",
]
