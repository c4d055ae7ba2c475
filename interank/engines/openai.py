"""A teacher on OpenAI-compatible servers: token ids where the server takes them (vLLM's does), messages otherwise."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx2

from interank import plain_data
from interank.engines.endpoints import Endpoints
from interank.engines.plain_text import without_turns
from interank.engines.prompts import Prompt
from interank.engines.protocol import (
    CHARACTERS_PER_TOKEN,
    Ability,
    Failure,
    LabelLogits,
    Reply,
    Request,
    Unit,
    content_seed,
)
from interank.engines.soundness import MOST_IDS, checked, log_probability, usage
from interank.engines.vllm import labels_of
from interank.errors import ModelError
from interank.settings import ServerRecipe

_SEEDS = 2**31
# These override a server's generation_config.json, so that tokens are sampled as requested.
_PLAIN = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
# It shows whether a server takes token ids and returns labels' log-probabilities; every vocabulary has these ids.
_PROBE = Request(Prompt((), (), (1, 2, 3)), labels=(1, 2, 3))
# Names of JSON's types in messages.
_KINDS: dict[type, str] = {list: "a list", Mapping: "an object"}


class OpenAiTeacher:
    """Keeps up to `in_flight` requests in flight over all servers."""

    unit_size = 1

    def __init__(
        self, model: str, settings: ServerRecipe, *, token_ids: bool | None = None, vocabulary: int | None = None
    ) -> None:
        """Take the servers of a model.

        Args:
            model: The model's name on the servers.
            settings: The servers.
            token_ids: Whether they take token ids and return the labels' probabilities; None probes them.
            vocabulary: How many token ids the model has; None if its tokenizer is not on this machine.

        Raises:
            InputError: The key's variable holds no valid key.
            ModelError: No server answers.
        """
        self.model = model
        self.settings = settings
        self.vocabulary = vocabulary
        self.identity = f"openai {model}"
        self._endpoints = Endpoints(settings)
        if token_ids is None:
            token_ids = self._takes_ids()
        schema: frozenset[Ability] = frozenset({"schema"})
        both: frozenset[Ability] = frozenset({"token_ids", "label_logits"})
        self.abilities: frozenset[Ability] = both if token_ids else schema

    def retry_failed_servers(self, seconds: float) -> None:
        """Ask servers that failed too often again after so many seconds, in place of never."""
        self._endpoints.retry_seconds = seconds

    def ask(self, units: Iterator[Unit]) -> Iterator[tuple[Unit, tuple[Reply | Failure, ...]]]:
        """See `Teacher`; replies come in the order in which servers give them.

        Raises:
            ModelError: Every server has failed; earlier replies have been yielded.
        """
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            client = self._endpoints.client()
            under_way: dict[asyncio.Task[Reply | Failure], Unit] = {}
            try:
                while True:
                    while len(under_way) < self.settings.in_flight and (unit := next(units, None)) is not None:
                        under_way[loop.create_task(self._one(client, unit[0]))] = unit
                    if not under_way:
                        return
                    first = asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    done, _ = loop.run_until_complete(first)
                    # Replies before errors: one server's failure must not lose the replies of others.
                    for task in sorted(done, key=lambda task: task.exception() is not None):
                        yield under_way.pop(task), (task.result(),)
            finally:
                for task in under_way:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*under_way, return_exceptions=True))
                loop.run_until_complete(client.aclose())

    async def _one(self, client: httpx2.AsyncClient, request: Request) -> Reply | Failure:
        path, body = self._body(request)
        content = await self._endpoints.send(client, path, body)
        if isinstance(content, Failure):
            return content
        try:
            reply = _reply(request, content, self.vocabulary)
        except (KeyError, ValueError) as error:
            return Failure(f"the server's reply lacks what was asked for ({fault_of(error)})")
        sound = checked(request, reply, self.vocabulary)
        return Failure(f"the server's reply cannot be used: {sound.reason}") if isinstance(sound, Failure) else sound

    def _body(self, request: Request) -> tuple[str, dict[str, Any]]:
        """The path and the JSON of a request."""
        if isinstance(request.prompt, Prompt):
            return "completions", token_body(self.model, request, self._seed(request))
        # Servers would read a spelled end of turn as a real one; here it stays text.
        messages = [{"role": role, "content": without_turns(content)} for role, content in request.prompt]
        body = {**_common(self.model, request, self._seed(request)), "messages": messages}
        if request.schema:
            shape = {"name": "answer", "strict": True, "schema": json.loads(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": shape}
        return "chat/completions", body

    def _seed(self, request: Request) -> int:
        """The sampling's seed mixed with the prompt: with one seed for all, all would draw the same numbers."""
        if isinstance(request.prompt, Prompt):
            return (request.sampling.seed + content_seed(request.prompt.ids)) % _SEEDS
        text = "\0".join(part for message in request.prompt for part in message)
        return (request.sampling.seed + content_seed(list(text.encode("utf-8", "replace")))) % _SEEDS

    def _takes_ids(self) -> bool:
        """Whether the servers take token ids and return the labels' log-probabilities."""

        async def probe() -> Reply | Failure:
            async with self._endpoints.client() as client:
                return await self._one(client, _PROBE)

        try:
            reply = asyncio.run(probe())
        except ModelError:
            # Servers that are down do not show what they take, and replies of both kinds must not be mixed.
            if not self._endpoints.without_path:
                raise
            # There is no such path; or no such model, which the first conversation will report.
            self._endpoints = Endpoints(self.settings)
            return False
        return isinstance(reply, Reply) and reply.labels is not None


