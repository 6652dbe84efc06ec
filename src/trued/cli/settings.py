"""A method's dataclass as command-line options and as a configuration file, both laid over its own defaults.

cyclopts would build a nested dataclass anew from its class's defaults as soon as one option of it is given, and lose
the defaults that the method chose for it. So the options are those of a twin in which everything may be absent, and
what is present replaces the method's own.

A method's module imports torch, and help must not. So a method is described in plain values, which the file
`method_settings.json` keeps (see `trued.cli.methods`), and the twin is made from the description.

Knows dataclasses, options and files. Knows nothing of any method.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from cyclopts import Parameter

from trued.cli.options import whole_number, whole_numbers
from trued.errors import InputError, nearest
from trued.texts import decoded, has_half

T = TypeVar("T")
Kind = str | dict[str, Any]
"""The type of a setting in plain values: "int", "float", "bool", "str", {"choices": [...]}, {"each": kind} for a tuple
of any length, {"items": [kind, ...]} for one of fixed length, or {"any": [kind, ...]}."""

PLAIN = {"int": int, "float": float, "bool": bool, "str": str}
ALTERNATIVES = (("steps", "epochs"), ("batch_size", "max_tokens"))
"""Fields of which exactly one is set: setting one unsets the other."""


# -- description -------------------------------------------------------------------------------------------------------


def described(method: Any, *, skip: Collection[str] = (), classes: dict[str, Any]) -> dict[str, Any]:
    """Describe the settings of a method in plain values: its class, and each field's default as text.

    Args:
        method: a dataclass, or an instance of one, whose values are then the defaults.
        skip: fields that are no settings, at every depth.
        classes: receives each class's fields with their kinds and help texts.
    """
    kind = method if isinstance(method, type) else type(method)
    name = f"{kind.__module__}:{kind.__qualname__}"
    hints, texts = get_type_hints(kind), help_texts(kind)
    fields, defaults = {}, {}
    for field in dataclasses.fields(kind):
        if field.name in skip:
            continue
        value = getattr(method, field.name) if method is not kind else _default(field)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields[field.name] = {"help": texts.get(field.name, "")}
            defaults[field.name] = described(value, skip=skip, classes=classes)
        elif (of := kind_of(hints[field.name])) is not None:
            fields[field.name] = {"kind": of, "help": texts.get(field.name, "")}
            defaults[field.name] = "none" if value is None else str(value)
    classes.setdefault(name, {}).update(fields)
    return {"class": name, "defaults": defaults}


def kind_of(hint: Any) -> Kind | None:
    """Return a type in plain values; None where a text cannot stand for it, such as a function."""
    if hint in PLAIN.values():
        return hint.__name__
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return kind_of(arguments[0])
    if origin is Literal:
        return {"choices": list(arguments)}
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            each = kind_of(arguments[0])
            return None if each is None else {"each": each}
        items = [kind_of(argument) for argument in arguments]
        return None if None in items else {"items": items}
    if origin in (Union, types.UnionType):
        kinds = [kind for argument in arguments if (kind := kind_of(argument)) is not None]
        return {"any": kinds} if len(kinds) > 1 else next(iter(kinds), None)
    return None


def type_of(kind: Kind) -> Any:
    """Return the type that `kind_of` described."""
    if isinstance(kind, str):
        return PLAIN[kind]
    if "choices" in kind:
        return Literal[tuple(kind["choices"])]
    if "each" in kind:
        return tuple[type_of(kind["each"]), ...]
    if "items" in kind:
        return tuple[tuple(type_of(item) for item in kind["items"])]  # pyright: ignore
    return reduce(or_, (type_of(part) for part in kind["any"]))


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def help_texts(owner: Any) -> dict[str, str]:
    """Return what docstrings say of a function's parameters or a class's fields; a line may name several.

    The style is known by its heading: docstring_parser would try four on each.
    """
    from docstring_parser import DocstringStyle, parse

    texts = {}
    for part in reversed(getattr(owner, "__mro__", (owner,))):
        text = part.__doc__ or ""
        style = DocstringStyle.NUMPYDOC if "Parameters\n" in text else DocstringStyle.GOOGLE
        for entry in parse(text, style).params:
            description = " ".join((entry.description or "").split())
            texts |= dict.fromkeys((name.strip() for name in entry.arg_name.split(",")), description)
    return texts


# -- options -----------------------------------------------------------------------------------------------------------


def options_of(description: Mapping[str, Any], classes: Mapping[str, Any], *, skip: Collection[str] = ()) -> type:
    """Return a dataclass with the settings of a described method, nested ones too, all of them absent by default.

    Its help shows the method's own values. Use it as ``Annotated[X | None, Parameter(name="*")]``.
    """
    fields = []
    for name, default in description["defaults"].items():
        if name in skip:
            continue
        field = classes[description["class"]][name]
        if isinstance(default, Mapping):
            hint: Any = options_of(default, classes, skip=skip) | None
        else:
            kind = field["kind"]
            negative = None if kind == "bool" else ""  # no --empty-NAME for a tuple
            show = Parameter(
                show_default=lambda _, text=default: text, help=field["help"] or None, negative=negative,
                converter=_converter(kind),
            )  # fmt: skip
            hint = Annotated[type_of(kind) | None, show]
        fields.append((name, hint, dataclasses.field(default=None)))
    twin = dataclasses.make_dataclass(f"{description['class'].rpartition(':')[2]}Options", fields, repr=False, eq=False)
    # A module without a file: cyclopts would read it once for each class, to look for docstrings of its fields.
    twin.__doc__, twin.__module__ = "Settings.", "trued.described"
    return twin


def _converter(kind: Kind) -> Callable[..., Any] | None:
    """Return what reads an option whose numbers must be whole; cyclopts reads the others."""
    if kind == "int":
        return whole_number
    members = set(_plain_kinds(kind))
    return whole_numbers if "int" in members and "float" not in members else None


def _plain_kinds(kind: Kind) -> Iterator[str]:
    if isinstance(kind, str):
        yield kind
        return
    for part in kind.get("any") or kind.get("items") or [kind[key] for key in ("each",) if key in kind]:
        yield from _plain_kinds(part)


# -- values ------------------------------------------------------------------------------------------------------------


def laid_over(method: T, options: Any, *, source: object = "") -> T:
    """Return `method` with what `options` (a twin from `options_of`, a mapping, or None) says in its place.

    Args:
        source: the file that a mapping comes from, for errors.

    Raises:
        InputError: a mapping has a key that the method does not have, or a value it cannot take.
    """
    where = f"{source}: " if source else ""
    try:
        return _laid_over(method, options, ())
    except InputError as error:
        if not where:
            raise
        raise InputError(f"{where}{error}") from error


def _laid_over(method: T, options: Any, path: tuple[str, ...]) -> T:
    if options is None:
        return method
    if not isinstance(options, Mapping) and not dataclasses.is_dataclass(options):
        raise InputError(f"{'.'.join(path) or 'settings'} is {options!r}: expected names with values below it")
    from_file = isinstance(options, Mapping)
    given = options if isinstance(options, Mapping) else {f.name: getattr(options, f.name) for f in _fields(options)}
    known, hints = {field.name for field in _fields(method)}, get_type_hints(type(method))
    changes: dict[str, Any] = {}
    for key, value in given.items():
        name = str(key).replace("-", "_")
        place = (*path, name)
        if name not in known:
            raise InputError(f"there is no setting {'.'.join(place)!r}{nearest(name, known)}")
        if value is None:
            if from_file and type(None) in get_args(hints[name]):
                changes[name] = None
            continue
        own = getattr(method, name)
        if dataclasses.is_dataclass(own) and (isinstance(value, Mapping) or dataclasses.is_dataclass(value)):
            changes[name] = _laid_over(own, value, place)
        elif (kind := kind_of(hints[name])) is not None:
            changes[name] = _converted(value, kind, ".".join(place))
        else:
            raise InputError(f"{'.'.join(place)} is {value!r}: it takes settings of its own, or none at all")
    for first, second in ALTERNATIVES:
        if {first, second} <= known:
            for given_name, other in ((first, second), (second, first)):
                if changes.get(given_name) is not None and other not in changes:
                    changes[other] = None
    return dataclasses.replace(method, **changes)  # pyright: ignore


def _converted(value: Any, kind: Kind, place: str) -> Any:
    """Return a value of a file or an option as its field's type; YAML reads 1e-3 as a text, for one."""
    if isinstance(kind, str):
        return _plain(value, kind, place)
    if "any" in kind:
        for part in kind["any"]:
            try:
                return _converted(value, part, place)
            except InputError:
                continue
        raise InputError(f"{place} is {value!r}: expected {_words(kind)}")
    if "choices" in kind:
        if value in kind["choices"]:
            return value
        raise InputError(
            f"{place} is {value!r}: expected {_words(kind)}{nearest(str(value), map(str, kind['choices']))}"
        )
    if not isinstance(value, list | tuple):
        raise InputError(f"{place} is {value!r}: expected {_words(kind)}")
    if "each" in kind:
        return tuple(_converted(item, kind["each"], place) for item in value)
    if len(value) != len(kind["items"]):
        raise InputError(f"{place} is {value!r}: expected {_words(kind)}")
    return tuple(_converted(item, of, place) for item, of in zip(value, kind["items"], strict=True))


