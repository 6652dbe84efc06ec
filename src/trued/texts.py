"""Text and JSON that people, programs and servers wrote, as they come in: whole characters only, of a sane depth.

Half of a character (a lone surrogate, such as a cut emoji leaves) can be neither encoded nor tokenized. It enters
through JSON's and YAML's escapes, and through the command line. Here it is refused or replaced, so that no output,
cache or tokenizer meets it.

Knows encodings and JSON. Knows nothing of what a text is for.
"""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from trued.errors import InputError

DEEPEST = 100  # levels of JSON; what walks through it later goes down a level a call
_LONGEST_NUMBER = 4_300  # digits, Python's own limit
_MARKS = (  # UTF-32's mark begins like UTF-16's, so it goes first
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_HALF = re.compile("[\ud800-\udfff]")
_ESCAPES = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


def has_half(text: str) -> bool:
    """True if a text contains half of a character."""
    return not text.isascii() and _HALF.search(text) is not None


def whole(text: str) -> str:
    """Return a text with both halves of a character joined, and U+FFFD in place of a half that stands alone."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if has_half(text) else text


def encoding_of(data: bytes) -> str:
    """Return the encoding that the mark in front of a file tells; UTF-8, with or without a mark, for all others."""
    return next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8-sig")


def decoded(data: bytes) -> str:
    """Return the text in UTF-8, or in UTF-16 or UTF-32 with a mark.

    Raises:
        InputError: it is in none of them; the sentence reads on from the file's name.
    """
    encoding = encoding_of(data)
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        place = f"byte {error.start:,} is {data[error.start]:#04x}" if error.start < len(data) else "it is cut off"
        kind = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
        raise InputError(f"no text in {kind} ({place}); save it as UTF-8") from None
    if "\x00" in text:
        raise InputError("no text, for it contains zero bytes; save it as UTF-8")
    return text


def read_text(path: str | Path) -> str:
    """Return the text of a file that a person wrote.

    Raises:
        InputError: it cannot be read, or is no text.
    """
    try:
        return decoded(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None
    except InputError as error:
        raise InputError(f"{path} is {error}") from None


def unpacked(data: bytes, most: int) -> bytes:
    """Return what a gzip file contains.

    Raises:
        InputError: it is damaged or cut off, or contains more than `most` bytes; the sentence reads on from the
            file's name.
    """
    parts: list[bytes] = []
    size = 0
    while data.strip(b"\0"):
        reader = zlib.decompressobj(16 + zlib.MAX_WBITS)
        try:
            parts.append(reader.decompress(data, most + 1 - size))
        except zlib.error as error:
            raise InputError(f"damaged gzip ({error}); pack it again") from None
        size += len(parts[-1])
        if size > most:
            raise InputError(f"larger than {most >> 20:,} MiB when unpacked; split it")
        if not reader.eof:
            raise InputError("damaged gzip (it is cut off); pack it again")
        data = reader.unused_data
    return b"".join(parts)


def read_json(text: str, *, halves: Literal["refuse", "replace"] = "refuse", forgiving: bool = False) -> Any:
    """Return what a JSON text says.

    Args:
        text: the JSON.
        halves: whether half of a character is an error, or becomes U+FFFD.
        forgiving: read what models write, too: line breaks inside texts, and a key twice, whose last value counts.

    Raises:
        InputError: no JSON, or one that is too deep, has a number too long to read, half of a character, or a key
            twice; the sentence reads on from the file's name and the line.
    """
    text = _without_halves(text, halves)
    _check_depth(text)
    try:
        hook = None if forgiving else _object
        return json.loads(text, parse_int=_integer, object_pairs_hook=hook, strict=not forgiving)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, " if "\n" in text.strip() else ""
        raise InputError(f"not valid JSON ({error.msg} at {place}character {error.colno})") from None
    except RecursionError:
        raise InputError(f"nested more than {DEEPEST} levels deep; flatten it") from None


def _without_halves(text: str, halves: str) -> str:
    if has_half(text):
        if halves == "refuse":
            raise InputError(_half_sentence(_HALF.search(text)[0]))  # type: ignore[index]
        text = whole(text)
    if "\\ud" not in text and "\\uD" not in text:
        return text

    def mended(match: re.Match[str]) -> str:
        if match["half"] is None:
            return match[0]
        if halves == "refuse":
            raise InputError(_half_sentence(match[0]))
        return r"\ufffd"

    return _ESCAPES.sub(mended, text)


def _half_sentence(half: str) -> str:
    code = half if half.startswith("\\") else f"\\u{ord(half):04x}"
    return f"no whole text: {code} is half of a character (half of an emoji, for example); write the character whole"


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for match in _BRACKETS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > DEEPEST:
            raise InputError(f"nested more than {DEEPEST} levels deep; flatten it")


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise InputError(f"has a number of {len(digits):,} digits, {digits[:12]}…; write it as a text")
    return int(digits)


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        name = next(name for name in names if names.count(name) > 1)
        raise InputError(f"has the key {name[:40]!r} twice in one object; leave one of them out")
    return values
