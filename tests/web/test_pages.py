import re
from datetime import date
from html import unescape

import pytest

from trued.feed.paper import Author, FeedPaper, Link
from trued.web.pages import as_typed


def titles(page):
    """Return the titles of the papers that a page lists, in order."""
    return [unescape(title) for title in re.findall(r'<h2 id="t\d+"><a [^>]*>(.*?)</a></h2>', page)]


def ingest_days(papers, count=3):
    """Put papers into the listings of three days: 1 and 2 December 2025 and 5 January 2026."""
    for day in (date(2025, 12, 1), date(2025, 12, 2), date(2026, 1, 5)):
        listed = [
            FeedPaper(f"Paper {i} of {day:%d %b}", rank=i, upvotes=i, source="huggingface") for i in range(1, count)
        ]
        papers.ingest(listed, day=day)


class TestFeed:
    def test_it_shows_papers_as_text(self, owner):
        page = owner.get("/").text
        assert "A <b>Bold</b> Claim" in titles(page)
        assert "<b>Bold</b>" not in page
        assert "<script>alert" not in page

    def test_it_begins_with_the_latest_listing(self, owner, papers):
        ingest_days(papers)
        page = owner.get("/").text
        assert titles(page) == ["Paper 1 of 05 Jan", "Paper 2 of 05 Jan"]
        assert "<h1>5 January 2026</h1>" in page
        assert 'rel="prev"' in page
        assert "Earlier: 2 December 2025" in page
        assert 'rel="next"' not in page

    def test_without_listings_it_shows_all(self, owner):
        page = owner.get("/").text
        assert "<h1>All papers</h1>" in page
        assert len(titles(page)) == 3

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("day=2025-12-01", ["Paper 1 of 01 Dec", "Paper 2 of 01 Dec"]),
            ("week=2025-W49", ["Paper 1 of 02 Dec", "Paper 2 of 02 Dec", "Paper 1 of 01 Dec", "Paper 2 of 01 Dec"]),
            ("month=2026-01", ["Paper 1 of 05 Jan", "Paper 2 of 05 Jan"]),
            ("day=2025-12-03", []),
            ("order=upvotes&min_upvotes=3", ["Efficient Adversarial Training in LLMs with Continuous Attacks"]),
            ("order=new&state=runs", ["Efficient Adversarial Training in LLMs with Continuous Attacks"]),
            ("order=rank&field=vision", []),
        ],
    )
    def test_views(self, owner, papers, query, expected):
        ingest_days(papers)
        assert titles(owner.get(f"/?{query}").text) == expected

    def test_every_view_keeps_its_filters(self, owner, papers):
        ingest_days(papers)
        page = owner.get("/?day=2025-12-01&min_upvotes=2").text
        tabs = re.search(r'<nav class="tabs".*?</nav>', page, re.DOTALL)[0]
        addresses = [unescape(address) for address in re.findall(r'href="([^"]+)"', tabs)]
        assert len(addresses) == 7
        assert all("min_upvotes=2" in address for address in addresses)
        assert titles(owner.get(addresses[1]).text) == ["Paper 2 of 02 Dec", "Paper 2 of 01 Dec"]
        assert tabs.count("aria-current") == 1
        earlier = unescape(re.search(r'href="([^"]+)" rel="next"', page)[1])
        assert titles(owner.get(earlier).text) == ["Paper 2 of 02 Dec"]

    def test_pages_hold_every_paper_once(self, owner, papers):
        papers.ingest([FeedPaper(f"Number {i:03d}", published=date(2024, 1, 1), source="page") for i in range(120)])
        seen, address = [], "/?order=new"
        while address:
            page = owner.get(address).text
            seen += titles(page)
            following = re.search(r'href="([^"]+)" rel="next">Page', page)
            address = unescape(following[1]) if following else None
        assert len(seen) == len(set(seen)) == 123

    def test_its_feeds_are_those_of_the_view(self, owner, papers):
        ingest_days(papers)
        page = owner.get("/?day=2025-12-01").text
        for address in {
            unescape(href) for href in re.findall(r'href="(/(?:feed|export)\.[^"]+)"', page) if "?" in href
        }:
            answer = owner.get(address)
            assert answer.status_code == 200, address
            assert "Paper 1 of 01 Dec" in answer.text.replace("{", "").replace("}", ""), address
            assert "05 Jan" not in answer.text, address

    def test_a_list_can_be_empty(self, owner, papers):
        assert "No paper passes these filters" in owner.get("/?order=rank&field=robot").text
        assert "No paper passes these filters" in owner.get("/?order=rank&page=9").text
        assert "No papers were listed in 1 January 1999" in owner.get("/?day=1999-01-01").text

    def test_an_empty_list_suggests_where_to_go(self, owner, papers):
        ingest_days(papers)
        page = owner.get("/?day=2025-12-03").text
        assert 'href="/?day=2025-12-02"' in page
        assert 'href="/?order=trending"' in page
        filtered = owner.get("/?day=2025-12-01&min_upvotes=99").text
        assert 'href="/?order=new&amp;min_upvotes=99"' in filtered

    def test_a_row_has_what_a_reader_looks_for(self, owner, papers):
        papers.ingest([
            FeedPaper(
                r"A $x_{i}$ gain of 78.2\%", r"On R\&D.", "2401.00007", authors=tuple(map(Author, "ABCDEFGH")),
                categories=("cs.CL",), source="arxiv",
            )
        ])  # fmt: skip
        page = owner.get("/?order=rank&category=cs.CL").text
        assert "A x<sub>i</sub> gain of 78.2%</a>" in page
        assert "On R&amp;D." in page
        assert "A, B, C, D, E and 3 others" in page
        assert 'href="https://arxiv.org/abs/2401.00007"' in page
        assert 'href="https://arxiv.org/pdf/2401.00007"' in page
        assert 'action="/papers/4/bookmark"' in page
        assert 'action="/papers/4/read"' in page
        card = owner.get("/?order=rank&state=runs").text
        assert "entry field-language" in card
        assert re.search(r'<a class="thumb chart" href="/papers/1#figures"[^>]*><svg', card)

    def test_a_day_can_be_picked_and_categories_filtered(self, owner, papers):
        ingest_days(papers)
        assert re.search(r'<input id="day" name="day" type="date"[^>]*max="2026-01-05"', owner.get("/").text)
        papers.ingest([FeedPaper("Speech", categories=("eess.AS", "cs.SD")), FeedPaper("Words", categories=("cs.CL",))])
        assert titles(owner.get("/?order=rank&category=cs.CL").text) == ["Words"]
        assert titles(owner.get("/?order=rank&category=CS").text) == ["Speech", "Words"]
        assert titles(owner.get("/?order=rank&category=c").text) == []

    def test_the_head_leads_to_what_people_look_for(self, owner, stranger):
        for browser, own in ((owner, "/account"), (stranger, "/sign-in")):
            head = re.search(r"<header.*?</header>", browser.get("/").text, re.DOTALL)[0]
            for path in ("/subscribe", "/feed.rss", own):
                assert f'href="{path}"' in head

    def test_a_link_of_a_feed_is_one_of_the_web_or_none(self, owner, papers):
        papers.ingest([FeedPaper("Linked", links=(Link("javascript:alert(1)", "code"),), source="page")])
        papers.ingest([FeedPaper("Sound", links=(Link("https://github.com/a/b", "code"),), source="page")])
        for path in ("/?order=rank", "/papers/4", "/papers/5"):
            page = owner.get(path).text
            assert "javascript:" not in page
        assert 'href="https://github.com/a/b"' in owner.get("/?order=rank").text

    def test_what_was_read_can_be_left_out(self, owner):
        owner.fill("/papers/1/read", {"on": "1"})
        assert len(titles(owner.get("/?order=rank").text)) == 3
        assert len(titles(owner.get("/?order=rank&unread=1").text)) == 2

    def test_tags_are_their_owners_alone(self, papers, owner, stranger):
        papers.tag("owner", 1, "secret-plan")
        assert len(titles(owner.get("/?order=rank&tag=secret-plan").text)) == 1
        assert "secret-plan" in owner.get("/?order=rank").text
        for path in ("/?order=rank&tag=secret-plan", "/search?q=tag:secret-plan", "/feed.atom?q=tag:secret-plan"):
            assert "Efficient Adversarial" not in stranger.get(path).text, path
        assert "secret-plan" not in stranger.get("/?order=rank").text
        assert "secret-plan" not in stranger.get("/papers/1").text

    def test_a_stranger_reads_and_is_offered_nothing_to_write(self, stranger):
        page = stranger.get("/?order=rank").text
        assert len(titles(page)) == 3
        assert 'method="post"' not in page
        assert 'href="/sign-in"' in page


