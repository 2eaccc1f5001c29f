"""What the site is made of, without making it: the repository's address, docstrings, papers, and lessons' outputs."""

from __future__ import annotations

import json
import re
import runpy
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "site"


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The site's scripts import one another, and docs/lessons.py."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    monkeypatch.syspath_prepend(str(SITE))


@pytest.fixture
def script() -> SimpleNamespace:
    """docs/repository.py."""
    return SimpleNamespace(**runpy.run_path(str(ROOT / "docs" / "repository.py")))


# --- The repository's address stands in one place ---

UNSET = '[project]\nname = "x"\n\n[project.urls]\n# Repository = "https://github.com/OWNER/NAME"\n\n[tool.x]\n'
README = "# posgrad_edu\n\n<!-- begin: badges -->\n<!-- end: badges -->\n\nA map.\n"


def project(folder: Path, address: str) -> Path:
    """Write a pyproject.toml that names a repository; return its folder."""
    text = UNSET.replace('# Repository = "https://github.com/OWNER/NAME"', f'Repository = "{address}"')
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_before_it_is_set_nothing_appears(script: SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(UNSET, encoding="utf-8")
    assert [f(tmp_path) for f in (script.address, script.slug, script.site)] == [None] * 3
    assert script.binder(root=tmp_path) is None
    assert script.colab("notebooks/00.ipynb", root=tmp_path) is None
    assert script.badges(tmp_path) == ""
    assert script.with_badges(README, tmp_path) == README


@pytest.mark.parametrize(
    "written", ["https://github.com/Ada/maps", "https://github.com/Ada/maps.git", "https://github.com/Ada/maps/"]
)
def test_once_it_is_set_the_badges_appear(written: str, script: SimpleNamespace, tmp_path: Path) -> None:
    root = project(tmp_path, written)
    assert script.address(root) == "https://github.com/Ada/maps"
    assert script.site(root) == "https://ada.github.io/maps/"
    lesson = "notebooks/00_start_here.ipynb"
    assert script.binder(lesson, root) == f"https://mybinder.org/v2/gh/Ada/maps/main?urlpath=lab/tree/{lesson}"
    assert script.colab(lesson, root) == f"https://colab.research.google.com/github/Ada/maps/blob/main/{lesson}"
    text = script.with_badges(README, root)
    assert text.count("](https://") == 3
    assert "[Read the site](https://ada.github.io/maps/)" in text
    assert script.with_badges(text, root) == text


def test_they_go_again(script: SimpleNamespace, tmp_path: Path) -> None:
    text = script.with_badges(README, project(tmp_path, "https://github.com/Ada/maps"))
    (tmp_path / "pyproject.toml").write_text(UNSET, encoding="utf-8")
    assert script.with_badges(text, tmp_path) == README


def test_a_users_own_page_has_no_folder(script: SimpleNamespace, tmp_path: Path) -> None:
    assert script.site(project(tmp_path, "https://github.com/Ada/ada.github.io")) == "https://ada.github.io/"


@pytest.mark.parametrize("written", ["http://github.com/a/b", "https://example.org/a/b", "https://github.com/a"])
def test_an_address_that_is_none(written: str, script: SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"write it as https://github\.com/OWNER/NAME"):
        script.address(project(tmp_path, written))


def test_a_hosted_build_knows_its_own_address(script: SimpleNamespace) -> None:
    assert script.pages("Ada/maps") == "https://ada.github.io/maps/"
    assert script.pages(None) is None
    assert 'repository.pages(os.environ.get("GITHUB_REPOSITORY"))' in (SITE / "conf.py").read_text(encoding="utf-8")


def test_the_hosted_build_is_make_site_alone() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "site.yml").read_text(encoding="utf-8"))
    assert [step["run"] for step in workflow["jobs"]["build"]["steps"] if "run" in step] == ["make site"]


