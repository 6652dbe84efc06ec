from .arxiv_atom import parse_arxiv_atom as parse_arxiv_atom
from .bibtex import parse_bibtex as parse_bibtex
from .daily_json import parse_daily_json as parse_daily_json
from .files import read_bytes as read_bytes
from .files import read_file as read_file
from .highwire import parse_highwire as parse_highwire
from .online import fetch_arxiv as fetch_arxiv
from .online import fetch_daily as fetch_daily
from .online import fetch_one as fetch_one
from .online import fetch_url as fetch_url
from .reading import Reading as Reading
from .resolve import identify as identify
from .resolve import resolve_title as resolve_title
from .shipped import shipped_page as shipped_page
from .source import read_reference as read_reference
from .source import read_source as read_source
from .text_page import parse_page as parse_page

__all__ = [
    "Reading",
    "fetch_arxiv",
    "fetch_daily",
    "fetch_one",
    "fetch_url",
    "identify",
    "parse_arxiv_atom",
    "parse_bibtex",
    "parse_daily_json",
    "parse_highwire",
    "parse_page",
    "read_bytes",
    "read_file",
    "read_reference",
    "read_source",
    "resolve_title",
    "shipped_page",
]
