"""The page with its style, script and content security policy, as one response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from interank import __version__
from interank.pages import RANKING_SCRIPTS, RANKING_STYLES, asset, content_hash, programme

_PACKAGE = "interank.serving.page"
_STYLES = ("page.css",)
_SCRIPTS = (
    "example.js",
    "input.js",
    "models.js",
    "events.js",
    "ranking.js",
    "rows.js",
    "reading.js",
    "code.js",
    "link.js",
    "start.js",
)


@dataclass(frozen=True, slots=True)
class Page:
    """The body and headers of the response."""

    body: bytes
    headers: Mapping[str, str]


@cache
def page() -> Page:
    """The page; its policy allows connections only to its own server, and only its own script."""
    style = asset(*RANKING_STYLES) + asset(*_STYLES, package=_PACKAGE)
    script = programme(asset(*RANKING_SCRIPTS), asset(*_SCRIPTS, package=_PACKAGE))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(asset("page.html.jinja", package=_PACKAGE))
    body = template.render(version=__version__, style=Markup(style), script=Markup(script))  # ours, from the package
    policy = {
        "default-src": "'none'",
        "script-src": f"'{content_hash(script)}'",
        "style-src": f"'{content_hash(style)}'",
        "img-src": "data:",
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        # The browser refuses to parse any text as markup.
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }
    return Page(body.encode("utf-8"), headers)
