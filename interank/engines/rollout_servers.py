"""Rollouts from `vllm serve` processes, which reload the trained adapter while they run."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from interank import distributed
from interank.engines.answers import Answer, TooLargeError, UnansweredError, answered
from interank.engines.endpoints import Endpoints
from interank.engines.openai import fault_of, first_choice, has_ended, ids_in, labels_in, part, token_body
from interank.engines.prompts import Prompt
from interank.engines.protocol import Ability, Completion, Failure, LabelLogits, Request, Sampling
from interank.engines.soundness import labels_fault, log_probability
from interank.engines.vllm import seeds_of
from interank.engines.work import Work
from interank.errors import ModelError
from interank.settings import RolloutServersRecipe
from interank.wording import counted

log = logging.getLogger(__name__)

# The label of a replica in vLLM's metrics.
_ENGINE = re.compile(r'engine="(\d+)"')
_START = (
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve MODEL --enable-lora --max-lora-rank RANK "
    "--logprobs-mode processed_logprobs"
)


class RolloutServers:
    """Generates on servers of the base model, with the adapter that they loaded last."""

    def __init__(self, settings: RolloutServersRecipe, *, vocabulary: int | None = None) -> None:
        """Take the servers; they get their first request with the first adapter.

        Args:
            settings: The servers.
            vocabulary: How many token ids the model has, where that is known.
        """
        self.vocabulary = vocabulary
        self.settings = settings.model_copy(update={"urls": tuple(url.rstrip("/") for url in settings.urls)})
        self.work = Work()
        self._adapter = ""
        self._endpoints = self._serving(self.settings.urls)

    @property
    def abilities(self) -> frozenset[Ability]:
        """See `Engine`."""
        return frozenset({"token_ids", "label_logits"})

    @property
    def device(self) -> str:
        """See `Engine`."""
        return ", ".join(self.settings.urls)

    def flops(self, work: Work) -> float | None:
        """See `Engine`; the servers do not report the model's shape."""
        return None

    def take_adapter(self, folder: Path) -> None:
        """See `Adapting`; a server that cannot load it gets no requests until the next adapter.

        No two adapters of any training share a name, since a server caches what it computes by name.
        """
        # Of several processes the first has it loaded; each requests its own completions.
        self._adapter, loaded = distributed.from_first(lambda: self._load(folder))
        self._endpoints = self._serving(loaded)

    def _load(self, folder: Path) -> tuple[str, tuple[str, ...]]:
        """Load the adapter on all servers; its name, and the servers that have it."""
        before, name = self._adapter, f"rollouts-{uuid4().hex[:12]}"
        body = {"lora_name": name, "lora_path": str(folder)}
        if not before:
            for url in self.settings.urls:
                self._refuse_replicas(url)
        outcomes = {url: self._post(f"{url}/load_lora_adapter", body) for url in self.settings.urls}
        loaded = tuple(url for url, fault in outcomes.items() if not fault)
        faults = "; ".join(f"{url}: {fault}" for url, fault in outcomes.items() if fault)
        if not loaded:
            raise ModelError(
                f"no rollout server loaded the adapter ({faults}); each has to see {folder} under this path, and to "
                f"have been started as: {_START}"
            )
        if faults:
            log.warning("left out until the next adapter: %s", faults)
        for url in loaded if before else ():
            if fault := self._post(f"{url}/unload_lora_adapter", {"lora_name": before}):
                log.info("%s no longer had the previous adapter: %s", url, fault)
        return name, loaded

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """See `Engine`."""
        requests = [Request(prompt, labels=tuple(labels)) for prompt in prompts]
        contents = self._contents([token_body(self._adapter, request, 0) for request in requests])
        self.work += Work(tokens_read=sum(len(prompt.ids) for prompt in prompts), projected=len(prompts))
        return [_labels(content, labels) for content in contents]

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """See `Engine`; each prompt samples from a seed of its own, as in `VllmEngine`."""
        seeds = seeds_of(sampling, prompts)
        bodies = [
            {**token_body(self._adapter, Request(prompt, sampling, end), seed), "logprobs": 0}
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]
        room = (self.vocabulary, sampling.max_new_tokens)
        completions = [_completion(content, end, *room) for content in self._contents(bodies)]
        written = sum(len(item.ids) + item.finished for item in completions)
        read = sum(len(prompt.ids) for prompt in prompts)
        self.work += Work(tokens_read=read, tokens_written=written, projected=written)
        return completions

    def _refuse_replicas(self, url: str) -> None:
        """Refuse an address with several engines: only the one that gets the request would load the adapter.

        Raises:
            ModelError: vLLM's metrics list several; the message has the commands to start instead.
        """
        try:
            answer = self._answered(f"{url.removesuffix('/v1')}/metrics")
        except (UnansweredError, TooLargeError):
            # A server that is down is reported when it is to load the adapter.
            return
        engines = {*_ENGINE.findall(answer.text)} if answer.is_good else set()
        if len(engines) > 1:
            ports = range(8001, 8001 + len(engines))
            commands = "; ".join(f"CUDA_VISIBLE_DEVICES={gpu} {_START} --port {port}" for gpu, port in enumerate(ports))
            raise ModelError(
                f"{counted(len(engines), 'data-parallel replica')} answer at {url}, of which only one would load the "
                f"adapter and the others sample without it; start {counted(len(engines), 'server')} and name each in "
                f"rollouts.server.urls: {commands}"
            )

    def _post(self, url: str, body: Mapping[str, str]) -> str:
        """Post a body to a server; why that failed, empty if it did not."""
        try:
            answer = self._answered(url, body)
        except (UnansweredError, TooLargeError) as error:
            return str(error)
        return "" if answer.is_good else f"{answer.status} {answer.text[:200]}"

    def _answered(self, url: str, body: Mapping[str, str] | None = None) -> Answer:
        return answered(url, seconds=self.settings.timeout, headers=self._endpoints.headers, body=body)

    def _serving(self, urls: tuple[str, ...]) -> Endpoints:
        return Endpoints(self.settings.model_copy(update={"urls": urls}))

    def _contents(self, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The servers' answers to the bodies, in order.

        Raises:
            ModelError: Every server has failed, or one refuses a request.
        """
        return asyncio.run(self._ask(bodies))

    async def _ask(self, bodies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        room = asyncio.Semaphore(self.settings.in_flight)
        async with self._endpoints.client() as client:

            async def one(body: Mapping[str, Any]) -> dict[str, Any]:
                async with room:
                    content = await self._endpoints.send(client, "completions", body)
                if isinstance(content, Failure):
                    raise ModelError(f"a rollout server gave no completion: {content.reason}")
                return content

            tasks = [asyncio.ensure_future(one(body)) for body in bodies]
            try:
                return await asyncio.gather(*tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


def _labels(content: Mapping[str, Any], labels: Sequence[int]) -> LabelLogits:
    """The labels' logits in an answer.

    Raises:
        ModelError: The server is not vLLM's, is an older one, or returns impossible values.
    """
    try:
        logits = labels_in(first_choice(content), labels)
    except (KeyError, ValueError) as error:
        raise _unsound(error) from None
    if fault := labels_fault(logits):
        raise _unsound(ValueError(fault))
    return logits


def _completion(content: Mapping[str, Any], end: int, vocabulary: int | None, most: int) -> Completion:
    """The ids, `most` at most, and log-probabilities in an answer.

    Raises:
        ModelError: The server is not vLLM's, is an older one, or returns impossible values.
    """
    try:
        choice = first_choice(content)
        ids, finished = ids_in(choice, vocabulary), has_ended(choice)
        logprobs = tuple(map(log_probability, part(part(choice, "logprobs", Mapping), "token_logprobs", list)))
        ended = finished and ids[-1:] == (end,)
        # The end's own log-probability may be left out.
        if len(ids) > most or len(ids) - len(logprobs) not in ((0, 1) if ended else (0,)):
            raise ValueError(
                f"the server gave {counted(len(ids), 'token id')} and "
                f"{counted(len(logprobs), 'log-probability', 'log-probabilities')}, where as many of both, up to "
                f"{most}, are needed"
            )
    except (KeyError, ValueError) as error:
        raise _unsound(error) from None
    if ended:
        return Completion(ids[:-1], logprobs[: len(ids) - 1], True, logprobs[-1] if len(logprobs) == len(ids) else None)
    return Completion(ids, logprobs, finished)


def _unsound(error: Exception) -> ModelError:
    return ModelError(
        f"a rollout server returned no usable token ids and log-probabilities ({fault_of(error)}); use vLLM's server, "
        f"started as: {_START}"
    )
