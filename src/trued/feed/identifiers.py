"""arXiv ids and DOIs, wherever they stand: alone, with a version, in an address, in a citation.

Knows how the identifiers are written. Asks nobody whether they exist.
"""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

_NEW = r"(?:\d{2}(?:0[1-9]|1[0-2])\.\d{4,5})"  # since April 2007
_OLD = r"(?:[a-z][a-z-]*(?:\.[A-Z]{2})?/\d{7})"  # before
_ID = re.compile(rf"(?P<id>{_NEW}|{_OLD})(?:v(?P<version>[1-9]\d{{0,3}}))?")
_CITED = re.compile(rf"arxiv[:\s]\s*(?P<id>{_NEW}|{_OLD})(?:v(?P<version>[1-9]\d{{0,3}}))?(?!\d)", re.IGNORECASE)
_DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>]{1,200}")
_ARXIV_DOI = re.compile(r"10\.48550/arxiv\.(.+)", re.IGNORECASE)

# host → the parts of a path that may stand before an arXiv id
_PATHS = {
    "arxiv.org": ("abs", "pdf", "html", "format", "ps"),
    "export.arxiv.org": ("abs", "pdf", "html"),
    "huggingface.co": ("papers", "api/papers"),
    "hf.co": ("papers",),
    "alphaxiv.org": ("abs", "overview", "pdf"),
    "ar5iv.org": ("abs", "html"),
    "ar5iv.labs.arxiv.org": ("html",),
    "papers.cool": ("arxiv",),
}


def arxiv_id(text: str) -> tuple[str, int | None] | None:
    """Return the arXiv id that a text is, and its version, or None if it is no such id.

    Read are ids with or without "arXiv:" and a version, addresses of pages that belong to one id, and arXiv's DOIs.
    A version is a final "v" with a number and nothing else, so that "solv-int/9707001v1" keeps its archive's name.
    """
    text = text.strip()
    if "://" in text:
        return _of_address(text)
    text = re.sub(r"^arxiv:\s*", "", text, flags=re.IGNORECASE)
    if doi := _ARXIV_DOI.fullmatch(re.sub(r"^doi:\s*", "", text, flags=re.IGNORECASE)):
        text = doi[1]
    # arXiv's own citations name the archive or class behind the id: "2405.15589 [cs.LG]"
    match = _ID.fullmatch(re.sub(r"\s*\[[\w.-]+\]$", "", text))
    return (match["id"], int(match["version"]) if match["version"] else None) if match else None


def cited_arxiv_id(text: str) -> tuple[str, int | None] | None:
    """Return the first arXiv id that a citation names as such: "arXiv preprint arXiv:2405.15589"."""
    match = _CITED.search(text)
    return (match["id"], int(match["version"]) if match["version"] else None) if match else None


def doi(text: str) -> str | None:
    """Return the DOI that a text is, alone, after "doi:" or in an address of doi.org, or None."""
    text = re.sub(r"^(?:doi:\s*|https?://(?:dx\.|www\.)?doi\.org/)", "", text.strip(), flags=re.IGNORECASE)
    text = unquote(text)
    return text if _DOI.fullmatch(text) else None


def first_doi(text: str) -> str | None:
    """Return the first DOI of a text that is one or lists several, or None."""
    return doi(text) or next((name for part in text.split() if (name := doi(part.strip(",;")))), None)


def _of_address(url: str) -> tuple[str, int | None] | None:
    if doi_name := doi(url):
        return arxiv_id(doi_name) if _ARXIV_DOI.fullmatch(doi_name) else None
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return None
    if parts.scheme not in ("http", "https"):
        return None
    path = parts.path.strip("/")
    for start in _PATHS.get(host, ()):
        if path.startswith(f"{start}/"):
            rest = re.sub(r"\.(?:pdf|md)$", "", path.removeprefix(f"{start}/"))
            return arxiv_id(rest) if "://" not in rest else None
    return None
