"""The reference: a page for each module, made from its docstrings."""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import docstrings

PACKAGE = "posgrad_edu"


def modules() -> list[str]:
    """Return the names of the package's modules, without those that are run as programs."""
    package = importlib.import_module(PACKAGE)
    found = [m.name for m in pkgutil.walk_packages(package.__path__, f"{PACKAGE}.")]
    return [name for name in found if not name.endswith("__main__")]


def pages() -> Iterable[tuple[Path, bytes]]:
    """Yield the reference's pages."""
    names = modules()
    for name in names:
        inner = [n for n in names if n.startswith(f"{name}.") and n.count(".") == name.count(".") + 1]
        yield Path("api", f"{name}.rst"), module_page(name, inner).encode()
    rooms = [n for n in names if n.count(".") == 1]
    yield Path("api", "index.rst"), index(rooms).encode()


def module_page(name: str, inner: list[str]) -> str:
    """Return a module's page; a package's lists its modules."""
    head = heading(name.removeprefix(f"{PACKAGE}."))
    if not inner:
        return f"{head}\n.. automodule:: {name}\n"
    return f"{head}\n.. automodule:: {name}\n   :no-members:\n\n{listed(inner)}\n{toctree(inner)}"


def index(rooms: list[str]) -> str:
    """Return the reference's first page: what ``import posgrad_edu as pg`` gives, then the modules."""
    text = f"{heading('Reference')}\nWhat ``import posgrad_edu as pg`` gives:\n\n"
    for name in public():
        full = full_name(f"pg.{name}")
        text += f"* :py:obj:`pg.{name} <{full}>`: {summary(f'{PACKAGE}.{name}')}\n"
    return f"{text}\nThe modules:\n\n{listed(rooms)}\n{toctree(rooms)}"


def public() -> list[str]:
    """Return the public names that aren't modules or constants."""
    package = importlib.import_module(PACKAGE)
    made = {name: getattr(package, name) for name in package.__all__}
    return [name for name, value in made.items() if inspect.isfunction(value) or inspect.isclass(value)]


def heading(text: str) -> str:
    """Return a heading."""
    return f"{text}\n{'=' * len(text)}\n"


def listed(names: Iterable[str]) -> str:
    """Return a list of modules with the first sentence on each."""
    return "".join(f"* :py:mod:`{n.removeprefix(PACKAGE + '.')} <{n}>`: {summary(n)}\n" for n in names)


def toctree(names: Iterable[str]) -> str:
    """Return the hidden list that gives pages their place in the menu."""
    entries = "".join(f"   {n.removeprefix(PACKAGE + '.').rpartition('.')[2]} <{n}>\n" for n in names)
    return f"\n.. toctree::\n   :hidden:\n\n{entries}"


def summary(name: str) -> str:
    """Return the first sentence of an object's docstring, in one line."""
    first = (inspect.getdoc(thing(name)) or "").partition("\n\n")[0]
    return docstrings.escaped(" ".join(first.split()))


def thing(name: str) -> Any:
    """Return what a full name stands for."""
    try:
        return importlib.import_module(name)
    except ImportError:
        module, _, last = name.rpartition(".")
        return getattr(thing(module), last)


@functools.cache
def full_name(name: str, room: str = "") -> str:
    """Return the name under which the reference has something: pg.explain is posgrad_edu.methods.sharing.explain.

    room: the module whose page a bare name stands on. A name that stands for nothing is returned as it is.
    """
    tries = [f"{PACKAGE}.{name[3:]}"] if name.startswith("pg.") else [name] if name.startswith(f"{PACKAGE}.") else []
    tries += [f"{base}.{name}" for base in (room, PACKAGE) if room and "." not in name]
    for full in tries:
        try:
            value = thing(full)
        except (AttributeError, ImportError, ValueError):
            continue
        if inspect.ismodule(value):
            return value.__name__
        if inspect.isfunction(value) or inspect.isclass(value):
            return f"{value.__module__}.{value.__qualname__}"
        return full
    return name
