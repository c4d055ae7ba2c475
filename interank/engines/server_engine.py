"""The engine on OpenAI-compatible servers: the model runs there, prompts and labels are sent as token ids."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from interank.engines.openai import OpenAiTeacher
from interank.engines.prompts import Prompt
from interank.engines.protocol import Ability, Completion, Failure, LabelLogits, Message, Reply, Request, Sampling
from interank.engines.work import Work, positions_attended
from interank.errors import PromptError
from interank.settings import ServerRecipe

log = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class ServerEngine:
    """Sends requests to servers that run the model; servers that take only messages cannot grade (`abilities`)."""

    def __init__(self, model: str, settings: ServerRecipe, *, vocabulary: int | None = None) -> None:
        """Find out what the servers can do.

        Args:
            model: The model's name on the servers.
            settings: The servers.
            vocabulary: How many token ids the model has; None if that is not known.

        Raises:
            ModelError: No server answers.
        """
        token_ids = {"tokens": True, "chat": False}.get(settings.api)
        self._teacher = _apart(lambda: OpenAiTeacher(model, settings, token_ids=token_ids, vocabulary=vocabulary))
        self.device = " ".join(settings.urls)
        self.work = Work()
        if "token_ids" not in self.abilities:
            log.warning("%s takes messages only, or has no model named %r", self.device, model)

    @property
    def abilities(self) -> frozenset[Ability]:
        """See `Engine`."""
        return self._teacher.abilities

    def retry_failed_servers(self, seconds: float) -> None:
        """Ask servers that failed too often again after so many seconds, for callers that outlive failures."""
        self._teacher.retry_failed_servers(seconds)

    def flops(self, work: Work) -> float | None:
        """See `Engine`; the servers do not report the model's shape."""
        return None

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """See `Engine`; the logits are log-probabilities, which differ from logits by a constant."""
        replies = self._replies([Request(prompt, labels=tuple(labels)) for prompt in prompts])
        return [reply.labels for reply in replies if reply.labels is not None]

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """See `Engine`; servers return no log-probabilities at the sampling temperature, so there are none."""
        replies = self._replies([Request(prompt, sampling, end) for prompt in prompts])
        return [Completion(reply.ids, (), reply.finished) for reply in replies]

    def converse(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[str]:
        """See `Conversing`."""
        return [reply.text for reply in self._replies([Request(tuple(one), sampling) for one in conversations])]

    def _replies(self, requests: Sequence[Request]) -> list[Reply]:
        """Replies in the order of the requests.

        Raises:
            PromptError: A request has no reply, or none that can be used.
            ModelError: Every server has failed.
        """
        units = [(request,) for request in requests]
        places = {id(unit): place for place, unit in enumerate(units)}
        answers = {places[id(unit)]: reply for unit, (reply,) in _apart(lambda: list(self._teacher.ask(iter(units))))}
        replies = []
        for place, request in enumerate(requests):
            reply = answers[place]
            if isinstance(reply, Failure):
                position = f"{place + 1} of {len(requests)}"
                raise PromptError(place, f"{self.device} gave no usable answer to prompt {position}: {reply.reason}")
            self._count(request, reply)
            replies.append(reply)
        return replies

    def _count(self, request: Request, reply: Reply) -> None:
        attended = positions_attended(0, reply.read + reply.written * (not request.labels))
        written = 0 if request.labels else reply.written
        self.work += Work(reply.read, written, attended, 1 + written)


def _apart(call: Callable[[], _Result]) -> _Result:
    """Make a call that runs its own event loop: in a thread if one is running here already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return call()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result()