def _plain(value: Any, kind: str, place: str) -> Any:
    if kind == "int" and type(value) is int:
        return value  # a float would round a large one
    if kind in ("int", "float") and not isinstance(value, bool):
        try:
            number = float(value)
            if kind == "float":
                return number
            if number == int(number):
                return int(value) if isinstance(value, str) else int(number)
        except (TypeError, ValueError, OverflowError):
            pass
    elif type(value) is PLAIN[kind]:
        return value
    raise InputError(f"{place} is {value!r}: expected {_words(kind)}")


def _words(kind: Kind) -> str:
    if isinstance(kind, str):
        return {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}[kind]
    if "choices" in kind:
        return f"one of {', '.join(map(str, kind['choices']))}"
    if "any" in kind:
        return " or ".join(_words(part) for part in kind["any"])
    if "each" in kind:
        return f"a list, each of it {_words(kind['each'])}"
    return f"a list of {len(kind['items'])}"


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
    try:
        text = decoded(path.read_bytes())
        if path.suffix == ".toml":
            import tomllib

            return tomllib.loads(text)
        import yaml

        settings = yaml.safe_load(text)
        _check_whole(settings)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:
        raise InputError(f"{path} is not valid {path.suffix[1:]}: {' '.join(str(error).split())}") from error
    if settings is not None and not isinstance(settings, Mapping):
        raise InputError(f"{path}: settings are names with values, such as 'lora_r: 16'")
    return settings


