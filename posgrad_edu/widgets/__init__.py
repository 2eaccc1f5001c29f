"""The controls that the notebooks show: stock ipywidgets, drivable from code.

lab = Explorer()
lab                                  # shows it
lab.handling.value = "positive"      # the same as clicking
lab.summary                          # what it says, as a string
"""

from posgrad_edu.widgets.alpha_slider import AlphaSlider
from posgrad_edu.widgets.cam_weights import CamWeights
from posgrad_edu.widgets.cascade_curves import CascadeCurves
from posgrad_edu.widgets.class_slider import ClassSlider
from posgrad_edu.widgets.comparison import MapComparison
from posgrad_edu.widgets.explorer import Explorer
from posgrad_edu.widgets.fullgrad_terms import FullGradLayers
from posgrad_edu.widgets.layer_slider import LayerSlider
from posgrad_edu.widgets.matrix_depth import MatrixDepth
from posgrad_edu.widgets.own_photo import OwnPhoto
from posgrad_edu.widgets.predict import Predict
from posgrad_edu.widgets.randomization_slider import RandomizationSlider
from posgrad_edu.widgets.shift_slider import ShiftSlider
from posgrad_edu.widgets.threshold_slider import ThresholdSlider
from posgrad_edu.widgets.verdict_explorer import VerdictExplorer

__all__ = [
    "AlphaSlider",
    "CamWeights",
    "CascadeCurves",
    "ClassSlider",
    "Explorer",
    "FullGradLayers",
    "LayerSlider",
    "MapComparison",
    "MatrixDepth",
    "OwnPhoto",
    "Predict",
    "RandomizationSlider",
    "ShiftSlider",
    "ThresholdSlider",
    "VerdictExplorer",
]
