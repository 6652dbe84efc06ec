from datetime import date, datetime
from html.parser import HTMLParser
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import UndefinedError

from trued.feed.paper import Author, FeedPaper, Link
from trued.feed.store.records import StoredPaper
from trued.web.templating import breakable, byline, code_address, coins, day, linked, make_templates, web_address


class Reader(HTMLParser):
    """What a browser would show of a text, and the tags in it."""

    def __init__(self, text):
        super().__init__()
        self.text, self.tags = "", []
        self.feed(str(text))
        self.close()

    def handle_data(self, data):
        self.text += data

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


TEXTS = st.text(st.sampled_from("ab<>&\"' .,)/:=") | st.characters(exclude_categories=["Cs", "Cc"]), max_size=60)


@given(TEXTS, TEXTS)
def test_linked_text_reads_as_it_was_and_only_links_are_added(before, after):
    text = f"{before}see https://example.org/a?b=1&c=2, {after}"
    reader = Reader(linked(text))
    assert reader.text == text
    assert {tag for tag, _ in reader.tags} == {"a"}
    assert all(attributes["href"].lower().startswith(("http://", "https://")) for _, attributes in reader.tags)
    assert any(attributes["href"].endswith("https://example.org/a?b=1&c=2") for _, attributes in reader.tags)


@given(TEXTS)
def test_breakable_text_reads_as_it_was(text):
    reader = Reader(breakable(text))
    assert reader.text == text
    assert {tag for tag, _ in reader.tags} <= {"wbr"}


@pytest.mark.parametrize(
    "address", ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "//evil.example", "ftp://a.b", "",
                None, " https://a.b", "https://a.b/\"onclick=", "https://a.b/ x", "vbscript:x", "file:///etc/passwd"],
)  # fmt: skip
def test_only_addresses_of_the_web_are_links(address):
    assert web_address(address) == ""


def test_addresses_of_the_web_are():
    assert web_address("https://github.com/a/b?c=d#e") == "https://github.com/a/b?c=d#e"


def test_days():
    assert day(date(2024, 5, 4)) == day(datetime(2024, 5, 4, 23)) == "4 May 2024"
    assert day(None) == ""


def test_a_reference_manager_takes_a_paper_from_a_list():
    paper = FeedPaper(
        "Ünïcode & more", arxiv="2405.15589", published=date(2024, 5, 24),
        authors=(Author("Ada Lovelace"), Author("Hidden", hidden=True)),
    )  # fmt: skip
    now = datetime(2025, 1, 1)
    fields = parse_qs(coins(StoredPaper(1, paper, None, now, now, 0.0)))
    assert fields["rft.title"] == ["Ünïcode & more"]
    assert fields["rft.creator"] == ["Ada Lovelace"]
    assert fields["rft.date"] == ["2024-05-24"]
    assert fields["rft.identifier"] == ["https://arxiv.org/abs/2405.15589"]
    assert "rft_id" not in fields


def test_templates_escape_and_know_no_empty_names():
    environment = make_templates().env
    assert environment.from_string("{{ a }}").render(a="<script>") == "&lt;script&gt;"
    with pytest.raises(UndefinedError):
        environment.from_string("{{ unheard_of }}").render()


@pytest.mark.parametrize(
    ("names", "hidden", "count", "organization", "expected"),
    [
        ("AB", "", None, "Lab", "A, B"),
        ("ABCDEF", "", None, None, "A, B, C, D, E, F"),
        ("ABCDEFGH", "", None, None, "A, B, C, D, E and 3 others"),
        ("AB", "X", None, None, "A, B and 1 other"),
        ("A", "", 4, None, "A and 3 others"),
        ("", "X", None, None, "1 author"),
        ("", "", 7, "Lab", "Lab"),
        ("", "", 7, None, "7 authors"),
        ("", "", None, None, ""),
    ],
)
def test_who_wrote_a_paper_fits_in_a_line(names, hidden, count, organization, expected):
    authors = (*map(Author, names), *(Author(name, hidden=True) for name in hidden))
    assert byline(FeedPaper("T", authors=authors, authors_count=count, organization=organization)) == expected


def test_code_is_a_link_to_the_web():
    links = (Link("https://a.example", "project"), Link("javascript:x", "code"), Link("https://github.com/a/b", "code"))
    assert code_address(FeedPaper("T", links=links)) == "https://github.com/a/b"
    assert code_address(FeedPaper("T", links=links[:2])) == ""