def test_the_readme_has_the_badges_of_today(script: SimpleNamespace) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert script.with_badges(readme) == readme, "python docs/repository.py badges"


def test_no_other_file_names_the_repository(script: SimpleNamespace) -> None:
    """The site's scripts ask docs/repository.py."""
    for path in SITE.rglob("*"):
        if path.suffix in (".py", ".md", ".js", ".css"):
            assert "github.com" not in path.read_text(encoding="utf-8"), path


# --- Papers ---


def test_the_bibliography_has_every_paper_that_is_named() -> None:
    texts = [
        *ROOT.glob("posgrad_edu/**/*.py"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("notebooks/*.ipynb"),
        ROOT / "README.md",
    ]
    named = {n for path in texts for n in re.findall(r"arXiv:(\d{4}\.\d{4,5})", path.read_text(encoding="utf-8"))}
    listed = re.findall(r"eprint = \{(.*?)\}", (SITE / "references.bib").read_text(encoding="utf-8"))
    assert named <= set(listed)
    assert len(listed) == len(set(listed))


# --- Docstrings ---


def test_a_docstring_of_each_kind() -> None:
    import docstrings

    text = """Return a map_ of |x|, as *h* says, where a * b * c > 0.

The map is

    M = h(G) * A

    S = 1

limit: the magnitude of full colour, such as
    ``0.3``; None: its own.
share, other: one scale.

Example:
    >>> explain(net, x)

References:
    Bach et al. PLoS ONE 2015, sec. "Layer-wise
        relevance propagation".
    Cho, Saul. NIPS 2009.
"""
    assert docstrings.as_rest(text).split("\n") == [
        r"Return a map\_ of \|x\|, as *h* says, where a \* b \* c > 0.",
        *("", "The map is", "", "::", "", "    M = h(G) * A", "", "    S = 1", ""),
        *(
            "* ``limit``: the magnitude of full colour, such as",
            "  ``0.3``; None: its own.",
            "* ``share, other``: one scale.",
        ),
        *("", "", ".. rubric:: Example", "", ">>> explain(net, x)", "", "", ".. rubric:: References", ""),
        *(
            '* Bach et al. PLoS ONE 2015, sec. "Layer-wise',
            '  relevance propagation".',
            "* Cho, Saul. NIPS 2009.",
            "",
            "",
        ),
    ]


def test_names_that_texts_use() -> None:
    import api

    assert api.full_name("pg.explain") == "posgrad_edu.methods.sharing.explain"
    assert api.full_name("posgrad_edu.viz") == "posgrad_edu.viz"
    assert api.full_name("find_layer", "posgrad_edu.engine.cam_layer") == "posgrad_edu.engine.cam_layer.find_layer"
    assert api.full_name("net") == "net"


# --- Lessons ---

LESSONS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_a_lessons_page_needs_no_kernel(path: Path) -> None:
    import lesson_pages

    before = json.loads(path.read_text(encoding="utf-8"))
    after = json.loads(lesson_pages.lesson(path, has_lab=True))
    outputs = [o for cell in after["cells"] for o in cell.get("outputs", [])]
    assert "widget-view" not in json.dumps(after)
    asked = [o for o in outputs if 'class="question"' in "".join(o.get("data", {}).get("text/html", ""))]
    source = "".join("".join(cell["source"]) for cell in before["cells"] if cell["cell_type"] == "code")
    assert len(asked) == source.count("= Predict(")
    pictures = [len(re.findall('"image/(?:png|jpeg)"', json.dumps(book))) for book in (before, after)]
    assert pictures[0] == pictures[1]


def test_without_the_lab_no_page_leads_to_it() -> None:
    import lesson_pages

    for path in LESSONS:
        assert b"lab/index.html" not in lesson_pages.lesson(path, has_lab=False)
        number = path.stem[:2]
        wanted = sum(key[0] == number for key in lesson_pages.IN_THE_LAB)
        assert lesson_pages.lesson(path, has_lab=True).count(b"<details class") == wanted


def test_the_states_of_the_lab_name_what_there_is() -> None:
    """Photos, methods and handlings are the package's, and classes are words that the default network knows."""
    import lesson_pages

    import posgrad_edu as pg

    labels = set(pg.load_classifier().labels)
    for state in lesson_pages.IN_THE_LAB.values():
        assert state["photo"] in pg.photo_names()
        assert {state["a"], state["b"]} <= labels
        assert state["method"] in pg.METHODS
        assert state["handling"] in pg.HANDLINGS


def test_a_new_page_is_never_lost() -> None:
    """A page that no list names stands in the last one."""
    import make_site

    made = {Path("index.md"): b"lessons\n<!-- the rest -->\n", Path("lessons.md"): b"", Path("docs/new.md"): b"# New"}
    assert make_site.first_page(made) == b"lessons\ndocs/new\n"


def test_the_menu_shows_teachers_what_is_theirs() -> None:
    text = (SITE / "pages" / "index.md").read_text(encoding="utf-8")
    shown = text.partition(":caption: For teachers\n")[2].partition("```")[0].split()
    assert {f"docs/{name}" for name in ("instructors", "syllabus", "rubrics", "jupyterhub", "minutes_form")} <= set(
        shown
    )
    workshops = {p.relative_to(ROOT).with_suffix("").as_posix() for p in ROOT.glob("notebooks/workshops/*.ipynb")}
    assert workshops <= set(shown)
    assert [name for name in shown if not list(ROOT.glob(f"{name}.*"))] == []


def test_the_labs_size_is_what_it_loads_at_first(tmp_path: Path) -> None:
    import make_site

    sizes = {"index.html": 1_000, "model/weights.bin": 2_000_000, "page/ort/ort.wasm": 1_500_000}
    later = ("photos/cat.png", "model/random/01.bin", "model/graphs/lrp.onnx", "page/ort/ort.webgpu.js")
    for name, size in (sizes | dict.fromkeys(later, 9_000_000)).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    assert make_site.megabytes(tmp_path) == 4


def test_the_first_page_leads_to_binder_once_it_can(tmp_path: Path) -> None:
    import make_site

    made = {Path("index.md"): b"Run it.\n\n<!-- places -->\n\nMore.\n"}
    (tmp_path / "pyproject.toml").write_text(UNSET, encoding="utf-8")
    assert make_site.first_page(made, tmp_path) == b"Run it.\n\nMore.\n"
    text = make_site.first_page(made, project(tmp_path, "https://github.com/Ada/maps")).decode()
    assert "[Run on Binder](https://mybinder.org/v2/gh/Ada/maps/" in text
    assert "[Run in Colab](https://colab.research.google.com/github/Ada/maps/" in text
    assert "(first: Edit, Clear all outputs)" in text  # Colab opens lessons with their answers
    assert "[the repository](https://github.com/Ada/maps)" in text


def test_nothing_is_written_twice(tmp_path: Path) -> None:
    import make_site

    make_site.write(tmp_path / "a" / "b.md", b"one")
    before = (tmp_path / "a" / "b.md").stat().st_mtime_ns
    make_site.write(tmp_path / "a" / "b.md", b"one")
    assert (tmp_path / "a" / "b.md").stat().st_mtime_ns == before
    make_site.write(tmp_path / "a" / "b.md", b"two")
    assert (tmp_path / "a" / "b.md").read_bytes() == b"two"


def test_the_scripts_are_modules_of_their_own() -> None:
    """None in a folder that tests search is named like an installed package, or one would hide the other."""
    searched = (SITE, ROOT / "docs", ROOT / "docs" / "lab", ROOT / "exercises", ROOT / "tests")
    names = {path.stem for folder in searched for path in folder.glob("*.py")}
    assert not names & (set(sys.stdlib_module_names) | set(packages_distributions()))
