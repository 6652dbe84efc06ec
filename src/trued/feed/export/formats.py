"""Papers as other programs read them: BibTeX, RIS, CSL-JSON, CSV, JSON Lines and Markdown.

Knows which format is written where. Knows nothing of stores, files or the network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from trued.errors import InputError, nearest
from trued.feed import reference
from trued.feed.export.bibtex import to_bibtex
from trued.feed.export.csl import to_csl
from trued.feed.export.csv import to_csv
from trued.feed.export.jsonl import to_jsonl
from trued.feed.export.markdown import to_markdown
from trued.feed.export.ris import to_ris
from trued.feed.store.records import StoredPaper

Format = Literal["bibtex", "ris", "csl", "csv", "jsonl", "markdown"]


@dataclass(frozen=True)
class FormatWriter:
    """How a format is written, and what its files are called.

    Args:
        cites: the format is for citing, where an entry without authors is a poor one.
    """

    write: Callable[[Sequence[StoredPaper]], str]
    suffix: str
    media_type: str
    cites: bool = False


FORMATS: dict[Format, FormatWriter] = {
    "bibtex": FormatWriter(to_bibtex, "bib", "application/x-bibtex", cites=True),
    "ris": FormatWriter(to_ris, "ris", "application/x-research-info-systems", cites=True),
    "csl": FormatWriter(to_csl, "csl.json", "application/vnd.citationstyles.csl+json", cites=True),
    "csv": FormatWriter(to_csv, "csv", "text/csv"),
    "jsonl": FormatWriter(to_jsonl, "jsonl", "application/jsonl"),
    "markdown": FormatWriter(to_markdown, "md", "text/markdown"),
}


@dataclass(frozen=True)
class Exported:
    """Papers in a format.

    Args:
        text: what belongs into the file.
        warnings: sentences about what could not be said.
    """

    text: str
    media_type: str
    suffix: str
    warnings: tuple[str, ...] = ()


def export(papers: Sequence[StoredPaper], format: Format) -> Exported:
    """Return papers in a format.

    Raises:
        InputError: there is no such format.
    """
    if format not in FORMATS:
        raise InputError(f"there is no format {format!r}; give one of {', '.join(FORMATS)}{nearest(format, FORMATS)}")
    kind = FORMATS[format]
    warnings = []
    nameless = sum(not reference.names(stored.paper) for stored in papers)
    if kind.cites and nameless:
        which = "1 paper has" if nameless == 1 else f"{nameless} papers have"
        warnings.append(f"{which} no authors' names, and the field is left out; --resolve asks arXiv for them")
    return Exported(kind.write(papers), kind.media_type, kind.suffix, tuple(warnings))


def format_of(name: str) -> Format:
    """Return the format that a file's name ends with, such as `library.bib`.

    Raises:
        InputError: no format has this ending.
    """
    # The longest ending first: .csl.json is no .json
    for format, kind in sorted(FORMATS.items(), key=lambda item: -len(item[1].suffix)):
        if name.lower().endswith(f".{kind.suffix}"):
            return format
    endings = ", ".join(f".{kind.suffix}" for kind in FORMATS.values())
    raise InputError(f"{name!r} does not say its format; end it in one of {endings}, or give --format")
