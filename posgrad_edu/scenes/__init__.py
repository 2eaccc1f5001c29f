"""Scenes: handwritten digits at known places, and small networks that were trained on them."""

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
    scene_and_rows,
    scene_tensors,
)
from posgrad_edu.scenes.transformer import ScenesTransformer

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
    "ScenesTransformer",
    "load_digits",
    "make_scene",
    "make_scenes",
    "scene_and_rows",
    "scene_tensors",
    "scenes_net",
]
