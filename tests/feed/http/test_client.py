"""The client against a real server: retries, redirects, bounds, pace, and what it never fetches."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from local_web import LocalWeb, Reply

from trued.errors import InputError
from trued.feed.http.client import Answer, Client, FetchError, base_url, default_client
from trued.feed.http.pace import Pace


@pytest.fixture
def web() -> Iterator[LocalWeb]:
    with LocalWeb() as web:
        yield web


class Asker:
    """A client whose pauses are noted and not slept."""

    def __init__(self, web: LocalWeb, folder: Path, **options: Any) -> None:
        self.web, self.pauses = web, []
        options.setdefault("bases", [web.url])
        self.client = Client(folder=folder, wait=self.pauses.append, **options)

    def get(self, path: str, **options: Any) -> Answer:
        options.setdefault("every", 0.0)
        return self.client.get(self.web.url + path, **options)


@pytest.fixture
def asker(web: LocalWeb, tmp_path: Path) -> Asker:
    return Asker(web, tmp_path)


def test_an_answer_comes_with_its_kind_and_address(web: LocalWeb, asker: Asker) -> None:
    web.answer("/a", Reply("grüß", headers={"Content-Type": "Text/Plain; charset=utf-8"}))

    answer = asker.get("/a", params={"q": "x y", "n": 3})

    assert (answer.content.decode(), answer.kind, answer.fresh) == ("grüß", "text/plain", True)
    assert web.asked[0].query == {"q": "x y", "n": "3"}
    assert web.asked[0].headers["User-Agent"].startswith("trued/")
    assert web.asked[0].headers["Host"] == web.url.removeprefix("http://")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_with_growing_pauses(web: LocalWeb, asker: Asker, status: int) -> None:
    web.answer("/a", Reply(status=status), Reply(status=status), Reply(status=status), Reply("at last"))

    assert asker.get("/a").content == b"at last"
    first, second, third = asker.pauses
    assert 1.0 <= first < second < third <= 5.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_what_is_final_is_asked_once(web: LocalWeb, asker: Asker, status: int) -> None:
    web.answer("/a", Reply(status=status))

    with pytest.raises(FetchError, match=rf"/a answered {status} ") as caught:
        asker.get("/a")
    assert (caught.value.status, len(web.asked), asker.pauses) == (status, 1, [])


def test_the_server_says_how_long_to_wait(web: LocalWeb, asker: Asker) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    waits = ({"Retry-After": "7"}, {"Retry-After": moment}, {"Retry-After": "soon"})
    web.answer("/a", *(Reply(status=429, headers=wait) for wait in waits), Reply("ok"))

    asker.get("/a")

    assert asker.pauses[0] == 7.0
    assert 25 < asker.pauses[1] <= 30
    assert 4.0 <= asker.pauses[2] <= 5.0  # what can't be read is passed over


def test_a_wait_of_hours_is_told_and_not_waited_for(web: LocalWeb, asker: Asker) -> None:
    web.answer("/a", Reply(status=503, headers={"Retry-After": "86400"}))

    with pytest.raises(FetchError, match=r"asks to wait for 86400 s; try again then"):
        asker.get("/a")
    assert asker.pauses == []


def test_it_gives_up_after_the_last_attempt(web: LocalWeb, asker: Asker) -> None:
    web.answer("/a", Reply(status=500))

    with pytest.raises(FetchError, match=r"\(5 attempts\): it answered 500 Internal Server Error") as caught:
        asker.get("/a")
    assert (caught.value.status, len(web.asked), len(asker.pauses)) == (500, 5, 4)


def test_an_answer_that_breaks_off_is_no_answer(web: LocalWeb, asker: Asker) -> None:
    web.answer("/a", Reply("the whole answer", cut=5), Reply("the whole answer"))
    assert asker.get("/a").content == b"the whole answer"

    web.answer("/b", Reply("the whole answer", cut=5))
    with pytest.raises(FetchError, match="its answer broke off"):
        asker.get("/b")


def test_a_silent_server_is_left(web: LocalWeb, tmp_path: Path) -> None:
    asker = Asker(web, tmp_path, timeout=0.2, retries=1)
    web.answer("/a", Reply("late", stall=1.0))

    with pytest.raises(FetchError, match=r"\(2 attempts\): it sent nothing for 0.2 s"):
        asker.get("/a")


@pytest.mark.parametrize("slow", [{"drip": 0.05}, {"header_drip": 0.05}])
def test_an_answer_that_drips_for_ever_ends(web: LocalWeb, tmp_path: Path, slow: dict[str, Any]) -> None:
    asker = Asker(web, tmp_path, timeout=0.5, deadline=0.4, retries=0)
    web.answer("/a", Reply("x" * 1000, **slow))

    with pytest.raises(FetchError, match=r"did not answer whole within 0.4 s"):
        asker.get("/a")


def test_nobody_listening_is_told(web: LocalWeb, tmp_path: Path) -> None:
    gone = "http://127.0.0.1:9"
    client = Client(bases=[gone], folder=tmp_path, retries=1, wait=lambda _: None)

    with pytest.raises(FetchError, match=r"127.0.0.1:9/a could not be fetched \(2 attempts\): no connection") as caught:
        client.get(f"{gone}/a", every=0.0)
    assert caught.value.status is None


@pytest.mark.parametrize("told", [True, False])
def test_a_large_answer_is_not_read(web: LocalWeb, asker: Asker, told: bool) -> None:
    content = b"x" * (1 << 20)
    packed = {} if told else {"Content-Encoding": "gzip"}  # a small length, and much inside
    web.answer("/a", Reply(content if told else gzip.compress(content), headers=packed))

    with pytest.raises(FetchError, match=r"answers with more than 0.5 MiB"):
        asker.get("/a", largest=1 << 19)
    assert len(web.asked) == 1


def test_a_wrongly_packed_answer_is_no_answer(web: LocalWeb, asker: Asker) -> None:
    web.answer("/a", Reply("not gzip", headers={"Content-Encoding": "gzip"}))

    with pytest.raises(FetchError, match="packed wrongly"):
        asker.get("/a")


def test_an_unchanged_answer_is_not_sent_twice(web: LocalWeb, asker: Asker) -> None:
    marks = {"ETag": '"v1"', "Last-Modified": "Wed, 10 Dec 2025 00:00:00 GMT"}

    def unless_known(asked: Any) -> Reply:
        known = asked.headers["If-None-Match"] == '"v1"'
        return Reply(status=304, headers=marks) if known else Reply("content", headers=marks)

    web.answer("/a", unless_known)
    first, second = asker.get("/a"), asker.get("/a")

    assert (first.content, first.fresh) == (b"content", True)
    assert (second.content, second.fresh) == (b"content", False)
    assert second.fetched >= first.fetched
    assert web.asked[0].headers["If-None-Match"] is None
    assert web.asked[1].headers["If-Modified-Since"] == marks["Last-Modified"]


def test_a_changed_answer_replaces_the_kept_one(web: LocalWeb, asker: Asker) -> None:
    web.answer("/a", Reply("old", headers={"ETag": '"1"'}), Reply("new", headers={"ETag": '"2"'}), Reply(status=304))

    assert [asker.get("/a").content for _ in range(3)] == [b"old", b"new", b"new"]
    assert web.asked[2].headers["If-None-Match"] == '"2"'


def test_a_damaged_copy_is_not_used(web: LocalWeb, asker: Asker, tmp_path: Path) -> None:
    web.answer("/a", Reply("content", headers={"ETag": '"1"'}))
    asker.get("/a")
    (copy,) = (tmp_path / "answers").glob("*.answer")
    copy.write_bytes(copy.read_bytes()[:-1] + b"!")

    assert asker.get("/a").content == b"content"
    assert web.asked[1].headers["If-None-Match"] is None


def test_offline_answers_what_was_fetched_and_asks_nobody(web: LocalWeb, asker: Asker, tmp_path: Path) -> None:
    web.answer("/a", Reply("content"))
    asker.get("/a", accept="text/plain")
    offline = Asker(web, tmp_path, offline=True)

    answer = offline.get("/a", accept="text/plain")

    assert (answer.content, answer.fresh, len(web.asked)) == (b"content", False, 1)
    with pytest.raises(FetchError, match=r"/a\?page=2 was never fetched, and this is offline"):
        offline.get("/a", params={"page": 2}, accept="text/plain")


def test_a_failure_names_the_copy_there_is(web: LocalWeb, asker: Asker) -> None:
    web.answer("/a", Reply("content"), Reply(status=500))
    asker.get("/a")

    with pytest.raises(FetchError, match=r"or offline: there is a copy of \d{4}-\d\d-\d\d"):
        asker.get("/a")


def test_redirects_are_followed_to_an_end(web: LocalWeb, asker: Asker) -> None:
    web.answer("/a", Reply(status=302, headers={"Location": "/b?x=1"}))
    web.answer("/b", Reply("here"))
    answer = asker.get("/a")
    assert (answer.content, answer.url) == (b"here", f"{web.url}/b?x=1")

    web.answer("/round", Reply(status=301, headers={"Location": "/round"}))
    with pytest.raises(FetchError, match="redirected more than 5 times"):
        asker.get("/round")


def test_busy_with_success_is_busy(web: LocalWeb, asker: Asker) -> None:
    web.answer("/a", Reply("Rate exceeded."), Reply("content"))

    assert asker.get("/a", busy=lambda content: content.startswith(b"Rate")).content == b"content"
    assert len(asker.pauses) == 1


# -- what is never fetched ---------------------------------------------------------------------------------------------


def test_this_machine_is_not_asked_unless_it_was_configured(web: LocalWeb, tmp_path: Path) -> None:
    web.answer("/secret", Reply("secret"))
    asker = Asker(web, tmp_path, bases=[])

    with pytest.raises(InputError, match=r"127.0.0.1 is no public address, and is not fetched"):
        asker.get("/secret")
    assert web.asked == []


def test_a_configured_server_leads_nowhere_private(web: LocalWeb, tmp_path: Path) -> None:
    with LocalWeb() as inner:
        inner.answer("/secret", Reply("secret"))
        web.answer("/a", Reply(status=302, headers={"Location": f"{inner.url}/secret"}))

        with pytest.raises(InputError, match="no public address"):
            Asker(web, tmp_path).get("/a")
        assert inner.asked == []


def test_an_outside_server_does_not_lead_into_a_configured_one(
    web: LocalWeb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The other server counts as outside: its address is let through once, and its redirect is not.
    from trued.feed.http import guard

    with LocalWeb() as outside:
        outside.answer("/a", Reply(status=302, headers={"Location": f"{web.url}/secret"}))
        web.answer("/secret", Reply("secret"))
        port = int(outside.url.rpartition(":")[2])
        checked = guard.addresses
        monkeypatch.setattr(
            guard, "addresses", lambda url, private=False: checked(url, private=private or url.port == port)
        )
        client = Client(bases=[web.url], folder=tmp_path, wait=lambda _: None)

        with pytest.raises(InputError, match="no public address"):
            client.get(f"{outside.url}/a", every=0.0)
        assert outside.paths() == ["/a"]
        assert web.asked == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://x/", "ftp://example.org/a"])
def test_a_redirect_leaves_the_web_no_further(web: LocalWeb, asker: Asker, location: str) -> None:
    web.answer("/a", Reply(status=302, headers={"Location": location}))

    with pytest.raises(InputError, match="only http and https addresses are"):
        asker.get("/a")


# -- pace and configuration --------------------------------------------------------------------------------------------


def test_a_host_is_asked_one_at_a_time_with_a_pause(web: LocalWeb, tmp_path: Path) -> None:
    web.answer("/a", Reply("x"))
    clients = [Client(bases=[web.url], folder=tmp_path) for _ in range(3)]
    threads = [threading.Thread(target=one.get, args=(f"{web.url}/a",), kwargs={"every": 0.15}) for one in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    moments = sorted(one.at for one in web.asked)
    assert len(moments) == 3
    assert all(later - earlier >= 0.14 for earlier, later in pairwise(moments))


def test_a_clock_that_was_set_back_makes_no_one_wait_longer(tmp_path: Path) -> None:
    import os

    waits: list[float] = []
    pace = Pace(tmp_path, waits.append)
    with pace.turn("host", 3.0):
        pass
    ahead = time.time() + 9_999
    os.utime(tmp_path / "host.asked", (ahead, ahead))

    with pace.turn("host", 3.0):
        pass
    assert waits == [3.0]


def test_the_environment_names_servers(web: LocalWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    web.answer("/a", Reply("content"))
    with pytest.raises(InputError, match="no public address"):
        default_client().get(f"{web.url}/a", every=0.0)

    monkeypatch.setenv("TRUED_ARXIV_URL", f"{web.url}/")
    assert default_client().get(f"{web.url}/a", every=0.0).content == b"content"
    assert base_url("TRUED_ARXIV_URL", "https://export.arxiv.org") == web.url

    monkeypatch.setenv("TRUED_OFFLINE", "1")
    assert default_client().get(f"{web.url}/a", every=0.0).fresh is False
    monkeypatch.setenv("TRUED_ARXIV_URL", "file:///x")
    with pytest.raises(InputError, match="only http and https"):
        default_client()
