"""Sphinx's settings for the course as web pages. ``make_site.py`` lays out the sources and calls Sphinx."""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]
sys.path.append(str(HERE.parent))

import repository  # noqa: E402

import posgrad_edu  # noqa: E402

project = "posgrad_edu"
author = "the posgrad_edu contributors"
project_copyright = "the posgrad_edu contributors, MIT licence"
release = version = posgrad_edu.__version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_sitemap",
    "sphinxcontrib.bibtex",
    "extension",
]
exclude_patterns = ["_build", "**/.ipynb_checkpoints"]
suppress_warnings = ["mystnb.unknown_mime_type"]
nitpicky = True
# What other packages define has no page here. Everything of posgrad_edu must be found.
nitpick_ignore_regex = [(r"py:.*", r"(?!posgrad_edu).*")]

# Notebooks are shown as they were stored; nothing runs here, and no widget's script is fetched.
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_display_short_literal_types = True

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "plain"

html_theme = "furo"
html_title = "posgrad_edu"
html_favicon = "static/favicon.svg"
html_css_files = ["site.css"]
html_js_files = [("site.js", {"priority": 100}), ("questions.js", {"defer": "defer"}), ("lab.js", {"defer": "defer"})]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
pygments_style, pygments_dark_style = "a11y-high-contrast-light", "a11y-high-contrast-dark"
html_theme_options = {"navigation_with_keys": False, "top_of_page_buttons": []}
# A sitemap holds whole addresses. Until the repository's is set, it's the one that a hosted build belongs to
# (GITHUB_REPOSITORY), and on a computer of one's own the one that `posgrad-edu site` serves at.
html_baseurl = repository.site() or repository.pages(os.environ.get("GITHUB_REPOSITORY")) or "http://localhost:8000/"
sitemap_url_scheme = "{link}"
sitemap_excludes = ["search.html", "genindex.html", "py-modindex.html", "404.html"]

# MathJax lies in a package from PyPI; make_site.py copies it here. Formulas are drawn without a network.
mathjax_path = "mathjax/tex-chtml.js"
mathjax3_config = {"options": {"enableMenu": False}}

lab_megabytes = int(os.environ.get("POSGRAD_EDU_SITE_LAB") or 0)  # what it loads; 0: there is none
