"""The ASGI app: routes for ranking in all dialects, explanations, models, health, metrics and the schema."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from interank import __version__
from interank.serving import schema
from interank.serving.backlog import LeftError, Ticket
from interank.serving.bytes import as_json, read_body
from interank.serving.desk import Entry
from interank.serving.dialects import Dialect, dialect_of, read, refused
from interank.serving.explaining import Explain
from interank.serving.listing import HEADERS, listing
from interank.serving.middleware import RequestMiddleware, notes, refusal_parts, spoken
from interank.serving.models import Facts, ServedModel, explained_of, mode_of
from interank.serving.options import Options, read_options
from interank.serving.page import page
from interank.serving.ranking import Job
from interank.serving.replies import Json, explanations
from interank.serving.requests import Refusal, RerankRequest, RerankResponse, failure
from interank.serving.service import Service
from interank.serving.streams import Telling, events

_DESCRIPTION = (
    "Reranking in the dialects of Cohere, Jina, vLLM, TEI, Voyage, Infinity, NIM and SGLang, with explanations."
)
_GONE = 499
_EVENTS = "text/event-stream"
EXPLAIN = "/v1/explain"
_WHY = {404: "unknown", 405: "unknown", 413: "too_large"}


def make_app(service: Service) -> ASGIApp:
    """Make the ASGI app of a service."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await service.desk.drain()

    app = FastAPI(
        title="interank serve",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    routes = Routes(service)
    for path in schema.rank_paths():
        # SGLang's clients may send PUT.
        for method in ["POST", "PUT"] if path.startswith("/sglang") else ["POST"]:
            app.add_api_route(path, routes.rank, methods=[method], openapi_extra=schema.of_rank(path), tags=["rank"])
    app.add_api_route(EXPLAIN, routes.explain, methods=["POST"], openapi_extra=schema.of_explain(), tags=["rank"])
    for path in ("/v1/models", *(f"/{name}/v1/models" for name in ("nim", "vllm", "infinity", "jina", "voyage"))):
        app.add_api_route(path, routes.models, methods=["GET"], tags=["models"])
    app.add_api_route("/v1/adapters", routes.load, methods=["POST"], tags=["models"])
    app.add_api_route("/v1/adapters/{name}", routes.unload, methods=["DELETE"], tags=["models"])
    app.add_api_route("/health", routes.health, methods=["GET"], tags=["server"])
    app.add_api_route("/ready", routes.ready, methods=["GET"], tags=["server"])
    app.add_api_route("/metrics", routes.metrics, methods=["GET"], tags=["server"])
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _refused_by_path)
    app.add_exception_handler(Exception, _failed)
    schema.describe(app)

    async def listed() -> Response:
        return HTMLResponse(listing(app.openapi()), headers=HEADERS)

    async def tried() -> Response:
        return Response(page().body, headers=dict(page().headers))

    app.add_api_route("/docs", listed, methods=["GET"], include_in_schema=False)
    app.add_api_route("/", tried, methods=["GET"], include_in_schema=False)
    return RequestMiddleware(app, service)


