"""Reports: one HTML file that needs nothing else, from sections of typed blocks.

Knows headings, blocks and the template. Knows nothing of who fills them: an experiment's evidence, a check or the
demonstration loop. All text is escaped by the template, for a model's answer may contain anything.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from trued.files import mark, write_output
from trued.lab.rows import ClaimRow

if TYPE_CHECKING:
    from jinja2 import Template

REPORT = "report"
"""What a report is called among the kinds of output."""

Tone = Literal["good", "bad", "neutral"]


@dataclass(frozen=True)
class Prose:
    """Paragraphs of plain text."""

    kind: ClassVar[str] = "prose"
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Table:
    """Rows under columns. Columns in which every cell is a number or an interval are aligned right and not folded."""

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    caption: str = ""

    @property
    def numeric(self) -> list[bool]:
        """Tell for each column whether it holds numbers."""
        return [all(_NUMBER.fullmatch(str(row[i])) for row in self.rows) for i in range(len(self.columns))]


@dataclass(frozen=True)
class Figure:
    """An SVG drawing. `alt` says what it shows; it is read aloud in the drawing's place."""

    kind: ClassVar[str] = "figure"
    name: str
    svg: str
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Example:
    """One answer before and after; without a text before, the answer alone. The note stands beside the title."""

    title: str
    before: str
    after: str
    note: str = ""


@dataclass(frozen=True)
class Examples:
    """Answers side by side, folded until they are opened."""

    kind: ClassVar[str] = "examples"
    items: Sequence[Example]
    labels: tuple[str, str] = ("before", "after")


@dataclass(frozen=True)
class Claims:
    """Claims with figures and verdicts."""

    kind: ClassVar[str] = "claims"
    rows: Sequence[ClaimRow]


@dataclass(frozen=True)
class SummaryItem:
    """A number before and after.

    Attributes:
        label: what is counted.
        before, after: as they are to be printed; `before` may be empty.
        interval: the interval of the change, or of `after` where nothing came before.
        tone: whether the change is welcome.
        note: one line below.
    """

    label: str
    before: str
    after: str
    interval: str = ""
    tone: Tone = "neutral"
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """The few numbers that answer the question, large."""

    kind: ClassVar[str] = "summary"
    items: Sequence[SummaryItem]


@dataclass(frozen=True)
class KeyValues:
    """Settings, versions and the like. Values that are mappings or lists are written out."""

    kind: ClassVar[str] = "keyvalues"
    items: Mapping[str, Any]


Block = Prose | Table | Figure | Examples | Claims | Summary | KeyValues


@dataclass(frozen=True)
class Section:
    """Blocks under a heading."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """A whole report.

    Attributes:
        title: its heading.
        kicker: a short line above the heading, such as the paper's slug.
        link: the address that the heading leads to when it is clicked, or None.
        facts: short facts below the heading: model, seeds, minutes.
        lead: one or two sentences that answer the question.
        sections: in reading order.
        footer: the last line.
    """

    title: str
    sections: Sequence[Section]
    kicker: str = ""
    link: str | None = None
    facts: Sequence[str] = ()
    lead: str = ""
    footer: str = ""
    language: str = field(default="en", kw_only=True)


def write_report(path: str | PathLike[str], report: Report) -> Path:
    """Write a report as one self-contained HTML file, atomically.

    Nothing is fetched when it is opened: style and drawings are inside, there are no scripts, and a content security
    policy forbids both.

    Raises:
        InputError: a file that is no report of trued's lies there.
    """
    return write_output(path, render(report), kind=REPORT)


def render(report: Report) -> str:
    """Return a report as HTML."""
    return _template().render(report=report)


_NUMBER = re.compile(
    r"\s*(≥|≤|×|÷)?\s*[–+−-]?\s*(\d[\d.,\s]*([eE][+−-]?\d+)?)?\s*(%|×|points|s|min|MiB|GiB)?\s*"
    r"(\[[-+−\d.,\s]+\])?\s*"  # an interval
)


@cache
def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from trued.lab.figure import inline

    # Autoescape is on for every template; the two filters below are the only ways past it.
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["inline_svg"] = lambda svg, prefix: Markup(inline(svg, prefix))
    environment.filters["written_out"] = written_out
    environment.filters["breakable"] = lambda text: Markup(re.sub(r"([/_=.])", r"\1<wbr>", str(Markup.escape(text))))
    environment.globals["mark"] = mark(REPORT)
    environment.globals["style"] = Markup((Path(__file__).parent / "templates" / "report.css").read_text())
    return environment.get_template("report.html.jinja")


def written_out(value: Any) -> str:
    """Return a setting's value as text: lists with commas, mappings as `key value`."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {written_out(item)}" for key, item in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(written_out, value)) or "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return "–" if value is None or value == "" else str(value)
