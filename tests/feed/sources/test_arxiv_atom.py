"""arXiv's Atom: every field, every trap of the API, and XML that means harm."""

from __future__ import annotations

from datetime import date

import pytest

from trued.errors import InputError
from trued.feed.paper import Author
from trued.feed.sources.arxiv_atom import LARGEST, busy, parse_arxiv_atom

HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <link href="http://arxiv.org/api/query?x" rel="self" type="application/atom+xml"/>
  <title type="html">ArXiv Query: search_query=wheels</title>
  <id>http://arxiv.org/api/cHxbiOdZaP56ODnBPIenZhzg5f8</id>
  <updated>2025-12-10T00:00:00-05:00</updated>
  <opensearch:totalResults xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">{total}</opensearch:totalResults>
"""
ENTRY = """  <entry>
    <id>https://arxiv.org/abs/2405.15589v3</id>
    <updated>2024-11-01T11:13:54Z</updated>
    <published>2024-05-24T23:20:09-05:00</published>
    <title>Straight Wheels
  by Small Turns</title>
    <summary>  We turn one spoke &amp; measure.
Code: https://github.com/wheels/true.
</summary>
    <author><name>Ada Spoke</name>
      <arxiv:affiliation xmlns:arxiv="http://arxiv.org/schemas/atom">Wheel Works</arxiv:affiliation>
      <arxiv:affiliation xmlns:arxiv="http://arxiv.org/schemas/atom">Rim Institute</arxiv:affiliation>
    </author>
    <author><name>Bo Rim</name></author>
    <arxiv:comment xmlns:arxiv="http://arxiv.org/schemas/atom">19 pages; see https://wheels.github.io</arxiv:comment>
    <arxiv:journal_ref xmlns:arxiv="http://arxiv.org/schemas/atom">J. Wheels 3 (2024) 1-9</arxiv:journal_ref>
    <arxiv:doi xmlns:arxiv="http://arxiv.org/schemas/atom">10.1000/wheels.3</arxiv:doi>
    <link title="doi" href="http://dx.doi.org/10.1000/wheels.3" rel="related"/>
    <link href="http://arxiv.org/abs/2405.15589v3" rel="alternate" type="text/html"/>
    <link title="pdf" href="http://arxiv.org/pdf/2405.15589v3" rel="related" type="application/pdf"/>
    <arxiv:primary_category xmlns:arxiv="http://arxiv.org/schemas/atom" term="cs.LG" scheme="http://arxiv.org/x"/>
    <category term="cs.CL" scheme="http://arxiv.org/schemas/atom"/>
    <category term="cs.LG" scheme="http://arxiv.org/schemas/atom"/>
  </entry>
