"""A site with a few papers, and browsers that fill in its forms."""

import re
from datetime import date

import pytest
from fastapi.testclient import TestClient

from trued.feed.paper import Author, FeedPaper
from trued.feed.paper_store import PaperStore
from trued.web.app import create_app
from trued.web.settings import Settings

TOKEN = "the-token-of-this-server"
PAPERS = (
    FeedPaper(
        "Efficient Adversarial Training in LLMs with Continuous Attacks", "Attacks in embedding space.", "2405.15589",
        published=date(2024, 5, 24), authors=(Author("Ada Lovelace"),), upvotes=3, source="huggingface",
    ),
    FeedPaper("A <b>Bold</b> Claim", "<script>alert(1)</script> & more.", published=date(2025, 1, 2), source="page"),
    FeedPaper("Third Paper of the Page", "Nothing is said here.", published=date(2025, 1, 3), source="page"),
)  # fmt: skip


class Browser(TestClient):
    """A client that behaves like a browser at an address: it takes pages, keeps cookies and brings forms' tokens."""

    def __init__(self, app, *, address="127.0.0.1", host="127.0.0.1:8000"):
        super().__init__(
            app, base_url=f"http://{host}", client=(address, 50000), follow_redirects=False,
            headers={"accept": "text/html"},
        )  # fmt: skip

    def token(self, page="/subscribe"):
        """Return the token of the forms of this browser."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.get(page).text)
        assert found is not None, page
        return found[1]

    def fill(self, path, data=None, **options):
        """Send a form as a page of this site has it."""
        return self.post(path, data={"csrf": self.token(), **(data or {})}, **options)

    def ask(self, path, data=None, **options):
        """Send a form as a program does, and return what is answered as JSON."""
        answer = self.fill(path, data, headers={"accept": "application/json"}, **options)
        assert answer.headers["content-type"] == "application/json", answer.text
        return answer.json()


@pytest.fixture
def papers(tmp_path):
    """A store with three papers; their numbers are 1, 2 and 3."""
    store = PaperStore(f"sqlite:///{tmp_path}/papers.db")
    store.ingest(PAPERS)
    yield store
    store.close()


@pytest.fixture
def site(papers, tmp_path, monkeypatch):
    """The application for this machine alone, with runs of its own."""
    monkeypatch.delenv("TRUED_PUBLIC_URL", raising=False)
    return create_app(papers, Settings(database_url=f"sqlite:///{tmp_path}/runs.db", secret="s" * 32))


@pytest.fixture
def public_site(papers, tmp_path, monkeypatch):
    """The same, as others may reach it."""
    monkeypatch.delenv("TRUED_PUBLIC_URL", raising=False)
    url = f"sqlite:///{tmp_path}/runs.db"
    return create_app(papers, Settings("0.0.0.0", public=True, token=TOKEN, database_url=url, secret="s" * 32))


@pytest.fixture
def owner(site):
    """The browser of the owner, on the machine that serves the page."""
    return Browser(site)


@pytest.fixture
def stranger(public_site):
    """The browser of somebody who is not signed in, somewhere else."""
    return Browser(public_site, address="203.0.113.9", host="papers.example")


@pytest.fixture
def browse():
    """Open a browser at an address: `browse(site, address, host)`."""
    return lambda site, address, host: Browser(site, address=address, host=host)
