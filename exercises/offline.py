"""Pages made from notebooks that need no network: formulas are MathML, and no script comes from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode

ELSEWHERE = re.compile(r"""<script\b[^>]*\bsrc=["'](?:https?:)?//[^>]*>\s*</script>""")


class MathML(IPythonRenderer):
    """Markdown whose formulas are MathML, which browsers show without a script."""

    def block_math(self, body: str) -> str:
        """Return a formula on a line of its own."""
        return self._formula(body, "block") or super().block_math(body)

    def inline_math(self, body: str) -> str:
        """Return a formula within a line."""
        return self._formula(body, "inline") or super().inline_math(body)

    def _formula(self, body: str, display: str) -> str:
        try:
            return convert(body, display=display)
        except Exception:  # a learner's formula may be anything: then it's shown as it was written
            return ""


class OfflinePage(HTMLExporter):
    """A notebook as a page that needs no network."""

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        """Return Markdown as HTML."""
        attachments = context.get("cell", {}).get("attachments", {})
        path = context.get("resources", {}).get("metadata", {}).get("path", "")
        renderer = MathML(escape=False, attachments=attachments, embed_images=self.embed_images, path=path)
        return MarkdownWithMath(renderer=renderer).render(source)

    def from_notebook_node(self, nb: NotebookNode, resources: Any = None, **options: Any) -> tuple[str, Any]:
        """Return a notebook as HTML."""
        page, resources = super().from_notebook_node(nb, resources, **options)
        return ELSEWHERE.sub("", page), resources