"""


def feed(*entries: str, total: int = 1) -> bytes:
    return (HEAD.format(total=total) + "".join(entries) + "</feed>").encode()


def test_an_entry_is_read_whole() -> None:
    page = parse_arxiv_atom(feed(ENTRY, total=1234))
    (paper,) = page.reading.papers

    assert page.total == 1234
    assert paper.title == "Straight Wheels by Small Turns"
    assert paper.abstract == "We turn one spoke & measure. Code: https://github.com/wheels/true."
    assert (paper.arxiv, paper.version) == ("2405.15589", 3)
    assert paper.published == date(2024, 5, 25)  # in UTC
    assert paper.authors == (Author("Ada Spoke", affiliation="Wheel Works; Rim Institute"), Author("Bo Rim"))
    assert paper.categories == ("cs.LG", "cs.CL")
    assert (paper.journal, paper.doi, paper.source) == ("J. Wheels 3 (2024) 1-9", "10.1000/wheels.3", "arxiv")
    assert [(one.url, one.kind) for one in paper.links] == [
        ("https://wheels.github.io", "project"),
        ("https://github.com/wheels/true", "code"),
    ]
    assert paper.extra == {"comment": "19 pages; see https://wheels.github.io", "updated": "2024-11-01T11:13:54Z"}
    assert (paper.upvotes, paper.comments, paper.organization) == (None, None, None)


@pytest.mark.parametrize(
    ("identity", "found"),
    [
        ("http://arxiv.org/abs/hep-th/9901001v2", ("hep-th/9901001", 2)),
        ("http://arxiv.org/abs/solv-int/9707001v1", ("solv-int/9707001", 1)),
        ("https://example.org/entry/1", (None, None)),
    ],
)
def test_old_ids_and_others(identity: str, found: tuple[str | None, int | None]) -> None:
    (paper,) = parse_arxiv_atom(feed(ENTRY.replace("https://arxiv.org/abs/2405.15589v3", identity))).reading.papers

    assert (paper.arxiv, paper.version) == found
    assert paper.extra.get("id") == (identity if found[0] is None else None)


def test_an_empty_feed_is_no_error_even_if_it_counts_one() -> None:
    page = parse_arxiv_atom(feed(total=1))

    assert (page.reading.papers, page.total) == ((), 1)


def test_an_error_dressed_as_a_paper_is_an_error() -> None:
    error = """<entry><id>http://arxiv.org/api/errors#incorrect_id_format_for_1</id><title>Error</title>
    <summary>incorrect id format for 1</summary><author><name>arXiv api core</name></author></entry>"""

    with pytest.raises(InputError, match="arXiv refuses the request: incorrect id format for 1"):
        parse_arxiv_atom(feed(error))
    # a paper may be titled so, beside others
    assert len(parse_arxiv_atom(feed(error, ENTRY)).reading.papers) == 2


def test_too_many_requests_are_told_in_plain_text() -> None:
    assert busy(b"Rate exceeded.")
    assert not busy(feed(ENTRY))
    with pytest.raises(InputError, match="wait a minute, and ask again"):
        parse_arxiv_atom(b"Rate exceeded.")


def test_an_entry_without_a_title_is_refused() -> None:
    read = parse_arxiv_atom(feed(ENTRY.replace("Straight Wheels\n  by Small Turns", " "), ENTRY)).reading

    assert len(read.papers) == 1
    assert [(one.where, one.why) for one in read.refused] == [
        ("entry 1 https://arxiv.org/abs/2405.15589v3", "it has no title")
    ]


XHTML = '<div xmlns="http://www.w3.org/1999/xhtml">The <em>true</em> wheel<br/>turns</div>'


@pytest.mark.parametrize(
    ("construct", "text"),
    [
        (f'type="xhtml">{XHTML}', "The true wheelturns"),
        ('type="html">The &lt;em&gt;true&lt;/em&gt; wheel &amp;amp; hub&lt;br/&gt;turns', "The true wheel & hub turns"),
        ('type="html"><![CDATA[<p>One</p><p>Two</p><script>alert(1)</script>]]>', "One Two"),
        ('type="text">a &lt; b &lt;em&gt; c', "a < b <em> c"),
        (">$a&lt;b$ &amp;amp; c", "$a<b$ &amp; c"),
    ],
)
def test_text_constructs_are_read_by_their_type(construct: str, text: str) -> None:
    entry = f"<entry><title {construct}</title><summary {construct}</summary></entry>".replace(" >", ">")
    (paper,) = parse_arxiv_atom(feed(entry)).reading.papers

    assert (paper.title, paper.abstract) == (text, text)


def test_a_collaboration_stays_and_the_colon_behind_it_goes() -> None:
    names = "".join(
        f"<author><name>{name}</name></author>" for name in ("The Wheel Collaboration", ":", "A. Rossi", "-")
    )
    (paper,) = parse_arxiv_atom(feed(f"<entry><title>T</title>{names}</entry>")).reading.papers

    assert [author.name for author in paper.authors] == ["The Wheel Collaboration", "A. Rossi"]


@pytest.mark.parametrize("told", ["10.1000/a 10.1000/b", "10.1000/a, 10.1000/b", "doi:10.1000/a; see 10.1000/b"])
def test_of_two_dois_the_first_counts(told: str) -> None:
    entry = f'<entry><title>T</title><doi xmlns="http://arxiv.org/schemas/atom">{told}</doi></entry>'

    assert parse_arxiv_atom(feed(entry)).reading.papers[0].doi == "10.1000/a"


BOMB = """<?xml version="1.0"?><!DOCTYPE feed [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<feed xmlns="http://www.w3.org/2005/Atom"><title>&b;</title></feed>"""
SPY = """<?xml version="1.0"?><!DOCTYPE feed [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>&x;</title></entry></feed>"""


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (BOMB.encode(), "declares a document type or entities"),
        (SPY.encode(), "declares a document type or entities"),
        (feed(ENTRY)[:900], "no whole XML .* perhaps it was cut off"),
        (b"", "no whole XML"),
        (b"<rss version='2.0'><channel/></rss>", "the XML is a <rss>; expected an Atom <feed>"),
        (b"<feed><entry/></feed>", "the XML is a <feed>; expected an Atom <feed>"),
        (b" " * (LARGEST + 1), "at most 20,971,520 are read"),
    ],
)
def test_xml_that_is_harmful_cut_off_or_something_else(answer: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_arxiv_atom(answer)
