"""Where others run the course: Dockerfile and .binder/, as far as a machine without Docker can tell.

What the Dockerfile copies and runs is copied and run here, in fresh folders that stand for those of the image.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it where Python doesn't

ROOT = Path(__file__).resolve().parents[1]
BINDER = ROOT / ".binder"
FOLDERS = ("/src", "/opt/course", "/course")  # of the image

linux = pytest.mark.skipif(sys.platform != "linux", reason="the image is one of Linux")


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions in order, with their words in one line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line.partition(" ") for line in text.splitlines() if line.strip()]
    return [(name, " ".join(words.split())) for name, _, words in lines]


def words(name: str) -> list[str]:
    """Return what each instruction of this name says."""
    return [said for instruction, said in instructions() if instruction == name]


def test_the_dockerfile_is_as_hadolint_wants_it() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint isn't made for this system")
    checked = subprocess.run([program, "--no-color", str(ROOT / "Dockerfile")], capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_image_runs_without_rights() -> None:
    names = [name for name, _ in instructions()]
    assert words("USER") == ["${NB_UID}"]
    assert "NB_UID=1000" in words("ARG")
    assert names.index("USER") < names.index("CMD")
    assert "--allow-root" not in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_holds_no_solutions() -> None:
    copied = [source for line in words("COPY") for source in line.split()[:-1]]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert {source for source in copied if source.startswith("exercises")} == {"exercises/release"}


# --- Its commands, in fresh folders ---


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders in which the Dockerfile's COPY and RUN have been carried out; users are left as they are."""
    root = tmp_path_factory.mktemp("image")
    for line in words("COPY"):
        *sources, target = line.split()
        for source in sources:
            to = root / target.strip("/") / (Path(source).name if target.endswith("/") else "")
            to.parent.mkdir(parents=True, exist_ok=True)
            ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "node_modules")
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, to, ignore=ignored)
            else:
                shutil.copy(ROOT / source, to)
    (root / "course").mkdir()
    for line in words("RUN"):
        if "useradd" not in line:
            done = run(root, inside(root, line))
            assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
            see_packages(root / "opt" / "course")
    return root


def inside(root: Path, command: str) -> str:
    """Return a command with the image's folders replaced by those that stand for them."""
    command = command.replace("0.0.0.0", "127.0.0.1")
    return re.sub(rf"(?<![\w.])({'|'.join(FOLDERS)})(?=[/\s'\[]|$)", rf"{root}\1", command)


def environment(root: Path) -> dict[str, str]:
    """Return the image's environment, where pip finds what it would fetch: see ``see_packages``."""
    env = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    path = f"{root}/opt/course/bin{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    # Nothing is fetched, nothing outside is taken away, and the package is built with what is here (0: no isolation).
    pip = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_IGNORE_INSTALLED": "1", "PIP_NO_BUILD_ISOLATION": "0"}
    return env | pip | {"PATH": path, "HOME": str(root), "PYTHONPATH": str(tools(root))}


def tools(root: Path) -> Path:
    """Return a folder with this environment's setuptools alone, which is newer than the one that venv brings."""
    import setuptools

    folder, packages = root / "tools", Path(setuptools.__file__).parents[1]
    if not folder.exists():
        folder.mkdir()
        for found in [*packages.glob("setuptools*"), *packages.glob("_distutils_hack")]:
            (folder / found.name).symlink_to(found)
    return folder


