"""The saliency methods and the controls, and ``explain``, the one function that calls them all."""

from posgrad_edu.methods.attention import AttentionRollout, GradientRollout
from posgrad_edu.methods.base import Method
from posgrad_edu.methods.cam import GradCAM, GradCAMPlusPlus, LayerCAM
from posgrad_edu.methods.controls import Edges, InputMagnitude, Noise
from posgrad_edu.methods.fullgrad import FullGrad
from posgrad_edu.methods.function import FunctionMethod
from posgrad_edu.methods.gradient import Gradient, InputXGradient
from posgrad_edu.methods.lrp import LRP
from posgrad_edu.methods.rectgrad import RectGrad
from posgrad_edu.methods.registry import (
    ATTENTION_METHODS,
    COARSE,
    CONTROLS,
    METHODS,
    AnyHandling,
    AttentionMethodName,
    ControlName,
    MethodName,
    Methods,
    OneMethod,
    resolve,
)
from posgrad_edu.methods.relu_rules import DeconvNet, GuidedBackprop
from posgrad_edu.methods.sharing import Records, explain
from posgrad_edu.methods.smoothed import Smoothed

__all__ = [
    "ATTENTION_METHODS",
    "COARSE",
    "CONTROLS",
    "LRP",
    "METHODS",
    "AnyHandling",
    "AttentionMethodName",
    "AttentionRollout",
    "ControlName",
    "DeconvNet",
    "Edges",
    "FullGrad",
    "FunctionMethod",
    "GradCAM",
    "GradCAMPlusPlus",
    "Gradient",
    "GradientRollout",
    "GuidedBackprop",
    "InputMagnitude",
    "InputXGradient",
    "LayerCAM",
    "Method",
    "MethodName",
    "Methods",
    "Noise",
    "OneMethod",
    "Records",
    "RectGrad",
    "Smoothed",
    "explain",
    "resolve",
]
