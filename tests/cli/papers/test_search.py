"""`trued papers search` and its kin print what the store finds, name papers as people do, and say what is wrong."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime

import pytest

from trued.cli.papers import search as papers_search
from trued.cli.papers.app import app
from trued.errors import InputError
from trued.feed.paper import FeedPaper
from trued.feed.paper_store import PaperStore, default_store

PAPERS = [
    FeedPaper(
        "Efficient Adversarial Training in LLMs with Continuous Attacks", "Attacks in <b>embedding</b> space.",
        "2405.15589", published=date(2024, 5, 24), upvotes=3, source="huggingface",
    ),
    FeedPaper("A Simulator of Roads", "Cars drive.", published=datetime.now(UTC).date(), comments=1, source="page"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A store of two papers at the place of the user's own, no embedder, and a terminal of 80 columns."""
    monkeypatch.setenv("TRUED_DATA", str(tmp_path))
    monkeypatch.setenv("TRUED_CACHE", str(tmp_path))
    monkeypatch.delenv("TRUED_DATABASE_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(papers_search, "_embedder", lambda tokens: None)
    with_papers = default_store()
    with_papers.ingest(PAPERS)
    with_papers.close()


def call(*tokens):
    return app(list(tokens), exit_on_error=False, print_error=False, result_action="return_value")


def printed(capsys, *tokens):
    call(*tokens)
    return capsys.readouterr().out


def parsed(capsys, *tokens):
    return json.loads(printed(capsys, *tokens, "--json"))


def test_a_search_prints_number_title_facts_and_passage(capsys):
    lines = printed(capsys, "search", "attacks", "--mode", "keyword").splitlines()
    assert lines[0] == "1  Efficient Adversarial Training in LLMs with Continuous Attacks"
    assert lines[1].strip() == "2024-05-24 · arXiv 2405.15589 · 3 upvotes · trued run c-advul"
    assert lines[2].strip() == "Attacks in <b>embedding</b> space."
    assert lines[-1] == "1 paper, by words"


def test_words_options_and_exclusions_reach_the_search(capsys):
    assert [row["number"] for row in parsed(capsys, "search", "cars", "-attacks", "--mode", "keyword")] == [2]
    assert parsed(capsys, "search", "cars", "--until", "2024-12-31", "--mode", "keyword") == []
    assert [row["slug"] for row in parsed(capsys, "search", "--field", "language")] == ["c-advul"]
    (row,) = parsed(capsys, "search", "embedding", "--mode", "hybrid", "--explain")
    assert (row["keyword_rank"], row["semantic_rank"], row["upvotes"]) == (1, 1, 3)
    assert "<mark>embedding</mark>" in row["snippet_html"]


def test_what_was_not_understood_is_said(capsys):
    call("search", "cars year:soon", "--mode", "keyword")
    assert "year:soon is no year" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["1", "2405.15589", "2405.15589v2", "c-advul", "efficient adversarial training in llms WITH continuous attacks"],
)
def test_a_paper_is_named_by_number_id_slug_or_title(capsys, name):
    assert parsed(capsys, "tag", name, "Robust")["tags"] == ["robust"]
    assert "1  Efficient" in printed(capsys, "tag", "1")
    assert parsed(capsys, "tag", name, "robust", "--remove")["tags"] == []


def test_an_unknown_paper_is_bad_input_with_the_nearest():
    with pytest.raises(InputError, match="nearest are 2 \\(A Simulator of Roads\\)"):
        call("tag", "simulator of cars", "x")
    with pytest.raises(InputError, match="no paper number 9"):
        call("note", "9")


def test_notes_are_kept_shown_and_removed(capsys):
    assert printed(capsys, "note", "2", "Read [bold]this[/bold]").strip() == "Read [bold]this[/bold]"
    assert printed(capsys, "note", "2").strip() == "Read [bold]this[/bold]"
    assert printed(capsys, "note", "2", "--remove").startswith("no note on 'A Simulator of Roads'")
    with pytest.raises(InputError, match="exclude each other"):
        call("note", "2", "x", "--remove")


def test_trending_prints_the_order_of_the_store(capsys):
    rows = parsed(capsys, "trending")
    assert [row["number"] for row in rows] == [2, 1]
    assert rows[0]["trending"] == pytest.approx(0.5, rel=0.01)
    assert rows[0]["score"] == rows[0]["trending"]
    assert printed(capsys, "trending", "--limit", "1").splitlines()[-1] == "1 of 2 papers"
    with pytest.raises(InputError, match="--limit 0"):
        call("trending", "--limit", "0")
    with pytest.raises(InputError, match="--since '2025' is no day"):
        call("trending", "--since", "2025")


def test_similar_recommend_and_index_run_without_an_embedder(capsys):
    assert "meaning by TF-IDF" in printed(capsys, "similar", "1")
    call("tag", "1", "robust")
    capsys.readouterr()
    assert [row["number"] for row in parsed(capsys, "recommend", "robust")] == [2]
    assert printed(capsys, "index").endswith("indexed, TF-IDF\n")
    with pytest.raises(InputError, match="no paper bears the tag"):
        call("recommend", "nothing")
    with pytest.raises(InputError, match="--tokens 2: give 3 to 256"):
        call("index", "--tokens", "2")


def test_many_papers_at_once_are_read_by_their_beginnings(capsys, monkeypatch):
    class Model:
        def __init__(self, longest):
            self.longest = longest

        def __call__(self, texts):
            read.update(dict.fromkeys(texts, self.longest))
            return [[1.0, 0.0]] * len(texts)

    monkeypatch.setattr(papers_search, "_embedder", Model)
    read: dict[str, int] = {}
    call("index")
    assert [tokens for text, tokens in read.items() if "Simulator" in text] == [256]
    for given, expected, said in (((), 64, "2 papers at once"), (("--tokens", "200"), 200, "")):
        monkeypatch.setattr(papers_search, "MANY", 1)
        store = default_store()
        shutil.rmtree(store._folder("embeddings"))
        store.close()
        read.clear()
        capsys.readouterr()
        call("index", *given)
        assert [tokens for text, tokens in read.items() if "Simulator" in text] == [expected]
        assert said in capsys.readouterr().err


def test_doctor_tells_and_its_exit_code_is_1_where_something_is_wrong(capsys, tmp_path):
    assert call("doctor") == 0
    assert capsys.readouterr().out == "2 papers, no findings\n"
    store = PaperStore(f"sqlite:///{tmp_path}/papers.db")
    with store.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE papers SET votes = 3 WHERE uid = 1")
    store.close()
    assert call("doctor") == 1
    out = capsys.readouterr().out
    assert "count of votes" in out
    assert out.endswith("2 papers, 1 finding\n")


def test_an_empty_store_says_how_to_fill_it(monkeypatch, tmp_path):
    monkeypatch.setenv("TRUED_DATA", str(tmp_path / "other"))
    with pytest.raises(InputError, match=r"`trued papers ingest page` .*without a network.*`trued papers sync`"):
        call("search", "x")
