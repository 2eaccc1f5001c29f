"""A question to answer before a cell is run: the guess is kept, and compared with what was measured."""

from __future__ import annotations

import html
import random
from collections.abc import Sequence

import ipywidgets as widgets

from posgrad_edu.widgets.style import PANEL, style_sheet
from posgrad_edu.widgets.theme import status


def as_shown(question: str, choices: Sequence[str]) -> list[str]:
    """Return a question's choices in the order of its buttons, always the same: authors put the tempting one first."""
    return random.Random(question).sample(list(choices), len(choices))


class Predict(widgets.VBox):
    """A question with choices. ``reveal`` sets the answer beside the learner's guess.

    in_order: show the choices as they are given, such as steps of a scale, and not shuffled.
    answers: the choices as they are given.
    guess: the chosen answer, ``None`` before one is chosen; settable from code.
    """

    def __init__(self, question: str, choices: Sequence[str], *, in_order: bool = False) -> None:
        if len(choices) < 2:
            raise ValueError("A prediction needs two choices or more.")
        self.question = question
        self.answers = tuple(choices)
        shown = list(choices) if in_order else as_shown(question, choices)
        # Buttons, not radio buttons: those need arrow keys, which JupyterLab takes to go from cell to cell.
        self.choices = widgets.ToggleButtons(options=shown, value=None, description="Your guess:")
        self.reply = widgets.HTML()
        self.choices.observe(self._noted, "value")
        asked = widgets.HTML(f"<b>Predict first.</b> {html.escape(question)}")
        super().__init__([style_sheet(), asked, self.choices, self.reply])
        self.add_class(PANEL)

    def __repr__(self) -> str:
        return f"Predict: {self.question} ({' / '.join(self.choices.options)})"

    @property
    def guess(self) -> str | None:
        """The chosen answer, ``None`` before one is chosen."""
        return self.choices.value

    @guess.setter
    def guess(self, answer: str | None) -> None:
        self.choices.value = answer

    def reveal(self, answer: str) -> str:
        """Say how the guess compares with ``answer``, below the question and as the returned string."""
        if answer not in self.answers:
            raise ValueError(f"{answer!r} is none of the choices: {', '.join(self.answers)}.")
        if self.guess is None:
            words = f"Measured: {answer}."
        elif self.guess == answer:
            words = f"Measured: {answer}. As you predicted."
        else:
            words = f"Measured: {answer}. You predicted: {self.guess}. What did you expect to happen?"
        self.reply.value = status(words)
        return words

    def _noted(self, change: dict) -> None:
        if change["new"] is not None:
            self.reply.value = status(f"Noted: {change['new']}. Run on to see.")
