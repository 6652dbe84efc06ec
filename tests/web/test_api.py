from datetime import UTC, date, datetime

import pytest
import schemathesis
from huggingface_hub.hf_api import PaperInfo
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from trued.feed.paper import Author, FeedPaper, Link
from trued.feed.paper_store import PaperStore
from trued.feed.sources.daily_json import parse_daily_json
from trued.papers import catalogue
from trued.web.app import create_app
from trued.web.security import Limiter
from trued.web.settings import Settings

FULL = FeedPaper(
    "All there is to say", "An abstract.", "2501.00001", published=date(2025, 1, 2), upvotes=7, comments=2,
    authors=(Author("Ada Lovelace"), Author("Hidden Person", hidden=True)), organization="Handle Team",
    links=(Link("https://github.com/a/b", "code"), Link("https://a.example/p", "project")), source="huggingface",
    submitted_by="somebody",
)  # fmt: skip


@pytest.fixture
def program(owner):
    """A program on this machine."""
    owner.headers["accept"] = "application/json"
    return owner


def test_an_entry_has_the_shape_that_programs_expect(program, papers):
    papers.ingest([FULL], day=date(2025, 6, 3))
    (item,) = program.get("/api/daily_papers?date=2025-06-03").json()
    assert item["paper"] == {
        "id": "2501.00001", "title": FULL.title, "summary": FULL.abstract, "authors": [{"name": "Ada Lovelace"}],
        "publishedAt": "2025-01-02T00:00:00.000Z", "submittedOnDailyAt": "2025-06-03T00:00:00.000Z", "upvotes": 7,
        "organization": {"name": "Handle Team"}, "githubRepo": "https://github.com/a/b",
        "projectPage": "https://a.example/p",
    }  # fmt: skip
    assert (item["title"], item["numComments"], item["submittedBy"]) == (FULL.title, 2, {"name": "somebody"})


def test_the_reference_client_reads_it(program, papers):
    papers.ingest([FULL], day=date(2025, 6, 3))
    (item,) = program.get("/api/daily_papers?date=2025-06-03").json()
    read = PaperInfo(**item)
    assert (read.id, read.title, read.upvotes, read.comments) == ("2501.00001", FULL.title, 7, 2)
    assert [getattr(author, "name", author) for author in read.authors] == ["Ada Lovelace"]
    assert read.published_at == datetime(2025, 1, 2, tzinfo=UTC)


def test_our_own_source_reads_it(program, papers):
    """What one server gives, another takes in: nothing that the shape has a place for is lost."""
    papers.ingest([FULL], day=date(2025, 6, 3))
    (read,) = parse_daily_json(program.get("/api/daily_papers?date=2025-06-03").json()).papers
    assert (read.title, read.arxiv, read.published, read.upvotes, read.comments) == (
        FULL.title, FULL.arxiv, FULL.published, 7, 2,
    )  # fmt: skip
    assert [author.name for author in read.authors] == ["Ada Lovelace"]


def test_what_was_measured_stands_beside_it(program, site):
    (item,) = program.get("/api/papers/search?q=embedding&mode=keyword").json()
    measured = site.state.evidence.get("c-advul")
    assert item["trued"] == {
        "uid": 1, "url": "/papers/1", "slug": "c-advul", "state": "runs", "verdicts": measured.tally,
        "measured": measured.day.isoformat(),
    }  # fmt: skip


def test_an_id_that_it_gives_it_takes(program):
    items = program.get("/api/daily_papers").json()
    assert len(items) == 3
    for item in items:
        assert program.get(f"/api/papers/{item['paper']['id']}").json() == item["paper"]
    assert program.get("/api/papers/2405.15589v2").json()["id"] == "2405.15589"


@pytest.mark.parametrize(
    "id", ["trued:0", "trued:99999999999999999999", "trued:x", "9999.99999", "1", "a/b", "trued:٣"]
)
def test_an_id_that_is_none(program, id):
    answer = program.get(f"/api/papers/{id}")
    assert answer.status_code == 404
    assert "give an arXiv id such as 2405.15589" in answer.json()["detail"]


def test_pages_hold_every_paper_once(program):
    titles = [program.get(f"/api/daily_papers?limit=1&p={p}").json()[0]["title"] for p in range(3)]
    assert len(set(titles)) == 3
    assert program.get("/api/daily_papers?limit=1&p=3").json() == []


def test_orders_and_periods(program, papers):
    newest = program.get("/api/daily_papers?sort=publishedAt").json()
    days = [item["publishedAt"] for item in newest]
    assert days == sorted(days, reverse=True)
    papers.vote("ann", 1)
    assert program.get("/api/daily_papers?sort=trending").json()[0]["trued"]["uid"] == 1
    for query, count in (("month=2025-01", 2), ("week=2025-W01", 2), ("date=2025-01-02", 1), ("month=2023-01", 0)):
        assert len(program.get(f"/api/daily_papers?{query}").json()) == count, query
    assert len(program.get("/api/daily_papers?date=2025-01-02&month=2025-01").json()) == 1, "the day goes first"
    answer = program.get("/api/daily_papers?date=2025-02-30")
    assert answer.status_code == 404
    assert "is no day" in answer.json()["detail"]


def test_the_board(program, site):
    lines = {line["slug"]: line for line in program.get("/api/board").json()}
    assert set(lines) == set(catalogue.slugs())
    evidence = site.state.evidence.get("c-advul").evidence
    assert lines["c-advul"]["verdicts"] == site.state.evidence.get("c-advul").tally
    assert (lines["c-advul"]["model"], lines["c-advul"]["scale"]) == (evidence.model, evidence.scale)
    assert all((line["measured"] is None) == (line["verdicts"] == {}) for line in lines.values())


def test_people_read_what_programs_can_ask(owner):
    page = owner.get("/api").text
    for path in owner.get("/api/openapi.json").json()["paths"]:
        assert path.rpartition("/")[2].strip("{}") in page
    assert "/papers/{uid}/vote" not in page, "forms are no interface"


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """The description of the interface, over a store with a few papers."""
    folder = tmp_path_factory.mktemp("api")
    store = PaperStore(f"sqlite:///{folder}/papers.db")
    store.ingest([FULL, FeedPaper("Another", published=date(2024, 5, 24), source="page")], day=date(2025, 1, 3))
    app = create_app(store, Settings(database_url=f"sqlite:///{folder}/runs.db"), evidence=folder)
    app.state.searches = Limiter(1e9, burst=10**9)  # what it answers is tested here, not how often
    yield schemathesis.openapi.from_asgi("/api/openapi.json", app)
    store.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_it_is_as_it_is_described(described, mode):
    """What fits the description is answered as described; what does not is refused; nothing ends in a fault."""
    paths = []
    for operation in described.get_all_operations():
        operation = operation.ok()
        paths.append(operation.path)
        if mode is GenerationMode.NEGATIVE and not operation.query:
            continue  # any text may be an id, so nothing is unfit

        @settings(max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def check(case):
            case.call_and_validate()

        check()
    assert paths == ["/api/daily_papers", "/api/papers/search", "/api/papers/{id}", "/api/board"]
