"""What a result rests on: the code that an experiment imports, directly or not, and a hash of what it computes.

The code is found, not listed: `closure` follows every import within trued from the experiment's own file on, those
inside functions included, and leaves `ENGINE` out. Imports for type checking compute nothing and do not count. What a
package's face exports, in its `__init__.py` or in the stub `__init__.pyi` of a lazy one, leads to the module that
defines it.

Data files count too. A module that looks for files beside itself (it names `__file__` or `importlib.resources`) rests
on every data file in its own folder, and on each data file or folder of them that its text names, in its own folder or
in one above it.

Knows source files and Python's syntax trees, and imports no module that it looks at. Knows nothing of evidence.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeGuard

from trued.errors import InputError

ENGINE = (
    "trued.data.messages",
    "trued.data.rows",
    "trued.database",
    "trued.errors",
    "trued.feed",
    "trued.fetch",
    "trued.files",
    "trued.lab",
    "trued.language.engine.abilities",
    "trued.language.engine.attention",
    "trued.language.engine.causal",
    "trued.language.engine.decoders",
    "trued.language.engine.embedded",
    "trued.language.engine.forward",
    "trued.language.engine.fused",
    "trued.language.engine.generation",
    "trued.language.engine.gguf",
    "trued.language.engine.head",
    "trued.language.engine.loading",
    "trued.language.engine.lora",
    "trued.language.engine.masks",
    "trued.language.engine.model",
    "trued.language.engine.prefix",
    "trued.language.engine.scoring",
    "trued.language.engine.sources",
    "trued.language.engine.template",
    "trued.language.engine.traits",
    "trued.papers",
)
"""Modules and packages, each with all that lies below it, whose edits make no evidence stale.

