"""A request's response as server-sent events: the ranking, explanations as they grow, heartbeats, the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from interank.serving.backlog import DisconnectedError, late
from interank.serving.bytes import event
from interank.serving.desk import Desk
from interank.serving.ranking import Job, ProgressListener
from interank.serving.replies import Json
from interank.serving.requests import Refusal, RerankResponse

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class EventQueue(ProgressListener):
    """A listener that passes progress from a request's thread to a queue of the event loop."""

    def __init__(self, reply: Callable[[RerankResponse], Json]) -> None:
        """Create the queue in the running event loop; `reply` writes a ranking in the client's dialect."""
        self.events: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._reply = reply
        self._sent: dict[int, str] = {}

    def put(self, message: bytes | None) -> None:
        """Put an event onto the queue; None ends the stream."""
        self._loop.call_soon_threadsafe(self.events.put_nowait, message)

    def ranking(self, response: RerankResponse) -> None:
        """See `ProgressListener`."""
        self.put(event("ranking", self._reply(response)))

    def text(self, index: int, text: str) -> None:
        """See `ProgressListener`; an incomplete character at the end is held back."""
        before, now = self._sent.get(index, ""), text.rstrip(_UNFINISHED)
        if len(now) > len(before) and now.startswith(before):
            self._sent[index] = now
            self.put(event("delta", {"index": index, "text": now[len(before) :]}))

    def explained(self, index: int, explanation: str, quotes: list[dict[str, Any]]) -> None:
        """See `ProgressListener`."""
        self.put(event("explanation", {"index": index, "explanation": explanation, "quotes": quotes}))


async def events(
    job: Job,
    queue: EventQueue,
    desk: Desk,
    disconnected: Callable[[], Awaitable[Any]],
    refused: Callable[[Refusal], dict[str, Any]],
    ended: Callable[[RerankResponse | None], None],
) -> AsyncIterator[bytes]:
    """The events of a request, until it is answered or refused, or its client disconnects."""

    def work() -> RerankResponse | None:
        try:
            response = job.answer(queue)
            about = response.about
            keys = ("seconds", "queued_seconds", "tokens_read", "tokens_written")
            queue.put(event("done", {"id": job.request_id, **{key: about[key] for key in keys}}))
            return response
        except Refusal as refusal:
            queue.put(event("error", refused(refusal)))
        except DisconnectedError:
            return None
        finally:
            queue.put(None)
        return None

    working = asyncio.ensure_future(desk.run(work))
    leaving = asyncio.ensure_future(disconnected())
    response = None
    try:
        while True:
            getting = asyncio.ensure_future(queue.events.get())
            patience = min(desk.limits.heartbeat, job.ticket.seconds_left)
            await asyncio.wait({getting, leaving}, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                if (message := getting.result()) is None:
                    break
                yield message
                continue
            getting.cancel()
            if leaving.done():
                return
            if not job.ticket.seconds_left:
                working.cancel()
                yield event("error", refused(late()))
                return
            yield b": heartbeat\n\n"
        response = await working
    finally:
        job.ticket.disconnected = response is None
        leaving.cancel()
        ended(response)
