"""SVG for a page whose security policy forbids style attributes.

Knows SVG's presentation attributes. Knows nothing of what is drawn.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from functools import lru_cache

from markupsafe import Markup

from trued.lab.figure import inline

# What matplotlib writes, and all of it may stand as an attribute of its own; anything else is left out.
_PRESENTATION = frozenset(
    (
        "clip-path", "clip-rule", "color", "dominant-baseline", "fill", "fill-opacity", "fill-rule", "font-size",
        "font-style", "font-weight", "opacity", "stop-color", "stop-opacity", "stroke", "stroke-dasharray",
        "stroke-dashoffset", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "stroke-opacity",
        "stroke-width", "text-anchor",
    )
)  # fmt: skip


@lru_cache(256)
def for_page(svg: str, prefix: str) -> Markup:
    """Return an SVG document as an element for a page: safe, in the page's colours, and without style attributes.

    A declaration becomes the attribute of that name, which every style sheet overrides; a colour that follows the
    page stays a variable, since attributes take variables as style sheets do. The drawing's width, which has no
    attribute of its own, becomes the class `narrow`, `middle` or `wide`.

    Args:
        svg: as `trued.lab.figure.draw_svg` returns it, or from a file.
        prefix: what to put before its ids, so that two drawings on a page do not meet.

    Raises:
        ValueError: the text is not SVG.
    """
    root = ET.fromstring(inline(svg, prefix))
    for element in root.iter():
        for declaration in element.attrib.pop("style", "").split(";"):
            name, _, value = (part.strip() for part in declaration.partition(":"))
            if name in _PRESENTATION and value:
                element.set(name, value)
    _, _, width, _ = map(float, root.get("viewBox", "0 0 360 220").split())
    root.set("class", "narrow" if width < 420 else "middle" if width < 640 else "wide")
    return Markup(ET.tostring(root, encoding="unicode"))
