"""What can be measured of maps: how alike they are, what they depend on, where they point."""

from posgrad_edu.metrics.complexity import complexity_sensitivity, entropy
from posgrad_edu.metrics.localization import energy_in_box, localization, pointing_game
from posgrad_edu.metrics.perturbation import perturbation, perturbation_areas
from posgrad_edu.metrics.randomization import (
    MODES,
    evenly_spaced,
    randomizable_layers,
    randomized,
    randomized_steps,
    steps,
    still_trained,
    with_random,
)
from posgrad_edu.metrics.sensitivity import class_sensitivity, data_sensitivity, parameter_sensitivity
from posgrad_edu.metrics.similarity import (
    Features,
    Similarity,
    compare,
    compare_features,
    features,
    hog,
    is_degenerate,
    similarities,
    spearman,
    ssim,
)

__all__ = [
    "MODES",
    "Features",
    "Similarity",
    "class_sensitivity",
    "compare",
    "compare_features",
    "complexity_sensitivity",
    "data_sensitivity",
    "energy_in_box",
    "entropy",
    "evenly_spaced",
    "features",
    "hog",
    "is_degenerate",
    "localization",
    "parameter_sensitivity",
    "perturbation",
    "perturbation_areas",
    "pointing_game",
    "randomizable_layers",
    "randomized",
    "randomized_steps",
    "similarities",
    "spearman",
    "ssim",
    "steps",
    "still_trained",
    "with_random",
]
