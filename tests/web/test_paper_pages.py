import re
from datetime import date
from html import unescape
from html.parser import HTMLParser

import bibtexparser
import pytest

from trued.feed.paper import Author, FeedPaper, Link
from trued.lab.measured import CommittedEvidence
from trued.lab.rows import claim_rows
from trued.papers import catalogue
from trued.web.paper_pages import passes_if, planned_row
from trued.web.security import Limiter
from trued.web.tex import plain

C_ADVUL = 1  # the number of the paper with evidence


class Page(HTMLParser):
    """A page's meta tags, ids and text."""

    def __init__(self, text):
        super().__init__()
        self.metas, self.ids, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag == "meta" and "name" in attributes:
            self.metas.append((attributes["name"], attributes["content"]))
        if "id" in attributes:
            self.ids.append(attributes["id"])

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def measured_page(owner):
    """The page of the paper with evidence."""
    return owner.get(f"/papers/{C_ADVUL}").text


def test_each_claim_stands_beside_what_was_measured(site, measured_page):
    page_text = " ".join(Page(measured_page).text.split())
    evidence = site.state.evidence.get("c-advul").evidence
    rows = claim_rows(evidence)
    assert len(rows) == len(catalogue.card("c-advul").claims)
    for row in rows:
        body = re.search(rf'<tbody class="{row.verdict}" id="claim-{row.id}">(.*?)</tbody>', measured_page, re.DOTALL)
        assert body is not None, row.id
        text = " ".join(Page(body[1]).text.split())
        for part in (row.says, row.paper, row.ours, row.interval, row.verdict, row.why, row.control):
            assert " ".join(part.split()) in text, (row.id, part)
    assert f"Measured on {evidence.model} at {evidence.scale} scale" in page_text
    for note in evidence.notes:
        assert " ".join(note.split()) in page_text


def test_figures_are_drawn_in_the_page_and_told_to_those_who_do_not_see_them(site, measured_page):
    for drawing in site.state.evidence.get("c-advul").drawings:
        assert f'aria-label="{drawing.alt}"'.replace("'", "&#39;") in measured_page
    drawn = re.findall(r'<svg [^>]*class="(?:narrow|middle|wide)"', measured_page)
    assert len(drawn) == len(site.state.evidence.get("c-advul").drawings) > 0
    ids = Page(measured_page).ids
    assert len(ids) == len(set(ids)), "two figures must not share an id"


def test_stale_evidence_is_marked(site, owner, monkeypatch):
    for stale in (True, False):
        site.state.evidence = CommittedEvidence(site.state.evidence.folder)
        monkeypatch.setattr("trued.lab.measured.is_stale", lambda evidence, stale=stale: stale)
        assert ("The code has changed since: run it again" in owner.get("/papers/1").text) is stale
        assert ("stale: the code has changed" in owner.get("/board").text) is stale


def test_without_evidence_the_claims_are_shown_as_they_were_fixed(site, owner, tmp_path):
    site.state.evidence = CommittedEvidence(tmp_path)
    page_text = " ".join(Page(owner.get(f"/papers/{C_ADVUL}").text).text.split())
    for claim in catalogue.card("c-advul").claims:
        assert claim.says in page_text
        assert passes_if(claim) in page_text
        if claim.control:
            assert f"and this does not pass: {claim.control}" in page_text
    assert "supported" not in page_text.replace("counts as supported if", "")
    assert "Nothing measured is committed yet" in page_text


def test_the_command_runs_the_paper(measured_page):
    assert "<code>trued run c-advul</code>" in measured_page


def test_only_the_owner_at_this_machine_may_run_it_from_the_page(measured_page, stranger):
    assert 'action="/runs"' in measured_page
    assert 'action="/runs"' not in stranger.get(f"/papers/{C_ADVUL}").text


def test_a_paper_without_a_card_has_no_claims(owner):
    page = owner.get("/papers/2").text
    assert 'id="claims"' not in page
    assert 'id="run"' not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more." in page


