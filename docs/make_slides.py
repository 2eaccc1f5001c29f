"""The workshops' slides, from their notebooks: build/slides. They need no network, to be made or to be shown.

    python docs/make_slides.py

What is on which slide say the cells' settings in JupyterLab (*Property Inspector, Slide Type*). Code isn't shown, a
``Predict`` becomes its question and its choices. reveal.js comes from the package sphinx-revealjs, which holds it.
"""

from __future__ import annotations

import html
import re
import runpy
import shutil
import sys
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any

import nbformat
import typer
from nbconvert.exporters import SlidesExporter
from nbformat import NotebookNode
from traitlets.config import Config

ROOT = Path(__file__).resolve().parents[1]
WORKSHOPS = sorted((ROOT / "notebooks" / "workshops").glob("*.ipynb"))
WIDGET = "application/vnd.jupyter.widget-view+json"
REVEAL = "reveal"  # the folder with reveal.js, beside the slides
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:)[^)]+\)")  # to a lesson or a page, which doesn't lie beside slides

sys.path.append(str(ROOT / "exercises"))
from offline import OfflinePage  # noqa: E402

lessons = runpy.run_path(str(ROOT / "docs" / "lessons.py"))


class OfflineSlides(OfflinePage, SlidesExporter):
    """Slides that load nothing but reveal.js, from the folder beside them."""


def shown(notebook: NotebookNode, path: Path) -> NotebookNode:
    """Return a workshop's notebook as it is shown: questions in place of ``Predict``, no other widget, no dead link.

    Drawings are named as from the folder of lessons: an exporter embeds only what lies in the folder that it is given.
    """
    questions = {question.asks: question.choices for question in lessons["questions"](path)}
    for cell in notebook.cells:
        cell.source = LINK.sub(r"\1", cell.source.replace("](../drawings/", "](drawings/"))
        if cell.cell_type == "code":
            asked = [asks for asks in questions if asks in cell.source]
            cell.outputs = [o for o in cell.outputs if WIDGET not in o.get("data", {})]
            if asked:
                page = _question(asked[0], questions[asked[0]])
                cell.outputs = [nbformat.v4.new_output("display_data", {"text/html": page})]
    return notebook


def _question(asks: str, choices: list[str]) -> str:
    """Return a question and its choices as HTML."""
    items = "".join(f"<li>{html.escape(choice)}</li>" for choice in choices)
    return f'<p class="question">{html.escape(asks)}</p><ol class="choices">{items}</ol>'


def slides(path: Path) -> str:
    """Return a workshop's slides, a page of HTML."""
    config = Config()
    config.OfflineSlides.extra_template_basedirs = [str(ROOT / "docs")]
    config.OfflineSlides.template_name = "slides"
    config.OfflineSlides.reveal_url_prefix = REVEAL
    config.OfflineSlides.reveal_theme = "white"
    config.OfflineSlides.exclude_input = True
    config.OfflineSlides.exclude_output_prompt = True
    config.OfflineSlides.embed_images = True
    place: dict[str, Any] = {"metadata": {"name": path.stem, "path": str(path.parents[1])}}
    return OfflineSlides(config=config).from_notebook_node(shown(nbformat.read(path, as_version=4), path), place)[0]


def main(
    out: Annotated[Path, typer.Option(help="The folder for the slides.")] = ROOT / "build" / "slides",
) -> None:
    """Make the slides of all workshops."""
    out.mkdir(parents=True, exist_ok=True)
    with as_file(files("sphinx_revealjs") / "_static" / "revealjs") as reveal:
        shutil.copytree(reveal / "dist", out / REVEAL / "dist", dirs_exist_ok=True)
        shutil.copy(reveal / "LICENSE", out / REVEAL / "LICENSE")
    for path in WORKSHOPS:
        page = out / f"{path.stem}.html"
        page.write_text(slides(path), encoding="utf-8")
        typer.echo(f"{page}: {page.stat().st_size // 1000} KB")


if __name__ == "__main__":
    typer.run(main)
