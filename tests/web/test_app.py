import pytest

from trued.feed.paper_store import PaperStore
from trued.web.app import create_app
from trued.web.settings import Settings


@pytest.mark.parametrize(
    ("path", "status", "sentence"),
    [
        ("/nowhere", 404, "GET /nowhere: not found; the papers are at /"),
        ("/papers/99", 404, "the store has no paper 99; search for it, or submit it"),
        ("/papers/99999999999999999999999", 404, "the store has no paper 99999999999999999999"),
        ("/papers/2405.99999", 404, "the store has no paper 2405.99999; submit it at /submit"),
        ("/papers/hep-th/9901001v2", 404, "the store has no paper hep-th/9901001"),
        ("/cards/c-advull", 404, "no paper has the slug"),
        ("/cards/mixat", 404, "mixat has a card, and the store lacks its paper"),
        ("/?day=2025-02-30", 422, "is no day; write it as 2026-11-24"),
        ("/?page=-1", 422, "does not fit; give a whole number"),
        ("/search?q=a&mode=best", 422, "mode 'best': input should be 'hybrid', 'keyword' or 'semantic'"),
        ("/api/papers/none", 404, "the store has no paper 'none'; give an arXiv id such as 2405.15589"),
    ],
)
def test_what_goes_wrong_is_one_sentence_for_people_and_for_programs(owner, path, status, sentence):
    answer = owner.get(path, headers={"accept": "application/json"})
    assert answer.status_code == status
    assert sentence in answer.json()["detail"]
    if not path.startswith("/api/"):
        page = owner.get(path)
        assert page.status_code == status
        assert page.headers["content-type"].startswith("text/html")
        assert '<main id="main"' in page.text


@pytest.mark.parametrize(
    ("path", "to"),
    [
        ("/board/", "/board"),
        ("/board///", "/board"),
        ("/papers/1/?a=b", "/papers/1?a=b"),
        ("/search/?q=x", "/search?q=x"),
    ],
)
def test_a_slash_too_many_leads_to_this_site_whatever_host_is_named(owner, path, to):
    answer = owner.get(path, headers={"host": "evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (307, to)
    assert "evil" not in str(answer.headers)


@pytest.mark.parametrize("path", ["//evil.example/", "/%2F%2Fevil.example/", "/nowhere/", "///", "/\\evil.example/"])
def test_a_slash_leads_nowhere_else(owner, path):
    answer = owner.get(f"http://127.0.0.1:8000{path}")
    assert answer.status_code in (200, 404)
    assert "location" not in answer.headers


def test_a_sentence_may_hold_anything(owner):
    page = owner.get("/?order=<script>alert(1)</script>")
    assert page.status_code == 422
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text


def test_a_method_that_an_address_does_not_know(owner):
    answer = owner.delete("/board")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


def test_it_opens_and_closes_its_own_store(tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(PaperStore, "close", lambda self: closed.append(self))
    app = create_app(settings=Settings(database_url=f"sqlite:///{tmp_path}/papers.db"))
    from fastapi.testclient import TestClient

    with TestClient(app, base_url="http://127.0.0.1") as client:
        assert client.get("/").status_code == 200
        assert not closed
    assert closed == [app.state.store]


def test_it_leaves_a_store_open_that_it_was_given(site, papers):
    from fastapi.testclient import TestClient

    with TestClient(site, base_url="http://127.0.0.1"):
        pass
    assert papers.get(1).uid == 1
