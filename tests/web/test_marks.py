"""What people leave beside papers is kept, shown escaped, given back as JSON, and refused with a sentence."""

from trued.feed.store.records import OWNER, Marks


def test_votes_count_once_and_can_be_taken_back(owner, papers):
    sent = owner.fill("/papers/1/vote", {"on": "1", "next": "/?order=new"})
    assert (sent.status_code, sent.headers["location"]) == (303, "/?order=new")
    assert owner.ask("/papers/1/vote") == {"votes": 1, "voted": True}
    assert papers.get(1).upvotes == 4
    assert papers.marks(OWNER, [1])[1].voted
    assert owner.ask("/papers/1/vote", {"on": "0"}) == {"votes": 0, "voted": False}


def test_marks_are_kept_for_the_one_who_made_them(owner, papers):
    assert owner.ask("/papers/2/bookmark") == {"bookmarked": True}
    assert owner.ask("/papers/2/read") == {"read": True}
    assert owner.ask("/papers/2/tag", {"tag": " Continual  Learning "}) == {"tags": ["continual learning"]}
    assert owner.ask("/papers/2/tag", {"tag": "mine"})["tags"] == ["continual learning", "mine"]
    assert owner.ask("/papers/2/tag", {"tag": "mine", "on": "0"})["tags"] == ["continual learning"]
    assert owner.ask("/papers/2/note", {"text": "<i>look</i>\r\nagain"}) == {"note": "<i>look</i>\nagain"}
    marks = papers.marks(OWNER, [2])[2]
    assert (marks.bookmarked, marks.read, marks.tags) == (True, True, ("continual learning",))
    assert papers.marks("ada", [2])[2].note == ""

    page = owner.get("/bookmarks").text
    assert "A &lt;b&gt;Bold&lt;/b&gt; Claim" in page
    assert "&lt;i&gt;look&lt;/i&gt;" in page
    assert "Third Paper" not in page
    assert owner.fill("/papers/2/bookmark", {"on": "0", "next": "/bookmarks"}).headers["location"] == "/bookmarks"
    assert "Nothing is saved yet" in owner.get("/bookmarks").text
    assert owner.ask("/papers/2/note", {"text": " "}) == {"note": ""}


def test_the_papers_page_shows_marks_and_comments_escaped(owner):
    owner.fill("/papers/2/tag", {"tag": "two words"})
    made = owner.ask("/papers/2/comments", {"text": "<script>alert(2)</script>\nשלום 你好"})["comment"]
    assert (made["person"], made["text"]) == (OWNER, "<script>alert(2)</script>\nשלום 你好")
    page = owner.get("/papers/2").text
    assert "&lt;script&gt;alert(2)&lt;/script&gt;\nשלום 你好" in page
    assert "<script>alert" not in page
    assert f'id="comment-{made["id"]}"' in page
    assert "/search?q=tag%3A%22two%20words%22" in page
    sent = owner.fill("/papers/2/comments", {"text": "again"})
    assert sent.headers["location"] == f"/papers/2#comment-{made['id'] + 1}"


def test_searches_are_kept_under_their_name(owner, papers):
    sent = owner.fill("/queries", {"q": "attacks  has:code", "name": "", "next": "/search?q=attacks"})
    assert sent.headers["location"] == "/search?q=attacks"
    owner.ask("/queries", {"q": "tag:mine <b>", "name": "Mine"})
    assert {query.name: query.q for query in papers.saved_queries(OWNER)} == {
        "attacks has:code": "attacks has:code", "Mine": "tag:mine <b>",
    }  # fmt: skip
    page = owner.get("/account").text
    assert "/search?q=attacks%20has%3Acode" in page
    assert "tag:mine &lt;b&gt;" in page
    owner.fill("/queries", {"q": "", "name": "Mine"})
    assert [query.name for query in papers.saved_queries(OWNER)] == ["attacks has:code"]


def test_what_cannot_be_kept_is_refused_in_a_sentence(owner):
    for path, data, status, says in (
        ("/papers/99/vote", {}, 404, "no paper number 99"),
        ("/papers/99/comments", {"text": "x"}, 404, "no paper number 99"),
        (f"/papers/{10**30}/vote", {}, 422, "less than or equal"),
        ("/papers/1/vote", {"on": "perhaps"}, 422, "valid boolean"),
        ("/papers/1/tag", {"tag": "  "}, 422, "the tag is empty"),
        ("/papers/1/tag", {"tag": "x" * 65}, 422, "at most 64"),
        ("/papers/1/comments", {"text": " \r\n "}, 422, "the comment is empty"),
        ("/papers/1/comments", {"text": "x" * 10_001}, 422, "at most 10,000"),
        ("/papers/1/note", {"text": "x" * 50_001}, 422, "at most 50,000"),
        ("/queries", {"q": "x" * 1_001, "name": "n"}, 422, "at most 1,000"),
    ):
        page = owner.fill(path, data)
        assert page.status_code == status, path
        assert says in page.text.lower(), path
        assert says in owner.ask(path, data)["detail"].lower(), path


def test_a_form_leads_nowhere_else(owner):
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        assert owner.fill("/papers/1/vote", {"next": elsewhere}).headers["location"] == "/papers/1"


WRITES = [
    "/papers/1/vote", "/papers/1/bookmark", "/papers/1/read", "/papers/1/tag", "/papers/1/note", "/papers/1/comments",
    "/queries", "/submit", "/runs", "/runs/abcdef/stop", "/account/invitations",
]  # fmt: skip


DATA = {"text": "x", "tag": "x", "q": "x", "slug": "c-advul", "what": "2405.15589", "name": "ada"}


def test_nothing_is_written_without_the_forms_token_or_from_another_site(owner, papers):
    token = owner.token()
    owner.app.state.writes.burst = 1000
    for path in WRITES:
        assert owner.post(path, data=DATA).status_code == 403, path
        assert owner.post(path, data={**DATA, "csrf": "x" + token[1:]}).status_code == 403, path
        for foreign in ({"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}):
            assert owner.post(path, data={**DATA, "csrf": token}, headers=foreign).status_code == 403, path
    assert papers.marks(OWNER, [1])[1] == Marks()
    assert papers.comments(1) == papers.saved_queries(OWNER) == []


def test_nothing_is_written_by_somebody_who_is_not_signed_in(stranger, papers):
    token = stranger.token()
    for path in WRITES:
        assert stranger.post(path, data={**DATA, "csrf": token}).status_code in (401, 403), path
    assert papers.get(1).votes == 0
    assert papers.comments(1) == []


def test_writing_is_limited_by_the_minute(owner):
    token = owner.token()
    for _ in range(80):
        last = owner.post("/papers/1/vote", data={"csrf": token})
        if last.status_code == 429:
            break
    assert last.status_code == 429
    assert int(last.headers["retry-after"]) >= 1
