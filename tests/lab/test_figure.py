"""SVG comes out the same for the same drawing, and harmless whatever went in."""

import xml.etree.ElementTree as ET

import pytest

from trued.lab.figure import draw_svg, inline


def draw(ax):
    ax.plot([0, 1, 2], [1, 3, 2], label="a <b> & c", marker="o")
    ax.set_xlabel("eps")
    ax.legend()


def test_the_same_drawing_gives_the_same_bytes():
    assert draw_svg(draw) == draw_svg(draw)


def test_several_panels_are_handed_over_as_a_list():
    widths = []
    draw_svg(lambda axes: widths.append(len(axes)), panels=3)
    assert widths == [3]


def test_two_inline_figures_share_no_id_and_refer_to_their_own():
    first, second = (ET.fromstring(inline(draw_svg(draw), prefix)) for prefix in ("f1", "f2"))
    ids = [{e.get("id") for e in root.iter() if e.get("id")} for root in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for root, own in ((first, ids[0]), (second, ids[1])):
        for element in root.iter():
            assert "href" not in element.attrib or element.get("href", "")[1:] in own
    assert "a &lt;b&gt; &amp; c" in inline(draw_svg(draw), "f")


HOSTILE = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" onload="alert(1)">
<script>alert(1)</script><foreignObject><body xmlns="http://www.w3.org/1999/xhtml"><img src="x"/></body></foreignObject>
<style>@import url(http://evil.example/x.css);</style><animate attributeName="href" to="javascript:alert(1)"/>
<image href="http://evil.example/x.png"/><image xlink:href="data:image/svg+xml;base64,AAAA"/>
<a href="javascript:alert(1)"><text>x</text></a><use xlink:href="http://evil.example/#a"/>
<rect style="fill: url('http://evil.example/x')" onclick="alert(1)"/>
<rect fill="url(#ok)" clip-path="url(//evil.example/)"/>
<image href="data:image/png;base64,AAAA"/></svg>"""


def test_nothing_that_runs_or_fetches_survives():
    out = inline(HOSTILE, "f")
    for word in ("script", "evil", "onload", "onclick", "foreignObject", "javascript", "svg+xml", "animate", "import"):
        assert word not in out
    assert "data:image/png" in out
    assert 'fill="url(#f-ok)"' in out


@pytest.mark.parametrize("text", ["", "<html/>", "<svg", '<!DOCTYPE s [<!ENTITY a "b">]><svg>&a;</svg>'])
def test_what_is_no_plain_svg_is_refused(text):
    with pytest.raises(ValueError, match="SVG"):
        inline(text, "f")
