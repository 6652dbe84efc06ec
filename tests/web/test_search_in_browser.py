"""Search as one types: the results change in place, and address, focus and the way back stay right."""

import pytest

from trued.feed.paper import FeedPaper


def test_search_as_you_type(visit):
    page = visit("/search?q=embedding")
    page.evaluate("window.stayed = true")
    field = page.get_by_role("searchbox")
    field.fill("")
    with page.expect_response(lambda answer: "part=1" in answer.url and "mode=keyword" in answer.url):
        field.press_sequentially("robust alignm", delay=15)
    page.wait_for_function("() => document.querySelectorAll('[data-entry]').length >= 5")
    assert page.evaluate("window.stayed"), "no page was loaded anew"
    page.wait_for_function("() => location.search.includes('robust+alignm')")
    assert page.locator("h1").inner_text() == "robust alignm"
    with page.expect_response(lambda answer: "part=1" in answer.url and "mode" not in answer.url):
        field.press_sequentially("ent")  # and meaning after a pause
    page.wait_for_function("() => document.getElementById('count').textContent.includes('meaning')")


@pytest.fixture
def many(served):
    """A hundred papers that one search finds, in four pages."""
    served.store.ingest([FeedPaper(f"Zebra crossing {n:03d}", source="page") for n in range(100)])


def rows(page):
    return page.locator("[data-entry]").count()


def wait_for_rows(page, count):
    page.wait_for_function("count => document.querySelectorAll('[data-entry]').length === count", arg=count)


def test_more_goes_on_in_place_and_stays_after_going_back(visit, many):
    page = visit("/search?q=zebra&mode=keyword")
    page.evaluate("window.stayed = true")
    steps = page.evaluate("history.length")
    page.locator(".more a").click()
    wait_for_rows(page, 60)
    assert page.evaluate("document.activeElement.textContent") == page.locator("[data-entry] h2").nth(30).inner_text()
    page.locator(".more a").click()
    wait_for_rows(page, 90)
    assert page.evaluate("window.stayed")
    assert page.url.endswith("page=3")
    assert page.evaluate("history.length") == steps
    page.locator("[data-entry] h2 a").nth(70).click()
    page.wait_for_url("**/papers/*")
    page.go_back()
    wait_for_rows(page, 90)


def test_typing_makes_one_step_back_to_where_it_was(visit, many):
    page = visit("/search?q=zebra&mode=keyword&page=2")
    steps = page.evaluate("history.length")
    field = page.get_by_role("searchbox")
    field.fill("")
    field.press_sequentially("robust", delay=200)
    page.wait_for_function("() => location.search.includes('q=robust')")
    page.wait_for_function("() => document.querySelector('h1').textContent === 'robust'")
    assert "page=" not in page.url
    assert field.evaluate("field => document.activeElement === field")
    assert page.title() == "robust · trued"
    assert page.locator("form.filters input[name=q]").input_value() == "robust"
    assert page.evaluate("history.length") == steps + 1, "a step for all of it, and none a letter"
    page.go_back()
    wait_for_rows(page, 60)
    assert field.input_value() == "zebra"
    assert page.url.endswith("q=zebra&mode=keyword&page=2")


def test_enter_keeps_the_filters(visit, many):
    page = visit("/search?q=zebra&min_upvotes=0&mode=keyword")
    page.evaluate("window.stayed = true")
    field = page.get_by_role("searchbox")
    field.fill("crossing")
    field.press("Enter")
    page.wait_for_function("() => location.search.includes('q=crossing')")
    assert "min_upvotes=0" in page.url
    assert page.evaluate("window.stayed")


HOLD = """() => {
  const fetched = window.fetch;
  window.held = [];
  window.fetch = async (...request) => {
    const answer = await fetched(...request);
    await new Promise((release) => held.push(release));
    return answer;
  };
}"""


def test_results_are_not_replaced_under_the_hands_of_who_reads_them(visit, many):
    page = visit("/search?q=zebra&mode=keyword")
    page.evaluate(HOLD)
    page.get_by_role("searchbox").press_sequentially("s")
    page.wait_for_function("() => held.length === 2")  # words, and meaning after the pause
    link = page.locator("[data-entry] h2 a").nth(3)
    link.focus()
    page.evaluate("held.forEach((release) => release())")
    page.wait_for_timeout(100)
    assert link.evaluate("link => document.activeElement === link")
    assert rows(page) == 30
