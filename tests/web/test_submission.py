"""Papers that people bring: fetched from a real server on this machine, pasted, uploaded, or refused."""

import json
import os
import threading
from dataclasses import replace
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from trued.feed.http.client import Client
from trued.web import submission
from trued.web.accounts import invitation
from trued.web.security import LARGEST_BODY

ENTRY = """<entry><id>http://arxiv.org/abs/{id}v2</id><title>{title}</title><summary>What it is about.</summary>
<published>2024-09-04T12:00:00Z</published><updated>2024-09-05T12:00:00Z</updated>
<author><name>Grace Hopper</name></author><category term="cs.LG"/></entry>"""
FEED = """<?xml version="1.0" encoding="UTF-8"?><feed xmlns="http://www.w3.org/2005/Atom"
xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/"><title>ArXiv Query</title>
<opensearch:totalResults>{count}</opensearch:totalResults>{entries}</feed>"""
TITLE = "Masked Diffusion Models are Secretly Time-Agnostic"
KNOWN = {"2409.02908": TITLE, "2501.00001": "Twins", "2501.00002": "Twins"}
PAGE = "A First Title of the Page\n\nAn abstract that says little.\n\n  • 3 authors\n\n·\n\nApr 4, 2025 2\n\n"


class Archive(BaseHTTPRequestHandler):
    """Answers as arXiv does: a feed of the papers with these ids, or with these words in their titles."""

    def do_GET(self):
        self.server.asked.append(self.path)
        query = parse_qs(urlsplit(self.path).query)
        if "id_list" in query:
            ids = [arxiv for arxiv in query["id_list"][0].split(",") if arxiv in KNOWN]
        else:
            words = [part.partition(":")[2] for part in query.get("search_query", [""])[0].split(" AND ")]
            ids = [arxiv for arxiv, title in KNOWN.items() if all(word.strip('"') in title.lower() for word in words)]
        entries = "".join(ENTRY.format(id=arxiv, title=KNOWN[arxiv]) for arxiv in ids)
        answer = FEED.format(count=len(ids), entries=entries) if self.path.startswith("/api/query") else "[]"
        body = answer.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json" if answer == "[]" else "application/atom+xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def archive(monkeypatch):
    """A server in arXiv's and Hugging Face's place; the paths of its requests."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("TRUED_ARXIV_URL", url)
    monkeypatch.setenv("TRUED_HF_URL", url)
    yield server.asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def hurried(archive, monkeypatch, tmp_path):
    """The same, asked without the pauses that politeness wants."""
    client = Client(bases=[os.environ["TRUED_ARXIV_URL"]], retries=0, folder=tmp_path / "fetched", wait=lambda _: None)
    monkeypatch.setattr(submission, "default_client", lambda **_: client)
    return archive


@pytest.mark.parametrize("what", ["2409.02908", "https://arxiv.org/abs/2409.02908v1", TITLE.upper()])
def test_one_paper_by_id_address_or_title(owner, papers, hurried, what):
    sent = owner.fill("/submit", {"what": what})
    assert (sent.status_code, sent.headers["location"]) == (303, "/papers/4")
    paper = papers.get(4).paper
    assert (paper.arxiv, paper.title, paper.submitted_by) == ("2409.02908", TITLE, "owner")
    fetched = len(hurried)
    assert owner.ask("/submit", {"what": what}) == {
        "added": 0, "changed": 0, "unchanged": 1, "uid": 4, "refused": [],
    }  # fmt: skip
    assert len(hurried) == fetched  # what is known is not fetched again


def test_what_leads_to_no_paper_is_said_and_kept_in_the_form(owner, papers, hurried):
    for what, says in (
        ("2401.99999", "no paper 2401.99999"),
        ("Twins", "or more than one"),
        ("A title that nobody gave to a paper", "no paper on arXiv"),
        ("http://127.0.0.1:1/x", "is no public address"),
        ("http://169.254.169.254/latest/meta-data", "is no public address"),
        ("file:///etc/passwd", "no paper on arXiv"),
        ("x" * 501, "paste a whole page further down"),
        ("", "one thing at a time"),
    ):
        page = owner.fill("/submit", {"what": what})
        assert page.status_code == 422, what
        assert says in page.text, what
        assert f'value="{what}"' in page.text, what
    assert papers.listing()[1] == 3


def test_a_page_is_pasted_as_browsers_send_it(owner, papers):
    text = PAGE + PAGE.replace("First", "<i>Second</i>").replace("Apr 4, 2025 2", "Apr 5, 2025")
    page = owner.fill("/submit", {"page": text.replace("\n", "\r\n")})
    assert page.status_code == 200
    assert "2 added, 0 changed, 0 known already" in page.text
    assert papers.find(title="A First Title of the Page").paper.comments == 2
    assert "0 added, 0 changed, 2 known already" in owner.fill("/submit", {"page": text}).text


def test_a_file_is_uploaded_in_any_form(owner, papers):
    token = owner.token()
    items = [{"paper": {"id": "2501.00009", "title": "From a File", "upvotes": 0}, "title": "From a File"}]
    bibtex = "@misc{a, title={By BibTeX}}"
    for name, data in (("page.txt", PAGE), ("daily.json", json.dumps(items)), ("one.bib", bibtex)):
        sent = owner.post("/submit", data={"csrf": token}, files={"file": (name, data.encode())})
        assert (sent.status_code, sent.headers.get("location")) == (303, f"/papers/{papers.listing()[1]}"), name
    assert papers.listing()[1] == 6


def test_files_that_hold_no_papers_are_refused(owner):
    token = owner.token()
    for name, data, says in (
        ("x.pdf", b"%PDF-1.7 ...", "is a PDF"),
        ("x.bin", b"\x00\x01\x02", "is binary"),
        ("x.txt", b"", "one thing at a time"),
        ("<script>.html", b"<!doctype html><html><body>Papers</body></html>", "HTML"),
    ):
        sent = owner.post("/submit", data={"csrf": token}, files={"file": (name, data)})
        assert sent.status_code == 422, name
        assert says in sent.text, name
        assert "<script>." not in sent.text


def test_more_than_the_bound_is_not_read(owner):
    token = owner.token()
    for options in ({"files": {"file": ("x.txt", b"x" * (LARGEST_BODY + 1))}}, {"data": {"page": "x" * LARGEST_BODY}}):
        data = {"csrf": token, **options.pop("data", {})}
        assert owner.post("/submit", data=data, **options).status_code == 413


def test_counts_are_believed_of_the_owner_alone(stranger, public_site, papers):
    stranger.fill("/sign-in", {"token": invitation(public_site.state.settings, "ada")})
    items = json.dumps([{"paper": {"id": "2501.00009", "title": "Loved by All", "upvotes": 10**6}, "numComments": 7}])
    sent = stranger.post("/submit", data={"csrf": stranger.token()}, files={"file": ("x.json", items.encode())})
    assert sent.status_code == 303
    paper = papers.find(arxiv="2501.00009").paper
    assert (paper.upvotes, paper.comments, paper.submitted_by) == (None, None, "ada")


def test_an_invited_persons_file_does_not_rewrite_a_paper(stranger, public_site, papers):
    stranger.fill("/sign-in", {"token": invitation(public_site.state.settings, "eve")})
    papers.ingest(
        [replace(papers.get(1).paper, version=1, source="arxiv", abstract="As its authors wrote it.")],
        day=date(2025, 6, 3),
    )
    before = papers.get(1)
    title = before.paper.title
    atom = FEED.format(count=1, entries=ENTRY.format(id=f"{before.paper.arxiv}", title="Rewritten by Eve"))
    atom = atom.replace("v2</id>", "v99</id>")
    listing = json.dumps([
        {"paper": {"id": before.paper.arxiv, "title": title, "submittedOnDailyAt": "2025-12-31T00:00:00Z"}},
        {"paper": {"id": "2501.66666", "title": "Third Paper of the Page"}},
    ])  # fmt: skip
    bibtex = f"@misc{{a, title={{{title}}}, eprint={{{before.paper.arxiv}}}, year=2031, author={{Eve}}}}"
    token = stranger.token()
    for name, text in (("x.xml", atom), ("x.json", listing), ("x.bib", bibtex)):
        assert stranger.post("/submit", data={"csrf": token}, files={"file": (name, text.encode())}).status_code < 400
    after = papers.get(1)
    for name in ("title", "abstract", "published", "authors", "version", "source", "rank"):
        assert getattr(after.paper, name) == getattr(before.paper, name), name
    assert after.day == before.day
    assert papers.get(3).paper.arxiv is None  # nor does it say which paper another one is


def test_two_submissions_fetch_at_once_and_a_third_is_told_to_wait(owner, archive):
    with submission._turn(), submission._turn():
        sent = owner.fill("/submit", {"what": "2409.02908"})
        assert (sent.status_code, sent.headers["retry-after"]) == (503, "5")
    assert owner.fill("/submit", {"what": "2409.02908"}).status_code == 303
