"""Days, weeks and months: what they hold, and which is the last one that is over."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.feed.spans import EXAMPLES, around, day, last_complete, read_day, read_span, span_of, week


@pytest.mark.parametrize(
    ("key", "first", "last", "words"),
    [
        ("2026-11-24", date(2026, 11, 24), date(2026, 11, 24), "November 24, 2026"),
        ("2026-W01", date(2025, 12, 29), date(2026, 1, 4), "December 29, 2025 to January 4, 2026"),
        ("2024-02", date(2024, 2, 1), date(2024, 2, 29), "February 1 to February 29, 2024"),
    ],
)
def test_a_span_is_read(key: str, first: date, last: date, words: str) -> None:
    span = span_of(key)
    assert (span.key, span.first, span.last, str(span)) == (key, first, last, words)
    assert span.since == datetime(first.year, first.month, first.day, tzinfo=UTC)
    assert span.before - span.since == timedelta(days=(last - first).days + 1)


@pytest.mark.parametrize(
    "key",
    ["", "2026", "2026-13", "2026-02-30", "2025-W53", "2026-W00", "26-11-24", "2026-11-24 ", "0000-01", "confirm/2026"],
)
def test_what_no_calendar_has_is_refused(key: str) -> None:
    with pytest.raises(InputError, match="is no day, week or month; write"):
        span_of(key)


@given(st.dates(date(1, 1, 8), date(9999, 12, 20)))
def test_days_and_weeks_are_read_back(of: date) -> None:
    assert span_of(day(of).key) == day(of)
    assert span_of(week(of).key) == week(of)
    assert week(of).first <= of <= week(of).last
    assert week(of).first.weekday() == 0


def test_the_last_complete_period_is_over_and_days_are_utc() -> None:
    late = datetime(2026, 11, 23, 23, 30, tzinfo=timezone(timedelta(hours=-8)))  # already the 24th, a Tuesday, in UTC
    assert last_complete("daily", late).key == "2026-11-23"
    assert last_complete("weekly", late).key == "2026-W47"
    sunday = datetime(2026, 11, 22, 23, 59, tzinfo=UTC)
    assert last_complete("weekly", sunday).key == "2026-W46"


@pytest.mark.parametrize(
    ("kind", "key"), [("day", "2026-11"), ("week", "2026-11-24"), ("month", "2026-W47"), ("day", "x")]
)
def test_another_kind_is_refused_by_name(kind, key) -> None:
    with pytest.raises(InputError, match=rf"--when '{key}' is no {kind}; write it as {EXAMPLES[kind]}"):
        read_span(kind, key, "--when")


def test_a_day_is_read_or_none() -> None:
    assert read_day(None, "--since") is None
    assert read_day("2026-11-24", "--since") == date(2026, 11, 24)
    for bad in ("20261124", "2026-11-31", "24.11.2026", "٢٠٢٦-١١-٢٤", ""):
        with pytest.raises(InputError, match=r"--since .* is no day; write it as 2026-11-24"):
            read_day(bad, "--since")


@pytest.mark.parametrize(
    ("key", "kind", "heading"),
    [
        ("2026-11-04", "day", "4 November 2026"),
        ("2026-W01", "week", "Week 1, 2026"),
        ("2024-02", "month", "February 2024"),
    ],
)
def test_each_kind_has_its_heading(key, kind, heading) -> None:
    span = span_of(key)
    assert (span.kind, span.heading) == (kind, heading)
    assert around(kind, span.first) == around(kind, span.last) == span