def _common(model: str, request: Request, seed: int) -> dict[str, Any]:
    sampling = request.sampling
    return {"model": model, "max_tokens": sampling.max_new_tokens, "temperature": sampling.temperature, "seed": seed}


def token_body(model: str, request: Request, seed: int) -> dict[str, Any]:
    """The JSON of a request in token ids, to vLLM's `completions`."""
    assert isinstance(request.prompt, Prompt)
    body = {**_common(model, request, seed), **_PLAIN, "prompt": list(request.prompt.ids), "return_token_ids": True}
    if not request.labels:
        return body | {"stop_token_ids": [request.end], "ignore_eos": True, "skip_special_tokens": False}
    labels = list(request.labels)
    body |= {"max_tokens": 1, "temperature": 0.0, "logprobs": len(labels), "logprob_token_ids": labels}
    return body | {"return_tokens_as_token_ids": True}


def labels_in(choice: Mapping[str, Any], labels: Sequence[int]) -> LabelLogits:
    """The labels' logits in a choice, as `token_body` requests them.

    Raises:
        KeyError: One is missing.
        ValueError: One is no log-probability.
    """
    logprobs = part(part(part(choice, "logprobs", Mapping), "top_logprobs", list), 0, Mapping)
    return labels_of({label: log_probability(logprobs[f"token_id:{label}"]) for label in labels}, labels)


def ids_in(choice: Mapping[str, Any], vocabulary: int | None) -> tuple[int, ...]:
    """The token ids in a choice.

    Raises:
        KeyError: They are missing.
        ValueError: One is no integer, or outside the vocabulary (of `MOST_IDS` ids, if its size is not known).
    """
    most = (vocabulary or MOST_IDS) - 1
    return tuple(plain_data.whole(index, least=0, most=most) for index in part(choice, "token_ids", list))


def has_ended(choice: Mapping[str, Any]) -> bool:
    """Whether the model ended its turn.

    Raises:
        KeyError: The choice has no finish reason.
        ValueError: The finish reason is no text.
    """
    reason = choice["finish_reason"]
    return reason is not None and plain_data.text(reason) == "stop"


def first_choice(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The only choice of a server's answer.

    Raises:
        KeyError: There is none.
        ValueError: It is of another form.
    """
    choice: Mapping[str, Any] = part(part(content, "choices", list), 0, Mapping)
    return choice


def part(whole: Any, name: str | int, kind: type) -> Any:
    """A part of a reply by its name or place, checked to be of the expected type.

    Raises:
        KeyError: It is missing.
        ValueError: It is of another type.
    """
    if isinstance(name, int) and name >= len(whole):
        raise KeyError(f"item {name}")
    value = whole[name]
    if not isinstance(value, kind):
        place = f"item {name}" if isinstance(name, int) else name
        raise ValueError(f"{place} is {plain_data.shown(value)}, where {_KINDS[kind]} is needed")
    return value


def fault_of(error: Exception) -> str:
    """The fault of a reply in words, for an error of `part`."""
    return f"there is no {error.args[0]!r}" if isinstance(error, KeyError) else str(error)


def _reply(request: Request, content: Mapping[str, Any], vocabulary: int | None) -> Reply:
    choice = first_choice(content)
    if not isinstance(request.prompt, Prompt):
        text = plain_data.text(part(choice, "message", Mapping)["content"])
        read, written = _usage(request, content, -(-len(text) // CHARACTERS_PER_TOKEN))
        return Reply(text=text, finished=has_ended(choice), read=read, written=written)
    if request.labels:
        read, written = _usage(request, content, 1)
        return Reply(labels=labels_in(choice, request.labels), read=read, written=written)
    ids, finished = ids_in(choice, vocabulary), has_ended(choice)
    read, written = _usage(request, content, len(ids) or 1)
    if finished and ids[-1:] == (request.end,):
        ids = ids[:-1]
    return Reply(ids, finished=finished, read=read, written=written)


def _usage(request: Request, content: Mapping[str, Any], written: int) -> tuple[int, int]:
    """Tokens read and written: the server's counts if they are credible, so that no count can evade a budget.

    Args:
        request: The request.
        content: The answer's JSON.
        written: Our own count of the tokens written: exact if they came as ids, else from the text.
    """
    value = content.get("usage")
    counts = value if isinstance(value, Mapping) else {}
    return usage(request, counts.get("prompt_tokens"), counts.get("completion_tokens"), written)
