"""Fetching from servers that page, throttle, lose entries and fail, and one paper by id, DOI or address."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from local_web import Asked, LocalWeb, Reply

from trued.errors import InputError
from trued.feed.http.client import Client, FetchError
from trued.feed.sources import online as fetch
from trued.feed.sources.online import fetch_arxiv, fetch_daily, fetch_one, fetch_url, is_reference


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalWeb]:
    with LocalWeb() as web:
        monkeypatch.setenv("TRUED_HF_URL", web.url)
        monkeypatch.setenv("TRUED_ARXIV_URL", web.url)
        yield web


@pytest.fixture
def client(web: LocalWeb, tmp_path: Path) -> Client:
    return Client(bases=[web.url], folder=tmp_path, retries=1, wait=lambda _: None)


def item(n: int) -> dict[str, Any]:
    return {"paper": {"id": f"2512.{n:05}", "title": f"Paper {n}", "upvotes": n}}


def listing(items: list[Any]) -> Any:
    def answer(asked: Asked) -> Reply:
        start = int(asked.query["p"]) * int(asked.query["limit"])
        return Reply(items[start : start + int(asked.query["limit"])])

    return answer


def atom(entries: list[str], total: int | None = None) -> str:
    rows = "".join(
        f"<entry><id>http://arxiv.org/abs/{identity}</id><title>Paper {identity}</title></entry>"
        for identity in entries
    )
    count = len(entries) if total is None else total
    search = f'<o:totalResults xmlns:o="http://a9.com/-/spec/opensearch/1.1/">{count}</o:totalResults>'
    return f'<feed xmlns="http://www.w3.org/2005/Atom">{search}{rows}</feed>'


def archive(ids: list[str]) -> Any:
    def answer(asked: Asked) -> Reply:
        if "id_list" in asked.query:
            return Reply(atom([f"{one}v2" for one in asked.query["id_list"].split(",") if one in ids]))
        start, most = int(asked.query["start"]), int(asked.query["max_results"])
        return Reply(atom([f"{one}v1" for one in ids[start : start + most]], total=len(ids)))

    return answer


# -- Hugging Face ------------------------------------------------------------------------------------------------------


def test_every_page_of_a_day_is_fetched(web: LocalWeb, client: Client) -> None:
    web.answer("/api/daily_papers", listing([item(n) for n in range(230)]))

    read = fetch_daily(date(2025, 12, 10), client=client)

    assert [paper.title for paper in read.papers] == [f"Paper {n}" for n in range(230)]
    assert [paper.rank for paper in read.papers] == list(range(1, 231))
    assert (read.papers[0].upvotes, read.day) == (0, date(2025, 12, 10))
    assert [asked.query for asked in web.asked] == [
        {"date": "2025-12-10", "p": str(page), "limit": "100"} for page in range(3)
    ]


def test_a_base_that_is_named_may_be_private(web: LocalWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUED_HF_URL")
    monkeypatch.delenv("TRUED_ARXIV_URL")
    monkeypatch.setattr("trued.feed.http.client.EVERY", 0.0)
    web.answer("/api/daily_papers", listing([item(1)]))
    web.answer("/api/query", archive(["2501.00001"]))

    assert len(fetch_daily(base=web.url).papers) == 1
    assert len(fetch_arxiv("all:wheels", base=web.url).papers) == 1


def test_a_server_that_knows_no_pages_is_asked_twice_and_not_for_ever(web: LocalWeb, client: Client) -> None:
    web.answer("/api/daily_papers", Reply([item(n) for n in range(100)]))

    assert len(fetch_daily(week="2025-W49", client=client).papers) == 100
    assert len(web.asked) == 2


def test_a_paper_that_moves_to_the_next_page_is_not_told_twice(web: LocalWeb, client: Client) -> None:
    papers = [item(n) for n in range(101)]
    web.answer("/api/daily_papers", Reply(papers[:100]), Reply([papers[99], papers[100]]))

    titles = [paper.title for paper in fetch_daily(month="2025-12", client=client).papers]

    assert titles == [f"Paper {n}" for n in range(101)]


@pytest.mark.parametrize(
    ("options", "query"),
    [
        ({"week": "2025-W49"}, {"week": "2025-W49"}),
        ({"month": "2025-12", "sort": "trending"}, {"month": "2025-12", "sort": "trending"}),
        ({}, {}),
    ],
)
def test_the_span_is_asked_for(web: LocalWeb, client: Client, options: Any, query: dict[str, str]) -> None:
    web.answer("/api/daily_papers", listing([item(1)]))

    read = fetch_daily(**options, client=client)

    assert web.asked[0].query == query | {"p": "0", "limit": "100"}
    assert read.day is None


def test_the_limit_holds(web: LocalWeb, client: Client) -> None:
    web.answer("/api/daily_papers", listing([item(n) for n in range(230)]))

    assert len(fetch_daily(limit=150, client=client).papers) == 150
    assert len(fetch_daily(client=client).papers) == 100  # the latest ones: a page of them
    assert len(web.asked) == 3


def test_spoilt_entries_are_refused_with_their_page(web: LocalWeb, client: Client) -> None:
    web.answer("/api/daily_papers", listing([item(n) for n in range(100)] + [{"id": 1}, item(101)]))

    read = fetch_daily(date(2025, 12, 10), client=client)

    assert len(read.papers) == 101
    assert [one.where for one in read.refused] == ["entry 1, page 2"]


TOMORROW = (datetime.now(UTC) + timedelta(days=3)).date()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"day": TOMORROW}, f"{TOMORROW} has not come yet"),
        ({"week": "2025-W54"}, "'2025-W54' is no week; write it as 2026-W47"),
        ({"week": "49"}, "'49' is no week"),
        ({"month": "2025-13"}, "'2025-13' is no month; write it as 2026-11"),
        ({"month": "2025"}, "'2025' is no month"),
        ({"week": "2025-W49", "month": "2025-12"}, "2025-W49 and 2025-12 together"),
        ({"limit": 0}, "limit 0 fetches nothing"),
    ],
)
def test_bad_use_is_told_before_anything_is_asked(web: LocalWeb, client: Client, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fetch_daily(**options, client=client)
    assert web.asked == []


def test_a_listing_that_is_none_names_the_address(web: LocalWeb, client: Client) -> None:
    web.answer("/api/daily_papers", Reply("<html>maintenance</html>"))
    with pytest.raises(InputError, match=r"/api/daily_papers\?.*: this is no JSON"):
        fetch_daily(client=client)

    web.answer("/api/daily_papers", Reply({"error": "Invalid date"}, status=400))
    with pytest.raises(FetchError, match="answered 400 Bad Request"):
        fetch_daily(client=client)


# -- arXiv -------------------------------------------------------------------------------------------------------------


def test_every_page_of_a_query_is_fetched(web: LocalWeb, client: Client) -> None:
    web.answer("/api/query", archive([f"2501.{n:05}" for n in range(450)]))

    read = fetch_arxiv("cat:cs.LG", limit=1000, client=client)

    assert [paper.arxiv for paper in read.papers] == [f"2501.{n:05}" for n in range(450)]
    assert [paper.rank for paper in read.papers] == list(range(1, 451))
    assert [(a.query["start"], a.query["max_results"]) for a in web.asked] == [
        ("0", "200"),
        ("200", "200"),
        ("400", "200"),
    ]
    assert web.asked[0].query["search_query"] == "cat:cs.LG"
    assert len(fetch_arxiv("cat:cs.LG", limit=250, client=client).papers) == 250


def test_an_empty_page_is_asked_for_again(web: LocalWeb, client: Client) -> None:
    whole = atom(["2501.00001v1", "2501.00002v1"])
    web.answer("/api/query", Reply(atom([], total=2)), Reply(whole))

    assert len(fetch_arxiv("all:wheels", client=client).papers) == 2

    web.answer("/api/query", Reply(atom([], total=2)))
    read = fetch_arxiv("all:wheels", client=client)
    assert [(one.where, one.why) for one in read.refused] == [
        ("from paper 1 on", "arXiv answers empty pages; fetch again later")
    ]
    assert len(web.asked) == 2 + fetch._HOLLOW_TRIES


@pytest.mark.parametrize("total", [None, 999])
def test_a_server_that_counts_wrongly_is_not_asked_for_ever(web: LocalWeb, client: Client, total: int | None) -> None:
    told = atom(["2501.00001v1"], total=total or 1)
    web.answer("/api/query", Reply(told if total else told.replace("totalResults", "other")))

    assert len(fetch_arxiv("all:wheels", client=client).papers) == 1
    assert len(web.asked) == (2 if total else 1)


def test_nothing_found_is_nothing_and_no_error(web: LocalWeb, client: Client) -> None:
    web.answer("/api/query", Reply(atom([], total=0)))

    assert fetch_arxiv("all:nothing", client=client).papers == ()
    assert len(web.asked) == 1


def test_throttling_is_waited_out_and_an_error_is_not(web: LocalWeb, client: Client) -> None:
    web.answer("/api/query", Reply("Rate exceeded."), Reply(atom(["2501.00001v1"])))
    assert len(fetch_arxiv("all:wheels", client=client).papers) == 1

    error = atom(["x"]).replace("Paper x", "Error").replace("</title>", "</title><summary>bad field</summary>")
    web.answer("/api/query", Reply(error))
    with pytest.raises(InputError, match="arXiv refuses the request: bad field"):
        fetch_arxiv("xx:wheels", client=client)


def test_ids_are_asked_for_together_and_missing_ones_named(web: LocalWeb, client: Client) -> None:
    ids = [f"2501.{n:05}" for n in range(120)]
    web.answer("/api/query", archive(ids))

    read = fetch_arxiv(ids=[*ids[::-1], "arXiv:2501.00003v1", "hep-th/9901001"], client=client)

    assert [paper.arxiv for paper in read.papers] == ids[::-1]
    assert [(one.where, one.why) for one in read.refused] == [("hep-th/9901001", "arXiv has no such paper")]
    assert len(web.asked) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either a query in arXiv's language"),
        ({"query": " "}, "give either a query"),
        ({"query": "a", "ids": ["2501.00001"]}, "give either a query"),
        ({"ids": ["wheels"]}, "'wheels' is no arXiv id"),
        ({"query": "a", "limit": 30_001}, "limit 30001: arXiv gives from 1 to 30,000"),
    ],
)
def test_bad_use_of_arxiv_is_told(web: LocalWeb, client: Client, options: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fetch_arxiv(**options, client=client)
    assert web.asked == []


# -- one paper ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["2501.00001", "arXiv:2501.00001v1", "https://arxiv.org/abs/2501.00001"])
def test_one_paper_by_its_id(web: LocalWeb, client: Client, what: str) -> None:
    web.answer("/api/query", archive(["2501.00001"]))

    paper = fetch_one(what, client=client)

    assert (paper.arxiv, paper.source, paper.rank) == ("2501.00001", "arxiv", None)
    with pytest.raises(InputError, match=r"arXiv has no paper 2501\.00002; check the id"):
        fetch_one("2501.00002", client=client)


def test_hugging_face_knows_a_paper_while_arxiv_is_away(web: LocalWeb, client: Client) -> None:
    web.answer("/api/query", Reply(status=503))
    web.answer("/api/papers/2501.00001", Reply({"id": "2501.00001", "title": "Wheels", "upvotes": 3}))

    assert fetch_one("2501.00001", client=client).upvotes == 3
    with pytest.raises(FetchError, match=r"/api/query.*answered 503"):
        fetch_one("2501.00002", client=client)


def test_one_paper_by_the_address_of_its_page(web: LocalWeb, client: Client) -> None:
    page = '<!doctype html><meta name="citation_title" content="Wheels"><meta name="citation_author" content="Rim, Bo">'
    web.answer("/forum", Reply(page, headers={"Content-Type": "text/html"}))
    paper = fetch_one(f"{web.url}/forum?id=x", client=client)
    assert (paper.title, paper.authors[0].name, paper.source) == ("Wheels", "Bo Rim", "web")

    web.answer("/home", Reply("<!doctype html><title>Home</title>"))
    with pytest.raises(InputError, match=r"/home: this is a web page's HTML"):
        fetch_one(f"{web.url}/home", client=client)
    web.answer("/two.bib", Reply("@misc{a, title={A}} @misc{b, title={B}}"))
    with pytest.raises(InputError, match=r"two.bib has 2 papers, expected one"):
        fetch_one(f"{web.url}/two.bib", client=client)
    assert len(fetch_url(f"{web.url}/two.bib", client=client).papers) == 2
    web.answer("/paper.pdf", Reply(b"%PDF-1.7"))
    with pytest.raises(InputError, match="is a PDF: give the paper's arXiv id"):
        fetch_one(f"{web.url}/paper.pdf", client=client)


def test_a_file_elsewhere_is_not_arxivs_word(web: LocalWeb, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    atom = (
        '<feed xmlns="http://www.w3.org/2005/Atom"><entry><id>http://arxiv.org/abs/2501.00001v7</id>'
        "<title>Wheels</title></entry></feed>"
    )
    listing = [{"paper": {"id": "2501.00001", "title": "Wheels", "submittedOnDailyAt": "2025-12-02T01:00:00.000Z"}}]
    web.answer("/x.xml", Reply(atom))
    web.answer("/x.json", Reply(listing))
    monkeypatch.setenv("TRUED_ARXIV_URL", "https://export.arxiv.org")
    monkeypatch.setenv("TRUED_HF_URL", "https://huggingface.co")
    for name in ("x.xml", "x.json"):
        (paper,) = fetch_url(f"{web.url}/{name}", client=client).papers
        assert (paper.title, paper.source, paper.version) == ("Wheels", "web", None)
        assert fetch_url(f"{web.url}/{name}", client=client).by_day()[0][0] is None
    monkeypatch.setenv("TRUED_ARXIV_URL", web.url)
    (paper,) = fetch_url(f"{web.url}/x.xml", client=client).papers
    assert (paper.source, paper.version) == ("arxiv", 7)


def test_a_doi_is_asked_for_as_bibtex(monkeypatch: pytest.MonkeyPatch, web: LocalWeb, client: Client) -> None:
    web.answer("/10.1000/wheels.3", Reply("@article{w, title={Wheels}, doi={10.1000/wheels.3}}"))
    asked = client.get
    monkeypatch.setattr(client, "get", lambda url, **options: asked(url.replace("https://doi.org", web.url), **options))

    paper = fetch_one("doi:10.1000/wheels.3", client=client)

    assert (paper.title, paper.doi) == ("Wheels", "10.1000/wheels.3")
    assert web.asked[0].headers["Accept"] == "application/x-bibtex"


@pytest.mark.parametrize("what", ["", "Straight Wheels by Small Turns", "2501.1", "ftp://a.org/x", "/etc/passwd"])
def test_what_is_no_reference_is_told(client: Client, what: str) -> None:
    assert not is_reference(what)
    with pytest.raises(InputError, match=r"is no arXiv id, DOI or address; expected one such as 2405\.15589"):
        fetch_one(what, client=client)


@pytest.mark.parametrize("what", ["2501.00001v2", "hep-th/9901001", "10.1000/x", "https://a.org/x", "HTTP://a.org"])
def test_a_reference_is_known_without_asking(what: str) -> None:
    assert is_reference(f" {what}\n")
