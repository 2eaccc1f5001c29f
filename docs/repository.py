"""The repository's address, and what follows from it: the site's, Binder's and Colab's addresses, and the badges.

The address stands in one place, pyproject.toml, as ``Repository`` in ``[project.urls]``. Until somebody sets it, every
function here returns None and no badge appears.

    python docs/repository.py badges      # write the badges into README.md, or take them out
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, urlsplit

import typer

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- begin: badges -->", "<!-- end: badges -->"
URLS = re.compile(r"^\[project\.urls\]\n(.*?)(?=^\[|\Z)", re.MULTILINE | re.DOTALL)
REPOSITORY = re.compile(r'^Repository\s*=\s*"([^"]+)"', re.MULTILINE)  # tomllib comes with Python 3.11 only
BRANCH = "main"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


def address(root: Path = ROOT) -> str | None:
    """Return the repository's address, such as https://github.com/OWNER/NAME; None where none is set.

    Raises ``ValueError`` for another one than of a repository on github.com, which Pages, Binder and Colab need.
    """
    table = URLS.search((root / "pyproject.toml").read_text(encoding="utf-8"))
    found = REPOSITORY.search(table[1]) if table else None
    if found is None:
        return None
    parts = urlsplit(found[1])
    if parts.scheme != "https" or parts.netloc != "github.com" or len(parts.path.strip("/").split("/")) != 2:
        raise ValueError(f"pyproject.toml: Repository is {found[1]!r}; write it as https://github.com/OWNER/NAME.")
    return found[1].rstrip("/").removesuffix(".git")


def slug(root: Path = ROOT) -> str | None:
    """Return OWNER/NAME; None where no address is set."""
    found = address(root)
    return found and urlsplit(found).path.strip("/")


def site(root: Path = ROOT) -> str | None:
    """Return the address at which GitHub Pages shows the site, with a slash at its end; None where none is set."""
    return pages(slug(root))


def pages(name: str | None) -> str | None:
    """Return the address at which GitHub Pages shows OWNER/NAME, with a slash at its end; None for none."""
    if not name:
        return None
    owner, project = name.split("/")
    return f"https://{owner.lower()}.github.io/" + (
        "" if project.lower() == f"{owner.lower()}.github.io" else f"{project}/"
    )


def binder(path: str | None = None, root: Path = ROOT) -> str | None:
    """Return the address that opens JupyterLab on Binder, at a file of the repository; None where none is set."""
    name = slug(root)
    return name and f"https://mybinder.org/v2/gh/{name}/{BRANCH}" + (f"?urlpath=lab/tree/{quote(path)}" if path else "")


def colab(path: str, root: Path = ROOT) -> str | None:
    """Return the address that opens a notebook of the repository in Colab; None where none is set."""
    name = slug(root)
    return name and f"https://colab.research.google.com/github/{name}/blob/{BRANCH}/{quote(path)}"


def badges(root: Path = ROOT) -> str:
    """Return links to the site, Binder and Colab as Markdown in one line; empty where no address is set.

    Plain links: badges drawn by another server would tell it who reads the page.
    """
    if address(root) is None:
        return ""
    return " · ".join([f"[Read the site]({site(root)})", *elsewhere(root)])


def elsewhere(root: Path = ROOT) -> list[str]:
    """Return links to Binder and Colab as Markdown; none where no address is set."""
    if address(root) is None:
        return []
    lesson = "00_start_here.ipynb"  # on Binder a copy without answers, which .binder/ makes
    places = {"Run on Binder": binder(f"my-course/{lesson}", root), "Run in Colab": colab(f"notebooks/{lesson}", root)}
    links = [f"[{words}]({where})" for words, where in places.items()]
    links[-1] += " (first: Edit, Clear all outputs)"  # there the file has all outputs, and so the answers
    return links


def with_badges(readme: str, root: Path = ROOT) -> str:
    """Return the README's text with the badges of today between its two marks; unchanged where it has no marks."""
    head, begin, rest = readme.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        return readme
    line = badges(root)
    return f"{head}{BEGIN}\n{line}\n{END}{tail}" if line else f"{head}{BEGIN}\n{END}{tail}"


@app.callback()
def main() -> None:
    """Write what follows from the repository's address."""


@app.command(name="badges")
def write_badges() -> None:
    """Write the badges into README.md, or take them out."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise SystemExit(f"README.md has no lines {BEGIN} and {END}. Put them where the badges shall be.")
    readme.write_text(with_badges(text), encoding="utf-8")


if __name__ == "__main__":
    app()
