"""Citation keys: lastnameYEARfirstword, and a, b, c behind those that several papers would have.

Knows names, years and titles. Knows nothing of formats. A key depends on the papers alone and not on their order.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import count
from string import ascii_lowercase

from trued.feed.export.names import parse_name
from trued.feed.export.publication import publication
from trued.feed.reference import names
from trued.feed.store.records import StoredPaper

_WORD = re.compile(r"[a-z0-9]+")
_PASSED_OVER = frozenset({"a", "an", "the", "on", "of", "in", "for", "to", "and", "from", "with", "is", "are", "how"})
# What NFKD leaves in one piece.
_LETTERS = str.maketrans(
    {"ß": "ss", "ø": "o", "Ø": "o", "ł": "l", "Ł": "l", "đ": "d", "Đ": "d", "æ": "ae", "Æ": "ae", "œ": "oe", "ı": "i"}
)


def citation_keys(papers: Sequence[StoredPaper]) -> list[str]:
    """Return one key for each paper, all of them different."""
    stems = [_stem(stored) for stored in papers]
    keys = list(stems)
    sizes = Counter(stems)
    taken = {stem for stem, size in sizes.items() if size == 1}
    groups: dict[str, list[int]] = {}
    for place, stem in enumerate(stems):
        if sizes[stem] > 1:
            groups.setdefault(stem, []).append(place)
    for stem in sorted(groups):
        letters = (letter for letter in map(_letters, count()) if f"{stem}{letter}" not in taken)
        for place in sorted(groups[stem], key=lambda place: _identity(papers[place])):
            keys[place] = f"{stem}{next(letters)}"
            taken.add(keys[place])
    return keys


def _stem(stored: StoredPaper) -> str:
    paper = stored.paper
    known = names(paper)
    who = _plain(parse_name(known[0]).family if known else (paper.organization or ""))
    title = _WORD.findall(_plain(paper.title, keep=" "))
    first = next((word for word in title if word not in _PASSED_OVER), title[0] if title else "")
    return f"{who or 'anonymous'}{publication(paper).year or ''}{first}"


def _identity(stored: StoredPaper) -> tuple[str, str, int]:
    return (stored.paper.arxiv or "~", stored.paper.title, stored.uid)


def _plain(text: str, keep: str = "") -> str:
    """Return the letters a-z and digits of a text, without accents; everything else becomes `keep`."""
    plain = unicodedata.normalize("NFKD", text.translate(_LETTERS)).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", keep, plain)


def _letters(number: int) -> str:
    """Return a, b, … z, aa, ab, …"""
    text = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        text = ascii_lowercase[rest] + text
    return text
