r"""Text for BibTeX: special characters escaped, TeX that is already there left alone, braces always in balance.

    50% of R&D in $\epsilon$-balls   →   50\% of R\&D in $\epsilon$-balls

What counts as TeX: a formula between dollars, a command with its arguments, an accent, an escaped character, and, in a
text that has one of these, braces in pairs. BibTeX counts every brace, an escaped one too, so a brace without its
counterpart is written as a command. Knows TeX. Knows nothing of papers.
"""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
    (?P<formula> \$(?=[^\s$])[^$]*?(?<=[^\s\\$])\$(?!\d) )
  | (?P<accent>  \\['`"^~=.](?:[a-zA-Z]|\{\\?[a-zA-Z]+\}) )
  | (?P<command> \\[a-zA-Z]+\*?(?:\{[^{}$]*\})* )
  | (?P<escaped> \\[\#$%&_] )
  | (?P<brace>   \\?[{}] )
  | (?P<special> [\#$%&_~^\\] )
    """,
    re.VERBOSE,
)
_ESCAPES = {
    "#": r"\#", "$": r"\$", "%": r"\%", "&": r"\&", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}", "{": r"\textbraceleft{}", "}": r"\textbraceright{}",
}  # fmt: skip
_IN_FORMULA = {r"\{": r"\lbrace ", r"\}": r"\rbrace "}
_WORD = re.compile(r"[^\W_]+")
_SENTENCE_CASE = 0.5  # of the longer words in a title; fewer with capitals, and each capital is there for a reason


def escape(text: str) -> str:
    """Return a text as the value of a BibTeX field, without the braces around it."""
    return "".join(piece for piece, _ in _pieces(text))


def title(text: str) -> str:
    """Return a title as the value of a BibTeX field, its capitals in braces where a style must not lower them.

    In a title whose every word has a capital, that is a word with a capital inside, such as MixAT or LLMs; in one that
    is written like a sentence, it is every word with a capital but the first.
    """
    plain = [word for word in _WORD.findall(text)[1:] if len(word) > 3]
    sentence = sum(word[0].isupper() for word in plain) < _SENTENCE_CASE * len(plain)
    parts: list[str] = []
    begun = False
    for piece, is_plain in _pieces(text):
        if not is_plain:
            parts.append(piece)
            continue
        guarded = []
        for match in re.finditer(r"[^\W_]+|[\W_]+", piece):
            word = match[0]
            inner = any(c.isupper() for c in word[1:]) or (len(word) == 1 and word.isupper() and word not in "AI")
            guarded.append(f"{{{word}}}" if inner or (sentence and begun and word[0].isupper()) else word)
            begun = begun or word[0].isalnum()
        parts.append("".join(guarded))
    return "".join(parts)


def _pieces(text: str) -> list[tuple[str, bool]]:
    """Return the escaped text in pieces, and of each whether it is plain text outside of braces and TeX."""
    tokens = _tokens(text)
    paired_braces = (
        _paired(tokens) if any(kind in ("formula", "accent", "command", "escaped") for kind, _ in tokens) else set()
    )
    pieces: list[tuple[str, bool]] = []
    depth = 0
    for place, (kind, token) in enumerate(tokens):
        if kind == "plain":
            pieces.append((token, depth == 0))
        elif kind == "brace" and place in paired_braces:
            depth += 1 if token == "{" else -1
            pieces.append((token, False))
        elif kind in ("brace", "special"):
            pieces.append((_ESCAPES[token[-1]], False))
        else:
            pieces.append((token, False))
    return pieces


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    at = 0
    for match in _TOKEN.finditer(text):
        if match.start() > at:
            tokens.append(("plain", text[at : match.start()]))
        kind, token = match.lastgroup or "", match[0]
        if kind == "formula":
            if not balanced(token):
                token = re.sub(r"\\[{}]", lambda brace: _IN_FORMULA[brace[0]], token)
            if not balanced(token):
                # No formula after all: its dollars and braces are characters like others.
                token = "".join(_ESCAPES.get(c, c) for c in match[0])
        tokens.append((kind, token))
        at = match.end()
    if at < len(text):
        tokens.append(("plain", text[at:]))
    return tokens


def _paired(tokens: list[tuple[str, str]]) -> set[int]:
    """Return the places of the bare braces that have a counterpart."""
    open_at: list[int] = []
    paired: set[int] = set()
    for place, (kind, token) in enumerate(tokens):
        if kind == "brace" and token == "{":
            open_at.append(place)
        elif kind == "brace" and token == "}" and open_at:
            paired |= {open_at.pop(), place}
    return paired


def balanced(text: str) -> bool:
    """Return whether every brace has its counterpart; BibTeX counts an escaped one too."""
    depth = 0
    for c in text:
        depth += (c == "{") - (c == "}")
        if depth < 0:
            return False
    return depth == 0
