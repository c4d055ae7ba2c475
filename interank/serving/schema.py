"""The dialects' paths, and their entries in the OpenAPI schema."""

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


class Load(BaseModel):
    """An adapter to load."""

    name: str
    """A folder in the server's `--adapter-root`."""


_BODIES: tuple[type[BaseModel], ...] = (Rerank, TeiRerank, NimRanking, Score, Explain, Options, Load)
_REFUSED = {
    "401": "A key of this server is needed",
    "404": "There is no such model or path",
    "413": "Beyond a limit",
    "422": "Malformed; for clients of TEI 400 where there is nothing to rank",
    "429": "This key's share is used up",
    "500": "The model failed; for clients of TEI 424",
    "503": "The queue is full, the server drains, or no server of the model answers",
    "504": "Later than the request's timeout",
}


def rank_paths() -> list[str]:
    """All paths of all dialects."""
    paths = list(SUPERSET.paths)
    for dialect in DIALECTS:
        paths += [f"/{dialect.name}{path}" for path in dialect.paths]
        paths += dialect.paths if dialect.own else ()
    return list(dict.fromkeys(path.replace("{model}", "{model:path}") for path in paths))


def of_rank(path: str) -> dict[str, Any]:
    """The schema entry of a ranking path."""
    own = next((each for each in DIALECTS if path.startswith(f"/{each.name}/")), None)
    if own is None and path in SUPERSET.paths:
        bodies: list[type[BaseModel]] = [Rerank, TeiRerank, NimRanking]
    else:
        own = own or next(each for each in DIALECTS if each.own and path.replace(":path", "") in each.paths)
        bodies = [own.body]
    entry = _entry([{"allOf": [_ref(body), _ref(Options)]} for body in bodies])
    if "{model" in path:
        entry["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}]
    return entry


def of_explain() -> dict[str, Any]:
    """The schema entry of `/v1/explain`."""
    return _entry([{"allOf": [_ref(Explain), _ref(Options)]}])


def of_load() -> dict[str, Any]:
    """The schema entry of loading an adapter."""
    refused = {status: {"description": _REFUSED[status]} for status in ("401", "404", "422")}
    return _body([{"allOf": [_ref(Load)]}]) | {
        "responses": {"201": {"description": "The adapter, as /v1/models lists it"}, **refused}
    }


def describe(app: FastAPI) -> None:
    """Replace the app's schema by one that includes the dialects' bodies."""

    def schema() -> dict[str, Any]:
        if app.openapi_schema is None:
            whole = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = whole.setdefault("components", {}).setdefault("schemas", {})
            for body in _BODIES:
                own = body.model_json_schema(ref_template=_REF)
                schemas |= own.pop("$defs", {})
                schemas[body.__name__] = own
            app.openapi_schema = whole
        return app.openapi_schema

    app.openapi = schema  # type: ignore[method-assign]


def _ref(body: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=body.__name__)}


def _entry(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    return _body(bodies) | {
        "responses": {
            "200": {
                "description": "The reply in the dialect's form",
                "content": {"application/json": {}, "text/event-stream": {}},
            },
            **{status: {"description": description} for status, description in _REFUSED.items()},
        },
    }


def _body(bodies: list[dict[str, Any]]) -> dict[str, Any]:
    schema = bodies[0] if len(bodies) == 1 else {"anyOf": bodies}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
