"""Pictures come from the page's own address, with a policy of their own; a paper without one has a letter."""

import re

import pytest

from trued.feed.paper import FeedPaper

PICTURE = b"RIFF\x04\x00\x00\x00WEBP"


@pytest.fixture
def pictured(papers):
    """The second paper has a picture."""
    papers.set_thumbnail(2, "https://huggingface.co/a.png", PICTURE)
    return papers


def address_in(page):
    return re.search(r'<img src="(/papers/2/thumbnail\?v=[0-9a-f]{12})"', page)


def test_a_picture_is_served_with_its_type_and_a_policy_of_its_own(owner, pictured):
    answer = owner.get("/papers/2/thumbnail")
    assert answer.content == PICTURE
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["cache-control"] == "no-cache"
    again = owner.get("/papers/2/thumbnail", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for path in ("/papers/1/thumbnail", "/papers/99/thumbnail", f"/papers/{10**30}/thumbnail"):
        assert owner.get(path).status_code == 404, path


@pytest.mark.parametrize("path", ["/?order=rank", "/search?q=claim", "/bookmarks", "/papers/2"])
def test_lists_and_the_papers_page_show_it(owner, pictured, path):
    owner.fill("/papers/2/bookmark")
    image = address_in(owner.get(path).text) or re.search(r'class="preview" src="([^"]+)"', owner.get(path).text)
    assert "immutable" in owner.get(image[1]).headers["cache-control"]


def test_the_policy_allows_pictures_of_this_server_alone(owner):
    policy = owner.get("/").headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy
    assert [part for part in policy if part.startswith("img-src")] == ["img-src 'self' data:"]


def test_what_was_measured_goes_before_a_picture_and_a_letter_stands_for_none(owner, papers):
    papers.set_thumbnail(1, "https://huggingface.co/a.png", PICTURE)
    papers.ingest([FeedPaper("Sorted", categories=("cs.CV", "cs.LG"), source="arxiv")])
    page = owner.get("/?order=rank").text
    assert "/papers/1/thumbnail" not in page
    assert re.search(r'class="thumb chart" href="/papers/1#figures"', page)
    assert re.findall(r'<span class="thumb letter" aria-hidden="true">(.*?)</span>', page) == ["", "", "CV"]
    planned = owner.get("/search?q=nothing").text
    assert "<img" not in planned


def test_an_address_of_a_feed_never_becomes_that_of_an_image(owner, papers):
    papers.ingest([FeedPaper("Far Away", thumbnail="https://huggingface.co/far.png", source="huggingface")])
    for path in ("/?order=rank", "/papers/4", "/search?q=far"):
        assert "far.png" not in owner.get(path).text
