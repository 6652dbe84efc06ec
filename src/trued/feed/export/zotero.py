"""Papers into a Zotero library, through Zotero's web API (version 3).

Knows the API's items and answers. Knows nothing of stores or files. Items go in fifty at a time, each batch under a
write token made of its papers, so that a push that is repeated within the token's life adds nothing twice.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from trued import __version__
from trued.errors import InputError
from trued.feed.dates import date_text
from trued.feed.export.names import parse_name
from trued.feed.export.publication import publication
from trued.feed.reference import address, names, permanent_id
from trued.feed.store.records import StoredPaper

if TYPE_CHECKING:
    import httpx2

API = "https://api.zotero.org"
AT_ONCE = 50  # items, the API's limit
TIMEOUT = 60.0  # seconds
_TYPES = {"article": "journalArticle", "proceedings": "conferencePaper", "preprint": "preprint"}
_PLACES = {"article": "publicationTitle", "proceedings": "proceedingsTitle"}


@dataclass(frozen=True)
class Library:
    """A library, and the key that may write to it.

    Args:
        name: users/ID or groups/ID.
    """

    name: str
    key: str = field(repr=False)
    api: str = API

    @classmethod
    def from_environment(cls, name: str, environment: Mapping[str, str] = os.environ) -> Library:
        """Return a library with the key in `TRUED_ZOTERO_KEY`; `TRUED_ZOTERO_URL` names another server.

        Raises:
            InputError: no library is called so, or there is no key.
        """
        if not re.fullmatch(r"(users|groups)/\d{1,12}", name):
            raise InputError(f"{name!r} is no Zotero library; write users/ID or groups/ID, as its address has it")
        key = environment.get("TRUED_ZOTERO_KEY", "")
        if not key:
            raise InputError("TRUED_ZOTERO_KEY is not set; make a key that may write at zotero.org/settings/keys")
        return cls(name, key, environment.get("TRUED_ZOTERO_URL") or API)


@dataclass
class Pushed:
    """What became of the papers: how many are in, and title and reason of those that are not."""

    added: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)


def push(
    papers: Sequence[StoredPaper], library: Library, *, progress: Callable[[int, int], None] | None = None
) -> Pushed:  # fmt: skip
    """Put papers into a library.

    Raises:
        InputError: the key may not write there, or Zotero does not answer; earlier batches are in.
    """
    import httpx2

    pushed, url = Pushed(), f"{library.api}/{library.name}/items"
    headers = {
        "Zotero-API-Version": "3", "Zotero-API-Key": library.key, "User-Agent": f"trued/{__version__}",
    }  # fmt: skip
    with httpx2.Client(timeout=TIMEOUT, headers=headers) as client:
        for start in range(0, len(papers), AT_ONCE):
            batch = papers[start : start + AT_ONCE]
            url = f"{library.api}/{library.name}/items"
            try:
                answer = client.post(
                    url, json=[item(stored) for stored in batch], headers={"Zotero-Write-Token": _token(batch)}
                )
            except httpx2.HTTPError as error:
                raise InputError(f"Zotero does not answer ({error}); {pushed.added} papers are in: try again") from None
            _read(answer, batch, pushed, library)
            if progress is not None:
                progress(start + len(batch), len(papers))
    return pushed


def item(stored: StoredPaper) -> dict[str, Any]:
    """Return a paper as an item of Zotero's."""
    paper, venue = stored.paper, publication(stored.paper)
    values: dict[str, Any] = {
        "itemType": _TYPES[venue.kind],
        "title": paper.title,
        "creators": [_creator(name) for name in names(paper)],
        "abstractNote": paper.abstract,
        "date": date_text(paper) if venue.kind == "preprint" else str(venue.year or ""),
        "url": address(paper) or "",
        "DOI": paper.doi or "",
        "tags": [{"tag": category} for category in paper.categories],
    }
    if venue.kind == "preprint":
        values |= {"repository": "arXiv", "archiveID": f"arXiv:{paper.arxiv}"} if paper.arxiv else {}
    else:
        values[_PLACES[venue.kind]] = venue.where
        values["extra"] = f"arXiv:{paper.arxiv}" if paper.arxiv else ""
    return {key: value for key, value in values.items() if value and value != "None"}


def _read(answer: httpx2.Response, batch: Sequence[StoredPaper], pushed: Pushed, library: Library) -> None:
    status = answer.status_code
    if status == 412:  # the same batch went in under the same token, not long ago
        pushed.added += len(batch)
        return
    if status in (401, 403):
        raise InputError(f"the key in TRUED_ZOTERO_KEY may not write to {library.name}; make one that may")
    try:
        result = answer.json() if answer.is_success else None
    except ValueError:
        result = None
    if not isinstance(result, dict):
        text = " ".join(answer.text.split())[:120]
        raise InputError(f"Zotero answered {status} ({text}); {pushed.added} papers are in: try again")
    pushed.added += len(result.get("successful", {})) + len(result.get("unchanged", {}))
    for place, why in result.get("failed", {}).items():
        pushed.failed.append((batch[int(place)].paper.title, str(why.get("message", "no reason given"))))


def _creator(text: str) -> dict[str, str]:
    name = parse_name(text)
    if not name.given:
        return {"creatorType": "author", "name": text}
    family = f"{name.particle} {name.family}".strip()
    given = f"{name.given}, {name.suffix}" if name.suffix else name.given
    return {"creatorType": "author", "firstName": given, "lastName": family}


def _token(batch: Sequence[StoredPaper]) -> str:
    return sha256("\n".join(permanent_id(stored.paper) for stored in batch).encode()).hexdigest()[:32]
