"""CSV, as spreadsheets and data frames read it: RFC 4180, UTF-8, one paper a row.

Knows columns. Knows nothing of stores or of other formats. Text from a feed is anyone's: what a spreadsheet would take
for a formula gets an apostrophe in front.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from trued.feed.dates import date_text
from trued.feed.reference import address, code, names
from trued.feed.store.records import StoredPaper

COLUMNS = (
    "title", "authors", "organization", "published", "arxiv", "doi", "journal", "categories", "upvotes", "comments",
    "url", "code", "trued", "abstract",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(papers: Sequence[StoredPaper]) -> str:
    """Return papers as CSV with a row of names; `trued` is the slug by which `trued run` knows a paper."""
    target = io.StringIO()
    rows = csv.writer(target)
    rows.writerow(COLUMNS)
    rows.writerows([_safe(value) for value in _row(stored)] for stored in papers)
    return target.getvalue()


def _row(stored: StoredPaper) -> list[str]:
    paper = stored.paper
    return [
        paper.title, "; ".join(names(paper)), paper.organization or "", date_text(paper), paper.arxiv or "",
        paper.doi or "", paper.journal or "", " ".join(paper.categories), _count(paper.upvotes, stored.votes),
        _count(paper.comments, stored.remarks), address(paper) or "", code(paper) or "", stored.slug or "",
        paper.abstract,
    ]  # fmt: skip


def _count(reported: int | None, here: int) -> str:
    """Return a count of the sources and of this store; nothing where neither knows one."""
    return str((reported or 0) + here) if reported is not None or here else ""


def _safe(value: str) -> str:
    return f"'{value}" if value.startswith(_FORMULA) else value
