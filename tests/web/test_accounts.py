"""Who may write and who may run: by address, by name, by proxy, by token, by invitation, by cookie."""

import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import TimestampSigner
from starlette.requests import Request
from starlette.responses import Response

from trued.errors import InputError
from trued.web.accounts import (
    COOKIE,
    OWNER,
    SESSION_SECONDS,
    Visitor,
    invitation,
    open_session,
    person_of_token,
    visitor,
)  # fmt: skip
from trued.web.settings import Settings

TOKEN = "a-token-of-sixteen-characters"
STORE = SimpleNamespace(session_ended=lambda session_id: False)
ALONE = Settings(secret="s" * 32)
PUBLIC = Settings(public=True, token=TOKEN, secret="s" * 32)


def request(settings, client="127.0.0.1", host="127.0.0.1:8000", cookie="", **headers):
    sent = {"host": host, **headers, **({"cookie": f"{COOKIE}={cookie}"} if cookie else {})}
    return Request(
        {
            "type": "http", "method": "GET", "path": "/", "query_string": b"", "scheme": "http",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
            "client": (client, 50000) if client else None, "server": ("127.0.0.1", 8000),
            "app": SimpleNamespace(state=SimpleNamespace(settings=settings, store=STORE)),
        }
    )  # fmt: skip


def session(settings, person):
    response = Response()
    open_session(request(settings), response, person)
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    return cookie.partition(";")[0].partition("=")[2]


@pytest.mark.parametrize(
    ("client", "host", "headers", "person"),
    [
        ("127.0.0.1", "127.0.0.1:8000", {}, OWNER),
        ("127.8.8.8", "localhost", {}, OWNER),
        ("::1", "[::1]:8000", {}, OWNER),
        ("::1", "LOCALHOST.:8000", {}, OWNER),
        ("10.0.0.7", "127.0.0.1:8000", {}, None),
        ("127.0.0.1", "papers.example", {}, None),  # a name that was made to point here
        ("127.0.0.1", "localhost.papers.example:8000", {}, None),
        ("127.0.0.1", "", {}, None),
        ("127.0.0.1", "127.0.0.1:8000", {"x_forwarded_for": "8.8.8.8"}, None),
        ("127.0.0.1", "127.0.0.1:8000", {"forwarded": "for=8.8.8.8"}, None),
        (None, "127.0.0.1:8000", {}, None),
        ("testclient", "testserver", {}, None),
    ],
)
def test_only_who_is_on_this_machine_is_its_owner(client, host, headers, person):
    guest = visitor(request(ALONE, client, host, **headers))
    assert (guest.person, guest.may_write, guest.may_run) == (person, person is not None, person is not None)


def test_a_public_page_asks_everyone_for_a_session_and_lets_only_the_local_owner_run():
    assert visitor(request(PUBLIC)) == Visitor(None, True)
    owner, guest = session(PUBLIC, OWNER), session(PUBLIC, "ada")
    assert visitor(request(PUBLIC, cookie=owner)).may_run
    away = visitor(request(PUBLIC, "10.0.0.7", "papers.example", owner))
    assert (away.person, away.may_write, away.may_run) == (OWNER, True, False)
    beside = visitor(request(PUBLIC, cookie=guest))
    assert (beside.person, beside.may_write, beside.may_run) == ("ada", True, False)


def test_a_session_is_worthless_when_it_is_old_altered_or_of_another_server(monkeypatch):
    cookie = session(PUBLIC, "ada")
    others = [
        Settings(public=True, token="another-token-of-some-length", secret=PUBLIC.secret),
        Settings(public=True, token=TOKEN, secret="t" * 32),
        Settings(public=True, secret=PUBLIC.secret),
    ]
    assert [visitor(request(other, cookie=cookie)).person for other in others] == [None, None, None]
    altered = cookie[:-5] + ("A" if cookie[-5] != "A" else "B") + cookie[-4:]  # the last one has bits that no one reads
    assert visitor(request(PUBLIC, cookie=altered)).person is None
    assert visitor(request(PUBLIC, cookie="x" * 5000)).person is None
    now = time.time()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: int(now + SESSION_SECONDS - 60))
    assert visitor(request(PUBLIC, cookie=cookie)).person == "ada"
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda self: int(now + SESSION_SECONDS + 60))
    assert visitor(request(PUBLIC, cookie=cookie)).person is None


def test_tokens_and_invitations_say_who_it_is():
    assert person_of_token(PUBLIC, f" {TOKEN}\n") == OWNER
    invited = invitation(PUBLIC, "ada")
    assert person_of_token(PUBLIC, invited) == "ada"
    restarted = Settings(public=True, token=TOKEN, secret="another secret, made at a restart")
    assert person_of_token(restarted, invited) == "ada"
    assert person_of_token(Settings(public=True, token=TOKEN + "!", secret=PUBLIC.secret), invited) is None
    assert person_of_token(Settings(public=True, secret=PUBLIC.secret), "") is None


def test_a_session_cookie_is_no_invitation_and_an_invitation_no_session():
    assert person_of_token(PUBLIC, session(PUBLIC, "ada")) is None
    assert visitor(request(PUBLIC, cookie=invitation(PUBLIC, "ada"))).person is None


@given(st.text(max_size=600))
def test_what_is_not_a_token_is_nobodys(text):
    assert person_of_token(PUBLIC, text) is (OWNER if text.strip() == TOKEN else None)


@pytest.mark.parametrize("name", ["owner", "", "Ada", "a b", "-a", "a-", "é", "x" * 33, "a\n", "<b>"])
def test_names_that_cannot_be_given(name):
    with pytest.raises(InputError, match="cannot be given"):
        invitation(PUBLIC, name)


def test_without_a_token_there_are_no_invitations():
    with pytest.raises(InputError, match="set TRUED_TOKEN"):
        invitation(ALONE, "ada")