def run(root: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell's line in the image's environment."""
    shell = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(
        shell, cwd=root / "course", env=environment(root), capture_output=True, text=True, timeout=300
    )


def see_packages(folder: Path) -> None:
    """Let an environment's Python see the packages that are installed here, but not this checkout."""
    theirs = {str(Path(p).resolve()) for p in sys.path if Path(p).name in ("site-packages", "dist-packages")}
    for packages in (folder / "lib").glob("python*/site-packages"):
        (packages / "shared.pth").write_text("\n".join(sorted(theirs)) + "\n", encoding="utf-8")


@pytest.fixture
def served(image: Path) -> Iterator[tuple[int, str]]:
    """The port at which the Dockerfile's CMD serves, and what its health check says there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (command,) = (json.loads(line) for line in words("CMD"))
    command = [str(port) if word == "8888" else word for word in command]
    env = environment(image) | {"JUPYTER_TOKEN": "token"}
    program = shutil.which(command[0], path=env["PATH"])
    assert program == f"{image}/opt/course/bin/posgrad-edu"
    with subprocess.Popen([program, *command[1:]], cwd=image / "course", env=env, stderr=subprocess.PIPE) as server:
        try:
            (check,) = words("HEALTHCHECK")
            check_command = json.loads(check.partition(" CMD ")[2].replace("8888", str(port)))
            for _ in range(60):
                seen = subprocess.run([sys.executable, *check_command[1:]], capture_output=True, text=True)
                if seen.returncode == 0:
                    break
                time.sleep(0.5)
            assert seen.returncode == 0, seen.stderr
            yield port, seen.stderr
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.stderr is not None
            server.stderr.read()


@linux
@pytest.mark.slow
def test_the_image_s_commands_make_a_course_and_serve_it(image: Path, served: tuple[int, str]) -> None:
    course = image / "course"
    assert (course / "my-course" / "00_start_here.ipynb").is_file()
    assert not list(course.rglob("source"))
    with urlopen(f"http://127.0.0.1:{served[0]}/api/contents/my-course?token=token", timeout=10) as answer:
        names = {entry["name"] for entry in json.load(answer)["content"]}
    lessons = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert lessons <= names
    done = run(
        image, "posgrad-edu exercise 02 --copy-only && python -c 'import posgrad_edu; print(posgrad_edu.__file__)'"
    )
    assert done.stdout.splitlines() == [
        "Your copy: exercises/mine/02_gradcam/02_gradcam.ipynb",
        *(str(path) for path in (image / "opt/course/lib").glob("python*/site-packages/posgrad_edu/__init__.py")),
    ]


# --- Binder ---


def bounds(requirements: list[str]) -> dict[str, str]:
    """Return each package's bounds."""
    found = (re.fullmatch(r"([\w-]+)((?:>=|=).+)", requirement) for requirement in requirements)
    return {match[1]: match[2] for match in found if match}


def test_binder_gets_the_learners_packages_alone() -> None:
    conda = yaml.safe_load((BINDER / "environment.yml").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert conda["channels"] == ["conda-forge", "nodefaults"]
    named = bounds(conda["dependencies"])
    assert set(named) == {"python", "pytorch-cpu", "torchvision"}
    ours = bounds(project["dependencies"])
    assert (named["pytorch-cpu"], named["torchvision"]) == (ours["torch"], ours["torchvision"])
    assert "-e '.[notebooks]'" in (BINDER / "postBuild").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["postBuild", "start"])
@pytest.mark.skipif(sys.platform == "win32", reason="Binder's scripts are for bash")
def test_binder_s_scripts_are_scripts(name: str) -> None:
    script = BINDER / name
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True).returncode == 0


@linux
def test_binder_s_start_hands_over_to_jupyter() -> None:
    done = subprocess.run(
        [str(BINDER / "start"), "bash", "-c", "echo $OMP_NUM_THREADS $0", "lab"], capture_output=True, text=True
    )
    assert done.stdout == "1 lab\n"


@linux
@pytest.mark.slow
def test_binder_s_commands_work_in_a_fresh_clone(image: Path, tmp_path: Path) -> None:
    """In a copy of what the image gets, which is what a clone has, and an environment without the package."""
    clone, env_folder = tmp_path / "clone", tmp_path / "env"
    shutil.copytree(image / "src", clone, ignore=shutil.ignore_patterns("build", "*.egg-info"))
    subprocess.run([sys.executable, "-m", "venv", str(env_folder)], check=True, timeout=120)
    see_packages(env_folder)
    env = environment(image) | {"PATH": f"{env_folder}/bin{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([str(BINDER / "postBuild")], cwd=clone, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("Your copy: my-course/00_start_here.ipynb\n")
    assert (clone / "my-course" / "21_which_map_on_monday.ipynb").is_file()
