"""What is known of a date survives the store, and no export makes up the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stored_papers import stored

from trued.feed.dates import date_text, date_words, first_day, note, precision, reduced
from trued.feed.export import FORMATS, export
from trued.feed.export.csl import item as csl_item
from trued.feed.export.jsonl import to_jsonl
from trued.feed.export.zotero import item as zotero_item
from trued.feed.paper import FeedPaper
from trued.feed.sources.daily_json import parse_item
from trued.feed.store.merge import merge


def paper(told: str, **facts) -> FeedPaper:
    known = reduced(told)
    assert known is not None
    inferred = known[1] != "day"
    return FeedPaper("T", published=known[0], date_inferred=inferred, extra=note(known), source="bibtex", **facts)


@pytest.mark.parametrize(
    ("told", "text", "words"),
    [
        ("2020-05-04", "2020-05-04", "4 May 2020"), ("2020/5", "2020-05", "May 2020"), ("2020", "2020", "2020"),
        ("2020-02-30", "2020-02", "Feb 2020"), ("2020-13-01", "2020", "2020"),
    ],
)  # fmt: skip
def test_a_date_is_written_as_far_as_it_is_known(told: str, text: str, words: str) -> None:
    assert (date_text(paper(told)), date_words(paper(told))) == (text, words)


@given(st.integers(0, 10000), st.none() | st.integers(0, 99), st.none() | st.integers(0, 99))
def test_a_year_is_never_lost(year: int, month: int | None, day: int | None) -> None:
    known = first_day(year, month, day)
    assert (known is None) == (not 1 <= year <= 9999)
    assert known is None or known[0].year == year


@pytest.mark.parametrize("told", ["soon", "", "20", "123456", "0000"])
def test_what_is_no_date_is_none(told: str) -> None:
    assert reduced(told) is None


def test_a_better_date_ends_the_note() -> None:
    year = paper("2020")
    exact = FeedPaper("T", published=date(2020, 1, 1), arxiv="2001.00001", source="arxiv")
    for first, second in ((year, exact), (exact, year), (year, replace(exact, published=date(2020, 3, 2)))):
        merged, _ = merge(first, second)
        assert precision(merged) == "day"
    assert precision(merge(year, paper("2020-05"))[0]) == "month"
    assert precision(FeedPaper("T", published=date(2020, 1, 1), date_inferred=True, source="page")) == "day"


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_no_format_makes_up_a_month_or_a_day(form: str) -> None:
    text = export([stored(**vars(paper("2020")))], form).text.lower()
    assert "2020" in text
    assert not [made_up for made_up in ("jan", "2020-01", "2020/01", "01-01") if made_up in text]


def test_dates_of_the_formats() -> None:
    month, year = (stored(**vars(paper(told))) for told in ("2020-05", "2020"))
    assert csl_item(month.paper, "k")["issued"] == {"date-parts": [[2020, 5]]}
    assert csl_item(year.paper, "k")["issued"] == {"date-parts": [[2020]]}
    assert (zotero_item(month)["date"], zotero_item(year)["date"]) == ("2020-05", "2020")
    assert "month = may," in export([month], "bibtex").text
    assert "DA  - 2020/05/\r" in export([month], "ris").text
    assert "DA  -" not in export([year], "ris").text


@pytest.mark.parametrize("told", ["2020", "2020-05", "2020-05-04"])
def test_json_lines_give_back_what_was_known(told: str) -> None:
    record = json.loads(to_jsonl([stored(**vars(paper(told)))]))
    again = parse_item(record)
    assert (date_text(again), precision(again)) == (date_text(paper(told)), precision(paper(told)))
    assert ("publishedAt" in record) == (len(told) == 10)
