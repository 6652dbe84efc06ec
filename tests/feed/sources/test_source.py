"""What a source string means, the same for the command line and the page."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from local_web import LocalWeb, Reply

from trued.errors import InputError
from trued.feed.http.client import Client
from trued.feed.sources.source import read_reference, read_source

ATOM = (
    '<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/abs/2501.00001v1</id>'
    "<title>Wheels</title></entry></feed>"
)


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with LocalWeb() as web:
        web.answer("/api/query", Reply(ATOM))
        web.answer("/api/daily_papers", Reply([{"paper": {"id": "2501.00002", "title": "Spokes"}}]))
        web.answer("/api/papers/search", Reply([]))
        monkeypatch.setenv("TRUED_ARXIV_URL", web.url)
        monkeypatch.setenv("TRUED_HF_URL", web.url)
        yield Client(bases=[web.url], folder=tmp_path / "fetched", retries=0, wait=lambda _: None)


def test_each_kind_of_source(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.bib").write_text("@misc{a, title={From a File}}")

    def titles(source: str, **options) -> list[str]:
        return [paper.title for paper in read_source(source, client=client, **options).papers]

    assert titles("one.bib") == ["From a File"]
    assert titles("-", stdin=io.BytesIO(b"@misc{a, title={From Standard Input}}")) == ["From Standard Input"]
    assert titles("daily") == ["Spokes"]
    assert titles("arxiv", query="cat:cs.LG") == titles("2501.00001") == ["Wheels"]
    assert len(titles("page")) == 50
    Path("daily").write_text("@misc{a, title={A File of that Name}}")
    assert titles("daily") == ["Spokes"]  # a name goes before a file
    assert titles("./daily") == ["A File of that Name"]


def test_a_reference_never_opens_a_file(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "secret.bib"
    path.write_text("@misc{a, title={Secret}}")
    with pytest.raises(InputError, match="no paper on arXiv"):
        read_reference(str(path), client=client)
    assert read_reference("Wheels", client=client).papers[0].arxiv == "2501.00001"


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("nothing.bib", {}, "is no file, arXiv id, DOI or address"),
        ("Some Title", {}, "the other sources are daily, arxiv and page"),
        ("page", {"week": "2025-W01"}, "--week goes with daily"),
        ("arxiv", {}, "arxiv and --query go together"),
        ("page", {"query": "x"}, "arxiv and --query go together"),
        ("page", {"limit": 3}, "--limit goes with daily and arxiv"),
        ("daily", {"week": "2025-W01", "month": "2025-01"}, "--week and --month together"),
    ],
)
def test_options_of_another_source_are_refused_before_anything_is_asked(client, source, options, message) -> None:
    client.get = lambda *_, **__: pytest.fail("asked")
    with pytest.raises(InputError, match=message):
        read_source(source, client=client, **options)
