"""What can be measured of maps: how alike they are, what they depend on, where they point."""

from posgrad_edu.metrics.localization import energy_in_box, localization, localization_all, pointing_game
from posgrad_edu.metrics.randomization import randomizable_layers, randomized, steps, with_random
from posgrad_edu.metrics.sensitivity import (
    class_sensitivity,
    class_sensitivity_all,
    data_sensitivity,
    data_sensitivity_all,
    parameter_sensitivity,
    parameter_sensitivity_all,
)
from posgrad_edu.metrics.similarity import Similarity, compare, compare_all, hog, is_degenerate, spearman, ssim

__all__ = [
    "Similarity",
    "class_sensitivity",
    "class_sensitivity_all",
    "compare",
    "compare_all",
    "data_sensitivity",
    "data_sensitivity_all",
    "energy_in_box",
    "hog",
    "is_degenerate",
    "localization",
    "localization_all",
    "parameter_sensitivity",
    "parameter_sensitivity_all",
    "pointing_game",
    "randomizable_layers",
    "randomized",
    "spearman",
    "ssim",
    "steps",
    "with_random",
]