class TestSearch:
    def test_it_finds_and_marks(self, owner):
        page = owner.get("/search?q=embedding").text
        assert titles(page)[0].startswith("Efficient Adversarial")
        assert "<mark>embedding</mark>" in page
        assert '<input id="find" name="q" type="search" value="embedding"' in page

    def test_the_list_alone(self, owner):
        part = owner.get("/search?q=embedd&mode=keyword&part=1").text
        assert titles(part)[0].startswith("Efficient Adversarial"), "the last word may go on"
        assert "<html" not in part
        assert "<main" not in part

    @pytest.mark.parametrize(
        "q", ['"', "'", '"unbalanced', "*", "a*b NEAR(c)", "AND OR NOT", "-", "--", "author:", "year:x..y", "(((",
              "\x00", "<script>alert(1)</script>", "مرحبا", "论文", "🙂", "%", "_", "col:val", "^a", "{}", "a" * 5000],
    )  # fmt: skip
    def test_no_search_is_an_error(self, owner, q):
        for more in ({}, {"part": "1", "mode": "keyword"}, {"mode": "semantic"}, {"explain": "1"}):
            answer = owner.get("/search", params={"q": q, **more})
            assert answer.status_code == 200
            assert "<script>alert" not in answer.text

    def test_what_it_did_not_understand_is_said(self, owner):
        assert "year:then" in owner.get("/search?q=paper year:then").text

    def test_ranks_are_explained(self, owner):
        page = owner.get("/search?q=embedding&explain=1").text
        assert re.search(r"words 1, meaning \d", page)
        assert "words 1" not in owner.get("/search?q=embedding").text

    def test_a_search_can_be_kept_and_subscribed_to(self, owner):
        page = owner.get("/search?q=embedding").text
        assert 'href="/subscribe?q=embedding"' in page
        assert 'href="/feed.atom?q=embedding"' in page
        owner.fill("/queries", {"q": "embedding", "name": "mine"})
        assert 'href="/search?q=embedding">mine' in owner.get("/account").text

    def test_there_is_more_and_another_order(self, owner, papers):
        papers.ingest([
            FeedPaper(f"Robust alignment {i:02d}", published=date(2024, 1, 1 + i % 28), upvotes=i, source="huggingface")
            for i in range(70)
        ])  # fmt: skip
        first = owner.get("/search?q=alignment&mode=keyword").text
        assert len(titles(first)) == 30
        more = unescape(re.search(r'class="button" href="([^"#]+)', first)[1])
        second = owner.get(more).text
        assert titles(second)[:30] == titles(first)
        assert len(titles(second)) == 60
        third = owner.get(unescape(re.search(r'class="button" href="([^"#]+)', second)[1])).text
        assert len(set(titles(third))) == 70
        assert "Show more" not in third
        ordered = titles(owner.get("/search?q=alignment&mode=keyword&sort=upvotes&page=3").text)
        assert ordered == sorted(ordered, reverse=True)
        assert owner.get("/search?q=a&sort=best").status_code == 422

    def test_a_search_without_hits_suggests_others(self, owner):
        page = owner.get('/search?q="no such" author:nobody&state=runs&mode=keyword').text
        assert "No paper matches." in page
        assert "The same search without the filters" in page
        assert "The words alone: no such" in page
        assert 'href="/submit"' in page

    def test_filters_hold_in_a_search(self, owner):
        assert titles(owner.get("/search?q=paper&state=runs&mode=keyword").text) == []
        assert len(titles(owner.get("/search?q=attacks&state=runs").text)) == 1


