from datetime import date, timedelta
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.feed.spans import around, read_span
from trued.feed.store.records import Filters
from trued.web.views import FIELDS, ORDERS, STATES, VERDICTS, View, read_view

DAYS = st.dates(date(1900, 1, 1), date(2100, 12, 31))
KINDS = st.sampled_from(["day", "week", "month"])
VIEWS = st.builds(
    View,
    order=st.sampled_from(ORDERS),
    period=st.none() | st.builds(around, KINDS, DAYS),
    filters=st.builds(
        Filters,
        field=st.none() | st.sampled_from(FIELDS),
        state=st.none() | st.sampled_from(STATES),
        verdict=st.none() | st.sampled_from(VERDICTS),
        tag=st.none() | st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20),
        has_code=st.booleans(),
        category=st.none() | st.sampled_from(["cs", "cs.CL", "hep-th"]),
        min_upvotes=st.none() | st.integers(1, 10**6),
    ),
    unread=st.booleans(),
)


@given(VIEWS, st.integers(1, 99))
def test_an_address_says_what_it_was_made_of(view, page):
    assert read_view(dict(parse_qsl(view.query()))) == view
    assert read_view(dict(parse_qsl(view.query(page=page)))) == View(
        view.order, view.period, view.filters, view.unread, page
    )


@given(KINDS, DAYS)
def test_a_period_holds_its_day_and_is_found_by_its_name(kind, day):
    period = around(kind, day)
    assert period.first <= day <= period.last
    assert read_span(kind, period.key) == period
    assert around(kind, period.last) == period
    assert around(kind, period.last + timedelta(1)) != period != around(kind, period.first - timedelta(1))
    length = (period.last - period.first).days + 1
    assert length in {"day": (1,), "week": (7,), "month": (28, 29, 30, 31)}[kind]


def test_periods_in_words():
    assert read_span("day", "2025-12-10").heading == "10 December 2025"
    assert read_span("week", "2026-W01").heading == "Week 1, 2026", "which begins in 2025"
    assert read_span("month", "2024-02").heading == "February 2024"
    assert read_span("month", "2024-02").last == date(2024, 2, 29)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("day", "2025-13-01"), ("day", "2025-02-29"), ("day", "yesterday"), ("week", "2025-W53"), ("week", "2025-W00"),
     ("month", "2025-00"), ("month", "2025-1"), ("day", "٢٠٢٥-01-01"), ("day", "0000-01-01"), ("day", "2025-01-01\n")],
)  # fmt: skip
def test_a_period_that_is_none(kind, text):
    with pytest.raises(InputError, match=f"is no {kind}; write it as 2026"):
        read_view({kind: text})


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"order": "best"}, "order='best' is not known; take one of rank, new, trending, upvotes"),
        ({"field": "<b>"}, "field='<b>' is not known; take one of language, vision"),
        ({"verdict": "true"}, "verdict='true' is not known; take one of supported"),
        ({"page": "0"}, "page='0' does not fit; give a whole number from 1 to 10,000"),
        ({"page": "9" * 50}, "does not fit; give a whole number"),
        ({"min_upvotes": "-1"}, "min_upvotes='-1' does not fit"),
        ({"day": "2025-01-01", "week": "2025-W01"}, "day and week are both set; ask for one of them"),
    ],
)
def test_what_does_not_fit_is_said(query, sentence):
    with pytest.raises(InputError) as error:
        read_view(query)
    assert sentence in str(error.value)


def test_the_store_is_asked_for_the_days_of_a_period_and_for_what_its_reader_has_not_read():
    view = read_view({"week": "2025-W50", "field": "vision", "unread": "1", "unheard": "of"})
    assert view.wanted("ann") == Filters(
        since=date(2025, 12, 8), until=date(2025, 12, 14), field="vision", unread_by="ann"
    )
    assert view.wanted(None).unread_by is None, "nobody has read nothing"


def test_pages_follow_one_another():
    assert [read_view({"page": page}).offset for page in ("", "1", "2", "3")] == [0, 0, 50, 100]


def test_the_filters_that_are_set_are_named():
    view = read_view({"field": "vision", "category": "cs.CL", "min_upvotes": "0", "has_code": "1", "unread": "1"})
    assert view.active == ("vision", "cs.CL", "≥ 0 upvotes", "with code", "unread")
    assert view.filtered
    assert read_view({"day": "2025-01-01", "order": "new", "page": "3"}).active == ()
