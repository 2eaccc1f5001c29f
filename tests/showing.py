"""What tests see of a widget's pictures."""

from __future__ import annotations

from typing import Any


def is_pale(widget: Any) -> bool:
    """Tell whether a widget's picture is marked as an old one: pale, and out of reach of keys and screen readers."""
    page = widget.pictures.value
    return page.startswith("<small>The last answer:") and 'class="posgrad-edu-old" inert><div' in page
