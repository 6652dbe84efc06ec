import xml.etree.ElementTree as ET

import pytest

from trued.lab.figure import draw_svg
from trued.web.svg import for_page

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 100">{inner}</svg>'


def only_child(inner, prefix="p"):
    return ET.fromstring(for_page(SVG.format(width=300, inner=inner), prefix))[0]


def test_a_declaration_becomes_the_attribute_of_its_name():
    path = only_child(
        '<path d="M 0 0" style="fill: none; stroke: #2f6f9f; stroke-width: 0.6; stroke-linecap: square"/>'
    )
    assert path.attrib == {
        "d": "M 0 0", "fill": "none", "stroke": "#2f6f9f", "stroke-width": "0.6", "stroke-linecap": "square",
    }  # fmt: skip


def test_a_declaration_goes_before_the_attribute_that_it_overrules():
    assert only_child('<path fill="red" style="fill: blue"/>').get("fill") == "blue"


def test_neutral_colours_follow_the_page():
    assert only_child('<path style="stroke: #1b2126"/>').get("stroke") == "var(--ink)"


def test_what_is_no_drawing_is_left_out():
    path = only_child(
        '<path style="position: fixed; fill: url(https://evil.example/x); cursor: pointer" onload="x()"/>'
    )
    assert path.attrib == {}


def test_references_stay_within_their_drawing():
    path = only_child('<path style="clip-path: url(#a)" id="b"/>', prefix="f1")
    assert path.get("clip-path") == "url(#f1-a)"
    assert path.get("id") == "f1-b"


@pytest.mark.parametrize(("width", "name"), [(300, "narrow"), (500, "middle"), (900, "wide")])
def test_its_width_is_a_class(width, name):
    assert f'class="{name}"' in for_page(SVG.format(width=width, inner=""), "p")


def test_a_drawing_of_matplotlib_keeps_its_paint():
    def draw(ax):
        ax.plot([0, 1], [0, 1], label="line")
        ax.bar([0], [1])
        ax.legend()

    drawn = draw_svg(draw)
    page = for_page(drawn, "f")
    assert "style=" in drawn
    assert "style=" not in page
    assert "<style" not in page
    assert page.count('stroke="#2f6f9f"') >= 1
    assert page.count("<path") == drawn.count("<path")
    assert page.count("font-size=") >= 5


@pytest.mark.parametrize("text", ["", "<p>no</p>", "<svg", '<!DOCTYPE x [<!ENTITY a "b">]><svg/>'])
def test_what_is_no_svg_is_refused(text):
    with pytest.raises(ValueError, match="SVG"):
        for_page(text, "p")
