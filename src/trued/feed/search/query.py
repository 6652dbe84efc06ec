"""What a search means: words, phrases, exclusions and fields, read from one line that is never an error.

    continuous attack "preference optimisation" -image author:schwinn org:"kling team" cat:cs.CL tag:mine
    year:2024..2025 has:code is:unread align*

Words find and rank; phrases must occur; what begins with a minus must not. What is not understood is taken as words,
and `Query.ignored` says so. Knows the language of the search field. Knows nothing of databases.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Literal, get_args

from trued.feed.store.merge import INVISIBLE, NO_WORD
from trued.feed.store.records import LONGEST_TAG

Name = Literal["author", "org", "cat", "tag", "year", "has", "is"]
STATES = ("unread", "read", "bookmarked")
EXAMPLES = {
    "author": "author:smith",
    "org": 'org:"kling team"',
    "cat": "cat:cs.CL",
    "tag": "tag:mine",
    "year": "year:2024",
    "has": "has:code",
    "is": "is:unread",
}
LONGEST = 1_000  # characters; the rest of a longer query is left out
MOST_WORDS = 32
FIRST_YEAR, LAST_YEAR = 1900, 2999

PART = re.compile(
    r"""(?P<minus>-?)(?:(?P<name>[a-z]+):)?(?:"(?P<phrase>[^"]*)(?:"|$)|(?P<word>[^\s"]+))""", re.IGNORECASE
)
RANGE = re.compile(r"(\d{4})?(\.\.)?(\d{4})?")
# Words of a question that say nothing about its subject.
FUNCTION_WORDS = frozenset(
    "a about an and any are as at be between by can could did do does for from get has have how i if in into is it "  # noqa: SIM905
    "its may me my not of on one or other our paper papers show so some such than that the their them then there "
    "these they this those through to us use used uses using was we were what when where whether which while who "
    "whose why will with without work would you your".split()
)


@dataclass(frozen=True)
class Term:
    """One or several words that stand together; with `prefix`, the last of them may go on."""

    words: tuple[str, ...]
    prefix: bool = False

    def __str__(self) -> str:
        return " ".join(self.words) + ("*" if self.prefix else "")


@dataclass(frozen=True)
class Clause:
    """A field that must have, or with `negated` must not have, a value."""

    name: Name
    value: str
    negated: bool = False


@dataclass(frozen=True)
class Query:
    """A search, read.

    Attributes:
        text: what it is about, in its own words: the terms and phrases.
        terms: any of them finds; the more and the rarer, the better.
        phrases: all of them must occur.
        excluded: none of them may occur.
        clauses: all of them must be true.
        ignored: sentences about what was not understood.
    """

    text: str = ""
    terms: tuple[Term, ...] = ()
    phrases: tuple[Term, ...] = ()
    excluded: tuple[Term, ...] = ()
    clauses: tuple[Clause, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def wanted(self) -> tuple[Term, ...]:
        """What is to be marked in the text that is found."""
        return (*self.phrases, *self.terms)


def parse(q: str) -> Query:
    """Read a search; every line of text is one."""
    ignored, q = [], INVISIBLE.sub(" ", q)
    if len(q) > LONGEST:
        ignored.append(f"the search has {len(q):,} characters; what follows the first {LONGEST:,} is left out")
    terms: list[Term] = []
    phrases, excluded, clauses, text = [], [], [], []
    for match in PART.finditer(q[:LONGEST]):
        name, value = (match["name"] or "").lower(), match["phrase"] if match["word"] is None else match["word"]
        negated = bool(match["minus"])
        if name in get_args(Name):
            why = _unfit(name, value)
            if why is None:
                clauses.append(Clause(name, value.strip().lower(), negated))  # pyright: ignore[reportArgumentType]
                continue
            ignored.append(why)
        elif name:
            value = f"{name} {value}"
        term = Term(tuple(words(value)), prefix=match["word"] is not None and value.endswith("*"))
        if not term.words:
            continue
        if negated:
            excluded.append(term)
            continue
        text.append(value.strip("*"))
        (phrases if match["phrase"] is not None and not name else terms).append(term)
    telling = [term for term in terms if term.prefix or not FUNCTION_WORDS.issuperset(term.words)]
    if len(telling) > MOST_WORDS:
        ignored.append(
            f"the search has {len(telling)} words; those after the first {MOST_WORDS} only count for meaning"
        )
    return Query(
        text=" ".join(text),
        terms=tuple(dict.fromkeys(telling or terms))[:MOST_WORDS],
        phrases=tuple(dict.fromkeys(phrases)),
        excluded=tuple(dict.fromkeys(excluded)),
        clauses=tuple(dict.fromkeys(clauses)),
        ignored=tuple(ignored),
    )


def words(text: str) -> list[str]:
    """Return the words of a text as the index has them: runs of letters and digits, in lower case, no diacritics."""
    if not text.isascii():
        text = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    return NO_WORD.sub(" ", text.lower()).split()


def years(value: str) -> tuple[int, int] | None:
    """Return the first and last year of "2024", "2024..2025", "2024.." or "..2025"; None for anything else."""
    match = RANGE.fullmatch(value)
    if not match or not (match[1] or match[3]) or (match[1] and match[3] and not match[2]):
        return None
    first = int(match[1] or FIRST_YEAR)
    last = int(match[3] or (LAST_YEAR if match[2] else match[1]))
    return (first, last) if FIRST_YEAR <= first <= last <= LAST_YEAR else None


def _unfit(name: str, value: str) -> str | None:
    """Return why a field can't have this value, as a sentence, or None."""
    if not value.strip():
        return f"{name}: stands without a value; write one right after it, such as {EXAMPLES[name]}"
    if name == "year" and years(value) is None:
        return f"year:{value} is no year or range of years; write year:2024, year:2024..2025 or year:2024.."
    if name == "has" and value.lower() != "code":
        return f"has:{value} is not known; has:code finds papers that link to their code"
    if name == "is" and value.lower() not in STATES:
        return f"is:{value} is not known; write one of {', '.join(f'is:{state}' for state in STATES)}"
    if name == "author" and not words(value):
        return f'author:{value} has no name; write author:smith or author:"jane smith"'
    if name == "tag" and len(value) > LONGEST_TAG:
        return f"tag:{value[:20]}… has {len(value)} characters, and a tag at most {LONGEST_TAG}"
    return None