They cannot change a measured number, or tests compare what they compute with an independent computation.
"""

ROOT = Path(__file__).parents[1]
_PACKAGE = "trued"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_NO_DATA = {".py", ".pyi", ".pyc", ".typed"}


@dataclass(frozen=True)
class Closure:
    """The code and data that a module rests on.

    Attributes:
        modules: dotted names, sorted; the module itself is one of them.
        digest: the SHA-256 of what the modules compute and of the data files' bytes.
    """

    modules: tuple[str, ...]
    digest: str


def closure(module: str, root: Path | None = None) -> Closure:
    """Return what `module` rests on, itself included and `ENGINE` left out.

    The digest holds no module's name, no file's, and no order among them. So moving or renaming a file leaves it as it
    is, and so do layout, comments, docstrings, a package's face, where a name is imported and from which module, and
    the version of Python that reads the files. Everything else, a default value for one, changes it.

    Args:
        module: a dotted name. It may lie outside trued, but only trued's modules are followed.
        root: the folder of the package trued; the one that runs if None.

    Raises:
        InputError: the module has no source file, or a file is not Python.
    """
    package = _Package(root or ROOT)
    modules = package.reached(module)
    code = {package.digest(name) for name in modules if not package.file(name).is_face}
    data = {hashlib.sha256(file.read_bytes()).digest() for name in modules for file in package.data(name)}
    total = hashlib.sha256()
    for kind, hashes in ((b"code", code), (b"data", data)):
        for part in sorted(hashes):
            total.update(kind + part)
    return Closure(tuple(sorted(modules)), total.hexdigest())


def digest_of(code: str) -> str:
    """Return the SHA-256 of what a piece of Python computes, as `closure` hashes a module's.

    Raises:
        SyntaxError: it is not Python.
    """
    return _File(code, face=False).digest(frozenset()).hex()


def is_engine(module: str) -> bool:
    """Tell whether a module, or a package that it lies in, is in `ENGINE`."""
    return any(module == name or module.startswith(f"{name}.") for name in ENGINE)


class _Package:
    """The package trued in a folder: what each of its modules imports, computes and reads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._paths: dict[str, Path | None] = {}

    def reached(self, module: str) -> set[str]:
        """Return `module` and what it imports, directly or not, the engine left out but not what that imports."""
        self.file(module)  # a module without a source is an error; a name that is no module is no import of ours
        reached, waiting = {module}, [module]
        while waiting:
            names = self.imports(waiting.pop()) - reached
            reached |= names
            waiting += names
        return {name for name in reached if name == module or not is_engine(name)}

    def imports(self, module: str) -> set[str]:
        """Return the modules of trued whose code `module` needs, packages that compute nothing left out."""
        names: set[str] = set()
        for line in self.file(module).imports:
            names |= self.defining(self.source(module, line), line.name) if line.name else self.whole(line.module)
        # Importing a.b.c runs the code of a and of a.b, where they have any.
        names |= {above for name in (*names, module) for above in _above(name)}
        return {name for name in names if self.path(name) and not self.file(name).is_face}

    def defining(self, source: str, name: str, seen: frozenset[tuple[str, str]] = frozenset()) -> set[str]:
        """Return the modules behind `from source import name`, looking through the faces of packages."""
        if self.path(source) is None or (source, name) in seen:
            return set()
        if name == "*":
            return self.whole(source)
        modules = self.whole(f"{source}.{name}")
        if not self.file(source).is_face:
            return modules | {source}
        for line in self.file(source).exports | self.stub(source):
            if line.bound == name or line.name == "*":
                wanted = name if line.name == "*" else line.name
                modules |= self.defining(self.source(source, line), wanted, seen | {(source, name)})
        return modules

    def whole(self, module: str) -> set[str]:
        """Return a module and, where it is a face, all that it exports: any of it may be used."""
        names: set[str] = set()
        waiting = [module] if self.path(module) else []
        while waiting:
            name = waiting.pop()
            names.add(name)
            if self.file(name).is_face:
                for line in self.file(name).exports | self.stub(name):
                    origin = self.source(name, line)
                    inner = f"{origin}.{line.name}"
                    waiting += [place for place in (origin, inner) if place not in names and self.path(place)]
        return names

    def source(self, module: str, line: _Import) -> str:
        """Return the full name of the module that an import names."""
        if not line.level:
            return line.module
        path, parts = self.path(module), module.split(".")
        above = line.level - (path is not None and path.name == "__init__.py")
        return ".".join([*parts[: len(parts) - above], *([line.module] if line.module else [])])

    def digest(self, module: str) -> bytes:
        """Return the hash of what a module computes; a module that it imports as such has no name in it."""
        file, modules = self.file(module), set()
        for line in file.imports:
            inner = f"{self.source(module, line)}.{line.name}" if line.name else line.module if line.alias else ""
            if self.path(inner):
                modules.add(line.bound)
        return file.digest(frozenset(modules))

    def data(self, module: str) -> set[Path]:
        """Return the data files that a module of trued reads beside itself, as far as its text tells."""
        path = self.path(module)
        if path is None or not self.file(module).finds_itself:
            return set()
        files = {file for file in path.parent.iterdir() if _is_data(file)}
        within = [folder for folder in path.parents if folder == self.root or self.root in folder.parents]
        for place in (folder / text for folder in within for text in self.file(module).texts):
            files |= {file for file in ([place] if place.is_file() else place.rglob("*")) if _is_data(file)}
        return files

    def file(self, module: str) -> _File:
        return _read(self.path(module) or _elsewhere(module))

    def stub(self, face: str) -> frozenset[_Import]:
        path = self.path(face)
        stub = path.with_suffix(".pyi") if path else None
        return _read(stub).exports if stub and stub.is_file() else frozenset()

    def path(self, module: str) -> Path | None:
        """Return the file of a module of trued. No module is imported for it: a package's own would be heavy."""
        if module not in self._paths:
            first, *rest = module.split(".")
            place = self.root.joinpath(*rest)
            files = [place / "__init__.py", *([place.with_name(f"{place.name}.py")] if rest else [])]
            inside = first == _PACKAGE and all(rest)
            self._paths[module] = next((file for file in files if file.is_file()), None) if inside else None
        return self._paths[module]


@dataclass(frozen=True)
class _Import:
    """`from module import name as alias` at a level of dots; without a name it is `import module as alias`."""

    module: str
    level: int
    name: str
    alias: str

    @property
    def bound(self) -> str:
        return self.alias or self.name

    @property
    def word(self) -> str:
        ours = self.level or self.module.partition(".")[0] == _PACKAGE
        return f"import {self.name if ours and self.name else f'{self.module} {self.name}'} {self.alias}"


