"""Signing in with the server's token or with an invitation, what that opens, and how it ends."""

import re

from trued.feed.paper_store import PaperStore
from trued.web.accounts import COOKIE, invitation
from trued.web.app import create_app

TOKEN = "the-token-of-this-server"


def test_a_stranger_reads_and_is_led_to_the_sign_in(stranger):
    assert stranger.get("/papers/1").status_code == 200
    led = stranger.get("/bookmarks?a=1")
    assert (led.status_code, led.headers["location"]) == (303, "/sign-in?next=%2Fbookmarks%3Fa%3D1")
    page = stranger.get(led.headers["location"]).text
    assert 'name="next" value="/bookmarks?a=1"' in page
    assert 'type="password"' in page
    assert stranger.get("/bookmarks", headers={"accept": "application/json"}).status_code == 401


def test_the_token_signs_the_owner_in_and_out_again(stranger):
    wrong = stranger.fill("/sign-in", {"token": TOKEN + "!", "next": "/account"})
    assert wrong.status_code == 403
    assert "nobody&#39;s" in wrong.text
    assert COOKIE not in stranger.cookies
    sent = stranger.fill("/sign-in", {"token": TOKEN, "next": "/account"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/account")
    assert "<strong>owner</strong>" in stranger.get("/account").text
    assert stranger.get("/sign-in?next=//evil.example").headers["location"] == "/"
    assert stranger.ask("/papers/1/vote") == {"votes": 1, "voted": True}
    stranger.fill("/sign-out")
    assert stranger.get("/account").status_code == 303


def test_a_copy_of_a_cookie_ends_with_the_session(stranger, public_site, browse, papers):
    stranger.fill("/sign-in", {"token": TOKEN})
    elsewhere = browse(public_site, "203.0.113.77", "papers.example")
    elsewhere.fill("/sign-in", {"token": TOKEN})
    thief = browse(public_site, "198.51.100.1", "papers.example")
    thief.cookies.set(COOKIE, stranger.cookies[COOKIE])
    assert thief.get("/account").status_code == 200
    stranger.fill("/sign-out")
    assert thief.get("/account").status_code == 303
    assert thief.ask("/papers/1/vote")["detail"].startswith("nobody is signed in here")
    assert elsewhere.get("/account").status_code == 200  # another session of the same person goes on
    reopened = PaperStore(papers.engine.url.render_as_string(hide_password=False))
    restarted = create_app(reopened, public_site.state.settings)
    again = browse(restarted, "198.51.100.1", "papers.example")
    again.cookies.set(COOKIE, thief.cookies[COOKIE])
    assert again.get("/account").status_code == 303  # a restart forgets nothing
    reopened.close()


def test_an_invited_person_writes_under_their_own_name_and_invites_nobody(stranger, public_site, papers):
    stranger.fill("/sign-in", {"token": TOKEN})
    page = stranger.fill("/account/invitations", {"name": "Ada"})
    assert page.headers["cache-control"] == "no-store"
    token = re.search(r'class="secret">([^<]+)<', page.text)[1]
    assert token == invitation(public_site.state.settings, "ada")
    stranger.fill("/sign-out")
    assert stranger.fill("/sign-in", {"token": token, "next": "https://evil.example"}).headers["location"] == "/"
    stranger.fill("/papers/1/comments", {"text": "hello"})
    assert [comment.person for comment in papers.comments(1)] == ["ada"]
    assert "Make an invitation" not in stranger.get("/account").text
    assert stranger.fill("/account/invitations", {"name": "eve"}).status_code == 403


def test_a_name_that_cannot_be_given_is_refused(stranger):
    stranger.fill("/sign-in", {"token": TOKEN})
    for name in ("owner", "<b>", ""):
        page = stranger.fill("/account/invitations", {"name": name})
        assert page.status_code == 422
        assert "cannot be given" in page.text
        assert "<b>" not in page.text


def test_guessing_is_limited(stranger):
    csrf = stranger.token()
    answers = [stranger.post("/sign-in", data={"csrf": csrf, "token": f"guess {i}"}).status_code for i in range(70)]
    assert answers[0] == 403
    assert answers[-1] == 429


def test_this_machines_page_needs_no_sign_in_and_offers_none(owner):
    assert owner.get("/sign-in?next=/runs").headers["location"] == "/runs"
    assert owner.fill("/sign-in", {"token": ""}).status_code == 403
    page = owner.get("/account").text
    assert "serves its own machine alone" in page
    assert "Sign out" not in page
