"""Addresses in a text, and what stands there: code, a project's page, a hub of models and data, a review.

Knows hosts by name. Fetches nothing.
"""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit

from trued.feed.paper import Link, LinkKind

_LONGEST = 2_000  # characters of an address; what goes on for longer is none
_ADDRESS = re.compile(r"https?://[^\s<>\"{}|^`\\]{1,2000}", re.IGNORECASE)
# Abstracts often leave out the scheme of the one address that everybody knows.
_BARE_CODE = re.compile(r"(?<![\w./@-])(?:www\.)?git(?:hub|lab)\.com/[\w.-]+/[\w.-]+", re.IGNORECASE)
_END_OF_SENTENCE = ".,;:!?'*’”"
_PAIRS = {")": "(", "]": "["}

_CODE = ("github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitee.com", "sr.ht", "gist.github.com")
_HUB = ("huggingface.co", "hf.co", "modelscope.cn", "kaggle.com", "zenodo.org", "paperswithcode.com")
_REVIEW = ("openreview.net", "anonymous.4open.science")
_PROJECT = ("github.io", "gitlab.io", "pages.dev", "netlify.app", "vercel.app", "notion.site", "readthedocs.io")
_PROJECT_PATHS = {"sites.google.com": "view"}
_NO_PROJECT = ("arxiv.org", "doi.org", "youtube.com", "youtu.be", "wikipedia.org", "x.com", "twitter.com")


def links_in(text: str) -> tuple[Link, ...]:
    """Return the addresses that a text gives, in its order and each once, without the punctuation behind them."""
    text = text.replace("\\_", "_").replace("\\%", "%").replace("\\#", "#").replace("\\~", "~").replace("\\&", "&")
    urls = [(match.start(), match[0]) for match in _ADDRESS.finditer(text) if len(match[0]) < _LONGEST]
    urls += [(match.start(), f"https://{match[0]}") for match in _BARE_CODE.finditer(text)]
    links = (link(_trimmed(url)) for _, url in sorted(urls))
    return tuple({item.url: item for item in links if item is not None}.values())


def link(url: object, kind: LinkKind | None = None) -> Link | None:
    """Return the link to an http or https address, or None for everything else.

    Args:
        kind: what stands there, where the source says so; seen from the host otherwise.
    """
    if not isinstance(url, str):
        return None
    url = url.strip()
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme.lower() not in ("http", "https") or not host or "." not in host or len(url) >= _LONGEST:
        return None
    return Link(url, kind or _kind(parts, host.removeprefix("www.")))


def merged(*groups: tuple[Link | None, ...]) -> tuple[Link, ...]:
    """Return the links of all groups, each address once, as the first group that has it tells of it."""
    links: dict[str, Link] = {}
    for link in (link for group in groups for link in group):
        if link is not None:
            links.setdefault(link.url.rstrip("/"), link)
    return tuple(links.values())


def _kind(parts: SplitResult, host: str) -> LinkKind:
    path = parts.path.strip("/")
    if _below(host, _REVIEW):
        return "review"
    if _below(host, _CODE) and "/" in path:
        return "code"
    if _below(host, _HUB):
        return "other" if path.startswith("papers/") else "hub"
    if _below(host, _PROJECT) or path.split("/")[0] == _PROJECT_PATHS.get(host, "\0"):
        return "project"
    return "other" if _below(host, (*_NO_PROJECT, *_CODE)) or path.count("/") > 1 else "project"


def _below(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def _trimmed(url: str) -> str:
    """Return an address without what the sentence around it left behind; a bracket stays if it was opened inside."""
    while url:
        last = url[-1]
        if last in _END_OF_SENTENCE or (last in _PAIRS and url.count(last) > url.count(_PAIRS[last])):
            url = url[:-1]
        else:
            break
    return url
