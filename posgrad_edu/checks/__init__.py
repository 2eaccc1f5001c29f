"""Feedback on a learner's own function: what is wrong with it, by name, a hint, and where to read.

>>> from posgrad_edu import checks
>>> checks.check_gradcam(my_gradcam)
✗ gradcam: you averaged over the channels instead of the positions.
  Hint: A weight belongs to one channel of one photo: mean over the last two axes, (2, 3).
  Read: lesson 02, GradCAM.

Each check states in its docstring how the function is called. It runs it on fresh random networks and inputs, so
constants can't pass, stops it when it takes too long, and never fails itself. The result is true if all is right, so a
grader can write ``assert checks.check_gradcam(my_gradcam)``.
"""

from posgrad_edu.checks.activations import check_activations_and_gradients
from posgrad_edu.checks.angles import check_angle, check_angles_by_depth
from posgrad_edu.checks.attention import check_attention_rollout, check_gradient_rollout
from posgrad_edu.checks.black_boxes import check_detective
from posgrad_edu.checks.class_sensitivity import check_class_sensitivity
from posgrad_edu.checks.covering import check_area, check_deletion_curve
from posgrad_edu.checks.engine.check import check, checker
from posgrad_edu.checks.engine.task import Mistake, Result, Task
from posgrad_edu.checks.fullgrad import check_fullgrad, check_fullgrad_terms
from posgrad_edu.checks.gradcam import check_gradcam
from posgrad_edu.checks.gradcam_plus_plus import check_alpha, check_gradcam_plus_plus
from posgrad_edu.checks.gradients import check_gradient, check_input_x_gradient
from posgrad_edu.checks.guided_gradcam import check_guided_gradcam
from posgrad_edu.checks.handlings import check_handling
from posgrad_edu.checks.layercam import check_layercam
from posgrad_edu.checks.logits import check_contrast_seed, check_shift_head
from posgrad_edu.checks.lrp import check_lrp_epsilon, check_lrp_epsilon_conv, check_lrp_zplus
from posgrad_edu.checks.lrp_addition import check_lrp_addition
from posgrad_edu.checks.parameter_sensitivity import check_parameter_sensitivity
from posgrad_edu.checks.randomization import check_cascading_randomization
from posgrad_edu.checks.rectgrad import check_rectgrad
from posgrad_edu.checks.relu_rules import check_deconvnet, check_guided_backprop
from posgrad_edu.checks.scaling import check_scaled
from posgrad_edu.checks.spearman import check_spearman
from posgrad_edu.checks.summary import check_summary
from posgrad_edu.checks.xgradcam import check_xgradcam

__all__ = [
    "Mistake",
    "Result",
    "Task",
    "check",
    "check_activations_and_gradients",
    "check_alpha",
    "check_angle",
    "check_angles_by_depth",
    "check_area",
    "check_attention_rollout",
    "check_cascading_randomization",
    "check_class_sensitivity",
    "check_contrast_seed",
    "check_deconvnet",
    "check_deletion_curve",
    "check_detective",
    "check_fullgrad",
    "check_fullgrad_terms",
    "check_gradcam",
    "check_gradcam_plus_plus",
    "check_gradient",
    "check_gradient_rollout",
    "check_guided_backprop",
    "check_guided_gradcam",
    "check_handling",
    "check_input_x_gradient",
    "check_layercam",
    "check_lrp_addition",
    "check_lrp_epsilon",
    "check_lrp_epsilon_conv",
    "check_lrp_zplus",
    "check_parameter_sensitivity",
    "check_rectgrad",
    "check_scaled",
    "check_shift_head",
    "check_spearman",
    "check_summary",
    "check_xgradcam",
    "checker",
]
