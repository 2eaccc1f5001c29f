"""What Sphinx doesn't bring: hidden answers, and links from names to the reference and from papers to their entry."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import api
import docstrings
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

QUESTION = re.compile(r'<div class="question" id="([\w-]+)"')
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")
NAME = re.compile(r"(?:pg|posgrad_edu)(?:\.\w+)+|[A-Za-z_]\w+")


NO_TEXT = (nodes.reference, nodes.literal, nodes.literal_block, nodes.raw, nodes.title)


class Gate(nodes.General, nodes.Element):
    """What a reader may see once a question is answered. key: the question's."""


def open_gate(writer: Any, node: Gate) -> None:
    """Write a part that can be opened; questions.js opens it after a guess, and hides its summary until then."""
    writer.body.append(
        f'<details class="gate" data-question="{node["key"]}"><summary>Guess first. Then open this.</summary>\n'
    )


def close_gate(writer: Any, node: Gate) -> None:
    """Write the end of that part."""
    writer.body.append("</details>\n")


def hide_answers(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put all that follows a question behind it: in its own section, and the sections after that."""
    for key, cell in list(questions(doctree)):
        node: nodes.Node = cell
        while node.parent is not None and not isinstance(node, nodes.document):
            parent = node.parent
            at = parent.index(node) + 1
            behind = parent.children[at:]
            if behind:
                del parent.children[at:]
                gate = Gate("", key=key)
                gate.extend(behind)
                parent.append(gate)
            node = parent


def questions(doctree: nodes.document) -> Iterator[tuple[str, nodes.Node]]:
    """Yield each question's key and the cell that it stands in."""
    for raw in doctree.findall(nodes.raw):
        found = QUESTION.search(raw.astext())
        if found:
            cell: nodes.Node = raw
            while not isinstance(cell.parent, nodes.section | Gate):
                cell = cell.parent
            yield found[1], cell


def link_names(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Make names of the package in texts, such as ``pg.explain``, links to the reference."""
    objects = app.env.domains["py"].objects
    room = docname.removeprefix("api/") if docname.startswith("api/") else ""
    for literal in list(doctree.findall(nodes.literal)):
        if isinstance(literal.parent, nodes.reference | addnodes.pending_xref) or not NAME.fullmatch(
            literal.astext().partition("(")[0]
        ):
            continue
        full = api.full_name(literal.astext().partition("(")[0], room)
        if full in objects and (objects[full].docname, objects[full].node_id) != (docname, ""):
            entry = objects[full]
            address = app.builder.get_relative_uri(docname, entry.docname) + f"#{entry.node_id}"
            link = nodes.reference("", "", internal=True, refuri=address, classes=["name"])
            literal.replace_self(link)
            link.append(literal)


def link_papers(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Make arXiv:NUMBER in texts a link to its entry in the bibliography."""
    entries = {c.key: c for c in app.env.domains["cite"].citations}
    for text in list(doctree.findall(nodes.Text)):
        if docname == "bibliography" or isinstance(text.parent, NO_TEXT):
            continue
        parts = ARXIV.split(text.astext())
        if len(parts) > 1:
            made: list[nodes.Node] = []
            for n, part in enumerate(parts):
                entry = entries.get(papers(app.srcdir).get(part, "")) if n % 2 else None
                if entry is not None:
                    address = (
                        app.builder.get_relative_uri(docname, entry.bibliography_key.docname) + f"#{entry.citation_id}"
                    )
                    made.append(nodes.reference("", f"arXiv:{part}", internal=True, refuri=address))
                elif part:
                    made.append(nodes.Text(f"arXiv:{part}" if n % 2 else part))
            text.parent.replace(text, made)


@functools.cache
def papers(sources: Path) -> dict[str, str]:
    """Return the bibliography's keys by arXiv number."""
    text = (sources / "references.bib").read_text(encoding="utf-8")
    entries = re.findall(r"^@\w+\{(\w+),(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    return {found[1]: key for key, fields in entries if (found := re.search(r"eprint = \{(.*?)\}", fields))}


def read_docstring(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Hand Sphinx each docstring as reStructuredText."""
    lines[:] = docstrings.as_rest("\n".join(lines)).splitlines()


def leave_type_variables(app: Sphinx, env: Any, node: nodes.Element, words: nodes.Node) -> nodes.Node | None:
    """Leave the names of type variables, which have no entry in the reference, as they are."""
    try:
        found = api.thing(node.get("reftarget", ""))
    except (AttributeError, ImportError, ValueError):
        return None
    return words if isinstance(found, TypeVar) else None


def short_menu(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Let the menu list lessons, exercises and modules on their own pages alone: they are more than most pages hold."""
    toctree = context.get("toctree")
    if toctree is not None:
        context["toctree"] = lambda **options: toctree(**(options | {"collapse": True}))


class Lab(SphinxDirective):
    """The browser lab on a page; nothing where it isn't built."""

    def run(self) -> list[nodes.Node]:
        """Return the place into which lab.js loads it."""
        size = self.config.lab_megabytes
        text = f'<div class="lab-live" data-lab="lab/index.html" data-megabytes="{size}"></div>'
        return [nodes.raw("", text, format="html")] if size else []


def setup(app: Sphinx) -> dict[str, Any]:
    """Called by Sphinx."""
    app.add_config_value("lab_megabytes", 0, "env")
    app.add_directive("lab", Lab)
    app.connect("html-page-context", short_menu, priority=400)  # before the theme asks for the menu
    app.add_node(Gate, html=(open_gate, close_gate))
    app.connect("autodoc-process-docstring", read_docstring)
    app.connect("missing-reference", leave_type_variables)
    app.connect("doctree-resolved", link_papers)
    app.connect("doctree-resolved", link_names)
    app.connect("doctree-resolved", hide_answers, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