class Routes:
    """The handlers of all routes."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def rank(self, request: Request) -> Response:
        """Rank documents, and reply in the client's dialect."""
        body = await self._body(request)
        path = request.url.path
        notes(request.scope)["dialect"] = spoken(path).name
        dialect = dialect_of(path, body.keys())
        notes(request.scope)["dialect"] = dialect.name
        request.state.dialect = dialect
        asked, options = read(dialect, body), read_options(body)
        if asked.model is None and "model" in request.path_params:
            asked = replace(asked, model=request.path_params["model"])
        return await self._answer(request, asked, options, dialect, partial(dialect.reply, asked))

    async def explain(self, request: Request) -> Response:
        """Grade and explain every document."""
        body = await self._body(request)
        dialect = _EXPLAINING
        request.state.dialect = dialect
        asked, options = read(dialect, body), read_options(body)
        facts = self._service.models.get(asked.model).facts
        mode = options.mode or ("explain" if "explain" in facts.modes else facts.mode)
        options = options.model_copy(update={"mode": mode, "explain": len(asked.documents)})
        return await self._answer(request, asked, options, dialect, partial(dialect.reply, asked))

    async def models(self) -> Response:
        """List the models that a request may name as `model`."""
        default = self._service.models.get(None)
        rows = [_fact_row(name, each, default=each is default) for name, each in self._service.models]
        return _json({"object": "list", "data": rows})

    async def load(self, request: Request) -> Response:
        """Load an adapter by name onto a base model that is already loaded; needs an admin key."""
        self._require_admin(request)
        name = (await self._body(request)).get("name")
        if not isinstance(name, str):
            raise Refusal("invalid", "give the name of an adapter, as a text", field="name")
        served: ServedModel = await self._alone(partial(self._service.models.load, name))
        return _json(_fact_row(name, served, default=False), status=201)

    async def unload(self, request: Request, name: str) -> Response:
        """Unload an adapter that was loaded at run time, once its requests are answered; needs an admin key."""
        self._require_admin(request)
        withdrawn = self._service.models.withdraw(name)
        await self._service.desk.done_with(withdrawn)
        await self._alone(partial(self._service.models.unload, withdrawn))
        return _json({"name": name, "object": "model.deleted", "deleted": True})

    async def health(self) -> Response:
        """Reply 200 while the process runs."""
        return _json({"status": "ok"})

    async def ready(self) -> Response:
        """Reply 200 while the server accepts requests, else 503."""
        ready = self._service.ready
        return _json({"status": "ready" if ready else "draining"}, status=200 if ready else 503)

    async def metrics(self) -> Response:
        """The metrics in Prometheus' text format."""
        return PlainTextResponse(self._service.metrics.text(), media_type="text/plain; version=0.0.4")

    async def _body(self, request: Request) -> dict[str, Any]:
        return await read_body(request.stream(), request.headers.get("content-length"), self._service.limits.body_bytes)

    def _require_admin(self, request: Request) -> None:
        if not notes(request.scope).get("admin"):
            raise Refusal("key", "loading and unloading adapters needs an admin key; see --admin-key-file")

    async def _alone(self, work: Callable[[], Any]) -> Any:
        scheduler = self._service.scheduler
        return await self._service.desk.run(work if scheduler is None else partial(scheduler.alone, work))

    async def _answer(
        self,
        request: Request,
        asked: RerankRequest,
        options: Options,
        dialect: Dialect,
        reply: Callable[[RerankResponse], Json],
    ) -> Response:
        service, noted = self._service, notes(request.scope)
        served = service.models.get(asked.model)
        mode = mode_of(served.facts, options)
        explained = explained_of(served.facts, mode, options, len(asked.documents))
        service.limits.check(asked, explained)
        noted |= {"model": served.facts.name, "mode": mode, "documents": len(asked.documents)}
        seconds = service.limits.seconds(options, request.headers.get("x-timeout"))
        ticket = Ticket(seconds=seconds, priority=asked.priority)
        job = Job(noted["id"], asked, options, served, ticket, time.monotonic())
        entry = service.enter(job, explained, noted.get("key"))
        ended = partial(self._ended, entry, noted)
        left = partial(_left, request)
        if options.stream or _EVENTS in request.headers.get("accept", ""):
            refused, ended = partial(_refused_event, dialect, noted), partial(_stream_ended, ended, noted)
            made = events(job, Telling(reply), service.desk, left, refused, ended)
            return _Stream(made, entry, ended)
        answered = None
        try:
            answered = await service.desk.unless_left(service.desk.run(job.answer), ticket, left)
        except LeftError:
            answered = None
        finally:
            ended(answered)
        if answered is None:
            return Response(status_code=_GONE)
        about = answered.about
        times = {
            "x-total-time": about["seconds"],
            "x-queue-time": about["queued_seconds"],
            "x-compute-tokens": answered.tokens,
        }
        # Times are in milliseconds, as TEI's clients read them.
        headers = {
            name: str(round(float(str(value)) * (1000 if "time" in name else 1))) for name, value in times.items()
        }
        return _json(reply(answered), headers=headers)

    def _ended(self, entry: Entry, noted: dict[str, Any], answered: RerankResponse | None) -> None:
        self._service.desk.leave(entry, answered=answered is not None)
        noted["queued_seconds"] = round(entry.ticket.queued_seconds, 4)
        if answered is None:
            return
        self._service.metrics.answered(answered, entry.ticket.queued_seconds)
        noted["tokens_read"], noted["tokens_written"] = answered.tokens, answered.about["tokens_written"]
        noted["truncated"] = sum(1 for result in answered.results if result.truncated)


class _Stream(StreamingResponse):
    """A stream of events that ends its request even if the client disconnects before the first event."""

    def __init__(self, made: AsyncIterator[bytes], entry: Entry, ended: Callable[[None], None]) -> None:
        super().__init__(made, media_type=_EVENTS, headers={"cache-control": "no-store"})
        self._entry, self._ended = entry, ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if not self._entry.done.is_set():
                self._ended(None)


_EXPLAINING = Dialect("explain", Explain, explanations, (EXPLAIN,), own=True)


def _fact_row(name: str, served: ServedModel, *, default: bool) -> dict[str, Any]:
    facts: Facts = served.facts
    return {
        "id": name,
        "object": "model",
        "created": _STARTED,
        "owned_by": "interank",
        "root": facts.name,
        "parent": facts.parent,
        "modes": list(facts.modes),
        "default_mode": facts.mode,
        "guards": list(facts.guards),
        "score_kind": served.kind(facts.mode),
        "explains": facts.can_explain,
        "fit": sorted(facts.fits),
        "max_reasoning_tokens": facts.most_tokens,
        "removable": facts.removable,
        "default": default,
    }


_STARTED = int(time.time())


def _json(value: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(as_json(value), status, headers, "application/json")


async def _left(request: Request) -> None:
    """Return once the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        await asyncio.sleep(0)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    dialect = getattr(request.state, "dialect", None) or spoken(request.url.path)
    status, headers, body = refusal_parts(dialect, error)
    made = Response(body, status)
    made.raw_headers = headers
    notes(request.scope)["refused"] = error.why
    return made


async def _failed(request: Request, _: Exception) -> Response:
    return await _refused(request, failure(notes(request.scope)["id"]))


async def _refused_by_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"there is no route for {request.method} {request.url.path}; /openapi.json lists the routes"
    status, headers, body = refusal_parts(spoken(request.url.path), Refusal("unknown", message))
    made = Response(body, error.status_code if error.status_code == 405 else status)
    made.raw_headers = [*headers, *((n.encode(), v.encode()) for n, v in (error.headers or {}).items())]
    return made


def _refused_event(dialect: Dialect, noted: dict[str, Any], refusal: Refusal) -> dict[str, Any]:
    status, _, reply = refused(dialect, refusal)
    noted |= {"status": status, "refused": refusal.why}
    return {"status": status, **(reply if isinstance(reply, dict) else {"message": refusal.message})}


def _stream_ended(
    ended: Callable[[RerankResponse | None], None], noted: dict[str, Any], answered: RerankResponse | None
) -> None:
    if answered is None:
        noted.setdefault("status", _GONE)
    ended(answered)
