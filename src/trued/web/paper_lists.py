"""A page with a list of papers: each with its figure, its verdicts, and what the reader left beside it.

Knows the store, the evidence and what the rows' template needs. Knows nothing of which papers are listed, or why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response

from trued.feed.paper_store import PaperStore
from trued.feed.store.records import Hit, StoredPaper
from trued.web.accounts import visitor
from trued.web.views import FIELDS, NO_FILTERS, STATES, VERDICTS


@dataclass(frozen=True)
class Row:
    """A paper as a list shows it: its number, the paper, and the passage that answers a search."""

    number: int | None
    item: StoredPaper
    hit: Hit | None = None


def rows_of_hits(hits: Iterable[Hit]) -> list[Row]:
    """Return the rows of a search, which have no numbers."""
    return [Row(None, hit.paper, hit) for hit in hits]


def list_page(request: Request, template: str, rows: Sequence[Row], **values: Any) -> Response:
    """Return a page that lists papers.

    Args:
        values: what the template needs beside the rows.
    """
    state, person = request.app.state, visitor(request).person
    store: PaperStore = state.store
    uids = [row.item.uid for row in rows]
    query = urlencode([pair for pair in request.query_params.multi_items() if pair[0] != "part"])
    context = {
        "rows": rows, "marks": store.marks(person, uids) if person and uids else {},
        "thumbnails": store.thumbnail_digests(uids) if uids else {}, "committed": state.evidence,
        "fields": FIELDS, "states": STATES, "verdicts": VERDICTS, "no_filters": NO_FILTERS,
        "tags": list(store.tags(person)) if person else [],
        "address": f"{request.url.path}?{query}" if query else request.url.path, **values,
    }  # fmt: skip
    return state.templates.TemplateResponse(request, template, context, headers={"Vary": "Cookie"})
