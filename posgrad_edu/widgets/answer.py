"""Pictures and words that answer controls, and what becomes of them where there is no answer.

What a callback raises, ipywidgets print to a log that nobody reads, and the last answer stays under new controls.
So each callback answers inside ``with self._answering():``. Then any exception is said in words, and the last picture
stays beside them as what it is, an old one: pale.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from typing import Any

import ipywidgets as widgets

from posgrad_edu.widgets.style import PANEL, PENDING, style_sheet
from posgrad_edu.widgets.theme import COMPUTING, old, status

INTERRUPTED = "Interrupted before there was an answer. Move a control to ask again."
CLOSED = "This panel is closed. Make another one."


class Answer(widgets.VBox):
    """Pictures and words, which a callback fills in; where it fails, words beside the last picture, made pale.

    summary: the words. trace: where they tell of an exception, its traceback, for whoever looks for the cause.
    """

    _open = False  # until all is made, and again when it's closed

    def __init__(self) -> None:
        super().__init__()
        self.add_class(PANEL)
        self._sheet = style_sheet()
        self.pictures, self.words = widgets.HTML(), widgets.HTML()
        self.summary = self.trace = self._good = ""
        self._failed = False

    def _arrange(self, *parts: widgets.Widget) -> None:
        """Show these parts, from top to bottom."""
        self.children: Any = (self._sheet, *parts)

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Say what goes wrong inside, and make the picture pale then. An interrupt is raised again."""
        self._failed, self.trace = False, ""
        try:
            yield
        except Exception as error:
            self.trace = traceback.format_exc()
            self._fail(in_words(error))
        except BaseException:  # KeyboardInterrupt, above all
            self._fail(INTERRUPTED)
            raise
        finally:
            self.pictures.remove_class(PENDING)

    def _say_computing(self) -> None:
        """Dim the last picture, which belongs to what the controls said before, and say that another will come."""
        self.pictures.add_class(PENDING)
        self.words.value = COMPUTING

    def _show(self, pictures: str) -> None:
        """Show pictures that answer what the controls say."""
        self.pictures.value = self._good = pictures

    def _fail(self, words: str) -> None:
        self._failed = True
        self._clear()
        self.pictures.value = old(self._good)
        self._say(words)

    def _say(self, words: str) -> None:
        self.summary = words
        self.words.value = status(words, self._failed)

    def _clear(self) -> None:
        """Set the results to nothing."""

    def close(self) -> None:
        """Close all that is shown, and let go of what was computed; the kernel would keep it to its end."""
        if self._open:  # ipywidgets close what is deleted, too, even if it was never whole
            self._open = False
            self._good = ""
            self._fail(CLOSED)
            for part in (*self.children, self._sheet, self.pictures, self.words):
                close_all(part)
            self.children = ()
            self.layout.close()
        super().close()


def close_all(widget: widgets.Widget) -> None:
    """Close a widget with all that it consists of; closing an ipywidget leaves its children, layout and style."""
    for child in getattr(widget, "children", ()):
        close_all(child)
    for part in (getattr(widget, "layout", None), getattr(widget, "style", None)):
        if isinstance(part, widgets.Widget):
            part.close()
    widget.close()


def in_words(error: Exception) -> str:
    """Return what an exception says; of kinds that aren't raised to be read, with its name and where to look."""
    try:
        words = str(error).strip()
    except Exception:  # an exception may be broken itself
        words = ""
    if words and isinstance(error, (ValueError, RuntimeError, OSError)):
        return words
    name = type(error).__name__
    return f"Stopped by {f'{name}: {words}' if words else name}. Print the widget's trace to see where."
