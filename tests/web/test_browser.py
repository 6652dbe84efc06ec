"""The page as people use it, in a headless Chromium: with scripts and without, by keyboard, on phones, in the dark."""

import re
import shutil
import threading
import time
from datetime import date
from types import SimpleNamespace

import pytest
import uvicorn

from trued.feed.paper import Author, FeedPaper, Link
from trued.feed.paper_store import PaperStore
from trued.web.app import create_app
from trued.web.settings import Settings

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("there is no Chromium on the PATH to try the page in", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed, which drives Chromium")

WIDTHS = (380, 768, 1280)
SEEN = (
    "/", "/papers/1", "/papers/2", "/search?q=alignment", "/search", "/board", "/submit", "/subscribe", "/runs", "/api",
    "/account", "/bookmarks", "/nowhere", "/papers/1/similar", "/runs/history/c-advul",
)  # fmt: skip
PAPERS = (
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


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of a real server, and its store."""
    folder = tmp_path_factory.mktemp("served")
    store = PaperStore(f"sqlite:///{folder}/papers.db")
    store.ingest(PAPERS, day=date(2025, 12, 10))
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
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


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
        opened.on("request", lambda asked: asked.url.startswith(served.url) or complaints.append(asked.url))
        opened.on("console", lambda said: said.type != "error" or "404" in said.text or complaints.append(said.text))
        opened.goto(path)
        return opened

    open_page.complaints = complaints
    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def test_everything_works_without_scripts(visit, served):
    shown = visit("/", java_script_enabled=False)
    assert shown.locator("h1").inner_text() == "10 December 2025"
    first = shown.locator("[data-entry]").first
    before = served.store.get(1).upvotes
    first.get_by_role("button", name="Upvote Efficient Adversarial").click()
    assert shown.url.endswith("#t1")
    assert first.get_by_role("button", name="Take back the upvote").inner_text() == f"▲ {before + 1}"
    first.get_by_role("button", name="Take back the upvote").click()
    assert served.store.get(1).upvotes == before
    first.get_by_role("link", name="Efficient Adversarial").click()
    shown.get_by_label("Comment as owner").fill("Works <b>here</b>.")
    shown.get_by_role("button", name="Comment").click()
    assert shown.locator(".said").inner_text() == "Works <b>here</b>."
    shown.get_by_role("button", name="Bookmark").click()
    shown.get_by_label("New tag").fill("later")
    shown.get_by_role("button", name="Add tag").click()
    assert shown.locator(".marks a.tag").inner_text() == "later"
    shown.goto("/bookmarks")
    assert shown.locator("main").get_by_role("link", name="Efficient Adversarial").count() == 1
    shown.get_by_role("searchbox").fill("embedding space")
    shown.get_by_role("searchbox").press("Enter")
    assert shown.url.endswith("/search?q=embedding+space")
    assert shown.locator("[data-entry] h2").first.inner_text().startswith("Efficient Adversarial")
    assert shown.locator("mark").count() > 0
    shown.goto("/")
    shown.get_by_label("State").select_option("runs")
    shown.get_by_role("button", name="Apply").click()
    assert shown.locator("[data-entry]").count() == 1


def test_search_as_you_type(visit):
    shown = visit("/search?q=embedding")
    shown.evaluate("window.stayed = true")
    field = shown.get_by_role("searchbox")
    field.fill("")
    with shown.expect_response(lambda answer: "part=1" in answer.url and "mode=keyword" in answer.url):
        field.press_sequentially("robust alignm", delay=15)
    shown.wait_for_function("() => document.querySelectorAll('[data-entry]').length >= 5")
    assert shown.evaluate("window.stayed"), "no page was loaded anew"
    shown.wait_for_function("() => location.search.includes('robust+alignm')")
    assert shown.locator("h1").inner_text() == "robust alignm"
    with shown.expect_response(lambda answer: "part=1" in answer.url and "mode" not in answer.url):
        field.press_sequentially("ent")  # and meaning after a pause
    shown.wait_for_function("() => document.getElementById('found').textContent.includes('meaning')")


def test_keys(visit):
    shown = visit("/")
    titles = shown.locator("[data-entry] h2").all_inner_texts()
    for key, expected in (("j", 0), ("j", 1), ("j", 2), ("k", 1)):
        shown.keyboard.press(key)
        current = shown.locator("[data-current] h2")
        assert current.count() == 1
        assert current.inner_text() == titles[expected]
        assert shown.evaluate("document.activeElement.textContent") == titles[expected]
    for _ in range(2 * len(titles)):
        shown.keyboard.press("j")
    assert shown.locator("[data-current] h2").inner_text() == titles[-1], "there is nothing after the last"
    shown.keyboard.press("/")
    assert shown.evaluate("document.activeElement.id") == "find"
    shown.keyboard.type("j/k")
    assert shown.get_by_role("searchbox").input_value() == "j/k", "in a field, keys are letters"
    shown.keyboard.press("Escape")
    shown.keyboard.press("k")
    opened = shown.locator("[data-current] h2 a").get_attribute("href")
    with shown.expect_navigation():
        shown.keyboard.press("o")
    assert shown.url.endswith(opened)


def test_a_vote_stays_where_it_is(visit, served):
    shown = visit("/")
    shown.evaluate("window.stayed = true")
    vote = shown.locator("[data-entry]").nth(2).locator("form.vote button")
    before = served.store.get(3).upvotes
    for pressed, votes in (("true", before + 1), ("false", before)):
        with shown.expect_response(re.compile("/papers/3/vote")):
            vote.click()
        shown.wait_for_function(
            "([button, pressed]) => button.getAttribute('aria-pressed') === pressed",
            arg=[vote.element_handle(), pressed],
        )
        assert vote.inner_text() == f"▲ {votes}"
        assert f"{votes} now" in vote.get_attribute("aria-label")
        assert served.store.get(3).upvotes == votes
    assert shown.evaluate("window.stayed")


def test_what_a_feed_says_is_only_shown(visit):
    for path in ("/", "/papers/2", "/search?q=unbreakable", "/papers/1/similar", "/bookmarks", "/?order=new"):
        shown = visit(path)
        assert shown.evaluate("window.hacked") is None
        assert shown.locator("a[href^='javascript']").count() == 0
    shown = visit("/papers/2")
    assert shown.locator("h1").inner_text().startswith("<script>window.hacked = 1</script> Unbreakable")
    assert shown.locator("main img").count() == 0


def test_scripts_in_a_page_do_not_run(visit):
    """The policy holds in the browser, not only in the header: even a script that got in would not run."""
    shown = visit("/")
    with shown.expect_console_message(lambda said: "Content Security Policy" in said.text):
        shown.evaluate(
            """() => {
              const script = document.createElement("script");
              script.textContent = "window.ran = 1";
              document.body.append(script);
            }"""
        )
    assert shown.evaluate("window.ran") is None
    (complaint,) = visit.complaints
    assert "script-src 'self'" in complaint
    visit.complaints.clear()


def test_nothing_runs_off_the_side(visit):
    shown = visit()
    for path in SEEN:
        shown.goto(path)
        for width in WIDTHS:
            shown.set_viewport_size({"width": width, "height": 900})
            assert shown.evaluate("document.documentElement.scrollWidth") <= width, path


def test_every_text_stands_out_from_its_ground(visit):
    """WCAG 2.2, success criterion 1.4.3: 4.5 to 1, and 3 to 1 for large text, in light and in the dark."""
    shown = visit()
    for path in SEEN:
        shown.goto(path)
        for scheme, ground in (("light", 255), ("dark", 24)):
            shown.emulate_media(color_scheme=scheme)
            found = shown.evaluate(CONTRASTS)
            assert len(found) > 5, path
            assert not [one for one in found if one["ratio"] < (3 if one["large"] else 4.5)], (path, scheme)
            colour = shown.evaluate("getComputedStyle(document.body).backgroundColor")
            assert abs(max(map(int, re.findall(r"\d+", colour)[:3])) - ground) < 8, scheme


def test_contrast_is_measured_as_it_is_defined(visit):
    """The check above can fail: black on white is 21 to 1, and #777 on white just short of 4.5."""
    shown = visit("/nowhere")
    for colour, expected in (("#000", 21.0), ("#fff", 1.0), ("#777", 4.48), ("rgba(0, 0, 0, 0.5)", 3.98)):
        shown.evaluate("colour => document.querySelector('h1').style.setProperty('color', colour)", colour)
        shown.evaluate("document.body.style.setProperty('background', '#fff')")
        (heading,) = [one for one in shown.evaluate(CONTRASTS) if one["text"] == "Not Found"]
        assert heading["ratio"] == pytest.approx(expected, abs=0.06)


def test_every_page_can_be_found_ones_way_in(visit):
    shown = visit("/")
    for path in SEEN:
        shown.goto(path)
        facts = shown.evaluate(STRUCTURE)
        assert facts["h1"] == 1, path
        assert facts["landmarks"] == {"header": 1, "main": 1, "footer": 1}, path
        assert facts["unnamed"] == [], path
        assert facts["ids"] == [], path
        assert facts["title"].endswith("· trued"), path
        assert facts["skipped"] == [], path


def test_the_first_stop_of_the_keyboard_leads_past_the_head(visit):
    shown = visit("/board")
    shown.keyboard.press("Tab")
    link = shown.get_by_role("link", name="Skip to the content")
    assert link.evaluate("link => link === document.activeElement")
    assert link.bounding_box()["y"] >= 0, "it is seen when it is reached"
    shown.keyboard.press("Enter")
    assert shown.evaluate("document.activeElement.id") == "main"


def test_touch_targets_on_a_phone(visit):
    """WCAG 2.2, success criterion 2.5.8: buttons and the navigation are 24 px high at least."""
    shown = visit("/", viewport={"width": 380, "height": 800}, has_touch=True)
    for path in ("/", "/papers/1", "/submit"):
        shown.goto(path)
        for target in shown.locator("button:visible, .masthead nav a, .tabs a").all():
            assert target.bounding_box()["height"] >= 24, (path, target.inner_text())


CONTRASTS = """() => {
  const paint = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    paint.clearRect(0, 0, 1, 1);
    paint.fillStyle = colour;
    paint.fillRect(0, 0, 1, 1);
    return [...paint.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => top.slice(0, 3).map((c, i) => c * top[3] / 255 + below[i] * (1 - top[3] / 255));
  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(rgba(getComputedStyle(e).backgroundColor));
    return layers.reduceRight((below, top) => over(top, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const text = walk.currentNode.textContent.trim();
    if (!text || element.closest("svg, [aria-hidden], noscript, script, option")) continue;
    if (!element.checkVisibility({ visibilityProperty: true })) continue;
    const style = getComputedStyle(element), below = ground(element), top = over(rgba(style.color), below);
    const [high, low] = [light(top), light(below)].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && parseInt(style.fontWeight) >= 700);
    found.push({ text: text.slice(0, 40), ratio: (high + 0.05) / (low + 0.05), large });
  }
  return found;
}"""

STRUCTURE = """() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const labelled = (e) => [...(e.labels ?? [])].some((label) => label.textContent.trim());
  const named = (e) => labelled(e) || e.getAttribute("aria-label")
    || e.getAttribute("aria-labelledby") || (e.matches("button, a") && e.textContent.trim());
  const ids = all("[id]").map((e) => e.id);
  const levels = all("h1, h2, h3, h4").map((e) => Number(e.tagName[1]));
  return {
    h1: all("h1").length,
    title: document.title,
    landmarks: { header: all("body > header").length, main: all("main").length, footer: all("body > footer").length },
    unnamed: all("input:not([type=hidden]), select, textarea, button, a[href], nav")
      .filter((e) => !named(e)).map((e) => e.outerHTML),
    ids: ids.filter((id, i) => ids.indexOf(id) !== i),
    skipped: levels.filter((level, i) => i > 0 && level > levels[i - 1] + 1),
  };
}"""


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


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("path", ["/", "/?order=rank", "/search?q=alignment"])
def test_every_target_in_a_list_is_at_least_24_pixels(visit, width, path):
    page = visit(path, viewport={"width": width, "height": 900})
    small = page.evaluate(
        """() => [...document.querySelectorAll("a, button, input:not([type=hidden]), select")]
        .filter((it) => it.checkVisibility() && !it.closest(".skip, p.take"))
        .map((it) => [it.outerHTML.slice(0, 80), it.getBoundingClientRect()])
        .filter(([, box]) => box.width > 1 && (box.width < 24 || box.height < 24)).map(([text]) => text)"""
    )
    assert small == []
