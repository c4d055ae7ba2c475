"""The routes of the dialects, and what the OpenAPI schema says of them."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from interank.serving.bodies import NimRanking, Rerank, Score, TeiRerank
from interank.serving.dialects import DIALECTS, SUPERSET
from interank.serving.explaining import Explain
from interank.serving.options import Options

_REF = "#/components/schemas/{model}"
_BODIES: tuple[type[BaseModel], ...] = (Rerank, TeiRerank, NimRanking, Score, Explain, Options)
_REFUSED = {
    "401": "A key is needed, and none of this server's was brought",
    "404": "There is no such model or path",
    "413": "Beyond a limit",
    "422": "Malformed",
    "429": "This key's share is used up",
    "503": "The queue is full, or the server drains",
    "504": "Later than the request's timeout",
}


def rank_paths() -> list[str]:
    """Every path at which a dialect is spoken."""
    found = list(SUPERSET.paths)
    for dialect in DIALECTS:
        found += [f"/{dialect.name}{path}" for path in dialect.paths]
        found += dialect.paths if dialect.own else ()
    return list(dict.fromkeys(path.replace("{model}", "{model:path}") for path in found))


def of_rank(path: str) -> dict[str, Any]:
    """What the schema says of a path's requests and answers."""
    own = next((each for each in DIALECTS if path.startswith(f"/{each.name}/")), None)
    if own is None and path in SUPERSET.paths:
        bodies: list[type[BaseModel]] = [Rerank, TeiRerank, NimRanking]
    else:
        own = own or next(each for each in DIALECTS if each.own and path.replace(":path", "") in each.paths)
        bodies = [own.body]
    said = _said([{"allOf": [_ref(body), _ref(Options)]} for body in bodies])
    if "{model" in path:
        said["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
    return said


def of_explain() -> dict[str, Any]:
    """What the schema says of `/v1/explain`."""
    return _said([{"allOf": [_ref(Explain), _ref(Options)]}])


def describe(app: FastAPI) -> None:
    """Have the app tell its schema with the dialects' bodies in it."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = made.setdefault("components", {}).setdefault("schemas", {})
            for body in _BODIES:
                own = body.model_json_schema(ref_template=_REF)
                schemas |= own.pop("$defs", {})
                schemas[body.__name__] = own
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]


def _ref(body: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=body.__name__)}


def _said(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    schema = bodies[0] if len(bodies) == 1 else {"anyOf": bodies}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {
            "200": {
                "description": "In the dialect's form",
                "content": {"application/json": {}, "text/event-stream": {}},
            },
            **{status: {"description": said} for status, said in _REFUSED.items()},
        },
    }