def test_reference_managers_find_what_they_read(owner, papers):
    papers.ingest([
        FeedPaper(
            'A "quoted" <title>', "About.", "2501.00001", published=date(2025, 1, 2), doi="10.1000/x",
            journal="J. of X",
            authors=(Author("Ada Lovelace"), Author("Hidden Person", hidden=True), Author("Grace O'Hopper")),
            links=(Link("https://github.com/a/b", "code"),), source="arxiv",
        )
    ])  # fmt: skip
    text = owner.get("/papers/2501.00001", follow_redirects=True).text
    metas = [meta for meta in Page(text).metas if meta[0].startswith("citation_")]
    assert metas == [
        ("citation_title", 'A "quoted" <title>'),
        ("citation_author", "Ada Lovelace"),
        ("citation_author", "Grace O'Hopper"),
        ("citation_publication_date", "2025/01/02"),
        ("citation_doi", "10.1000/x"),
        ("citation_journal_title", "J. of X"),
        ("citation_arxiv_id", "2501.00001"),
        ("citation_pdf_url", "https://arxiv.org/pdf/2501.00001"),
    ]
    assert "Hidden Person" not in text


def test_the_citation_is_bibtex(owner):
    page = owner.get(f"/papers/{C_ADVUL}").text
    library = bibtexparser.parse_string(
        unescape(re.search(r'<pre[^>]* id="bibtex"[^>]*>(.*?)</pre>', page, re.DOTALL)[1])
    )
    assert not library.failed_blocks
    fields = {field.key: field.value for field in library.entries[0].fields}
    assert fields["eprint"] == "2405.15589"
    assert fields["archivePrefix"].lower() == "arxiv"


def test_addresses_of_other_houses_lead_here(owner):
    for address in ("/papers/2405.15589", "/papers/2405.15589v3", "/cards/c-advul"):
        answer = owner.get(address)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/papers/{C_ADVUL}")


def test_a_comment_is_text(owner):
    owner.fill(f"/papers/{C_ADVUL}/comments", {"text": "<img src=x onerror=alert(1)>\nsecond line"})
    page = owner.get(f"/papers/{C_ADVUL}").text
    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;\nsecond line" in page


class TestBoard:
    def test_every_card_has_a_line(self, owner):
        text = Page(owner.get("/board").text).text
        cards = catalogue.cards()
        running = sum(catalogue.state(slug) == "runs" for slug in cards)
        assert f"{len(cards)} papers, {running} run here" in text
        for card in cards.values():
            assert plain(card.title) in text
            assert card.slug in text

    def test_it_counts_the_verdicts(self, site, owner):
        page = owner.get("/board").text
        for word in ("supported", "contradicted", "inconclusive"):
            expected = sum(measured.tally.get(word, 0) for measured in site.state.evidence.all().values())
            count = re.search(rf'claims {word}</span><span class="big"><span class="is">(\d+)<', page)
            assert int(count[1]) == expected

    def test_it_links_the_papers_that_the_store_has(self, owner):
        page = owner.get("/board").text
        assert f'<a href="/papers/{C_ADVUL}">{catalogue.card("c-advul").title}</a>' in page
        assert page.count('<a href="/papers/') == 1


def test_every_claim_of_every_card_can_be_shown():
    for claim in (claim for card in catalogue.cards().values() for claim in card.claims):
        row, words = planned_row(claim), passes_if(claim)
        assert row.says == claim.says
        assert row.verdict == ""
        assert row.strip is None
        margin = claim.margin.value * (100 if claim.unit == "points" and not claim.margin.ratio else 1)
        assert f" {margin:g}" in words
        assert words.startswith({"higher": "higher by", "lower": "lower by", "equal": "equal within"}[claim.better])


def test_a_papers_page_embeds_no_more_often_than_a_search(stranger, public_site):
    public_site.state.searches = Limiter(1, burst=3)
    assert [stranger.get("/papers/1").status_code for _ in range(4)] == [200, 200, 200, 429]
    assert stranger.get("/search?q=a").status_code == 429  # one allowance for both
