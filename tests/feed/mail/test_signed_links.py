"""Signed links: genuine tokens verify, for their purpose and in their time; nothing else does."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from trued.errors import InputError
from trued.feed.mail.signed_links import LIFETIMES, SubscriptionLink, sign, verify

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
SECRET = "0123456789abcdef"
LINK = SubscriptionLink("ada@example.org", "weekly", "alignment “continuous”", "n")


@pytest.mark.parametrize("purpose", ["confirm", "unsubscribe"])
def test_a_link_is_good_for_its_time(purpose) -> None:
    token = sign(LINK, purpose, secret=SECRET, now=NOW)
    end = NOW + LIFETIMES[purpose]
    assert verify(token, purpose, secret=SECRET, now=NOW) == LINK
    assert verify(f" {token}\n", purpose, secret=SECRET, now=end - timedelta(seconds=1)) == LINK
    with pytest.raises(InputError, match="out of date"):
        verify(token, purpose, secret=SECRET, now=end)


def test_a_link_is_for_one_purpose_and_one_secret() -> None:
    token = sign(LINK, "confirm", secret=SECRET, now=NOW)
    for purpose, secret in (("unsubscribe", SECRET), ("confirm", SECRET[::-1])):
        with pytest.raises(InputError, match="not one of ours"):
            verify(token, purpose, secret=secret, now=NOW)


def test_the_signature_is_not_the_librarys_default_sha1() -> None:
    weak = URLSafeSerializer(SECRET, salt="trued confirm").dumps(["eve@example.org", "daily", None, "", 2**33])
    with pytest.raises(InputError, match="not one of ours"):
        verify(str(weak), "confirm", secret=SECRET, now=NOW)


@given(st.integers(0, 200), st.characters(codec="ascii"))
def test_no_changed_token_verifies(place: int, letter: str) -> None:
    token = sign(LINK, "confirm", secret=SECRET, now=NOW)
    place %= len(token)
    changed = token[:place] + letter + token[place + 1 :]
    try:
        link = verify(changed, "confirm", secret=SECRET, now=NOW)
    except InputError:
        return
    assert link == LINK  # the last letter of base64 holds bits that say nothing


@pytest.mark.parametrize("token", ["", ".", "a", "a.b", "ä.ö", "x" * 5000, "=.=", "..", "\0.\0", "\ud800"])
def test_rubbish_does_not_verify(token: str) -> None:
    with pytest.raises(InputError, match="not one of ours, or was cut off"):
        verify(token, "confirm", secret=SECRET, now=NOW)


def test_changed_content_does_not_verify() -> None:
    short = SubscriptionLink("a@b.org")
    payload, signature = sign(short, "confirm", secret=SECRET, now=NOW).split(".")
    words = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    words[0] = "eve@example.org"
    forged = urlsafe_b64encode(json.dumps(words).encode()).decode().rstrip("=")
    with pytest.raises(InputError, match="not one of ours"):
        verify(f"{forged}.{signature}", "confirm", secret=SECRET, now=NOW)
