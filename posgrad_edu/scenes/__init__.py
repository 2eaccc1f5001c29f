"""Scenes: handwritten digits at known places, and a small network that was trained on them."""

from posgrad_edu.scenes.network import HEADS, STAGES, ScenePreprocessing, scenes_net
from posgrad_edu.scenes.pictures import (
    CLASSES,
    NAMES,
    SIZE,
    SPLITS,
    Digits,
    Scene,
    load_digits,
    make_scene,
    make_scenes,
    make_single,
    scene_and_rows,
    scene_tensors,
)

__all__ = [
    "CLASSES",
    "HEADS",
    "NAMES",
    "SIZE",
    "SPLITS",
    "STAGES",
    "Digits",
    "Scene",
    "ScenePreprocessing",
    "load_digits",
    "make_scene",
    "make_scenes",
    "make_single",
    "scene_and_rows",
    "scene_tensors",
    "scenes_net",
]
