"""From a title to one paper, or to none: never to the likeliest."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from local_web import LocalWeb, Reply

from trued.errors import InputError
from trued.feed.http.client import Client, FetchError
from trued.feed.paper import FeedPaper
from trued.feed.sources.resolve import choose, resolve_title

TITLE = "Alignment for Honest Wheels"


def paper(title: str, arxiv: str | None, published: date | None = None) -> FeedPaper:
    return FeedPaper(title, arxiv=arxiv, published=published)


@pytest.mark.parametrize(
    "title", [TITLE, "alignment for honest wheels.", "{A}lignment for Honest  Wheels", "Alignment: For Honest-Wheels"]
)
def test_the_same_title_is_found_however_it_is_written(title: str) -> None:
    found = choose(title, [paper("Others", "2401.00001"), paper(TITLE, "2401.00002")])

    assert found is not None
    assert found.arxiv == "2401.00002"


@pytest.mark.parametrize(
    "other",
    [
        "Alignment for Honest Wheels and Rims in Bicycles",  # contains the whole title
        "Honest Wheels",
        "Misalignment for Dishonest Tyres",
        "Wheels Honest for Alignment",  # the same words, another sentence
        "Alignment for Honest Heels: a Survey",
    ],
)
def test_a_title_that_is_only_alike_is_another_paper(other: str) -> None:
    assert choose(TITLE, [paper(other, "2401.00001")]) is None


def test_a_slip_of_the_pen_is_no_other_title() -> None:
    long = "Masked Wheels are Secretly Time-Agnostic Wheels and Exploit Inaccurate Categorical Sampling of Spokes"
    slip = long.replace("and Exploit", "& Exploit")

    found = choose(long, [paper(slip, "2401.00001")])
    assert found is not None
    exact = choose(long, [paper(slip, "2401.00001"), paper(long, "2401.00002")])
    assert exact is not None
    assert exact.arxiv == "2401.00002"


def test_of_two_the_date_decides_and_without_it_nobody() -> None:
    two = [paper(TITLE, "2401.00001", date(2024, 1, 1)), paper(TITLE, "2402.00001", date(2024, 2, 1))]

    assert choose(TITLE, two) is None
    assert choose(TITLE, two, date(2024, 3, 1)) is None
    found = choose(TITLE, two, date(2024, 2, 1))
    assert found is not None
    assert found.arxiv == "2402.00001"
    assert choose(TITLE, [two[0], two[0]]) is not None  # the same paper twice is one
    assert choose(TITLE, [paper(TITLE, None)]) is None


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalWeb]:
    with LocalWeb() as web:
        monkeypatch.setenv("TRUED_HF_URL", web.url)
        monkeypatch.setenv("TRUED_ARXIV_URL", web.url)
        yield web


@pytest.fixture
def client(web: LocalWeb, tmp_path: Path) -> Client:
    return Client(bases=[web.url], folder=tmp_path, retries=0, wait=lambda _: None)


def atom(title: str, identity: str) -> str:
    return (
        '<feed xmlns="http://www.w3.org/2005/Atom"><entry>'
        f"<id>http://arxiv.org/abs/{identity}</id><title>{title}</title></entry></feed>"
    )


def test_arxiv_is_asked_for_the_telling_words(web: LocalWeb, client: Client) -> None:
    web.answer("/api/query", Reply(atom(TITLE, "2401.00001v2")))

    found = resolve_title(f"{TITLE}!", client=client)

    assert found is not None
    assert (found.arxiv, found.version, found.source) == ("2401.00001", 2, "arxiv")
    assert web.asked[0].query["search_query"] == "ti:alignment AND ti:honest AND ti:wheels"
    assert web.paths() == ["/api/query"]


def test_hugging_face_is_asked_where_arxiv_does_not_know(web: LocalWeb, client: Client) -> None:
    web.answer("/api/query", Reply(atom("Something else", "2401.00001v2")))
    web.answer("/api/papers/search", Reply([{"paper": {"id": "2401.00002", "title": TITLE}}]))
    found = resolve_title(TITLE, client=client)
    assert found is not None
    assert found.arxiv == "2401.00002"

    web.answer("/api/papers/search", Reply([]))
    assert resolve_title(TITLE, client=client) is None


def test_no_answer_is_not_taken_for_no_paper(web: LocalWeb, client: Client) -> None:
    web.answer("/api/query", Reply(status=500))
    web.answer("/api/papers/search", Reply([]))

    with pytest.raises(FetchError, match=r"/api/query"):
        resolve_title(TITLE, client=client)
    with pytest.raises(InputError, match="has no words to look for"):
        resolve_title("?!", client=client)
