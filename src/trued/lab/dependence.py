"""What a result depends on: the modules under test, and a hash of what their code computes.

Knows source files and Python's syntax trees. Knows nothing of evidence, and imports no module that it looks at.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from trued.errors import InputError

_ROOT = Path(__file__).parents[1]
_NOT_METHODS = ("trued.lab", "trued.papers", "trued.errors", "trued.files", "trued.cli")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def methods_of(module: str) -> tuple[str, ...]:
    """Return an experiment's module and the modules of method code that its file imports, sorted.

    They are read from the text of the file, lazy imports within functions included; nothing is imported.
    """
    found = {module}
    for node in ast.walk(ast.parse(_source(module).read_bytes())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.add(inner if _in_package(inner) else node.module)
    methods = {name for name in found if _in_package(name) and not name.startswith(_NOT_METHODS)}
    return tuple(sorted(methods | {module}))


def digest(modules: Iterable[str]) -> str:
    """Return the SHA-256 of the modules' names and code: of what they compute, and not of how that is written down.

    Layout, comments, docstrings, and the place from which a name is imported leave it as it is, and so does the
    version of Python that reads the files. Everything else, a default value for one, changes it.

    Raises:
        InputError: a module has no source file.
    """
    total = hashlib.sha256()
    for name in sorted(modules):
        total.update(f"{name}\0".encode())
        for part in _parts(ast.parse(_source(name).read_bytes())):
            total.update(f"{part}\0".encode())
    return total.hexdigest()


def _parts(node: ast.AST) -> Iterator[str]:
    """The tree in words. `ast.dump` will not do: what it leaves out differs between versions of Python."""
    yield type(node).__name__
    for name, value in ast.iter_fields(node):
        if value is None or value == [] or name in ("ctx", "kind", "type_comment"):
            continue
        if isinstance(node, ast.ImportFrom) and name in ("module", "level"):
            continue
        if name == "body" and isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            value = value[1:]
        yield name
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.AST):
                yield from _parts(item)
            else:
                yield repr(item)
    yield "."


def _in_package(name: str) -> bool:
    return name.startswith("trued.") and _file(name) is not None


def _file(name: str) -> Path | None:
    """Return the file of a module of this package. No module is imported for it: a package's own would be heavy."""
    path = _ROOT.joinpath(*name.split(".")[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def _source(name: str) -> Path:
    if name.startswith("trued."):
        file = _file(name)
    else:
        loaded = getattr(sys.modules.get(name), "__file__", None)
        spec = None if loaded else importlib.util.find_spec(name)
        origin = loaded or (spec.origin if spec else None)
        file = Path(origin) if origin else None
    if file is None or not file.is_file():
        raise InputError(f"module {name} has no source file; name the modules under test in @experiment(methods=...)")
    return file
