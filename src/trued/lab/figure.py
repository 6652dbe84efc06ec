"""Figures: a drawing function in, SVG text out; and that SVG made safe and quiet for a page.

Knows matplotlib's look and SVG's elements. Knows nothing of what is drawn or where it is shown.
"""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"

INK, QUIET, RULE, PAPER = "#1b2126", "#59636b", "#dfe4e8", "#fffffe"
SERIES = ("#2f6f9f", "#c4622d", "#5a8f3c", "#8a5fa8", "#b08a1e", "#4b8f8c")  # 3:1 at least on white and on near-black
_STYLE: dict[str, Any] = {
    "svg.hashsalt": "trued",  # the same drawing gives the same bytes
    "svg.fonttype": "none",  # real text: it takes the page's font, and can be read aloud and copied
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlesize": 9,
    "axes.titleweight": "normal",
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
}
# Colours that follow the page between light and dark; those of the series read well on both.
_VARIABLES = {INK: "var(--ink)", QUIET: "var(--quiet)", RULE: "var(--rule)", PAPER: "none"}
_SHAPES = {"path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan", "image"}
_PAINT = {"linearGradient", "radialGradient", "stop", "marker", "pattern", "mask", "clipPath", "symbol", "style"}
_ELEMENTS = {"svg", "g", "defs", "use", "title", "desc", *_SHAPES, *_PAINT}


def draw_svg(draw: Callable[..., None], *, panels: int = 1, width: float = 5.0, height: float = 3.1) -> str:
    """Return the drawing as a self-contained SVG document that is the same for the same drawing.

    Args:
        draw: called with an `Axes`, or with a list of them if there are several panels. A figure is reached through
            `ax.figure`. Colours that are not set come from `SERIES`, which read well on light and on dark paper.
        panels: how many axes, side by side.
        width, height: size of one panel in inches; a page scales it.
    """
    import matplotlib
    from cycler import cycler
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: dict[Any, Any] = {**_STYLE, "axes.prop_cycle": cycler(color=SERIES)}
    with matplotlib.rc_context(style):
        # No pyplot: a figure made here belongs to no window, and is freed with this call.
        figure = Figure(figsize=(width if panels == 1 else 0.8 * width * panels, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = [figure.add_subplot(1, panels, i + 1) for i in range(panels)]
        draw(axes[0] if panels == 1 else axes)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _document(_clean(text.getvalue()))


def inline(svg: str, prefix: str) -> str:
    """Return an SVG document as an element to be put into HTML.

    Scripts, event handlers, foreign content and every reference that leaves the document are dropped; ids get
    `prefix`, so that two figures on a page do not meet; neutral colours become the page's variables.

    Raises:
        ValueError: the text is not SVG.
    """
    root = _clean(svg)
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            element.set(name, _local(name, value, prefix))
        for sheet in element.findall("style"):  # its rules would apply to the whole page
            element.remove(sheet)
    _, _, width, _ = map(float, root.get("viewBox", "0 0 360 220").split())
    # Text of nine units is to be 14 px at most, and 7 px at least: a narrower page scrolls a wide drawing.
    root.set("style", f"max-width: {1.6 * width:.0f}px; min-width: {0.8 * width:.0f}px")
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("aria-hidden", "true")  # the element around it carries the alt text
    return ET.tostring(root, encoding="unicode")


def _clean(svg: str) -> ET.Element:
    """Parse, and keep only drawing elements and attributes that neither run nor fetch anything. Namespaces go."""
    if "<!ENTITY" in svg:
        raise ValueError("the SVG declares entities; write it without them")
    try:
        root = ET.fromstring(svg)
    except ET.ParseError as error:
        raise ValueError(f"not SVG: {error}") from None
    if root.tag not in ("svg", f"{{{SVG}}}svg"):
        raise ValueError(f"not SVG: the root element is {root.tag}")
    _prune(root)
    return root


def _prune(element: ET.Element) -> None:
    element.tag = element.tag.removeprefix(f"{{{SVG}}}")
    for name, value in list(element.attrib.items()):
        del element.attrib[name]
        plain = name.removeprefix(f"{{{XLINK}}}")
        if not plain.startswith(("{", "on")) and _stays_here(plain, value):
            element.set(plain, value)
    if element.tag == "style" and element.text and not _stays_here("style", element.text):
        element.text = ""
    for child in list(element):
        if isinstance(child.tag, str) and child.tag.removeprefix(f"{{{SVG}}}") in _ELEMENTS:
            _prune(child)
        else:
            element.remove(child)


def _stays_here(name: str, value: str) -> bool:
    if name == "href":
        return value.startswith("#") or re.match(r"data:image/(png|jpeg);base64,", value) is not None
    lowered = value.lower()
    leaves = [target for target in re.findall(r"url\(\s*['\"]?(.)", lowered) if target != "#"]
    return not leaves and "@import" not in lowered and "javascript:" not in lowered and "expression(" not in lowered


def _local(name: str, value: str, prefix: str) -> str:
    if name == "id":
        return f"{prefix}-{value}"
    if name == "href" and value.startswith("#"):
        return f"#{prefix}-{value[1:]}"
    value = re.sub(r"url\(#", f"url(#{prefix}-", value)
    if name == "style":
        value = re.sub(r"font: *([\d.]+px)[^;]*", r"font-size: \1", value)  # the page's font
        value = re.sub(r"font-family:[^;]*;?", "", value)
    return _recolour(value) if name in ("style", "fill", "stroke") else value


def _recolour(text: str) -> str:
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text


def _document(root: ET.Element) -> str:
    root.set("xmlns", SVG)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
