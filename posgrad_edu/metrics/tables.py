"""What the measures that return tables share: methods by label, photos in batches, rows in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from torch import Tensor

from posgrad_edu.engine.inputs import Contrast, as_target
from posgrad_edu.methods import AnyHandling, Method, Methods, resolve

if TYPE_CHECKING:
    from pandas import DataFrame

AT_ONCE = 4  # photos in one forward pass: more take more memory, and on a laptop more time for each

Item = TypeVar("Item")


def by_label(method: Methods, handling: AnyHandling, options: Mapping[str, Any]) -> dict[str, Method]:
    """Return the methods by label, ready to be called; a single one has an empty label."""
    chosen = resolve(method, handling, **options)
    methods = chosen if isinstance(chosen, dict) else {"": chosen}
    for one in methods.values():
        if not getattr(one, "upsample", True):
            raise ValueError(f"Measures need maps in the photo's resolution: leave upsample=False out of {one.name}.")
    return methods


def batches(items: Sequence[Item]) -> list[list[Item]]:
    """Return the items in groups of ``AT_ONCE``."""
    return [list(items[start : start + AT_ONCE]) for start in range(0, len(items), AT_ONCE)]


def of_photos(contrast: Contrast, photos: Sequence[int], x: Tensor) -> Contrast:
    """Return the contrast of some of the photos x."""
    if contrast is None or isinstance(contrast, str):
        return contrast
    return as_target(contrast, len(x), x.device, "contrast")[photos]


def as_table(rows: list[dict[str, Any]], method: Methods) -> DataFrame:
    """Return the rows as a table, method by method in the order given; within one in the order of the rows.

    rows: each with its method's label under "method". method: as the caller gave it; only where it's several by label
    the table has the column ``method``.
    """
    import pandas as pd

    if not isinstance(method, Mapping):
        return pd.DataFrame(rows).drop(columns="method")
    place = {label: n for n, label in enumerate(method)}
    return pd.DataFrame(sorted(rows, key=lambda row: place[row["method"]]))
