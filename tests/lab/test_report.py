"""The report is one file that fetches nothing, runs nothing, and says in text what its drawings show."""

import re
from html.parser import HTMLParser

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
    write_report,
)
from trued.lab.rows import ClaimRow, Strip

NASTY = "<script>alert('x')</script>\"><img src=x onerror=alert(1)> {{ 7*7 }} </pre></style>"


class Page(HTMLParser):
    """All start tags with their attributes, and what stands between them; complains about unbalanced tags."""

    VOID = frozenset({"meta", "wbr", "img", "br", "link"})

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.text = [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def row(**changes):
    values = {
        "id": "better", "says": NASTY, "metric": "share of answers", "paper": "85 → 5 %", "where": "Table 1",
        "ours": "71 → 22 %", "interval": "[−58, −39 points]", "verdict": "supported", "why": NASTY,
        "control": "no attack: 71 → 70 %, did not pass, as it should",
        "strip": Strip(10.0, (30.0, 100.0), 40.0, 50.0, 60.0, (5.0, 15.0)), **changes,
    }  # fmt: skip
    return ClaimRow(**values)


@pytest.fixture(scope="module")
def html():
    svg = draw_svg(lambda ax: ax.plot([1, 2], [3, 4]))
    blocks = [
        Prose([NASTY]),
        Summary([SummaryItem(NASTY, "71 %", "22 %", "[−58, −39 points]", "good", NASTY), SummaryItem("one", "", "3")]),
        Claims([row(), row(verdict="contradicted"), row(verdict="inconclusive", strip=None, interval="", control="")]),
        Table([NASTY, "n"], [[NASTY, 1.5], ["b", -2]], NASTY),
        Figure(NASTY, svg, f'alt "one" {NASTY}'),
        Figure("second", svg, "alt two", "a caption"),
        Examples([Example(NASTY, NASTY, NASTY, NASTY), Example("empty", "", "")]),
        KeyValues({NASTY: NASTY, "list": [1, 2.0], "none": None, "nested": {"a": True}}),
    ]
    return render(
        Report(
            NASTY,
            [Section(NASTY, blocks), Section("again", blocks)],
            kicker=NASTY,
            facts=[NASTY],
            lead=NASTY,
            link="https://arxiv.org/abs/2405.00001",
            footer=NASTY,
        )
    )


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_nothing_is_fetched_and_nothing_runs(html, page):
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "action")]
        if attributes.get("href", "#")[0] != "#":
            assert tag == "a"  # a link is followed when it is clicked, and not before
    assert not re.search(r"url\((?!#)|@import", html)
    policy = next(a["content"] for t, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_whatever_a_model_said_is_shown_and_not_interpreted(html, page):
    assert "<script>alert" not in html
    assert "".join(page.text).count("<script>alert('x')</script>") >= 20
    assert "{{ 7*7 }}" in "".join(page.text)


def test_every_drawing_says_what_it_shows(page):
    drawings = [attributes for _, attributes in page.tags if attributes.get("role") == "img"]
    assert [drawing["aria-label"].startswith("alt ") for drawing in drawings] == [True] * 4
    inner = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(inner) == 4 + 4
    assert all(drawing["aria-hidden"] == "true" for drawing in inner)


def test_ids_are_unique(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_a_verdict_is_a_word_and_not_only_a_colour(page):
    text = "".join(page.text)
    for word in ("supported", "contradicted", "inconclusive"):
        assert word in text


def test_columns_of_numbers_are_told_from_text():
    assert Table(["a", "b", "c"], [["x", 1.5, "−3 %"], ["y", -2, "–"]]).numeric == [False, True, True]
    assert Table(["a", "b"], [["≥ 62 % [41, 91]", "×0.780 [0.703, 0.847]"], ["[−3, +4]", "6 replies"]]).numeric == [
        True,
        False,
    ]


def test_the_style_is_for_phones_for_paper_and_for_the_dark(html):
    for rule in ("(max-width:", "@media print", "prefers-color-scheme: dark"):
        assert rule in html
    assert 'name="viewport"' in html


def test_the_report_is_written_whole(tmp_path):
    path = write_report(tmp_path / "deep" / "report.html", Report("t", []))
    assert path.read_text().rstrip().endswith("</html>")


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("scheme", [0, 1, 2])
def test_text_has_enough_contrast_in_light_dark_and_print(html, scheme):
    root = re.findall(r":root \{(.*?)\}", html, flags=re.S)[scheme]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", root))

    def contrast(front, back):
        light, dark = sorted((luminance(colours[front]), luminance(colours[back])), reverse=True)
        return (light + 0.05) / (dark + 0.05)

    pairs = [("ink", "paper"), ("ink", "raised"), ("quiet", "paper"), ("quiet", "raised"), ("accent", "paper")]
    pairs += [(tone, back) for tone in ("good", "bad", "open") for back in ("paper", f"{tone}-tint")]
    assert {pair: contrast(*pair) for pair in pairs if contrast(*pair) < 4.5} == {}
