"""The text form of the page: every kind of entry, every missing field, and text that is none of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from work import calls

from trued.errors import InputError
from trued.feed.sources.text_page import Page, parse_page

LONG = "We measure how far a wheel strays from its plane and turn one spoke after another until it does not. " * 3
HEADER = (
    "new\n\nGet trending papers in your email inbox!\n\nSubscribe\n\nDaily Papers\n\n"
    "byAK and the research community\n\n"
)

# Every kind of entry that the page has, in words of our own.
PAGE = f"""{HEADER}Dec 10

Straight Wheels by Small Turns

{LONG}

  • 50 authors
·
Jul 25

7Spokes: a Benchmark of 7 Spokes

{LONG} Code is at https://github.com/wheels/spokes, and more at https://wheels.github.io.

  • 1 author
·
Apr 4 2

On Rims · and Hubs, Apr 5

{LONG}

  • 8 authors
·
Jun 17, 2024 1

What the authors Learned from 12 authors

{LONG}

The Wheel Without a Tail

{LONG}

Patches from Anywhere

{LONG}

KlingTeam Kling Team
·
Oct 9 2

The Day Before the Page's

{LONG}

  • 3 authors
·
Dec 27, 2022"""


def first(text: str, **options) -> Page:
    return parse_page(f"{HEADER}Dec 10\n\n{text}", **options)


def entry(title: str = "A Title", abstract: str = LONG, byline: str = "  • 4 authors", dated: str = "Apr 4") -> str:
    return f"{title}\n\n{abstract}\n\n{byline}\n·\n{dated}\n\n"


def test_every_kind_of_entry_is_read() -> None:
    page = parse_page(PAGE, strict=True)

    assert page.page_date == date(2025, 12, 10)
    assert page.unparsed == ()
    assert [
        (p.title, p.authors_count, p.organization, p.published, p.date_inferred, p.comments) for p in page.papers
    ] == [
        ("Straight Wheels by Small Turns", 50, None, date(2025, 7, 25), True, None),
        ("7Spokes: a Benchmark of 7 Spokes", 1, None, date(2025, 4, 4), True, 2),
        ("On Rims · and Hubs, Apr 5", 8, None, date(2024, 6, 17), False, 1),
        ("What the authors Learned from 12 authors", None, None, None, False, None),
        ("The Wheel Without a Tail", None, None, None, False, None),
        ("Patches from Anywhere", None, "Kling Team", date(2025, 10, 9), True, 2),
        ("The Day Before the Page's", 3, None, date(2022, 12, 27), False, None),
    ]
    assert [p.rank for p in page.papers] == list(range(1, 8))
    assert {p.abstract.split(" Code")[0] for p in page.papers} == {LONG.strip()}
    assert {(p.source, p.arxiv, p.upvotes, p.authors) for p in page.papers} == {("page", None, None, ())}
    assert [(link.url, link.kind) for link in page.papers[1].links] == [
        ("https://github.com/wheels/spokes", "code"),
        ("https://wheels.github.io", "project"),
    ]
    assert page.papers[5].extra == {"tail_count": 2, "byline": "KlingTeam Kling Team"}


def test_the_count_means_what_the_caller_says() -> None:
    papers = parse_page(PAGE, count_means="upvotes").papers

    assert [p.upvotes for p in papers] == [None, 2, 1, None, None, 2, None]
    assert all(p.comments is None for p in papers)


# -- a whole page, made and read back ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Made:
    title: str
    abstract: str
    byline: str | None = None
    authors: int | None = None
    organization: str | None = None
    published: date | None = None
    count: int | None = None


SIGNS = st.characters(codec="utf-8", exclude_categories=("C", "Z"))


@st.composite
def made(draw: st.DrawFn) -> Made:
    # A letter in front, so that no title is taken for a line of the header.
    title = "T" + draw(st.text(SIGNS, max_size=20)) + draw(st.sampled_from(["", " 12 authors", " · 2", ", Apr 4 2"]))
    kind = draw(st.sampled_from(["authors", "organization", "none"]))
    abstract = "A" + draw(st.text(SIGNS, max_size=20))
    if kind == "none":
        return Made(title, f"{abstract} {LONG.strip()}")
    abstract += draw(st.sampled_from(["", f" {LONG.strip()}"]))
    published = draw(st.dates(date(2022, 1, 1), date(2025, 12, 10)))
    count = draw(st.none() | st.integers(0, 999_999))
    if kind == "organization":
        name = draw(st.sampled_from(["Kling Team", "ByteDance Seed", "Alibaba NLP"]))
        return Made(title, abstract, f"{name.replace(' ', '')} {name}", None, name, published, count)
    authors = draw(st.integers(1, 3000))
    byline = f"  • {authors} author{'s' if authors > 1 else ''}"
    return Made(title, abstract, byline, authors, None, published, count)


def written(entries: list[Made], newline: str = "\n") -> str:
    blocks = [HEADER + "Dec 10\n"]
    for one in entries:
        blocks += [f"{one.title}\n", f"{one.abstract}\n"]
        if one.published:
            year = f", {one.published.year}" if one.published.year != 2025 else ""
            count = f" {one.count}" if one.count is not None else ""
            blocks += [f"{one.byline}\n·\n{one.published:%b} {one.published.day}{year}{count}\n"]
    return "\n".join(blocks).removesuffix("\n").replace("\n", newline)


def read_back(entries: list[Made], newline: str) -> None:
    page = parse_page(written(entries, newline), page_year=2025, strict=True)

    assert [
        Made(p.title, p.abstract, None, p.authors_count, p.organization, p.published, p.comments) for p in page.papers
    ] == [Made(e.title, e.abstract, None, e.authors, e.organization, e.published, e.count) for e in entries]


@settings(max_examples=50)
@given(st.lists(made(), max_size=5), st.sampled_from(["\n", "\r\n", "\r"]))
def test_a_page_is_read_as_it_was_written(entries: list[Made], newline: str) -> None:
    read_back(entries, newline)


def test_a_page_of_fifty_is_read_as_it_was_written() -> None:
    """As many entries of each kind as the page of 10 December 2025 has: 47 with authors, one organisation, two bare."""
    entries = [
        Made(
            f"Title {n}", LONG.strip(), f"  • {n + 2} authors", n + 2, None, date(2022 + n % 4, 1 + n % 11, 1 + n % 28),
            n if n % 3 == 0 else None,
        )
        for n in range(47)
    ]  # fmt: skip
    entries.insert(24, Made("Bare", LONG.strip()))
    entries.insert(25, Made("Owned", LONG.strip(), "KlingTeam Kling Team", None, "Kling Team", date(2025, 10, 9), 2))
    entries.insert(44, Made("Bare too", LONG.strip()))

    assert len(entries) == 50
    read_back(entries, "\n")


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from([*HEADER.split("\n"), "·", "Apr 4", "• 4 authors", LONG, "A title", "2"])).map("\n".join)
)
def test_no_abstract_is_lost(text: str) -> None:
    """Every abstract ends up somewhere: in a paper, or among what is not understood."""
    page = parse_page(text, today=date(2025, 12, 10))

    told = " ".join([*(f"{p.title} {p.abstract}" for p in page.papers), *(piece.text for piece in page.unparsed)])
    assert told.count("We measure") == text.count("We measure")
    assert len(page.papers) <= text.count("We measure") + text.count("·") + 1


# -- dates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dated", "published", "count"),
    [
        ("Apr 4", date(2025, 4, 4), None),
        ("Apr 4 2", date(2025, 4, 4), 2),
        ("Apr 4 2024", date(2025, 4, 4), 2024),
        ("Apr 42", None, None),
        ("Apr 4 0", date(2025, 4, 4), 0),
        ("Jun 17, 2024", date(2024, 6, 17), None),
        ("Jun 17, 2024 1", date(2024, 6, 17), 1),
        ("June 17, 2024", date(2024, 6, 17), None),
        ("Sept. 3", date(2025, 9, 3), None),
        ("Apr 4 1.2k", date(2025, 4, 4), 1200),
        ("Apr 4 1,234", date(2025, 4, 4), 1234),
        ("Apr 4 1.2", None, None),
        ("Feb 29, 2024", date(2024, 2, 29), None),
        ("Feb 29, 2023", None, None),
        ("Feb 30", None, None),
        ("4 avr.", None, None),
        ("Mai 4", None, None),
        ("Marchy 4", None, None),
    ],
)
def test_a_date_is_read_or_kept_aside(dated: str, published: date | None, count: int | None) -> None:
    page = first(entry(dated=dated) + entry("Another Title"), page_year=2025)

    assert [(p.published, p.comments) for p in page.papers] == [(published, count), (date(2025, 4, 4), None)]
    assert [u.text for u in page.unparsed] == ([] if published else [dated])
    assert page.papers[0].authors_count == 4


def test_a_count_on_its_own_line_belongs_to_the_date_above() -> None:
    page = first(f"A Title\n\n{LONG}\n\n  • 4 authors\n·\nApr 4\n12\n\n" + entry("2 Wheels"), strict=True)

    assert [(p.title, p.comments) for p in page.papers] == [("A Title", 12), ("2 Wheels", None)]


def test_the_year_that_is_not_shown_follows_from_the_page() -> None:
    dated = [entry(dated="Jun 17, 2024"), entry(dated="Feb 5"), entry(dated="Dec 11"), entry(dated="Dec 12")]

    def years(*entries: str, header: str = "Dec 10", **options) -> list[int | None]:
        papers = parse_page(f"{HEADER}{header}\n\n{''.join(entries)}", **options).papers
        return [p.published.year if p.published else None for p in papers]

    assert years(*dated) == [2024, 2025, 2025, 2024]  # one day later is a time zone; two are the year before
    assert years(*dated, page_year=2027) == [2024, 2027, 2027, 2026]
    # a 29 February tells that the page's year is a leap year
    leap = [entry(dated="May 2, 2025"), entry(dated="Feb 29"), entry(dated="Mar 1")]
    assert years(*leap, today=date(2029, 3, 1)) == [2025, 2028, 2028]
    # no year anywhere: the last one that does not put the page into the future
    assert years(entry(dated="Dec 1"), today=date(2026, 1, 5)) == [2025]
    assert years(entry(dated="Dec 1"), today=date(2025, 12, 9)) == [2025]
    assert years(entry(dated="Jan 3"), header="Jan 4", today=date(2026, 1, 5)) == [2026]
    assert years(entry(dated="Jan 3"), header="Jan 4, 2024", today=date(2026, 1, 5)) == [2024]


def test_no_inferred_year_puts_the_page_after_today() -> None:
    today = date(2026, 11, 30)

    def read(*dates: str, header: str = "Nov 28") -> tuple[list[date | None], list[str]]:
        text = f"{HEADER}{header}\n\n" + "".join(entry(dated=dated) for dated in dates)
        page = parse_page(text, today=today)
        return [paper.published for paper in page.papers], [piece.text for piece in page.unparsed]

    good = [date(2026, 3, 1), date(2026, 11, 2)]
    # One date that no recent year has is one date that is not understood; the others stay where they are.
    assert read("May 2, 2025", "Feb 29", "Mar 1", "Nov 2") == ([date(2025, 5, 2), None, *good], ["Feb 29"])
    # A year to come is a mistake, and the page is not of the year after it.
    assert read("Jun 17, 2031", "Mar 1", "Nov 2") == ([None, *good], ["Jun 17, 2031"])
    assert read("May 2, 2026", "Mar 1", "Nov 2") == ([date(2026, 5, 2), *good], [])
    # Without a day in the header, a day that has not come is last year's.
    text = entry(dated="Dec 24") + entry(dated="Nov 2")
    assert [paper.published for paper in parse_page(text, today=today).papers] == [date(2025, 12, 24), good[1]]


@given(
    st.lists(st.sampled_from(["Feb 29", "Dec 31", "Jan 1", "May 2, 2019", "May 2, 2025", "Jun 1, 2031", "Nov 30"])),
    st.sampled_from(["", "Feb 29", "Dec 31", "Jan 1", "Nov 30"]),
    st.dates(date(2020, 1, 1), date(2035, 12, 31)),
)
def test_no_paper_is_dated_after_today(dates: list[str], header: str, today: date) -> None:
    text = (f"{HEADER}{header}\n\n" if header else "") + "".join(entry(dated=dated) for dated in dates)
    page = parse_page(text, today=today)
    assert len(page.papers) == len(dates)
    assert all(paper.published is None or paper.published <= today + timedelta(days=1) for paper in page.papers)


def test_a_day_that_the_given_year_lacks_is_kept_aside() -> None:
    page = first(entry(dated="Feb 29"), page_year=2025)

    assert (page.papers[0].published, page.papers[0].date_inferred) == (None, False)
    assert (page.unparsed[0].text, page.unparsed[0].line) == ("Feb 29", 19)
    assert "does not exist in 2025" in page.unparsed[0].why


# -- organisations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("byline", "name"),
    [
        ("HandleTeam Handle Team", "Handle Team"),
        ("google Google", "Google"),
        ("deepseek-ai DeepSeek", "DeepSeek"),
        ("Alibaba-NLP Alibaba NLP", "Alibaba NLP"),
        ("NVIDIA", "NVIDIA"),
        ("Kling Team", "Kling Team"),
        ("Shanghai AI Laboratory", "Shanghai AI Laboratory"),
        ("清华大学 清华大学", "清华大学"),
    ],
)
def test_the_login_is_taken_off_an_organisation(byline: str, name: str) -> None:
    assert first(entry(byline=byline), strict=True).papers[0].organization == name


# -- text that is not quite a page -------------------------------------------------------------------------------------


def test_spaces_marks_and_blank_lines_make_no_difference() -> None:
    spoilt = "\ufeff" + PAGE.replace("\n\n", "\n \n\n\t\n").replace("  •", "\u00a0\u00a0•").replace(
        "Apr 4 2", "Apr\u00a04\t2 "
    )

    assert parse_page(spoilt, strict=True).papers == parse_page(PAGE).papers


def test_the_header_may_be_missing_or_stand_below_the_site_s_menus() -> None:
    bare = PAGE.removeprefix(HEADER).removeprefix("Dec 10\n\n")
    assert parse_page(bare, strict=True).papers == parse_page(PAGE).papers
    assert parse_page(bare).page_date is None

    menus = "Hugging Face\n\nModels\n\nDatasets\n\nSpaces\n\nDocs\n\nLog In\n\n"
    assert parse_page(menus + PAGE, strict=True) == parse_page(PAGE)


def test_an_entry_cut_off_at_the_end_keeps_what_is_certain() -> None:
    whole = entry() + f"The Last One\n\n{LONG}\n\n"

    for tail, count in (("", None), ("  • 4 authors", 4), ("  • 4 authors\n·", 4), ("  • 4 authors\n·\n", 4)):
        page = first(whole + tail)
        assert [(p.title, p.authors_count, p.published) for p in page.papers][1] == ("The Last One", count, None)
        assert [u.why for u in page.unparsed] == (["the page ends before the date"] if tail else [])

    page = first(entry() + "The Last One\n\nOnly the beginn")
    assert [p.title for p in page.papers] == ["A Title"]
    assert page.unparsed[0].text == "The Last One\n\nOnly the beginn"
    assert first(entry() + "The Last One").unparsed[0].why == "the page ends before the abstract"


def test_what_fits_nowhere_is_kept_and_reading_goes_on() -> None:
    page = first(
        entry("One") + f"Two\n\n{LONG}\n\n{LONG}\n\n" + entry("Three") + "stray\n\n" + entry("Four") + entry("Five")
    )

    assert [p.title for p in page.papers] == ["One", "Two", "Three", "Four", "Five"]
    assert [(u.text, u.why) for u in page.unparsed] == [
        (LONG.strip(), "a long line where a title was expected"),
        ("stray", "a title without an abstract"),
    ]
    assert [p.published is None for p in page.papers] == [False, True, False, False, False]


def test_a_tail_is_given_to_nobody_else() -> None:
    page = first(f"One\n\n{LONG}\n\n{LONG}\n\n  • 4 authors\n·\nApr 4 2\n\n" + entry("Two"))

    assert [(p.title, p.authors_count) for p in page.papers] == [("One", None), ("Two", 4)]
    assert [u.text for u in page.unparsed] == [f"{LONG.strip()}\n\n• 4 authors\n·\nApr 4 2"]


def test_strict_names_the_first_line_that_is_not_understood() -> None:
    with pytest.raises(InputError, match=r"line 21: 'stray' is not understood: a title without an abstract"):
        first(entry("One") + "stray\n\n" + entry("Four"), strict=True)
    with pytest.raises(InputError, match=r"line 19: '4 avr.' is not understood: expected a date such as Apr 4"):
        first(entry(dated="4 avr."), strict=True)


def test_a_tail_without_a_byline_takes_no_abstract_for_one() -> None:
    page = first(f"A Title\n\nA short abstract.\n\n·\nApr 4\n\n{entry('Another')}", strict=True)

    assert [(p.title, p.abstract, p.organization, p.authors_count) for p in page.papers] == [
        ("A Title", "A short abstract.", None, None),
        ("Another", LONG.strip(), None, 4),
    ]


def test_two_entries_of_one_title_are_two() -> None:
    assert [p.rank for p in first(entry() + entry(), strict=True).papers] == [1, 2]


def test_other_scripts_and_markup_pass_as_text() -> None:
    titles = ["<script>alert(1)</script> Wheels", "محاذاة العجلات", "車輪の芯出し", "\u202eRTL\u202c override"]

    assert [p.title for p in first("".join(map(entry, titles)), strict=True).papers] == titles


@pytest.mark.parametrize("start", ["<!DOCTYPE html>\n<html>", "  \n<html lang='en'>", "<!-- saved --><html>", "<HEAD>"])
def test_a_saved_web_page_is_recognised(start: str) -> None:
    with pytest.raises(InputError, match="this is a web page's HTML, expected its text"):
        parse_page(start + PAGE)


def test_twice_as_long_a_line_is_twice_the_work() -> None:
    units = ("· ", "Apr 4 1,", "https://a.b/)", "x", "<!--", ")", "github.com/")

    def read(size: int) -> Page:
        line = "".join(unit * (size // len(unit)) for unit in units)
        return parse_page(f"A Title\n\n{line}\n\n  • 4 authors\n·\nApr 4", page_year=2025)

    assert [paper.title for paper in read(714_000).papers] == ["A Title"]  # five megabytes
    assert calls(lambda: read(40_000)) < 2.2 * calls(lambda: read(20_000))


def test_twice_as_many_entries_are_twice_the_work() -> None:
    def read(count: int) -> Page:
        return parse_page("".join(entry(f"Title {n}") for n in range(count)), page_year=2025)

    assert len(read(3_000).papers) == 3_000
    assert calls(lambda: read(600)) < 2.2 * calls(lambda: read(300))
