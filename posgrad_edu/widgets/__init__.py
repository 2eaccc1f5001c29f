"""The controls that the notebooks show: stock ipywidgets, drivable from code.

lab = Explorer()
lab                                  # shows it
lab.handling.value = "positive"      # the same as clicking
lab.summary                          # what it says, as a string
"""

from posgrad_edu.widgets.explorer import Explorer
from posgrad_edu.widgets.layer_slider import LayerSlider
from posgrad_edu.widgets.predict import Predict
from posgrad_edu.widgets.randomisation_slider import RandomisationSlider

__all__ = ["Explorer", "LayerSlider", "Predict", "RandomisationSlider"]
