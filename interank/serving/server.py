"""Runs the app with uvicorn: binds the port, loads the models, warms up, serves, and drains on a signal."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from types import FrameType

import uvicorn

from interank.errors import InputError
from interank.serving.app import make_app
from interank.serving.service import Service, Setup

log = logging.getLogger(__name__)

# Threads that tokenize must not hold the interpreter's lock for long while the engine's thread waits for it.
_SWITCH_SECONDS = 0.001
# Seconds to write replies after draining.
_AFTER = 5
# Seconds for those that have connected already to send their requests, which are told 503.
_HEARD = 1


class _Server(uvicorn.Server):
    """Uvicorn's server, which makes the service drain as soon as a signal arrives."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain, and shut down."""
        self._service.desk.draining = True
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, hear those that have connected, since uvicorn would hang up on them, and shut down."""
        for server in self.servers:
            server.close()
        await asyncio.sleep(_HEARD)
        await super().shutdown(sockets)


def serve(setup: Setup, host: str, port: int) -> None:
    """Serve until a signal arrives; accepted requests are answered first.

    Raises:
        InputError: The port cannot be bound.
        InterankError: A model cannot be loaded, or fails.
    """
    bound = _bound(host, port)
    try:
        sys.setswitchinterval(_SWITCH_SECONDS)
        service = Service(setup)
        service.warm_up()
        config = uvicorn.Config(
            make_app(service),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(setup.limits.drain_seconds) + _AFTER,
        )
        place = f"[{host}]" if ":" in host else host
        log.info("serving on http://%s:%d", place, bound.getsockname()[1])
        try:
            _Server(config, service).run(sockets=[bound])
        finally:
            service.close()
    finally:
        bound.close()


def _bound(host: str, port: int) -> socket.socket:
    """Bind the port, before models are loaded, so that a taken port fails at once."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        raise InputError(f"port {port} of {host} cannot be bound ({error.strerror or error}); give another") from None
    return bound
