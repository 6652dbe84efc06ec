"""Cards: a paper's facts and its claims, read from one TOML file each and checked on the way in.

Knows the card's format. Knows nothing of how a claim is measured or judged.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import date, datetime
from math import isfinite
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from trued.errors import InputError, nearest

T = TypeVar("T")
Better = Literal["higher", "lower", "equal"]
Field = Literal["language", "vision", "representation", "generation", "speech", "forecast", "robot"]
Modality = Literal["text", "image", "video", "audio", "boxes", "location", "series", "state"]

SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
ARXIV = re.compile(r"\d{4}\.\d{4,5}")


@dataclass(frozen=True)
class Margin:
    """The least effect that counts; for `better = "equal"`, the largest difference that still counts as equal.

    Attributes:
        value: above 0 in the claim's unit; above 1 where `ratio` is set.
        ratio: the effect is a quotient (baseline over method, or the inverse) and not a difference.
    """

    value: float
    ratio: bool = False

    def __str__(self) -> str:
        return f"ratio {self.value:g}" if self.ratio else f"{self.value:g}"


@dataclass(frozen=True)
class PaperFigures:
    """What the paper itself reports for a claim; all None where no certain figure is known."""

    baseline: float | None = None
    method: float | None = None
    unit: str | None = None
    where: str | None = None

    def __bool__(self) -> bool:
        return self.baseline is not None or self.method is not None


@dataclass(frozen=True)
class Claim:
    """One statement of a paper that can be checked.

    Attributes:
        id: names the claim within its card.
        says: the statement, one sentence.
        metric: what the experiment measures.
        unit: the unit of the effect. "points" are differences of shares from 0 to 1; "ratio" goes with a ratio margin.
        better: where the method should lie beside the baseline.
        margin: the least effect that counts, stated before anything is run.
        control: what must not pass the same test, or None.
        paper: the paper's own figures; false where there are none.
    """

    id: str
    says: str
    metric: str
    unit: str
    better: Better
    margin: Margin
    control: str | None = None
    paper: PaperFigures = PaperFigures()


@dataclass(frozen=True)
class Card:
    """A paper of the feed and its claims.

    Attributes:
        slug: names the paper everywhere in trued.
        title: as the page prints it.
        date: the day of the page, or of the first version where the page shows none.
        authors: how many; None where the page shows an organisation or nothing.
        page_count: the number behind the page's date, whose meaning (comments or upvotes) the page does not give.
        code: the authors' code, or None.
        summary: two to four sentences of our own.
        details: implementation details that matter: what one gets wrong when one writes the method from the paper.
        page: false for a paper that is not on the page, and is here because papers of the page are measured by it.
    """

    slug: str
    title: str
    date: date
    field: Field
    modalities: tuple[Modality, ...]
    summary: str
    claims: tuple[Claim, ...]
    arxiv: str | None = None
    authors: int | None = None
    organisation: str | None = None
    page_count: int | None = None
    code: str | None = None
    details: tuple[str, ...] = ()
    page: bool = True

    @property
    def url(self) -> str | None:
        """The paper's page on arXiv."""
        return f"https://arxiv.org/abs/{self.arxiv}" if self.arxiv else None

    def claim(self, id: str) -> Claim:
        """Return the claim named `id`.

        Raises:
            InputError: this card has no such claim; the message offers the nearest names.
        """
        for claim in self.claims:
            if claim.id == id:
                return claim
        known = [claim.id for claim in self.claims]
        hint = nearest(id, known) or "."
        raise InputError(f"{self.slug} has no claim {id!r}{hint} Its claims: {', '.join(known)}.")


def load_card(path: str | Path) -> Card:
    """Read and check one card.

    Args:
        path: a TOML file named `<slug>.toml`.

    Raises:
        InputError: the file is missing, is not TOML, or has an unknown, missing or unfit key; the message names
            the file, the key, the value and what belongs there.
    """
    path = Path(path)
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: the card cannot be read ({error.strerror}); give the path of a TOML file") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid TOML ({error}); correct the file") from error
    return _Table(table, path.name).card(path.stem)


