"""The templates' environment: everything is escaped, unknown names are errors, and a few filters are shared.

Knows Jinja. Knows nothing of what is shown.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

from fastapi import Request
from fastapi.templating import Jinja2Templates
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from trued.feed.dates import date_text, date_words
from trued.feed.paper import FeedPaper
from trued.feed.store.records import StoredPaper
from trued.lab.report import written_out
from trued.papers import catalogue
from trued.web.accounts import visitor
from trued.web.security import csrf_field
from trued.web.static_files import static
from trued.web.svg import for_page
from trued.web.tex import plain, readable, readable_html

TEMPLATES = Path(__file__).parent / "templates"
_LINK = Markup('<a href="{0}" rel="noreferrer nofollow">{0}</a>')
_WEB = re.compile(r"https?://[^\s<>\"']+", re.IGNORECASE)


def make_templates() -> Jinja2Templates:
    """Return the templates; `visitor` and `request` are known in all of them."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "date_text": date_text, "date_words": date_words,
        "for_page": for_page, "written_out": written_out, "day": day, "breakable": breakable, "linked": linked,
        "web_address": web_address, "readable": readable, "readable_html": readable_html, "plain": plain,
        "field_of": field_of, "byline": byline, "code_address": code_address,
    }  # fmt: skip
    environment.tests["web_address"] = lambda text: bool(web_address(text))
    environment.globals |= {"csrf_field": csrf_field, "static": static, "here": here, "coins": coins}
    return Jinja2Templates(env=environment, context_processors=[_context])


def _context(request: Request) -> dict[str, Any]:
    return {"visitor": visitor(request)}


def here(request: Request, path: str) -> bool:
    """Tell whether a page belongs to the part of the site that a link of the navigation leads to."""
    now = request.url.path
    return now == path or (path != "/" and now.startswith(f"{path}/"))


def field_of(slug: str) -> str:
    """Return the field of a paper with a card."""
    return catalogue.card(slug).field


def day(value: date | datetime | None) -> str:
    """Return a day as people write it: 24 May 2024."""
    return f"{value.day} {value:%b %Y}" if value is not None else ""


def byline(paper: FeedPaper) -> str:
    """Return who wrote a paper, as far as it is known, in one line: up to six names, or how many there are."""
    names = [author.name for author in paper.authors if not author.hidden]
    count = max(paper.authors_count or 0, len(paper.authors))
    named = names if len(names) <= 6 else names[:5]
    if named:
        others = count - len(named)
        return ", ".join(named) + (f" and {others} other{'s' if others > 1 else ''}" if others > 0 else "")
    return paper.organization or (f"{count} author{'s' if count > 1 else ''}" if count else "")


def code_address(paper: FeedPaper) -> str:
    """Return the address of the paper's code, or an empty text."""
    return next((link.url for link in paper.links if link.kind == "code" and web_address(link.url)), "")


def breakable(text: str) -> Markup:
    """Return text that may break after the marks within long names."""
    return Markup(re.sub(r"([/_=.])", r"\1<wbr>", str(escape(text))))


def web_address(text: str | None) -> str:
    """Return an address if it is one of the web, and nothing for `javascript:` and its like."""
    return text if text and _WEB.fullmatch(text) else ""


def linked(text: str) -> Markup:
    """Return text in which addresses of the web are links, and TeX is readable; all the rest is escaped."""
    parts, end = [], 0
    for match in _WEB.finditer(text):
        address = match[0].rstrip(".,;:!?)]}")
        parts += [readable(text[end : match.start()]), _LINK.format(address)]
        end = match.start() + len(address)
    return Markup("").join([*parts, readable(text[end:])])


def coins(item: StoredPaper) -> str:
    """Return a paper as a COinS title, by which reference managers take a whole list of papers at once."""
    paper = item.paper
    fields: list[tuple[str, Any]] = [
        ("ctx_ver", "Z39.88-2004"), ("rft_val_fmt", "info:ofi/fmt:kev:mtx:dc"), ("rft.type", "preprint"),
        ("rft.title", paper.title), ("rft.date", date_text(paper)),
        ("rft.identifier", f"https://arxiv.org/abs/{paper.arxiv}" if paper.arxiv else None),
        ("rft_id", f"info:doi/{paper.doi}" if paper.doi else None),
        *(("rft.creator", author.name) for author in paper.authors if not author.hidden),
    ]  # fmt: skip
    return "&".join(f"{name}={_quoted(value)}" for name, value in fields if value)


_quoted = lru_cache(8192)(quote_plus)
