import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trued.web.security import LARGEST_BODY, Limiter


def directives(answer):
    return dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))


@pytest.mark.parametrize("path", ["/", "/nowhere", "/api/board", "/static/page.css", "/feed.atom", "/papers/2"])
def test_every_answer_forbids_what_it_does_not_need(owner, path):
    answer = owner.get(path)
    policy = directives(answer)
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_pages_carry_no_script_and_no_style_of_their_own(owner):
    for path in ("/", "/papers/1", "/papers/2", "/search?q=paper", "/board", "/submit", "/runs", "/api"):
        page = owner.get(path).text
        assert " style=" not in page, path
        assert "<style" not in page, path
        assert "onclick" not in page, path
        assert "javascript:" not in page, path
        assert page.count("<script") == page.count('<script src="/static/'), path


def test_https_is_remembered(owner):
    assert "strict-transport-security" not in owner.get("/").headers
    owner.base_url = "https://127.0.0.1:8000"
    answer = owner.get("/")
    assert answer.headers["strict-transport-security"].startswith("max-age=")


class TestForms:
    def test_a_form_of_this_browser_is_taken(self, owner):
        assert owner.fill("/papers/1/vote", {"on": "1"}).status_code == 303

    def test_without_a_token_nothing_is_taken(self, owner, papers):
        owner.get("/submit")
        assert owner.post("/papers/1/vote", data={"on": "1"}).status_code == 403
        assert owner.post("/papers/1/vote", data={"on": "1", "csrf": ""}).status_code == 403
        assert papers.get(1).votes == 0

    def test_another_browsers_token_is_not_taken(self, site, owner, papers):
        foreign = type(owner)(site).token("/submit")
        owner.get("/submit")
        answer = owner.post("/papers/1/vote", data={"on": "1", "csrf": foreign})
        assert answer.status_code == 403
        assert "reload the page" in answer.text
        assert papers.get(1).votes == 0

    def test_a_made_up_cookie_and_token_do_not_fit(self, owner, papers):
        owner.cookies.set("trued_form", "mine")
        assert owner.post("/papers/1/vote", data={"on": "1", "csrf": "mine"}).status_code == 403
        assert papers.get(1).votes == 0

    @pytest.mark.parametrize(
        "headers", [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
                    {"sec-fetch-site": "same-site"}],
    )  # fmt: skip
    def test_a_form_on_another_site_is_not_taken(self, owner, papers, headers):
        answer = owner.fill("/papers/1/vote", {"on": "1"}, headers=headers)
        assert answer.status_code == 403
        assert "another site" in answer.text
        assert papers.get(1).votes == 0

    def test_a_program_may_send_the_token_in_a_header(self, owner, papers):
        token = owner.token("/submit")
        headers = {"x-csrf-token": token, "origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}
        assert owner.post("/papers/1/vote", data={"on": "1"}, headers=headers).status_code == 303
        assert papers.get(1).votes == 1

    def test_a_page_with_a_token_is_kept_by_no_shared_cache(self, owner):
        answer = owner.get("/submit")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert answer.headers["cache-control"] == "private, no-cache"


class TestBodies:
    def test_what_says_that_it_is_too_large_is_not_read(self, owner):
        answer = owner.post("/submit", content=b"x" * (LARGEST_BODY + 1))
        assert answer.status_code == 413
        assert "more than 2 MiB were sent; send less" in answer.text
        assert "content-security-policy" in answer.headers

    def test_what_does_not_say_so_is_cut_off(self, owner):
        def stream():
            for _ in range(5):
                yield b"a" * (LARGEST_BODY // 4 + 1)

        headers = {"content-type": "application/x-www-form-urlencoded"}
        assert owner.post("/submit", content=stream(), headers=headers).status_code == 413

    def test_what_is_just_small_enough_is_read(self, owner):
        answer = owner.post("/submit", content=b"x" * LARGEST_BODY)
        assert answer.status_code in (403, 422)


class TestHowOften:
    @given(
        st.lists(st.tuples(st.floats(0, 30), st.sampled_from("ab")), max_size=60),
        st.integers(1, 5), st.floats(6, 120),
    )  # fmt: skip
    def test_a_bucket_never_gives_more_than_it_holds(self, calls, burst, per_minute):
        """At most burst + rate · time are let through in any window that starts with the first call of a client."""
        now = 0.0
        limiter = Limiter(per_minute, burst, clock=lambda: now)
        passed = {"a": [], "b": []}
        for pause, client in calls:
            now += pause
            if limiter.wait(client) == 0:
                passed[client].append(now)
        for times in passed.values():
            for i, start in enumerate(times):
                for j in range(i, len(times)):
                    assert j - i + 1 <= burst + (times[j] - start) * per_minute / 60 + 1e-6

    def test_waiting_as_long_as_it_says_is_enough(self):
        now = 0.0
        limiter = Limiter(60, 2, clock=lambda: now)
        assert [limiter.wait("a") for _ in range(2)] == [0, 0]
        wait = limiter.wait("a")
        assert math.isclose(wait, 1.0)
        assert limiter.wait("b") == 0, "one client is not another"
        now += wait
        assert limiter.wait("a") == 0
        assert limiter.wait("a") > 0

    def test_clients_that_came_long_ago_are_forgotten(self):
        limiter = Limiter(60, 1, clients=2, clock=lambda: 0.0)
        for client in "abc":
            assert limiter.wait(client) == 0
        assert len(limiter._buckets) == 2
        assert limiter.wait("c") > 0

    def test_too_many_writes(self, site, owner):
        site.state.writes = Limiter(60, 2, clock=lambda: 0.0)
        answers = [owner.fill("/papers/1/vote", {"on": "1"}) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [303, 303, 429]
        assert answers[-1].headers["retry-after"] == "1"
        assert "wait 1 s and do the same again" in answers[-1].text

    def test_too_many_searches(self, site, owner):
        site.state.searches = Limiter(60, 1, clock=lambda: 0.0)
        assert owner.get("/search?q=paper").status_code == 200
        answer = owner.get("/api/papers/search?q=paper", headers={"accept": "application/json"})
        assert answer.status_code == 429
        assert "too many searches" in answer.json()["detail"]