def _check_whole(settings: Any) -> None:
    """Refuse half of a character, which YAML's escapes can write and nothing can encode."""
    waiting, seen = [settings], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and has_half(value):
            raise InputError("a text contains half of a character (half of an emoji, for example); write it whole")
        if isinstance(value, Mapping | list) and id(value) not in seen:
            seen.add(id(value))  # an alias may stand for what contains it
            waiting += [*value, *value.values()] if isinstance(value, Mapping) else value


def read_template(template: str | None) -> str | None:
    """Return a chat template's text: as it was given, out of the file that was named, or "none" as it is.

    Raises:
        InputError: neither a file nor Jinja text, or a file without one.
    """
    if template is None or template == "none":
        return template
    if "\n" not in template and Path(template).is_file():
        try:
            text = decoded(Path(template).read_bytes())
        except InputError as error:
            raise InputError(f"--template {template} is {error}: give a file with Jinja in it") from error
        if "messages" not in text or "{" not in text:
            raise InputError(f"--template {template} never uses 'messages': give a file with a Jinja chat template")
        return text
    if "{{" not in template and "{%" not in template:
        raise InputError(
            f"--template {template}: there is no such file, and it is no Jinja template: give a file, a template's "
            "text, or none"
        )
    return template


def with_settings(method: T, config: Path | None, options: Any) -> T:
    """Return `method` with a configuration file and then the command line's options laid over it."""
    return laid_over(laid_over(method, read_settings(config), source=config), options)


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value)
