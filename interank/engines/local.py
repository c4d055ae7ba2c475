"""A teacher in this process: an engine that gets requests in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from interank.engines.prompts import Prompt
from interank.engines.protocol import Ability, Engine, Failure, Reply, Request, Sampling, Unit, content_seed
from interank.engines.soundness import checked, completion_fault


class LocalTeacher:
    """Answers with an engine: units of `unit_size` requests, `together` units in one call."""

    def __init__(
        self, engine: Engine, identity: str, *, vocabulary: int | None = None, unit_size: int = 1, together: int = 1
    ) -> None:
        self.engine = engine
        self.identity = identity
        self.vocabulary = vocabulary
        self.unit_size = unit_size
        self.together = together
        self.abilities: frozenset[Ability] = frozenset({"token_ids", "label_logits"})

    def ask(self, units: Iterator[Unit]) -> Iterator[tuple[Unit, tuple[Reply | Failure, ...]]]:
        """See `Teacher`; an engine's errors are raised, and results that are not finite become `Failure`."""
        while batch := list(islice(units, self.together)):
            replies = iter(self._replies([request for unit in batch for request in unit]))
            for unit in batch:
                yield unit, tuple(islice(replies, len(unit)))

    def _replies(self, requests: Sequence[Request]) -> list[Reply | Failure]:
        """Replies in the order of the requests; requests of a kind go to the engine in one call."""
        replies: dict[int, Reply | Failure] = {}
        for key in dict.fromkeys(_kind(request) for request in requests):
            places = [place for place, request in enumerate(requests) if _kind(request) == key]
            prompts = [_ids(requests[place]) for place in places]
            labels, sampling, end = key
            if labels:
                for place, prompt, logits in zip(
                    places, prompts, self.engine.label_logits(prompts, labels), strict=True
                ):
                    replies[place] = Reply(labels=logits, read=len(prompt.ids))
                continue
            if self.unit_size > 1:
                # One generator serves a batch; without this, every batch would draw the same numbers.
                mixed = content_seed([index for prompt in prompts for index in prompt.ids])
                sampling = replace(sampling, seed=sampling.seed + mixed)
            completions = self.engine.generate(prompts, sampling, end=end)
            for place, prompt, item in zip(places, prompts, completions, strict=True):
                written = len(item.ids) + item.finished
                reply = Reply(item.ids, finished=item.finished, read=len(prompt.ids), written=written)
                fault = completion_fault(item)
                replies[place] = Failure(fault) if fault else reply
        return [
            checked(request, answer, self.vocabulary) if isinstance(answer := replies[place], Reply) else answer
            for place, request in enumerate(requests)
        ]


def _kind(request: Request) -> tuple[tuple[int, ...], Sampling, int]:
    return request.labels, request.sampling, request.end


def _ids(request: Request) -> Prompt:
    if not isinstance(request.prompt, Prompt):
        raise TypeError("an engine in this process takes token ids, and got messages; give it token ids")
    return request.prompt
