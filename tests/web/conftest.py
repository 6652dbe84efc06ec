"""A site with a few papers, clients that fill in its forms, and a real browser before a real server."""

import re
import shutil
import threading
import time
from datetime import date
from types import SimpleNamespace

import pytest
import uvicorn
from fastapi.testclient import TestClient

from trued.feed.paper import Author, FeedPaper, Link
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


BROWSED = (
    FeedPaper(
        "Efficient Adversarial Training in LLMs with Continuous Attacks", "Attacks in embedding space. " * 30,
        "2405.15589", published=date(2024, 5, 24), authors=tuple(Author(f"Author {i}") for i in range(5)),
        upvotes=3, comments=2, links=(Link("https://github.com/a/b", "code"),), source="huggingface",
    ),
    FeedPaper(
        "<script>window.hacked = 1</script> Unbreakable" + "x" * 90, '<img src=x onerror="window.hacked = 1"> '
        "https://example.org/" + "y" * 120, published=date(2025, 1, 2), source="page",
        links=(Link("javascript:window.hacked=1", "code"),),
    ),
    FeedPaper("محاذاة النماذج اللغوية الكبيرة 论文对齐", "Alignment, said in other scripts.", source="page", upvotes=1),
    *(FeedPaper(f"Alignment, part {i}", f"About robust alignment, number {i}.", source="page") for i in range(4, 9)),
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
        field = re.search(r'name="csrf" value="([^"]+)"', self.get(page).text)
        assert field is not None, page
        return field[1]

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


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a real server, and its store."""
    folder = tmp_path_factory.mktemp("served")
    store = PaperStore(f"sqlite:///{folder}/papers.db")
    store.ingest(BROWSED, day=date(2025, 12, 10))
    app = create_app(store, Settings(database_url=f"sqlite:///{folder}/runs.db"))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield SimpleNamespace(url=f"http://127.0.0.1:{port}", store=store)
    server.should_exit = True
    thread.join()
    store.close()


@pytest.fixture(scope="module")
def chromium():
    """A running Chromium."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives Chromium")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("there is no Chromium on the PATH to try the page in: install the package chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, served):
    """Open pages; whatever a page asks for elsewhere or the browser complains about fails the test."""
    contexts, complaints = [], []

    def open_page(path="/", **options):
        context = chromium.new_context(base_url=served.url, **{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        opened = context.new_page()
        opened.set_default_timeout(20_000)
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.on("dialog", lambda dialog: complaints.append(dialog.message) or dialog.dismiss())
        opened.on("request", lambda request: request.url.startswith(served.url) or complaints.append(request.url))
        opened.on(
            "console",
            lambda message: message.type != "error" or "404" in message.text or complaints.append(message.text),
        )
        opened.goto(path)
        return opened

    open_page.complaints = complaints
    yield open_page
    for context in contexts:
        context.close()
    assert not complaints
