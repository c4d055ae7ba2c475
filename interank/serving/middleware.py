"""ASGI middleware before all routes: checks keys, logs and counts each request, and words refusals."""

from __future__ import annotations

import json
import logging
import secrets
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from interank.serving.bytes import as_json
from interank.serving.dialects import SUPERSET, Dialect, dialect_of, refused
from interank.serving.requests import Refusal
from interank.serving.service import Service

log = logging.getLogger(__name__)

OPEN = frozenset({"/health", "/ready"})
_BOUND = "interank"


def log_fields_of(scope: Scope) -> dict[str, Any]:
    """A request's fields for its log line, such as `id`, `key`, `mode` and `documents`; never texts.

    `status` is set if the outcome differs from the reply's HTTP status, as it may for a stream.
    """
    fields: dict[str, Any] = scope.setdefault(_BOUND, {})
    return fields


def dialect_by_path(path: str) -> Dialect:
    """The dialect of a path, if the body has not been read."""
    try:
        return dialect_of(path, ())
    except Refusal:
        return SUPERSET


def refusal_parts(dialect: Dialect, refusal: Refusal) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of a refusal."""
    status, headers, reply = refused(dialect, refusal)
    if refusal.why == "key":
        headers["WWW-Authenticate"] = 'Basic realm="interank", Bearer'
    body = b"" if reply is None else as_json(reply)
    headers |= {"content-type": "application/json", "content-length": str(len(body))}
    return status, [(name.lower().encode(), value.encode()) for name, value in headers.items()], body


class RequestMiddleware:
    """An ASGI app that passes on requests with a valid key, and logs the outcome of each request."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, log_fields, begun = Headers(scope=scope), log_fields_of(scope), time.monotonic()
        log_fields["id"] = headers.get("x-request-id", "")[:100] or secrets.token_hex(8)
        status = [500]

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", log_fields["id"].encode("latin-1", "replace")),
                ]
            await send(message)

        try:
            refusal = self._key_refusal(scope, headers)
            if refusal is None:
                await self._app(scope, receive, sent)
            else:
                await _tell(refusal, scope["path"], sent)
        except Exception:
            # The client already has an error reply in its dialect.
            log.exception("request %s failed", log_fields["id"])
        finally:
            self._note(scope, log_fields, status[0], time.monotonic() - begun, headers)

    def _key_refusal(self, scope: Scope, headers: Headers) -> Refusal | None:
        keys, admin = self._service.keys, self._service.admin
        if scope["path"] in OPEN or not (keys or admin):
            return None
        who, ruler = keys.who(headers), admin.who(headers)
        log_fields_of(scope)["key"], log_fields_of(scope)["admin"] = who or ruler, ruler is not None
        if not keys or who or ruler:
            # A browser adds a stored password even to requests from another site's page.
            if headers.get("sec-fetch-site") == "cross-site":
                return Refusal("key", "requests from other sites' pages are not answered")
            return None
        return Refusal("key", "give one of this server's keys, as Authorization: Bearer KEY")

    def _note(self, scope: Scope, log_fields: dict[str, Any], status: int, seconds: float, headers: Headers) -> None:
        route = getattr(scope.get("route"), "path", None) or "none"
        # A stream begins with status 200; its outcome follows later.
        status = log_fields.get("status", status)
        self._service.metrics.request(route, log_fields.get("mode", ""), status, seconds)
        trace = headers.get("traceparent", "").split("-")
        line = {
            "time": round(time.time(), 3),
            "route": route,
            "method": scope["method"],
            "status": status,
            "seconds": round(seconds, 4),
            **({"trace": trace[1]} if len(trace) == 4 else {}),
            **log_fields,
        }
        log.info("%s", json.dumps(line))


async def _tell(refusal: Refusal, path: str, send: Send) -> None:
    status, headers, body = refusal_parts(dialect_by_path(path), refusal)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
