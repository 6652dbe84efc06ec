import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from trued.cli.main import BAD, main
from trued.cli.serve import learn_meaning
from trued.errors import InputError
from trued.feed.paper import FeedPaper
from trued.feed.paper_store import PaperStore


def said(capsys, *words):
    """Return the exit code, and what is said on standard error."""
    code = main(["serve", *words])
    return code, capsys.readouterr().err


def test_others_are_let_in_only_on_purpose(capsys):
    code, sentence = said(capsys, "--host", "0.0.0.0")
    assert code == BAD
    assert "0.0.0.0 can be reached by others; add --public if that is meant" in sentence


def test_a_short_token_keeps_nobody_out(capsys, monkeypatch):
    monkeypatch.setenv("TRUED_TOKEN", "short")
    code, sentence = said(capsys, "--public")
    assert code == BAD
    assert "TRUED_TOKEN has 5 characters, and at least 16 are needed" in sentence


def test_a_port_that_is_taken(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, sentence = said(capsys, "--port", str(port))
    assert code == BAD
    assert f"127.0.0.1:{port} cannot be listened on" in sentence
    assert "another --port" in sentence


def test_an_evidence_folder_that_is_none(capsys, tmp_path):
    code, sentence = said(capsys, "--evidence", str(tmp_path / "nowhere"))
    assert code == BAD
    assert "nowhere is no folder; give one of SLUG.json files" in sentence


def test_it_serves_the_page_that_it_ships(tmp_path):
    """A new store gets the page's papers, and Ctrl-C ends the server."""
    url = f"sqlite:///{tmp_path}/papers.db"
    folders = {"TRUED_CACHE": str(tmp_path / "cache"), "TRUED_DATA": str(tmp_path / "data")}
    environment = {**os.environ, **folders, "TRUED_OFFLINE": "1"}
    server = subprocess.Popen(
        [sys.executable, "-c", START, "serve", "--port", "0", "--database-url", url], env=environment,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        address = re.search(r"http://127\.0\.0\.1:\d+", server.stdout.readline())
        assert address is not None
        with urllib.request.urlopen(f"{address[0]}/api/daily_papers?limit=100", timeout=60) as answer:
            assert len(json.load(answer)) == 50
        with urllib.request.urlopen(address[0], timeout=60) as answer:
            assert b"Efficient Adversarial Training" in answer.read()
    finally:
        server.send_signal(signal.SIGINT)
        code = server.wait(60)
    assert code in (0, 130)
    store = PaperStore(url)
    assert store.listing(limit=1)[1] == 50
    store.close()


# The embedder is not available in this test: importing torch takes longer than all the rest.
START = """
import sys
sys.modules["trued.language.engine.embedder"] = None
from trued.cli.main import main
sys.exit(main())
"""


class TestMeaning:
    @pytest.fixture
    def store(self, tmp_path):
        """A store with one paper."""
        store = PaperStore(f"sqlite:///{tmp_path}/papers.db")
        store.ingest([FeedPaper("Alignment", source="page")])
        yield store
        store.close()

    def test_it_is_learnt_when_the_embedder_is_there(self, store, monkeypatch):
        import numpy as np

        embedder = pytest.importorskip("trued.language.engine.embedder")
        asked = []

        def embed(texts):
            asked.extend(texts)
            return np.full((len(texts), 4), 0.5, np.float32)

        monkeypatch.setattr(embedder.SentenceEmbedder, "load", classmethod(lambda cls, **options: embed))
        assert store.semantics == "TF-IDF"
        learn_meaning(store)
        assert store.semantics == "embeddings"
        assert "Alignment" in asked, "the papers are indexed at once, not with the first search"
        assert store.unindexed() == 0

    def test_without_it_the_page_says_so_and_goes_on(self, store, monkeypatch, capsys):
        embedder = pytest.importorskip("trued.language.engine.embedder")

        def load(cls, **options):
            raise InputError("no network")

        monkeypatch.setattr(embedder.SentenceEmbedder, "load", classmethod(load))
        learn_meaning(store)
        assert store.semantics == "TF-IDF"
        assert "TF-IDF, since the embedder cannot be had: no network" in " ".join(capsys.readouterr().err.split())
