"""Make the course's web pages: lay out their sources, call Sphinx, and put the browser lab beside them.

    python docs/site/make_site.py               # build/site
    python docs/site/make_site.py --out FOLDER

The sources keep the places that they have in the repository, so that their links hold: docs/, notebooks/, exercises/,
README.md. Beside them come the pages of docs/site/pages/, and a page for each module. Needs no network.
"""

from __future__ import annotations

import importlib.metadata
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT / "docs"), str(ROOT)]

import api  # noqa: E402
import lesson_pages  # noqa: E402
import puzzle  # noqa: E402
import repository  # noqa: E402

# What readers get, by patterns from the repository's root.
TEXTS = (
    "docs/*.md",
    "docs/*.gift",
    "docs/*.csv",
    "exercises/README.md",
    *(f"{n}.md" for n in ("README", "CHANGELOG", "CONTRIBUTING")),
)
FILES = ("LICENSE", "CITATION.cff", "pyproject.toml", ".pre-commit-config.yaml", "tests/mutants.toml")
PICTURES = (
    "docs/*.png",
    "docs/*.jpg",
    "docs/*.gif",
    "docs/*.svg",
    "docs/*.webp",
    "docs/figures/*",
    "notebooks/drawings/*.svg",
    "exercises/release/*/*.jpg",
    "exercises/release/*/*.png",
)
LESSONS = ("notebooks/**/*.ipynb",)
EXERCISES = ("exercises/release/*/*.ipynb",)
REST = "<!-- the rest -->"  # in pages/index.md: pages that no list names
PLACES = "<!-- places -->\n\n"  # there, too: where the course runs without an install, once the repository is known

MARKER = ".posgrad-edu-site"  # a file that says who made the pages: posgrad_edu/cli/site.py looks for it
LAB = ROOT / "build" / "lab"
# What the lab loads only when somebody asks for it: one photo and one graph at a time, all else by a switch.
ON_DEMAND = ("photos/*", "model/graphs/*", "model/random/*", "page/ort/*webgpu*", "page/ort/*asyncify*")
SITE, SOURCES = ROOT / "build" / "site", ROOT / "build" / "site-sources"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(help=__doc__)
def build(
    out: Annotated[Path, typer.Option(help="The folder for the pages.")] = SITE,
    sources: Annotated[Path, typer.Option(help="The folder for what Sphinx reads.")] = SOURCES,
    lab: Annotated[Path, typer.Option(help="The built browser lab; left out where there is none.")] = LAB,
    jobs: Annotated[int, typer.Option(help="Processes. Two take 65 seconds of processor time, one takes 40.")] = 1,
) -> None:
    """Lay out the sources and make the pages. Exit code: Sphinx's, which is 1 after a warning."""
    start = time.perf_counter()
    has_lab = (lab / "index.html").is_file()
    lay_out(sources, has_lab)
    code = run_sphinx(sources, out, megabytes(lab) if has_lab else 0, jobs)
    mend(out)
    for path in found("docs/first_look.*"):  # README shows it by HTML, which Sphinx leaves as it is
        write(out / path, (ROOT / path).read_bytes())
    if has_lab:
        shutil.rmtree(out / "lab", ignore_errors=True)
        shutil.copytree(lab, out / "lab")
    elif not code:
        print("There is no browser lab in build/lab, so the site shows figures in its place. make lab-page builds it.")
    if not code:
        (out / MARKER).write_text("Made by docs/site/make_site.py\n", encoding="utf-8")
        print(f"{out}: {len(list(out.rglob('*.html')))} pages in {time.perf_counter() - start:.0f} s")
    raise typer.Exit(code)


def lay_out(to: Path, has_lab: bool) -> None:
    """Write what Sphinx reads into a folder. Files that stay the same keep their time, so that Sphinx skips them."""
    made = dict(files(has_lab))
    made |= {Path("index.md"): first_page(made)}
    for name, content in made.items():
        write(to / name, content)
    for old in to.rglob("*"):
        if old.is_file() and old.relative_to(to) not in made and "_build" not in old.parts:
            old.unlink()


