"""Run an exported graph as the page does: the weights come beside it, in memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort
from torch import Tensor

FILE = "weights.bin"
# LRP divides by sums of either sign, additions' and averages' with every rule, all layers' with the signed one. Where
# such a sum is near zero, rounding is multiplied: here the package in float32 and in float64 differ by as much.
DIVIDED = {"published": 2e-3, "positive": 2e-3, "signed": 5e-2}


def session(model: bytes, weights: bytes) -> ort.InferenceSession:
    """Return a session on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.add_external_initializers_from_files_in_memory([FILE], [weights], [len(weights)])
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(
    graph: ort.InferenceSession, photo: Tensor, score: Tensor, positive: float = 0.0, shift: float = 0.0
) -> Mapping[str, np.ndarray]:
    """Return the graph's outputs by name. photo (1, 3, H, W), score (1, classes)."""
    scalars = {"positive": np.array(positive, np.float32), "shift": np.array(shift, np.float32)}
    given = {"photo": photo.numpy(), "score": score.numpy(), **scalars}
    wanted = {i.name: given[i.name] for i in graph.get_inputs()}
    return dict(zip([o.name for o in graph.get_outputs()], graph.run(None, wanted), strict=True))


def apart(ours: np.ndarray, theirs: Tensor) -> float:
    """Return the largest difference of two maps, in parts of the largest magnitude; 0 for two that are 0 everywhere."""
    difference = float(np.abs(ours - theirs.numpy()).max())
    return difference / float(theirs.abs().max()) if difference else 0.0