class _Table:
    """A TOML table that hands out checked values and knows where it stands, so that every complaint can say so."""

    def __init__(self, table: dict[str, Any], file: str, place: str = "") -> None:
        self.table, self.file, self.place = table, file, place

    def card(self, stem: str) -> Card:
        self.allow(Card)
        slug = self.matching("slug", SLUG, "lower-case words joined by hyphens")
        if slug != stem:
            raise self.unfit("slug", f"the file's name, {stem!r}")
        claims = tuple(table.claim() for table in self.tables("claims"))
        for i, claim in enumerate(claims):
            if claim.id in [earlier.id for earlier in claims[:i]]:
                raise InputError(f"{self.file}, claims[{i}].id: {claim.id!r} is taken; give every claim its own id")
        return Card(
            slug=slug,
            title=self.text("title"),
            date=self.day("date"),
            field=self.choice("field", get_args(Field)),
            modalities=self.choices("modalities", get_args(Modality)),
            summary=" ".join(self.text("summary").split()),
            claims=claims,
            arxiv=self.optional("arxiv", lambda key: self.matching(key, ARXIV, "an arXiv id such as '2405.15589'")),
            authors=self.optional("authors", lambda key: self.count(key, least=1)),
            details=self.optional("details", self.texts) or (),
            organisation=self.optional("organisation", self.text),
            page_count=self.optional("page_count", lambda key: self.count(key, least=0)),
            code=self.optional("code", lambda key: self.matching(key, re.compile(r"https://\S+"), "an https address")),
            page=self.optional("page", self.truth) is not False,
        )

    def claim(self) -> Claim:
        self.allow(Claim)
        margin = self.margin("margin")
        unit = self.text("unit")
        if (unit == "ratio") != margin.ratio:
            raise self.unfit("unit", f"'ratio' exactly where the margin is 'ratio X' (it is {str(margin)!r})")
        return Claim(
            id=self.matching("id", SLUG, "lower-case words joined by hyphens"),
            says=self.text("says"),
            metric=self.text("metric"),
            unit=unit,
            better=self.choice("better", get_args(Better)),
            margin=margin,
            control=self.optional("control", self.text),
            paper=self.inner("paper").figures() if "paper" in self.table else PaperFigures(),
        )

    def figures(self) -> PaperFigures:
        self.allow(PaperFigures)
        figures = PaperFigures(
            baseline=self.optional("baseline", self.number),
            method=self.optional("method", self.number),
            unit=self.optional("unit", self.text),
            where=self.optional("where", self.text),
        )
        for key in ("unit", "where") if figures else ():
            self.get(key, "a text, since a figure without it says nothing")
        return figures

    def margin(self, key: str) -> Margin:
        expected = "a number above 0, or 'ratio X' with X above 1"
        value = self.get(key, expected)
        if isinstance(value, str) and (match := re.fullmatch(r"ratio (\d+(?:\.\d+)?)", value)):
            margin = Margin(float(match[1]), ratio=True)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            margin = Margin(float(value))
        else:
            raise self.unfit(key, expected)
        if not (isfinite(margin.value) and margin.value > (1 if margin.ratio else 0)):
            raise self.unfit(key, expected)
        return margin

    def text(self, key: str) -> str:
        value = self.get(key, "a text")
        if not isinstance(value, str) or not value.strip():
            raise self.unfit(key, "a text that is not empty")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.get(key, "a list of sentences")
        if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
            raise self.unfit(key, "a list of sentences")
        return tuple(" ".join(item.split()) for item in value)

    def matching(self, key: str, pattern: re.Pattern[str], expected: str) -> str:
        value = self.get(key, expected)
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise self.unfit(key, expected)
        return value

    def choice(self, key: str, allowed: tuple[Any, ...]) -> Any:
        expected = f"one of {', '.join(allowed)}"
        if self.get(key, expected) not in allowed:
            raise self.unfit(key, expected)
        return self.table[key]

    def choices(self, key: str, allowed: tuple[Any, ...]) -> tuple[Any, ...]:
        expected = f"a list without repeats from {', '.join(allowed)}"
        value = self.get(key, expected)
        if not isinstance(value, list) or not value or any(item not in allowed for item in value):
            raise self.unfit(key, expected)
        if len(set(value)) < len(value):
            raise self.unfit(key, expected)
        return tuple(value)

    def day(self, key: str) -> date:
        value = self.get(key, "a date such as 2024-05-24")
        if not isinstance(value, date) or isinstance(value, datetime):
            raise self.unfit(key, "a date such as 2024-05-24, without quotes and without a time")
        return value

    def count(self, key: str, *, least: int) -> int:
        value = self.get(key, "a whole number")
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise self.unfit(key, f"a whole number from {least}")
        return value

    def truth(self, key: str) -> bool:
        value = self.get(key, "true or false")
        if not isinstance(value, bool):
            raise self.unfit(key, "true or false, without quotes")
        return value

    def number(self, key: str) -> float:
        value = self.get(key, "a number")
        if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
            raise self.unfit(key, "a finite number")
        return float(value)

    def optional(self, key: str, read: Callable[[str], T]) -> T | None:
        return read(key) if key in self.table else None

    def inner(self, key: str) -> _Table:
        if not isinstance(self.table[key], dict):
            raise self.unfit(key, "a table such as { method = 5.0, unit = '%', where = 'abstract' }")
        return _Table(self.table[key], self.file, f"{self.place}{key}.")

    def tables(self, key: str) -> list[_Table]:
        value = self.get(key, "at least one [[claims]] table")
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise self.unfit(key, "at least one [[claims]] table")
        return [_Table(item, self.file, f"{self.place}{key}[{i}].") for i, item in enumerate(value)]

    def get(self, key: str, expected: str) -> Any:
        if key not in self.table:
            raise InputError(f"{self.file}, {self.place}{key}: missing; add {expected}")
        return self.table[key]

    def allow(self, kind: type[Card] | type[Claim] | type[PaperFigures]) -> None:
        known = [field.name for field in fields(kind)]
        for key in self.table:
            if key not in known:
                hint = nearest(key, known) or f"; the keys are {', '.join(known)}"
                raise InputError(f"{self.file}, {self.place}{key}: unknown key{hint}")

    def unfit(self, key: str, expected: str) -> InputError:
        value = self.table[key]
        text = value.isoformat() if isinstance(value, date) else repr(value)
        return InputError(f"{self.file}, {self.place}{key}: {text} does not fit; give {expected}")
