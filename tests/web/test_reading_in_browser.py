"""The page is readable to everybody: on phones, in the dark, by keyboard and by screen reader."""

import re

import pytest

from trued.lab.figure import draw_svg
from trued.lab.report import (
    Claims,
    Example,
    Examples,
    Figure,
    KeyValues,
    Prose,
    Report,
    Section,
    Summary,
    SummaryItem,
    Table,
    render,
)  # fmt: skip
from trued.lab.rows import ClaimRow

WIDTHS = (380, 768, 1280)
SEEN = (
    "/", "/papers/1", "/papers/2", "/search?q=alignment", "/search", "/board", "/submit", "/subscribe", "/runs", "/api",
    "/account", "/bookmarks", "/nowhere", "/papers/1/similar", "/runs/history/c-advul",
)  # fmt: skip


def test_nothing_runs_off_the_side(visit):
    page = visit()
    for path in SEEN:
        page.goto(path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_every_text_stands_out_from_its_ground(visit):
    """WCAG 2.2, success criterion 1.4.3: 4.5 to 1, and 3 to 1 for large text, in light and in the dark."""
    page = visit()
    for path in SEEN:
        page.goto(path)
        for scheme, ground in (("light", 255), ("dark", 24)):
            page.emulate_media(color_scheme=scheme)
            texts = page.evaluate(CONTRASTS)
            assert len(texts) > 5, path
            assert not [text for text in texts if text["ratio"] < (3 if text["large"] else 4.5)], (path, scheme)
            colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert abs(max(map(int, re.findall(r"\d+", colour)[:3])) - ground) < 8, scheme


def test_contrast_is_measured_as_it_is_defined(visit):
    """The check above can fail: black on white is 21 to 1, and #777 on white just short of 4.5."""
    page = visit("/nowhere")
    for colour, expected in (("#000", 21.0), ("#fff", 1.0), ("#777", 4.48), ("rgba(0, 0, 0, 0.5)", 3.98)):
        page.evaluate("colour => document.querySelector('h1').style.setProperty('color', colour)", colour)
        page.evaluate("document.body.style.setProperty('background', '#fff')")
        (heading,) = [text for text in page.evaluate(CONTRASTS) if text["text"] == "Not Found"]
        assert heading["ratio"] == pytest.approx(expected, abs=0.06)


def test_every_page_can_be_found_ones_way_in(visit):
    page = visit("/")
    for path in SEEN:
        page.goto(path)
        facts = page.evaluate(STRUCTURE)
        assert facts["h1"] == 1, path
        assert facts["landmarks"] == {"header": 1, "main": 1, "footer": 1}, path
        assert facts["unnamed"] == [], path
        assert facts["ids"] == [], path
        assert facts["title"].endswith("· trued"), path
        assert facts["skipped"] == [], path


def test_the_first_stop_of_the_keyboard_leads_past_the_head(visit):
    page = visit("/board")
    page.keyboard.press("Tab")
    link = page.get_by_role("link", name="Skip to the content")
    assert link.evaluate("link => link === document.activeElement")
    assert link.bounding_box()["y"] >= 0, "it is seen when it is reached"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_touch_targets_on_a_phone(visit):
    """WCAG 2.2, success criterion 2.5.8: buttons and the navigation are 24 px high at least."""
    page = visit("/", viewport={"width": 380, "height": 800}, has_touch=True)
    for path in ("/", "/papers/1", "/submit"):
        page.goto(path)
        for target in page.locator("button:visible, .masthead nav a, .tabs a").all():
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
  const texts = [];
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
    texts.push({ text: text.slice(0, 40), ratio: (high + 0.05) / (low + 0.05), large });
  }
  return texts;
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


def test_filters_take_one_line_on_a_phone_and_all_of_them_on_a_wide_screen(visit):
    page = visit("/?order=rank&has_code=1&min_upvotes=2", viewport={"width": 390, "height": 800})
    summary, field = page.locator("form.filters summary"), page.get_by_label("Field")
    assert summary.inner_text().split() == ["Filters", "2", "≥", "2", "upvotes,", "with", "code"]
    assert not field.is_visible()
    assert page.locator("form.filters").bounding_box()["height"] < 50
    summary.press("Enter")
    field.wait_for(state="visible")
    field.select_option("language")
    page.get_by_role("button", name="Apply").press("Enter")
    page.wait_for_url("**field=language**")
    assert "has_code=1" in page.url
    page.set_viewport_size({"width": 1280, "height": 800})
    assert field.is_visible()
    assert not summary.is_visible()


def test_filters_need_no_script_on_a_phone(visit):
    page = visit("/?order=rank", viewport={"width": 390, "height": 800}, java_script_enabled=False)
    page.locator("form.filters summary").click()
    page.get_by_label("Field").select_option("language")
    page.get_by_role("button", name="Apply").click()
    assert "field=language" in page.url


def test_a_report_scrolls_its_tables_and_never_the_page_on_a_phone(chromium):
    long = "a_name_without_any_place_to_break_" * 6
    row = ClaimRow(
        id="a", says=long, metric=long, paper=long, where=long, ours=long, interval="[1.2345678901234, 2.345678901234]",
        verdict="inconclusive", why=long, control=long, strip=None,
    )  # fmt: skip
    drawing = draw_svg(lambda panels: [axes.plot([0, 1]) for axes in panels], panels=3)
    blocks = [
        Prose([long]), Summary([SummaryItem(long, "1234567890123", "9876543210987", interval=long, note=long)]),
        Claims([row]), Table([f"column {n}" for n in range(12)], [[long, *["1.5 [1.2, 1.9]"] * 11]], caption=long),
        Figure(long, drawing, long), Examples([Example(long, long, long, long)]), KeyValues({long: long}),
    ]  # fmt: skip
    report = Report(long, [Section(long, blocks)], kicker=long, link="https://a.example", facts=[long], lead=long)
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.set_content(render(report))
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    for box in (".scroll", ".drawing"):
        assert page.locator(box).evaluate("box => box.scrollWidth > box.clientWidth"), box
    page.close()