def test_papers_like_one(owner, papers):
    for title, day in (("Attacks in space", date(2024, 1, 1)), ("Training against attacks", date(2025, 5, 5))):
        papers.ingest([FeedPaper(title, published=day, source="page")])
    for order in ("similarity", "new", "trending"):
        nearest = titles(owner.get(f"/papers/1/similar?order={order}").text)
        assert len(nearest) == 2
        assert not any(title.startswith("Efficient") for title in nearest)
    assert titles(owner.get("/papers/1/similar?order=new").text) == ["Training against attacks", "Attacks in space"]
    assert owner.get("/papers/1/similar?order=best").status_code == 303


def test_recommendations_follow_a_tag(owner, papers):
    assert "you have none yet" in owner.get("/recommended").text
    papers.ingest(
        [
            FeedPaper(
                "Adversarial embeddings again",
                "Attacks in embedding space.",
                published=papers.now().date(),
                source="page",
            )
        ]
    )
    owner.fill("/papers/1/tag", {"tag": "attacks"})
    assert titles(owner.get("/recommended?tag=attacks").text) == ["Adversarial embeddings again"]
    assert owner.get("/recommended?tag=unheard-of").status_code == 200


def test_recommendations_need_somebody(stranger):
    answer = stranger.get("/recommended?tag=x")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/sign-in")


