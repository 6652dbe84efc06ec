"""A method's dataclass as command-line options and as a configuration file, both laid over its own defaults.

cyclopts would build a nested dataclass anew from its class's defaults as soon as one option of it is given, and lose
the defaults that the method chose for it. So the options are those of a twin in which everything may be absent, and
what is present replaces the method's own.

Knows dataclasses, options and files. Knows nothing of any method.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cyclopts import Parameter

from trued.errors import InputError, nearest

T = TypeVar("T")

ALTERNATIVES = (("steps", "epochs"), ("batch_size", "max_tokens"))
"""Fields of which exactly one is set: setting one unsets the other."""


def options_of(method: Any, *, skip: tuple[str, ...] = ()) -> type:
    """Return a dataclass with the fields of `method`, nested ones too, all of them absent by default.

    Its help shows the values that `method` has; fields named in `skip` are left out at every depth. Use it as
    ``Annotated[X | None, Parameter(name="*")]``.
    """
    kind = type(method)
    hints = get_type_hints(kind)
    fields = []
    for field in dataclasses.fields(kind):
        if field.name in skip:
            continue
        value = getattr(method, field.name)
        if dataclasses.is_dataclass(value):
            hint: Any = options_of(value, skip=skip) | None
        else:
            default = "none" if value is None else str(value)
            hint = Annotated[hints[field.name] | None, Parameter(show_default=lambda _, shown=default: shown)]
        fields.append((field.name, hint, dataclasses.field(default=None)))
    twin = dataclasses.make_dataclass(f"{kind.__name__}Options", fields, frozen=True)
    twin.__doc__, twin.__module__ = kind.__doc__, __name__
    return twin


class FileSettings(dict[str, Any]):
    """Nested settings that were read from a file, which errors name.

    Args:
        values: the settings.
        source: the file.
    """

    def __init__(self, values: Mapping[str, Any], source: Path | str) -> None:
        super().__init__(values)
        self.source = str(source)

    def section(self, name: str) -> FileSettings | None:
        """Take one section out, None where the file has none.

        Raises:
            InputError: it is no section.
        """
        values = self.pop(name, None)
        if values is not None and not isinstance(values, Mapping):
            raise InputError(f"{self.source}: {name} is {values!r}; expected names with values below it")
        return None if values is None else FileSettings(values, self.source)


def laid_over(method: T, options: Any) -> T:
    """Return `method` with what `options` (a twin from `options_of`, a mapping, or None) says in its place.

    The values of a mapping are converted to the types of the fields, for a file knows fewer types than Python.

    Raises:
        InputError: a mapping has a key that the method does not have, or a value it cannot take.
    """
    if options is None:
        return method
    source = f"{options.source}: " if isinstance(options, FileSettings) else ""
    return _laid_over(method, options, source, "")


def _laid_over(method: Any, options: Any, source: str, path: str) -> Any:
    """`source` is how errors begin, `path` the names that lead here, each with a dot behind it."""
    from_file = isinstance(options, Mapping)
    given = options if from_file else {f.name: getattr(options, f.name) for f in _fields(options)}
    hints = get_type_hints(type(method)) if from_file else {}
    known = {field.name for field in _fields(method)}
    changes: dict[str, Any] = {}
    for key, value in given.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise InputError(f"{source}there is no setting {path + str(key)!r}{nearest(name, known)}")
        if value is None:
            continue
        own = getattr(method, name)
        if dataclasses.is_dataclass(own) and (isinstance(value, Mapping) or dataclasses.is_dataclass(value)):
            changes[name] = _laid_over(own, value, source, f"{path}{name}.")
        elif from_file:
            changes[name] = _converted(value, hints[name], source, path + name)
        else:
            changes[name] = tuple(value) if isinstance(own, tuple) else value
    for one, other in ALTERNATIVES:
        if {one, other} <= known:
            changes |= {b: None for a, b in ((one, other), (other, one)) if a in changes and b not in changes}
    try:
        return dataclasses.replace(method, **changes)
    except InputError as error:
        if not source or str(error).startswith(source):
            raise
        raise InputError(f"{source}{error}") from error


_WORDS = {float: "a number", int: "a whole number", bool: "true or false", str: "text", Path: "a path"}


def _converted(value: Any, hint: Any, source: str, path: str) -> Any:
    """Return a value of a file as the type of its field."""
    try:
        return _as_type(value, hint)
    except (TypeError, ValueError):
        raise InputError(f"{source}{path} is {value!r}; expected {_expected(hint)}") from None


def _as_type(value: Any, hint: Any) -> Any:
    """Return `value` as `hint`; ValueError or TypeError where it is nothing of the kind."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _as_type(value, arguments[0])
    if origin is Literal:
        if value not in arguments or isinstance(value, bool) != any(isinstance(one, bool) for one in arguments):
            raise ValueError(value)
        return value
    if origin in (Union, UnionType):
        for member in arguments:
            with suppress(TypeError, ValueError):
                return _as_type(value, member)
        raise ValueError(value)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(value)
        kinds = arguments[:1] * len(value) if arguments[1:] == (...,) else arguments
        return tuple(_as_type(item, kind) for item, kind in zip(value, kinds, strict=True))
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and isinstance(value, Mapping):
        return _laid_over(hint(), value, "", "")
    if hint in (int, float) and not isinstance(value, bool) and isinstance(value, str | int | float):
        number = float(value)
        if hint is int and not number.is_integer():
            raise ValueError(value)
        if hint is float:
            return number
        return value if isinstance(value, int) else int(number)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint in (bool, str) and isinstance(value, hint):
        return value
    raise TypeError(value)


def _expected(hint: Any) -> str:
    """Say what a field takes."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _expected(arguments[0])
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(_expected(member) for member in arguments if member is not type(None)))
    if origin is tuple:
        return f"a list, each {_expected(arguments[0])}"
    if dataclasses.is_dataclass(hint):
        return "names with values below it"
    return _WORDS.get(hint, "something that a file cannot hold")


def read_settings(path: Path | None) -> FileSettings | None:
    """Read a configuration file, TOML or YAML, as nested settings; None for no file.

    Raises:
        InputError: no such file, another suffix, or text that is not of its format.
    """
    if path is None:
        return None
    if path.suffix not in (".toml", ".yaml", ".yml"):
        raise InputError(f"{path}: a configuration file ends in .toml, .yaml or .yml")
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    try:
        text = path.read_text("utf-8")
        if path.suffix == ".toml":
            return FileSettings(tomllib.loads(text), path)
        import yaml

        values = yaml.safe_load(text)
    except Exception as error:
        raise InputError(f"{path} is not valid {path.suffix[1:]}: {' '.join(str(error).split())}") from error
    if values is None:
        return FileSettings({}, path)
    if not isinstance(values, Mapping):
        raise InputError(f"{path}: settings are names with values, such as 'lora_r: 16'")
    return FileSettings(values, path)


def read_template(template: str | None) -> str | None:
    """Return a chat template's text: as it was given, out of the file that was named, or "none" as it is.

    Raises:
        InputError: neither a file nor Jinja text, or a file without one.
    """
    if template in (None, "none"):
        return template
    if "\n" not in template and Path(template).is_file():
        try:
            text = Path(template).read_text("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(
                f"--template {template} is no text ({error}): give a file with a Jinja template"
            ) from error
        if "messages" not in text or "{" not in text:
            raise InputError(f"--template {template} never uses 'messages': give a file with a Jinja chat template")
        return text
    if "{{" not in template and "{%" not in template:
        raise InputError(
            f"--template {template}: there is no such file, and it is no Jinja template: give a file, a template's "
            "text, or none"
        )
    return template


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)
