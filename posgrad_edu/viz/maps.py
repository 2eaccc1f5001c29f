"""What a map is here: a finite array (H, W), from whatever holds one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Map: TypeAlias = "Tensor | npt.ArrayLike"
Maps: TypeAlias = Mapping[str, Map]
Array: TypeAlias = npt.NDArray[np.float64]


def as_array(map: Map) -> Array:
    """Return a finite (H, W) array of a tensor or array; leading dimensions of one are dropped."""
    if hasattr(map, "detach"):  # a tensor; bfloat16 has no counterpart in numpy, so change it before
        map = map.detach().cpu().double().numpy()
    values = np.asarray(map, dtype=np.float64)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or values.size == 0:
        raise ValueError(f"A map is (H, W), not of shape {values.shape}. Choose one, such as maps[0].")
    if not np.isfinite(values).all():
        raise ValueError("This map holds NaN or infinite values. Look for a division by zero where it was made.")
    return values
