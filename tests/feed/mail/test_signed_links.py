"""Tickets: genuine ones open, for their purpose and in their time; nothing else does."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.errors import InputError
from trued.feed.mail.signed_links import LIFETIMES, Ticket, open_ticket, sign

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECRET = "0123456789abcdef"
TICKET = Ticket("ada@example.org", "weekly", "alignment “continuous”", "n")


@pytest.mark.parametrize("purpose", ["confirm", "unsubscribe"])
def test_a_ticket_is_good_for_its_time(purpose) -> None:
    token = sign(TICKET, purpose, secret=SECRET, now=NOW)
    end = NOW + LIFETIMES[purpose]
    assert open_ticket(token, purpose, secret=SECRET, now=NOW) == TICKET
    assert open_ticket(f" {token}\n", purpose, secret=SECRET, now=end - timedelta(seconds=1)) == TICKET
    with pytest.raises(InputError, match="out of date"):
        open_ticket(token, purpose, secret=SECRET, now=end)


def test_a_ticket_is_for_one_purpose_and_one_secret() -> None:
    token = sign(TICKET, "confirm", secret=SECRET, now=NOW)
    for purpose, secret in (("unsubscribe", SECRET), ("confirm", SECRET[::-1])):
        with pytest.raises(InputError, match="not one of ours"):
            open_ticket(token, purpose, secret=secret, now=NOW)


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_no_changed_ticket_opens(place: int, letter: str) -> None:
    token = sign(TICKET, "confirm", secret=SECRET, now=NOW)
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    try:
        opened = open_ticket(changed, "confirm", secret=SECRET, now=NOW)
    except InputError:
        return
    assert opened == TICKET  # the last letter of base64 holds bits that say nothing


@pytest.mark.parametrize("token", ["", ".", "a", "a.b", "ä.ö", "x" * 5000, "=.=", "..", "\0.\0"])
def test_rubbish_is_no_ticket(token: str) -> None:
    with pytest.raises(InputError, match="not one of ours, or was cut off"):
        open_ticket(token, "confirm", secret=SECRET, now=NOW)


def test_its_own_words_do_not_make_a_ticket() -> None:
    payload, seal = sign(TICKET, "confirm", secret=SECRET, now=NOW).split(".")
    words = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    words[0] = "eve@example.org"
    forged = urlsafe_b64encode(json.dumps(words).encode()).decode().rstrip("=")
    with pytest.raises(InputError, match="not one of ours"):
        open_ticket(f"{forged}.{seal}", "confirm", secret=SECRET, now=NOW)