@pytest.mark.parametrize(
    ("q", "expected"),
    [("adversarial trai", "adversarial trai*"), ("a", "a"), ('"open phr', '"open phr'),
     ("author:zha", "author:zha"), ("what?", "what?"), ("ready*", "ready*"), ("对齐", "对齐*")],
)  # fmt: skip
def test_the_last_word_may_go_on(q, expected):
    assert as_typed(q) == expected


def test_a_form_in_a_part_of_a_page_leads_back_to_the_whole_page(owner):
    part = owner.get("/search?q=attacks&part=1&min_upvotes=0").text
    assert 'name="next" value="/search?q=attacks&amp;min_upvotes=0#t1"' in part
    assert "part=1" not in part


def test_what_a_search_leaves_as_tex_is_readable(owner, papers):
    papers.ingest(
        [FeedPaper(r"\textbf{Bounded} $\ell_2$ -- a study", r"The $\ell_2$ norm and $x_{i}$.", source="arxiv")]
    )
    page = owner.get("/search?q=norm").text
    assert "The ℓ<sub>2</sub> <mark>norm</mark> and x<sub>i</sub>." in page
    assert r"\ell" not in page
    title = re.search("<title>(.*?)</title>", owner.get("/papers/4").text)
    assert title[1] == "Bounded ℓ2 – a study · trued"


def test_saved_papers_are_rows_like_any_with_their_notes(owner):
    owner.fill("/papers/1/bookmark")
    owner.fill("/papers/1/note", {"text": "look <b>again</b>"})
    page = owner.get("/bookmarks").text
    assert titles(page) == ["Efficient Adversarial Training in LLMs with Continuous Attacks"]
    assert '<p class="note own">look &lt;b&gt;again&lt;/b&gt;</p>' in page
    assert 'class="thumb chart"' in page
    assert 'name="next" value="/bookmarks#t1"' in page
    assert "note own" not in owner.get("/?order=rank").text
