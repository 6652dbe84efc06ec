"""TeX in titles and abstracts as people read it: 78.2\\% as 78.2 %, and $x_{i}$ as x with a lowered i.

Knows escapes, formulas, and what pylatexenc makes of commands. Whatever it does not understand stays as it is, and
everything is escaped.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import unescape

from markupsafe import Markup, escape

_FORMULA = re.compile(r"(?<!\\)\$(?=[^\s$])([^$<>]{1,300}?)(?<=[^\s\\$])\$(?!\d)")
_ESCAPED = re.compile(r"\\([%&#_$])")
_ACCENT = re.compile(r"\{?\\(?:[`'^\"~=.](?:\{\\?[A-Za-z]\}|\\?[A-Za-z])|[uvHcdb]\{\\?[A-Za-z]\})\}?")
_STYLED = re.compile(r"\\(?:text(?:bf|it|tt|sc|rm|sf)|emph|mathrm|mathbf)\{([^{}]*)\}")
_MARK = re.compile(r"(</?mark>)")
_MARKED = r"(?:[^$<>]|</?mark>)"
_MARKED_FORMULA = re.compile(rf"(?<!\\)\$(?=[^\s$])({_MARKED}{{1,300}}?)(?<=[^\s\\$])\$(?!\d)")
_MARKED_STYLED = re.compile(r"\\(?:text(?:bf|it|tt|sc|rm|sf)|emph|mathrm|mathbf)\{((?:[^{}<>]|</?mark>)*)\}")
_PUNCTUATION = (
    (re.compile(r"(?<!-)---(?!-)"), "—"), (re.compile(r"(?<=\s)--(?=\s)|(?<=\d)--(?=\d)"), "–"),
    (re.compile(r"``(.*?)''"), r"“\1”"),
)  # fmt: skip
_SCRIPT = re.compile(r"([_^])(\{(?:[^{}]|\{[^{}]*\})*\}|\\[A-Za-z]+|[^\s{}\\])")
_TAGS = {"_": ("<sub>", "</sub>"), "^": ("<sup>", "</sup>")}


@lru_cache(4096)
def readable(text: str) -> Markup:
    """Return a text with its TeX made readable, as HTML."""
    if not any(sign in text for sign in ("\\", "$", "--", "``")):
        return escape(text)
    parts, end = [], 0
    for match in _FORMULA.finditer(text):
        parts += [_prose(text[end : match.start()]), _formula(match[1])]
        end = match.end()
    return Markup("").join([*parts, _prose(text[end:])])


@lru_cache(4096)
def plain(text: str) -> str:
    """Return a text with its TeX made readable, as plain text, for places that take no markup."""
    return readable(text).striptags()


def readable_html(html: str) -> Markup:
    """Return an escaped passage, in which <mark> alone is markup, with its TeX made readable.

    A formula loses the marks within it.
    """
    parts, end = [], 0
    for match in _MARKED_FORMULA.finditer(html):
        parts += [_marked_prose(html[end : match.start()]), _formula(unescape(_MARK.sub("", match[1])))]
        end = match.end()
    return Markup("").join([*parts, _marked_prose(html[end:])])


def _marked_prose(html: str) -> Markup:
    pieces = _MARK.split(_MARKED_STYLED.sub(r"\1", html))
    return Markup("").join(Markup(text) if i % 2 else _prose(unescape(text)) for i, text in enumerate(pieces))


def _prose(text: str) -> Markup:
    for pattern, sign in _PUNCTUATION:
        text = pattern.sub(sign, text)
    if "\\" not in text:
        return escape(text)
    text = _STYLED.sub(r"\1", _ESCAPED.sub(r"\1", text))
    return escape(_ACCENT.sub(lambda match: _plain(match[0]), text))


def _formula(tex: str) -> Markup:
    """Return a formula with its commands as characters, and what is lowered or raised in tags of its own."""
    tex = _ESCAPED.sub(r"\1", tex)
    parts, end = [], 0
    for match in _SCRIPT.finditer(tex):
        before, after = map(Markup, _TAGS[match[1]])
        inner = match[2][1:-1] if match[2].startswith("{") else match[2]
        parts += [escape(_plain(tex[end : match.start()])), before, _formula(inner), after]
        end = match.end()
    return Markup("").join([*parts, escape(_plain(tex[end:]))])


def _plain(tex: str) -> str:
    if not any(sign in tex for sign in "\\{}"):
        return tex
    from pylatexenc.latex2text import LatexNodes2Text

    try:
        return LatexNodes2Text(
            math_mode="text", keep_comments=True, strict_latex_spaces="based-on-source"
        ).latex_to_text(re.sub(r"([%&])", r"\\\1", tex))
    except (ValueError, RecursionError):
        return tex
