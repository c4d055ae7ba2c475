"""The schema as a page at `/docs`: every route with its body, without scripts or external resources."""

from __future__ import annotations

import json
from html import escape
from typing import Any

HEADERS = {"content-security-policy": "default-src 'none'; frame-ancestors 'none'", "x-content-type-options": "nosniff"}


def listing(schema: dict[str, Any]) -> str:
    """The page as HTML, with every text escaped."""
    parts = [f"<h1>{escape(schema['info']['title'])} {escape(schema['info']['version'])}</h1>"]
    parts.append(f"<p>{escape(schema['info']['description'])} <a href='openapi.json'>openapi.json</a></p>")
    for path, methods in schema["paths"].items():
        for method, route in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(route.get('description') or route.get('summary', ''))}</p>")
            parts += [f"<p>Body: {name}</p>" for name in _named(route.get("requestBody"))]
    for name, body in schema["components"]["schemas"].items():
        parts.append(f"<h2 id='{escape(name)}'>{escape(name)}</h2><pre>{escape(json.dumps(body, indent=2))}</pre>")
    return f"<!doctype html><html lang='en'><meta charset='utf-8'><title>interank serve</title>{''.join(parts)}</html>"


def _named(body: Any) -> list[str]:
    """Links to the schemas of a body, one entry for each form that the body may have."""
    if body is None:
        return []
    schema = body["content"]["application/json"]["schema"]
    kinds = [[each["$ref"].rpartition("/")[2] for each in one["allOf"]] for one in schema.get("anyOf", [schema])]
    return [" and ".join(f"<a href='#{escape(name)}'>{escape(name)}</a>" for name in kind) for kind in kinds]
