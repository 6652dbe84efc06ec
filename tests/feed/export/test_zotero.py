"""Papers go into a Zotero library: against a server of our own that answers as Zotero's documentation says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from stored_papers import sample_papers, stored

from trued.errors import InputError
from trued.feed.export.zotero import Library, item, push


class _Zotero(BaseHTTPRequestHandler):
    """Keeps batches by their write token; a second one with the same token is 412."""

    def do_POST(self) -> None:
        server = self.server
        items = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        token = self.headers["Zotero-Write-Token"]
        status, answer = 200, {"successful": {}, "unchanged": {}, "failed": {}}
        if server.broken:
            status, answer = server.broken, {}
        elif self.headers["Zotero-API-Key"] != "key" or self.headers["Zotero-API-Version"] != "3":
            status = 403
        elif token in server.batches:
            status = 412
        else:
            server.batches[token] = items
            for place, one in enumerate(items):
                where = "failed" if one["title"] == "Bad" else "successful"
                answer[where][str(place)] = {"code": 400, "message": "no good"} if where == "failed" else {"key": "K"}
        server.paths.append(self.path)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def zotero() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Zotero)
    server.batches, server.paths, server.broken = {}, [], 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def library(server: ThreadingHTTPServer, key: str = "key") -> Library:
    return Library("users/7", key, f"http://127.0.0.1:{server.server_port}")


def test_fifty_at_a_time_and_nothing_twice(zotero) -> None:
    papers = [stored(f"Paper {n}", "Ada Lovelace", uid=n, arxiv=f"2401.{n:05}") for n in range(1, 121)]
    seen = []
    assert push(papers, library(zotero), progress=lambda done, total: seen.append((done, total))).added == 120
    assert [len(batch) for batch in zotero.batches.values()] == [50, 50, 20]
    assert set(zotero.paths) == {"/users/7/items"}
    assert seen == [(50, 120), (100, 120), (120, 120)]
    assert push(papers, library(zotero)).added == 120
    assert sum(len(batch) for batch in zotero.batches.values()) == 120


def test_what_is_refused_is_named(zotero) -> None:
    pushed = push([stored("Good"), stored("Bad", uid=2)], library(zotero))
    assert (pushed.added, pushed.failed) == (1, [("Bad", "no good")])


def test_errors_say_what_to_do(zotero) -> None:
    with pytest.raises(InputError, match="TRUED_ZOTERO_KEY may not write to users/7"):
        push(sample_papers(), library(zotero, "wrong"))
    zotero.broken = 503
    with pytest.raises(InputError, match=r"Zotero answered 503 .*0 papers are in"):
        push(sample_papers(), library(zotero))
    with pytest.raises(InputError, match="does not answer"):
        push(sample_papers(), Library("users/7", "key", "http://127.0.0.1:9"))


def test_items_have_zoteros_fields() -> None:
    preprint, article, hidden, bare = map(item, sample_papers())
    assert preprint == {
        "itemType": "preprint", "title": "Efficient Training in LLMs with Continuous Attacks",
        "creators": [
            {"creatorType": "author", "firstName": "Sophie", "lastName": "Xhonneux"},
            {"creatorType": "author", "firstName": "Leo", "lastName": "Schwinn"},
        ],
        "abstractNote": "Attacks at 50% of the cost & more.", "date": "2024-05-24",
        "url": "https://arxiv.org/abs/2405.15589", "tags": [{"tag": "cs.LG"}, {"tag": "cs.CR"}],
        "repository": "arXiv", "archiveID": "arXiv:2405.15589",
    }  # fmt: skip
    assert article["itemType"] == "journalArticle"
    assert article["publicationTitle"] == "Annals of Physics 17 (1905)"
    assert article["date"] == "1905"
    assert article["creators"][0] == {"creatorType": "author", "firstName": "Ludwig, Jr.", "lastName": "van der Berg"}
    assert len(hidden["creators"]) == 1
    assert bare == {"itemType": "preprint", "title": "Nothing Known"}


def test_the_library_and_its_key_come_from_the_environment() -> None:
    found = Library.from_environment("groups/12", {"TRUED_ZOTERO_KEY": "k"})
    assert (found.name, found.key, found.api) == ("groups/12", "k", "https://api.zotero.org")
    assert "'k'" not in repr(found)
    with pytest.raises(InputError, match="TRUED_ZOTERO_KEY is not set"):
        Library.from_environment("groups/12", {})
    for bad in ("12", "users/../1", "users/x", ""):
        with pytest.raises(InputError, match="is no Zotero library"):
            Library.from_environment(bad, {"TRUED_ZOTERO_KEY": "k"})
