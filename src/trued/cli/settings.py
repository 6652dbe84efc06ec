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
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

from cyclopts import Parameter

from trued.cli.options import whole_number
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
            whole = whole_number if hints[field.name] in (int, int | None) else None
            hint = Annotated[
                hints[field.name] | None, Parameter(show_default=lambda _, shown=default: shown, converter=whole)
            ]
        fields.append((field.name, hint, dataclasses.field(default=None)))
    twin = dataclasses.make_dataclass(f"{kind.__name__}Options", fields, frozen=True)
    twin.__doc__, twin.__module__ = kind.__doc__, __name__
    return twin


def laid_over(method: T, options: Any) -> T:
    """Return `method` with what `options` (a twin from `options_of`, a mapping, or None) says in its place.

    Raises:
        InputError: a mapping has a key that the method does not have, or a value it cannot take.
    """
    if options is None:
        return method
    given = options if isinstance(options, Mapping) else {f.name: getattr(options, f.name) for f in _fields(options)}
    known = {field.name for field in _fields(method)}
    changes: dict[str, Any] = {}
    for key, value in given.items():
        name = str(key).replace("-", "_")
        if name not in known:
            raise InputError(f"{type(method).__name__} has no setting {key!r}{nearest(name, known)}")
        if value is None:
            continue
        own = getattr(method, name)
        if dataclasses.is_dataclass(own) and (isinstance(value, Mapping) or dataclasses.is_dataclass(value)):
            changes[name] = laid_over(own, value)
        else:
            changes[name] = tuple(value) if isinstance(own, tuple) else value
    for one, other in ALTERNATIVES:
        if {one, other} <= known:
            changes |= {b: None for a, b in ((one, other), (other, one)) if a in changes and b not in changes}
    try:
        return dataclasses.replace(method, **changes)  # pyright: ignore
    except TypeError as error:
        raise InputError(f"{type(method).__name__} cannot take these settings: {error}") from error


def read_settings(path: Path | None) -> Mapping[str, Any] | None:
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
    text = path.read_text("utf-8")
    try:
        if path.suffix == ".toml":
            return tomllib.loads(text)
        import yaml

        found = yaml.safe_load(text)
    except Exception as error:
        raise InputError(f"{path} is not valid {path.suffix[1:]}: {' '.join(str(error).split())}") from error
    if found is not None and not isinstance(found, Mapping):
        raise InputError(f"{path}: settings are names with values, such as 'lora_r: 16'")
    return found


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)
