"""Matplotlib's SVG as an element of a page: small, the page's font and colours, the same bytes every time."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from tsa_model.pages.panels import lay_out

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

# Drawn in these colours, shown in the colours of the style sheet: light and dark.
ROLES = {
    "ink": "#010203",
    "soft": "#010204",
    "line": "#010205",
    "first": "#010206",
    "second": "#010207",
    "third": "#010208",
    "stop": "#010209",
}
FONT: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text, in the page's font
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
}
PLACES = {"x", "y", "d", "transform", "width", "height"}
CLIP = "{http://www.w3.org/2000/svg}clipPath"
METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}
_REFERENCE = re.compile(r"#([\w-]+)")


@contextmanager
def page_font() -> Iterator[None]:
    """Draw within it: text stays text, so that the page's own font shows it."""
    from matplotlib import style

    with style.context(["default", FONT]):  # not the reader's own settings, which would change the bytes
        yield


def inline(figure: Figure, alt: str, tips: Mapping[str, Sequence[str]]) -> Markup:
    """The figure as an `<svg>` element for an HTML page.

    Args:
        figure: drawn within `page_font`, in the colours of `ROLES`.
        alt: what the chart shows, in words.
        tips: id of an artist → what the reader sees when pointing at each of its marks.
    """
    from markupsafe import Markup

    root = ElementTree.fromstring(_drawn(figure, f"{alt} {sorted(tips.items())}"))
    for child in [child for child in root if "id" not in child.attrib and not list(child.iter(CLIP))]:
        root.remove(child)  # the file's own style sheet, which would style the whole page
    for element in root.iter():
        _as_html(element)
    _hoist_styles(root)
    for element in root.iter("g"):
        _add_tips(element, tips.get(element.get("id", ""), ()))
    _drop_unused_ids(root)
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": alt}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _drawn(figure: Figure, salt: str) -> bytes:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.BytesIO()
    FigureCanvasSVG(figure)
    lay_out(figure)
    with matplotlib.rc_context({"svg.hashsalt": salt}):  # ids differ between the charts of a page
        figure.savefig(stream, format="svg", metadata=METADATA, transparent=True)
    return stream.getvalue()


def _as_html(element: ElementTree.Element) -> None:
    """Without namespaces and indentation, in the page's font and colours, with two decimals."""
    element.tag = element.tag.rpartition("}")[2]
    element.tail = "\n" if element.tail else None
    if element.tag != "text":
        element.text = None
    attributes = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    if "style" in attributes:
        style = re.sub(r"font-family: [^;]*; ", "", attributes["style"])
        for role, colour in ROLES.items():
            style = style.replace(colour, f"var(--{role})")
        attributes["style"] = style
    for name in PLACES & attributes.keys():
        rounded = re.sub(r"\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", attributes[name])
        attributes[name] = " ".join(rounded.split())
    element.attrib = attributes


def _hoist_styles(root: ElementTree.Element) -> None:
    """Write a style that all marks of a group share once, at the group."""
    for group in root.iter("g"):
        marks = group.findall("use")
        styles = {mark.get("style") for mark in marks}
        if len(marks) > 1 and len(styles) == 1 and None not in styles:
            group.set("style", marks[0].attrib["style"])
            for mark in marks:
                del mark.attrib["style"]


def _add_tips(group: ElementTree.Element, tips: Sequence[str]) -> None:
    marks = [mark for mark in group.iter() if mark.tag in ("use", "path") and not _is_definition(mark, group)]
    for mark, tip in zip(marks, tips, strict=False):
        if tip:
            ElementTree.SubElement(mark, "title").text = tip


def _is_definition(mark: ElementTree.Element, group: ElementTree.Element) -> bool:
    return any(mark in definitions for definitions in group.iter("defs"))


def _drop_unused_ids(root: ElementTree.Element) -> None:
    values = [value for element in root.iter() for name, value in element.attrib.items() if name != "id"]
    used = {name for value in values for name in _REFERENCE.findall(value)}
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)