def files(has_lab: bool) -> Iterable[tuple[Path, bytes]]:
    """Yield each source of the site: its place and what it holds."""
    for path in found(*TEXTS, *FILES, *PICTURES):
        yield path, (ROOT / path).read_bytes()
    for path in found(*LESSONS):
        yield path, lesson_pages.lesson(ROOT / path, has_lab)
    for path in found(*EXERCISES):
        yield path, lesson_pages.exercise(ROOT / path)
    for folder, place in (("pages", "."), ("static", "_static"), ("templates", "_templates")):
        for path in sorted((HERE / folder).rglob("*")):
            if path.is_file():
                yield Path(place) / path.relative_to(HERE / folder), path.read_bytes()
    yield Path("references.bib"), (HERE / "references.bib").read_bytes()
    yield Path("lessons.md"), lesson_pages.lessons_page([ROOT / p for p in found("notebooks/*.ipynb")])
    yield Path("exercises.md"), lesson_pages.exercises_page([ROOT / p for p in found(*EXERCISES)])
    yield from api.pages()
    yield from puzzle.pictures()
    yield from mathjax()


def found(*patterns: str) -> list[Path]:
    """Return the repository's files of some patterns, in order, without copies that Jupyter makes."""
    paths = [p.relative_to(ROOT) for pattern in patterns for p in sorted(ROOT.glob(pattern)) if p.is_file()]
    return [p for p in paths if ".ipynb_checkpoints" not in p.parts]


def mathjax() -> Iterable[tuple[Path, bytes]]:
    """Yield the files of MathJax that formulas need: the script and its fonts."""
    for entry in importlib.metadata.files("sphinx-mathjax-offline") or []:
        place = entry.as_posix().partition("/static/mathjax/")[2]
        if place == "tex-chtml.js" or place.startswith("output/chtml/fonts/"):
            yield Path("_static", "mathjax", place), Path(str(entry.locate())).read_bytes()


def first_page(made: dict[Path, bytes], root: Path = ROOT) -> bytes:
    """Return the first page, whose last list names the pages that no other list does: a new page is never lost."""
    places = repository.elsewhere(root)
    said = f"Without an install: {' · '.join([*places, f'[the repository]({repository.address(root)})'])}\n\n"
    text = made[Path("index.md")].decode().replace(PLACES, said if places else "")
    listed = {
        line.strip() for name, page in made.items() if name.suffix == ".md" for line in page.decode().splitlines()
    }
    pages = [p for p in made if p.suffix in (".md", ".ipynb", ".rst") and p.name != "index.md" and p.parts[0] != "api"]
    rest = [p.with_suffix("").as_posix() for p in pages]
    listed |= {"README"}
    return text.replace(REST, "\n".join(name for name in rest if name not in listed)).encode()


def write(path: Path, content: bytes) -> None:
    """Write a file, unless it holds just this."""
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


# What screen readers miss in what Sphinx and the theme write, and what they should find there.
MENDED = {
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="All pages">',
    '<aside class="toc-drawer': '<aside aria-label="This page" class="toc-drawer',
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<th class="head"><p></p></th>': '<td class="head"></td>',  # a column without a name
}


def mend(out: Path) -> None:
    """Say in the pages what their parts are, for those who hear them."""
    for path in out.rglob("*.html"):
        text = before = path.read_text(encoding="utf-8")
        for wrong, right in MENDED.items():
            text = text.replace(wrong, right)
        if text != before:
            path.write_text(text, encoding="utf-8")


def megabytes(lab: Path) -> int:
    """Return how much the lab loads before its first map, in MB (rounded up): all but what it loads on demand."""
    later = {path for pattern in ON_DEMAND for path in lab.glob(pattern)}
    return math.ceil(sum(p.stat().st_size for p in lab.rglob("*") if p.is_file() and p not in later) / 1e6)


def run_sphinx(sources: Path, out: Path, lab_megabytes: int, jobs: int) -> int:
    """Make the pages, with each warning an error; return Sphinx's exit code. lab_megabytes: 0 where there is no lab."""
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-b",
        "html",
        "-c",
        str(HERE),
        "-d",
        str(sources / "_build"),
        "-W",
        "--keep-going",
    ]
    command += ["-D", f"html_static_path={sources / '_static'}", "-D", f"templates_path={sources / '_templates'}"]
    command += ["-n", "-q", "-j", str(jobs), str(sources), str(out)]
    env = os.environ | {"OMP_NUM_THREADS": "1", "POSGRAD_EDU_SITE_LAB": str(lab_megabytes)}
    return subprocess.run(command, env=env, cwd=ROOT).returncode


if __name__ == "__main__":
    app()
