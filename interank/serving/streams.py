"""A request's response as server-sent events: the ranking, explanations as they grow, heartbeats, the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from interank.serving.backlog import LeftError
from interank.serving.bytes import event
from interank.serving.desk import Desk
from interank.serving.ranking import Hears, Job
from interank.serving.replies import Json
from interank.serving.requests import Refusal, RerankResponse

_UNFINISHED = "\N{REPLACEMENT CHARACTER}"


class Telling(Hears):
    """A listener that passes progress from a request's thread to a queue of the event loop."""

    def __init__(self, reply: Callable[[RerankResponse], Json]) -> None:
        """Create the queue in the running event loop; `reply` writes a ranking in the client's dialect."""
        self.events: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._reply = reply
        self._sent: dict[int, str] = {}

    def tell(self, message: bytes | None) -> None:
        """Put an event onto the queue; None ends the stream."""
        self._loop.call_soon_threadsafe(self.events.put_nowait, message)

    def ranking(self, answered: RerankResponse) -> None:
        """See `Hears`."""
        self.tell(event("ranking", self._reply(answered)))

    def text(self, index: int, text: str) -> None:
        """See `Hears`; an incomplete character at the end is held back."""
        before, now = self._sent.get(index, ""), text.rstrip(_UNFINISHED)
        if len(now) > len(before) and now.startswith(before):
            self._sent[index] = now
            self.tell(event("delta", {"index": index, "text": now[len(before) :]}))

    def explained(self, index: int, explanation: str, quotes: list[dict[str, Any]]) -> None:
        """See `Hears`."""
        self.tell(event("explanation", {"index": index, "explanation": explanation, "quotes": quotes}))


async def events(
    job: Job,
    telling: Telling,
    desk: Desk,
    left: Callable[[], Awaitable[Any]],
    refused: Callable[[Refusal], dict[str, Any]],
    ended: Callable[[RerankResponse | None], None],
) -> AsyncIterator[bytes]:
    """The events of a request, until it is answered or refused, or its client disconnects."""

    def work() -> RerankResponse | None:
        try:
            answered = job.answer(telling)
            about = answered.about
            keys = ("seconds", "queued_seconds", "tokens_read", "tokens_written")
            telling.tell(event("done", {"id": job.request, **{key: about[key] for key in keys}}))
            return answered
        except Refusal as refusal:
            telling.tell(event("error", refused(refusal)))
        except LeftError:
            return None
        finally:
            telling.tell(None)
        return None

    working = asyncio.ensure_future(desk.run(work))
    leaving = asyncio.ensure_future(left())
    answered = None
    try:
        while True:
            getting = asyncio.ensure_future(telling.events.get())
            await asyncio.wait({getting, leaving}, timeout=desk.limits.heartbeat, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                if (message := getting.result()) is None:
                    break
                yield message
                continue
            getting.cancel()
            if leaving.done():
                return
            yield b": heartbeat\n\n"
        answered = await working
    finally:
        job.ticket.left = answered is None
        leaving.cancel()
        ended(answered)