class _File:
    """One source file: its imports, and the words of what it computes. Its tree is not kept: it is large."""

    def __init__(self, code: bytes | str, *, face: bool) -> None:
        self.code = code
        tree, nodes = self.tree, list(_executed(self.tree))
        self.imports = tuple(dict.fromkeys(_imports(nodes)))
        """What is imported when the file runs, inside functions too."""
        self.is_face = face and all(_exports_only(node) for node in tree.body)
        """Whether it is a package's `__init__` that only names what the package exports."""
        self.exports = frozenset(line for line in _imports(ast.walk(tree)) if line.name) if face else frozenset()
        """What a face lets others import: its imports for type checking name what it exports lazily."""
        self.finds_itself = any(isinstance(node, ast.Name) and node.id == "__file__" for node in nodes) or any(
            f"{line.module}.{line.name}".startswith("importlib.resources") for line in self.imports
        )
        """Whether it looks for files beside itself."""
        self.texts = frozenset(_names_of_files(nodes)) if self.finds_itself else frozenset()
        """The strings that may be the name of a file or of a folder."""
        self._digests: dict[frozenset[str], bytes] = {}

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.code)

    def digest(self, modules: frozenset[str]) -> bytes:
        """Return the hash of what the file computes; names in `modules` are numbered in the order of their use."""
        if modules not in self._digests:
            words = sorted(line.word for line in self.imports if line.bound not in modules)
            _add_words(self.tree, words, dict.fromkeys(modules, ""))
            self._digests[modules] = hashlib.sha256("\0".join(words).encode()).digest()
        return self._digests[modules]


def _add_words(node: ast.AST, words: list[str], modules: dict[str, str]) -> None:
    """Write the tree as text. `ast.dump` will not do: what it leaves out differs between versions of Python."""
    words.append(type(node).__name__)
    for name, value in ast.iter_fields(node):
        if value is None or value == [] or name in ("ctx", "kind", "type_comment"):
            continue
        items = value if isinstance(value, list) else [value]
        if name == "body" and isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            items = items[1:]
        if name in ("body", "orelse", "finalbody"):
            items = [item for item in _flat(items) if not _computes_nothing(item)]
        words.append(name)
        for item in items:
            if isinstance(item, ast.AST):
                _add_words(item, words, modules)
            elif isinstance(node, ast.Name) and item in modules:
                modules[item] = modules[item] or f"module {sum(map(bool, modules.values()))}"
                words.append(modules[item])
            else:
                words.append(repr(item))
    words.append(".")


def _flat(items: Iterable[ast.AST]) -> list[ast.AST]:
    """Return statements, and in place of a block for type checking what runs without one."""
    flat = []
    for item in items:
        flat += item.orelse if _for_type_checking(item) else [item]
    return flat


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree without what is for type checking."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += _flat(ast.iter_child_nodes(node))


def _imports(nodes: Iterable[ast.AST]) -> Iterator[_Import]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (_Import(alias.name, 0, "", alias.asname or "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield _Import(node.module or "", node.level, alias.name, alias.asname or "")


def _names_of_files(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        text = node.value.strip("/") if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if text.strip(". ") and len(text) < 100 and text.isprintable() and ".." not in text:
            yield text


def _for_type_checking(node: ast.AST) -> TypeGuard[ast.If]:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    name = test.id if isinstance(test, ast.Name) else test.attr if isinstance(test, ast.Attribute) else ""
    return name == "TYPE_CHECKING"


def _computes_nothing(node: ast.AST) -> bool:
    """Tell whether a statement only says what a file imports, which is said apart, or exports."""
    return isinstance(node, ast.Import | ast.ImportFrom) or "__all__" in _assigned(node)


def _exports_only(node: ast.stmt) -> bool:
    """Tell whether a statement of an `__init__` does no more than name what the package exports."""
    if isinstance(node, ast.FunctionDef):
        return node.name in ("__getattr__", "__dir__")
    if _for_type_checking(node):
        return not node.orelse
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    names = _assigned(node)
    dunder = bool(names) and all(name.startswith("__") and name.endswith("__") for name in names)
    return text or dunder or isinstance(node, ast.Import | ast.ImportFrom)


def _assigned(node: ast.AST) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    parts = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return [part.id if isinstance(part, ast.Name) else "" for part in parts]


def _above(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _is_data(path: Path) -> bool:
    return path.suffix not in _NO_DATA and path.is_file()


def _read(path: Path) -> _File:
    status = path.stat()
    return _parse(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=2048)
def _parse(path: Path, _time: int, _size: int) -> _File:
    try:
        return _File(path.read_bytes(), face=path.stem == "__init__")
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{path} is not Python ({error}); fix the file") from None


def _elsewhere(name: str) -> Path:
    """Return the source file of a module that lies outside trued."""
    origin = getattr(sys.modules.get(name), "__file__", None)
    if origin is None and name.partition(".")[0] != _PACKAGE:
        spec = importlib.util.find_spec(name)
        origin = spec.origin if spec else None
    file = Path(origin or "")
    if file.suffix != ".py" or not file.is_file():
        raise InputError(f"module {name} has no source file; expected a module written in Python")
    return file
