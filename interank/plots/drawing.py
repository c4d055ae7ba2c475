"""Axes to draw on, and their rendering as SVG without fonts, colours or styles, which the page sets."""

from __future__ import annotations

import hashlib
import io
import re
import threading
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from lxml import etree
from lxml.etree import _Element

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES = 8
"""The number of series colours; further series reuse them."""

Ink = Literal["ink", "muted", "rule", "paper", "gain", "loss"]

# Placeholder colours, which the finished drawing replaces by the page's CSS variables.
_INKS: dict[str, str] = {
    name: f"#fe01{place:02x}" for place, name in enumerate(("ink", "muted", "rule", "paper", "gain", "loss"))
}
_INKS |= {f"series-{number}": f"#fe02{number:02x}" for number in range(SERIES)}
_VARIABLES = {colour: f"var(--{name})" for name, colour in _INKS.items()}

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
_FONT = re.compile(r"(\d+(?:\.\d+)?)px")
# Properties of matplotlib's `style` that are dropped; the others become attributes, which a security policy allows.
_DROPPED = {"font", "font-family", "font-style", "font-variant", "font-stretch"}


def begin_import() -> None:
    """Import matplotlib in a background thread, since the import takes a while."""
    threading.Thread(target=import_module, args=("matplotlib.backends.backend_svg",), daemon=True).start()


def ink(name: Ink) -> str:
    """The placeholder of one of the page's colours, for matplotlib."""
    return _INKS[name]


def series_colour(number: int) -> str:
    """The placeholder of a series' colour."""
    return _INKS[f"series-{number % SERIES}"]


def new_axes(width: float = 360, height: float = 230, *, bare: bool = False) -> Axes:
    """Axes of a new drawing, with its size in points; `bare` leaves out frame, ticks and margins."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), layout=None if bare else "constrained")
    figure.patch.set_visible(False)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0)) if bare else figure.add_subplot()
    axes.patch.set_visible(False)
    if bare:
        axes.set_axis_off()
        return axes
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(ink("rule"))
    axes.tick_params(colors=ink("rule"), labelcolor=ink("muted"), labelsize=9, length=3, width=0.7)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="y", color=ink("rule"), linewidth=0.6)
    axes.set_axisbelow(True)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=ink("muted"), fontsize=9)
        # Dollar signs are text, not formulas.
        label.set_parse_math(False)
    return axes


def rendered(axes: Axes, name: str) -> str:
    """The drawing as an `svg` element; the output is deterministic for a drawing and a name."""
    import matplotlib

    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": name}
    stream = io.BytesIO()
    with matplotlib.rc_context(settings):
        figure: Figure = axes.get_figure(root=True)  # type: ignore[assignment]  # axes made here have one
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _for_a_page(stream.getvalue(), hashlib.sha256(name.encode()).hexdigest()[:6])


def _for_a_page(svg: bytes, salt: str) -> str:
    root = etree.fromstring(svg, etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True))
    for element in list(root.iter(f"{_SVG}metadata", f"{_SVG}style")):
        _parent(element).remove(element)
    used = {reference for element in root.iter() for reference in _references(element)}
    for element in root.iter():
        _style_as_attributes(element)
        _own_names(element, salt, used)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.set("stroke-linejoin", "round")
    root.set("aria-hidden", "true")
    root.set("focusable", "false")
    etree.cleanup_namespaces(root)
    return str(etree.tostring(root, encoding="unicode"))


def _parent(element: _Element) -> _Element:
    parent = element.getparent()
    if parent is None:
        raise ValueError(f"{element.tag} stands alone")
    return parent


def _style_as_attributes(element: _Element) -> None:
    for declaration in (element.attrib.pop("style", "") or "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font" and (size := _FONT.search(value)):
            element.set("font-size", size[1])
        if key and key not in _DROPPED:
            element.set(key, _VARIABLES.get(value, value))


def _references(element: _Element) -> list[str]:
    """The ids of other elements that an element refers to."""
    return re.findall(r"#([\w.-]+)", f"{element.get(_LINK, '')} {element.get('clip-path', '')}")


def _own_names(element: _Element, salt: str, used: set[str]) -> None:
    """Make ids unique to the drawing, since a page holds several, and drop the namespace of links."""
    if element.get("id") in used:
        element.set("id", f"{salt}-{element.get('id')}")
    else:
        element.attrib.pop("id", None)
    if "clip-path" in element.attrib:
        element.set("clip-path", str(element.get("clip-path")).replace("#", f"#{salt}-"))
    if _LINK in element.attrib:
        element.set("href", str(element.attrib.pop(_LINK)).replace("#", f"#{salt}-"))
