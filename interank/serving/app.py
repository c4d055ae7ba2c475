"""The ASGI app: routes for ranking in all dialects, explanations, models, health, metrics and the schema."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from interank import __version__
from interank.modes import Mode
from interank.serving import schema
from interank.serving.backlog import DisconnectedError, Ticket
from interank.serving.bytes import as_json, read_body
from interank.serving.desk import Entry
from interank.serving.dialects import Dialect, dialect_of, read, refused
from interank.serving.explaining import Explain
from interank.serving.listing import HEADERS, listing
from interank.serving.middleware import RequestMiddleware, dialect_by_path, log_fields_of, refusal_parts
from interank.serving.models import Facts, ServedModel, explained_of, mode_of
from interank.serving.options import Options, read_options
from interank.serving.page import page
from interank.serving.ranking import Job
from interank.serving.replies import Json, explanations
from interank.serving.requests import Refusal, RerankRequest, RerankResponse, Why, failure
from interank.serving.service import Service
from interank.serving.streams import EventQueue, events

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
        # A full collection stops all threads while it walks every object: half a second for those of the libraries.
        gc.collect()
        gc.freeze()
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
    app.add_api_route("/v1/adapters", routes.load, methods=["POST"], openapi_extra=schema.of_load(), tags=["models"])
    app.add_api_route("/v1/adapters/{name}", routes.unload, methods=["DELETE"], tags=["models"])
    app.add_api_route("/health", routes.health, methods=["GET"], tags=["server"])
    app.add_api_route("/ready", routes.ready, methods=["GET"], tags=["server"])
    app.add_api_route("/metrics", routes.metrics, methods=["GET"], tags=["server"])
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(DisconnectedError, _gone)
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
        log_fields_of(request.scope)["dialect"] = dialect_by_path(path).name
        dialect = dialect_of(path, body.keys())
        log_fields_of(request.scope)["dialect"] = dialect.name
        rerank_request, options = self._read(request, dialect, body)
        if rerank_request.model is None and "model" in request.path_params:
            rerank_request = replace(rerank_request, model=request.path_params["model"])
        return await self._answer(request, rerank_request, options, dialect, partial(dialect.reply, rerank_request))

    async def explain(self, request: Request) -> Response:
        """Grade and explain every document."""
        body = await self._body(request)
        dialect = _EXPLAINING
        rerank_request, options = self._read(request, dialect, body)
        facts = self._service.models.get(rerank_request.model).facts
        mode = options.mode or ("explain" if "explain" in facts.modes else facts.mode)
        options = options.model_copy(update={"mode": mode, "explain": len(rerank_request.documents)})
        return await self._answer(request, rerank_request, options, dialect, partial(dialect.reply, rerank_request))

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
        await self._service.desk.wait_for_requests(withdrawn)
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
        length, most = request.headers.get("content-length"), self._service.limits.body_bytes
        try:
            return await read_body(request.stream(), length, most)
        except ClientDisconnect as error:
            raise DisconnectedError("the client disconnected before its whole body was there") from error

    def _read(self, request: Request, dialect: Dialect, body: dict[str, Any]) -> tuple[RerankRequest, Options]:
        request.state.dialect = dialect
        self._service.limits.check_lists(body, dialect.body.lists)
        return read(dialect, body), read_options(body)

    def _require_admin(self, request: Request) -> None:
        if not log_fields_of(request.scope).get("admin"):
            raise Refusal("key", "loading and unloading adapters needs an admin key; see --admin-key-file")

    async def _alone(self, work: Callable[[], Any]) -> Any:
        scheduler = self._service.scheduler
        return await self._service.desk.run(work if scheduler is None else partial(scheduler.run_alone, work))

    async def _answer(
        self,
        request: Request,
        rerank_request: RerankRequest,
        options: Options,
        dialect: Dialect,
        reply: Callable[[RerankResponse], Json],
    ) -> Response:
        service, log_fields = self._service, log_fields_of(request.scope)
        served = service.models.get(rerank_request.model)
        mode = mode_of(served.facts, options)
        if len(rerank_request.queries) > 1:
            _check_several(options, mode)
        explained = explained_of(served.facts, mode, options, len(rerank_request.documents))
        service.limits.check(rerank_request, explained)
        log_fields |= {"model": served.facts.name, "mode": mode, "documents": len(rerank_request.documents)}
        seconds = service.limits.seconds(options, request.headers.get("x-timeout"))
        ticket = Ticket(seconds=seconds, priority=rerank_request.priority)
        job = Job(log_fields["id"], rerank_request, options, served, ticket, time.monotonic())
        entry = service.enter(job, explained, log_fields.get("key"))
        ended = partial(self._ended, entry, log_fields)
        disconnected = partial(_disconnected, request)
        if options.stream or _EVENTS in request.headers.get("accept", ""):
            refused, ended = partial(_refused_event, dialect, log_fields), partial(_stream_ended, ended, log_fields)
            stream_events = events(job, EventQueue(reply), service.desk, disconnected, refused, ended)
            return _Stream(stream_events, entry, ended)
        response = None
        try:
            response = await service.desk.unless_disconnected(service.desk.run(job.answer), ticket, disconnected)
        finally:
            ended(response)
        if response is None:
            return Response(status_code=_GONE)
        about = response.about
        seconds, queued = float(str(about["seconds"])), float(str(about["queued_seconds"]))
        times = {"total": seconds, "queue": queued, "inference": seconds - queued}
        # In milliseconds, as TEI's clients read them.
        headers = {f"x-{name}-time": str(round(1000 * value)) for name, value in times.items()}
        return _json(reply(response), headers=headers | {"x-compute-tokens": str(response.tokens)})

    def _ended(self, entry: Entry, log_fields: dict[str, Any], response: RerankResponse | None) -> None:
        self._service.desk.leave(entry, answered=response is not None)
        log_fields["queued_seconds"] = round(entry.ticket.queued_seconds, 4)
        if response is None:
            return
        self._service.metrics.response(response, entry.ticket.queued_seconds)
        log_fields["tokens_read"], log_fields["tokens_written"] = response.tokens, response.about["tokens_written"]
        log_fields["truncated"] = sum(1 for result in response.results if result.truncated)


class _Stream(StreamingResponse):
    """A stream of events that ends its request even if the client disconnects before the first event."""

    def __init__(self, stream_events: AsyncIterator[bytes], entry: Entry, ended: Callable[[None], None]) -> None:
        super().__init__(stream_events, media_type=_EVENTS, headers={"cache-control": "no-store"})
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


def _check_several(options: Options, mode: Mode) -> None:
    """Refuse what several queries at once cannot have."""
    if options.explained:
        raise Refusal("invalid", "found explain with several queries; send one query at a time", field="explain")
    if mode in ("listwise", "adaptive"):
        message = f"found several queries, and mode {mode} orders the documents of one; send one query at a time"
        raise Refusal("invalid", message, field="mode")


async def _disconnected(request: Request) -> None:
    """Return once the client has disconnected."""
    while (await request.receive())["type"] != "http.disconnect":
        await asyncio.sleep(0)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    dialect = getattr(request.state, "dialect", None) or dialect_by_path(request.url.path)
    status, headers, body = refusal_parts(dialect, error)
    response = Response(body, status)
    response.raw_headers = headers
    log_fields_of(request.scope)["refused"] = error.why
    return response


async def _gone(request: Request, _: Exception) -> Response:
    return Response(status_code=_GONE)


async def _failed(request: Request, _: Exception) -> Response:
    return await _refused(request, failure(log_fields_of(request.scope)["id"]))


async def _refused_by_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = f"there is no route for {request.method} {request.url.path}; /openapi.json lists the routes"
    why: Why = "method" if error.status_code == 405 else "unknown"
    status, headers, body = refusal_parts(dialect_by_path(request.url.path), Refusal(why, message))
    response = Response(body, status)
    response.raw_headers = [*headers, *((n.encode(), v.encode()) for n, v in (error.headers or {}).items())]
    return response


def _refused_event(dialect: Dialect, log_fields: dict[str, Any], refusal: Refusal) -> dict[str, Any]:
    status, _, reply = refused(dialect, refusal)
    log_fields |= {"status": status, "refused": refusal.why}
    return {"status": status, **(reply if isinstance(reply, dict) else {"message": refusal.message})}


def _stream_ended(
    ended: Callable[[RerankResponse | None], None], log_fields: dict[str, Any], response: RerankResponse | None
) -> None:
    if response is None:
        log_fields.setdefault("status", _GONE)
    ended(response)
