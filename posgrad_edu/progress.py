"""One kind of progress bar for all that takes long: with the time left, in a terminal or a notebook.

Set TQDM_DISABLE=1 to have none, as the tests of the notebooks do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any


def bar(items: Iterable[Any] | None = None, what: str = "", total: int | None = None, **options: Any) -> Any:
    """Return the items with a progress bar around them, or without items a bar that is moved by ``update``.

    what: the words before the bar. total: how many items there are, if they don't say. options: tqdm's other options.
    """
    from tqdm.auto import tqdm

    # In a notebook, tqdm doesn't look at the variable itself.
    disable = options.pop("disable", False) or bool(os.environ.get("TQDM_DISABLE"))
    return tqdm(items, desc=what, total=total, disable=disable, **options)
