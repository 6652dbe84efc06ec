r"""BibTeX: `@misc` with eprint for what is on arXiv alone, `@article` and `@inproceedings` where a journal is known.

Knows entries, fields and keys. Knows nothing of stores or of other formats. What is not known is left out: nothing is
made up to fill a field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trued.feed.dates import precision
from trued.feed.export import tex
from trued.feed.export.keys import citation_keys
from trued.feed.export.names import parse_name
from trued.feed.export.publication import publication
from trued.feed.paper import FeedPaper
from trued.feed.reference import address, names
from trued.feed.store.records import StoredPaper

_TYPES = {"article": ("article", "journal"), "proceedings": ("inproceedings", "booktitle"), "preprint": ("misc", "")}
_IN_ADDRESSES = {"{": "%7B", "}": "%7D", "\\": "%5C", " ": "%20", '"': "%22"}


def to_bibtex(papers: Sequence[StoredPaper]) -> str:
    """Return papers as a BibTeX file in UTF-8."""
    return "\n".join(_entry(stored.paper, key) for stored, key in zip(papers, citation_keys(papers), strict=True))


def _entry(paper: FeedPaper, key: str) -> str:
    venue = publication(paper)
    kind, place = _TYPES[venue.kind]
    fields = {"title": _title(paper), "author": _authors(paper)}
    if place:
        fields[place] = tex.escape(venue.where)
    fields["year"] = str(venue.year or "")
    if venue.kind == "preprint" and paper.published and precision(paper) != "year":
        fields["month"] = f"{paper.published:%b}".lower()
    if venue.kind == "preprint" and paper.organization:
        fields["organization"] = tex.escape(paper.organization)
    if paper.arxiv:
        fields |= {"eprint": paper.arxiv, "archivePrefix": "arXiv", "primaryClass": next(iter(paper.categories), "")}
    fields |= {"doi": _verbatim(paper.doi or ""), "url": _verbatim(address(paper) or "")}
    # The month is one of BibTeX's own abbreviations, which braces would hide.
    lines = [f"  {name} = {value if name == 'month' else f'{{{value}}}'}," for name, value in fields.items() if value]
    return "\n".join((f"@{kind}{{{key},", *lines, "}")) + "\n"


def _title(paper: FeedPaper) -> str:
    """Return the title as a BibTeX file gave it, if it is still the title; else made from the plain one."""
    given = paper.extra.get("tex_title")
    if isinstance(given, Mapping) and given.get("plain") == paper.title:
        original = given.get("tex")
        if isinstance(original, str) and tex.balanced(original):
            return original
    return tex.title(paper.title)


def _authors(paper: FeedPaper) -> str:
    known = [_name(name) for name in names(paper)]
    if known and len(known) < len(paper.authors):
        known.append("others")  # BibTeX's own word: et al.
    return " and ".join(known)


def _name(text: str) -> str:
    words = text.lower().split()
    # "and" would begin the next author, and "others" alone would become et al.: such a name stays in one piece.
    whole = "and" in words or words == ["others"]
    return f"{{{tex.escape(text)}}}" if whole else tex.escape(parse_name(text).inverted)


def _verbatim(text: str) -> str:
    return "".join(_IN_ADDRESSES.get(c, c) for c in text)
