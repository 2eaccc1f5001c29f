"""What each method does, in one line, and the lesson that builds it."""

from __future__ import annotations

import html
import re

from posgrad_edu.methods import ATTENTION_METHODS, CONTROLS, METHODS

LESSON_OF = {
    "gradient": "01_gradients",
    "input-x-gradient": "01_gradients",
    "gradcam": "02_gradcam",
    "gradcam++": "05_gradcam_plus_plus",
    "fullgrad": "06_fullgrad",
    "deconvnet": "08_deconvnet_and_guided_backprop",
    "guided-backprop": "08_deconvnet_and_guided_backprop",
    "rectgrad": "09_rectgrad",
    "lrp": "10_lrp",
    "attention-rollout": "19_attention",
    "gradient-rollout": "19_attention",
}


def about(method: str | None) -> str:
    """Return in HTML what a method does, with a link to its lesson; nothing for one that isn't known by name.

    The link stands for a file beside the notebook, which JupyterLab opens in another tab of the browser.
    """
    kinds = METHODS | ATTENTION_METHODS | CONTROLS
    if method not in kinds:
        return ""
    words = f"{method}: {html.escape(first_sentence(kinds[method]))}"
    if method not in LESSON_OF:
        return words
    stem = LESSON_OF[method]
    return f'{words} <a href="{stem}.ipynb" target="_blank">Lesson {stem[:2]}</a>'


def first_sentence(kind: type) -> str:
    """Return the first line of a class's docstring, without its source in brackets."""
    line = (kind.__doc__ or "").partition("\n")[0]
    made = line.startswith(f"{kind.__name__}(")  # by dataclass, where nobody wrote one
    return "" if made else re.sub(r" \([^)]*\d{4}[^)]*\)\.$", ".", line)
