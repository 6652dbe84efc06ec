"""The page as people use it, in a headless Chromium: with scripts and without, by keyboard and pointer."""

import re

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives Chromium")


def test_everything_works_without_scripts(visit, served):
    page = visit("/", java_script_enabled=False)
    assert page.locator("h1").inner_text() == "10 December 2025"
    first = page.locator("[data-entry]").first
    before = served.store.get(1).upvotes
    first.get_by_role("button", name="Upvote Efficient Adversarial").click()
    assert page.url.endswith("#t1")
    assert first.get_by_role("button", name="Take back the upvote").inner_text() == f"▲ {before + 1}"
    first.get_by_role("button", name="Take back the upvote").click()
    assert served.store.get(1).upvotes == before
    first.get_by_role("link", name="Efficient Adversarial").click()
    page.get_by_label("Comment as owner").fill("Works <b>here</b>.")
    page.get_by_role("button", name="Comment").click()
    assert page.locator(".comment .text").inner_text() == "Works <b>here</b>."
    page.get_by_role("button", name="Bookmark").click()
    page.get_by_label("New tag").fill("later")
    page.get_by_role("button", name="Add tag").click()
    assert page.locator(".marks a.tag").inner_text() == "later"
    page.goto("/bookmarks")
    assert page.locator("main").get_by_role("link", name="Efficient Adversarial").count() == 1
    page.get_by_role("searchbox").fill("embedding space")
    page.get_by_role("searchbox").press("Enter")
    assert page.url.endswith("/search?q=embedding+space")
    assert page.locator("[data-entry] h2").first.inner_text().startswith("Efficient Adversarial")
    assert page.locator("mark").count() > 0
    page.goto("/")
    page.get_by_label("State").select_option("runs")
    page.get_by_role("button", name="Apply").click()
    assert page.locator("[data-entry]").count() == 1


def test_keys(visit):
    page = visit("/")
    titles = page.locator("[data-entry] h2").all_inner_texts()
    for key, expected in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        page.keyboard.press(key)
        current = page.locator("[data-current] h2")
        assert current.count() == 1
        assert current.inner_text() == titles[expected]
        assert page.evaluate("document.activeElement.textContent") == titles[expected]
    for _ in range(2 * len(titles)):
        page.keyboard.press("j")
    assert page.locator("[data-current] h2").inner_text() == titles[-1], "there is nothing after the last"
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "find"
    page.keyboard.type("j/k")
    assert page.get_by_role("searchbox").input_value() == "j/k", "in a field, keys are letters"
    page.keyboard.press("Escape")
    page.keyboard.press("k")
    opened = page.locator("[data-current] h2 a").get_attribute("href")
    with page.expect_navigation():
        page.keyboard.press("o")
    assert page.url.endswith(opened)


def test_a_vote_stays_where_it_is(visit, served):
    page = visit("/")
    page.evaluate("window.stayed = true")
    vote = page.locator("[data-entry]").nth(2).locator("form.vote button")
    before = served.store.get(3).upvotes
    for pressed, votes in (("true", before + 1), ("false", before)):
        with page.expect_response(re.compile("/papers/3/vote")):
            vote.click()
        page.wait_for_function(
            "([button, pressed]) => button.getAttribute('aria-pressed') === pressed",
            arg=[vote.element_handle(), pressed],
        )
        assert vote.inner_text() == f"▲ {votes}"
        assert f"{votes} now" in vote.get_attribute("aria-label")
        assert served.store.get(3).upvotes == votes
    assert page.evaluate("window.stayed")


def test_what_a_feed_says_is_only_shown(visit):
    for path in ("/", "/papers/2", "/search?q=unbreakable", "/papers/1/similar", "/bookmarks", "/?order=new"):
        page = visit(path)
        assert page.evaluate("window.hacked") is None
        assert page.locator("a[href^='javascript']").count() == 0
    page = visit("/papers/2")
    assert page.locator("h1").inner_text().startswith("<script>window.hacked = 1</script> Unbreakable")
    assert page.locator("main img").count() == 0


def test_scripts_in_a_page_do_not_run(visit):
    """The policy holds in the browser, not only in the header: even a script that got in would not run."""
    page = visit("/")
    with page.expect_console_message(lambda message: "Content Security Policy" in message.text):
        page.evaluate(
            """() => {
              const script = document.createElement("script");
              script.textContent = "window.ran = 1";
              document.body.append(script);
            }"""
        )
    assert page.evaluate("window.ran") is None
    (complaint,) = visit.complaints
    assert "script-src 'self'" in complaint
    visit.complaints.clear()


def test_a_vote_by_keyboard_keeps_the_focus(visit, served):
    page = visit("/")
    button = page.locator("form.vote button").first
    button.focus()
    for pressed in ("true", "false"):
        page.keyboard.press("Enter")
        playwright.expect(button).to_have_attribute("aria-pressed", pressed)
        assert button.evaluate("button => document.activeElement === button")
    save = page.locator("form.toggle button").first
    save.focus()
    page.keyboard.press("Enter")
    playwright.expect(save).to_have_attribute("aria-pressed", "true")
    assert "Saved" in save.text_content()
    assert save.evaluate("button => document.activeElement === button")


def test_a_filter_waits_for_its_button_unless_it_is_changed_by_pointer(visit):
    page = visit("/?order=rank")
    select = page.locator("form.filters select[name=field]")
    select.focus()
    page.keyboard.press("ArrowDown")
    playwright.expect(select).to_have_value("language")
    assert page.url.endswith("/?order=rank")
    assert select.evaluate("select => document.activeElement === select")
    with page.expect_navigation():
        page.locator("form.filters button").press("Enter")
    assert "field=language" in page.url
    with page.expect_navigation():
        page.locator("form.filters input[name=has_code]").click()
    assert "has_code=1" in page.url
