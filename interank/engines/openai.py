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
    Failed,
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
# Whatever a server's generation_config.json says, tokens are chosen as asked.
_PLAIN = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
# Any ids will do to see whether a server takes ids and tells labels; they exist in every vocabulary.
_PROBE = Request(Prompt((), (), (1, 2, 3)), labels=(1, 2, 3))
# How messages call what JSON has.
_KINDS: dict[type, str] = {list: "a list", Mapping: "an object"}


class OpenAiTeacher:
    """Keeps up to `in_flight` requests under way over all servers."""

    unit_size = 1

    def __init__(
        self, model: str, settings: ServerRecipe, *, token_ids: bool | None = None, vocabulary: int | None = None
    ) -> None:
        """Take a model by the name that the servers know.

        Args:
            model: The name.
            settings: The servers.
            token_ids: Whether they take token ids and tell the labels' probabilities; None asks them.
            vocabulary: How many token ids the model has; None where its tokenizer is not here.

        Raises:
            InputError: What is in the key's variable can be none.
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

    def ask(self, units: Iterator[Unit]) -> Iterator[tuple[Unit, tuple[Reply | Failed, ...]]]:
        """See `Teacher`; replies come as the servers give them.

        Raises:
            ModelError: Every server has failed; what came before has been given out.
        """
        with asyncio.Runner() as runner:
            loop = runner.get_loop()
            client = self._endpoints.client()
            under_way: dict[asyncio.Task[Reply | Failed], Unit] = {}
            try:
                while True:
                    while len(under_way) < self.settings.in_flight and (unit := next(units, None)) is not None:
                        under_way[loop.create_task(self._one(client, unit[0]))] = unit
                    if not under_way:
                        return
                    first = asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    done, _ = loop.run_until_complete(first)
                    # Whole replies first: a server that failed must not take what others gave with it.
                    for task in sorted(done, key=lambda task: task.exception() is not None):
                        yield under_way.pop(task), (task.result(),)
            finally:
                for task in under_way:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*under_way, return_exceptions=True))
                loop.run_until_complete(client.aclose())

    async def _one(self, client: httpx2.AsyncClient, request: Request) -> Reply | Failed:
        path, body = self._body(request)
        content = await self._endpoints.send(client, path, body)
        if isinstance(content, Failed):
            return content
        try:
            reply = _reply(request, content, self.vocabulary)
        except (KeyError, ValueError) as error:
            return Failed(f"the server's reply lacks what was asked for ({told(error)})")
        sound = checked(request, reply, self.vocabulary)
        return Failed(f"the server's reply cannot be used: {sound.reason}") if isinstance(sound, Failed) else sound

    def _body(self, request: Request) -> tuple[str, dict[str, Any]]:
        """The path and the JSON of a request."""
        if isinstance(request.prompt, Prompt):
            return "completions", token_body(self.model, request, self._seed(request))
        # Servers read what spells a turn's end as one; here it stays text.
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
        """Whether a completion of token ids tells the ids it wrote and the labels asked for."""

        async def probe() -> Reply | Failed:
            async with self._endpoints.client() as client:
                return await self._one(client, _PROBE)

        try:
            reply = asyncio.run(probe())
        except ModelError:
            # Servers that are down say nothing of what they take, and the two ways' replies must not be mixed.
            if not self._endpoints.without_path:
                raise
            # No such path; or no such model, which the first message will tell.
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
    """The labels' logits that a choice tells, as `token_body` asked for them.

    Raises:
        KeyError: It does not tell one.
        ValueError: It tells something else than log-probabilities that can stand together.
    """
    found = part(part(part(choice, "logprobs", Mapping), "top_logprobs", list), 0, Mapping)
    return labels_of({label: log_probability(found[f"token_id:{label}"]) for label in labels}, labels)


def ids_in(choice: Mapping[str, Any], vocabulary: int | None) -> tuple[int, ...]:
    """The token ids that a choice tells.

    Raises:
        KeyError: It tells none.
        ValueError: One is no integer, or none of the vocabulary's, whose size may not be known.
    """
    most = (vocabulary or MOST_IDS) - 1
    return tuple(plain_data.whole(index, least=0, most=most) for index in part(choice, "token_ids", list))


def has_ended(choice: Mapping[str, Any]) -> bool:
    """Whether the model ended its turn.

    Raises:
        KeyError: The choice does not tell why it ends.
        ValueError: It tells it in something else than text.
    """
    reason = choice["finish_reason"]
    return reason is not None and plain_data.text(reason) == "stop"


def first_choice(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a server answers, of which one was asked for.

    Raises:
        KeyError: There is none.
        ValueError: It is of another form.
    """
    found: Mapping[str, Any] = part(part(content, "choices", list), 0, Mapping)
    return found


def part(whole: Any, name: str | int, kind: type) -> Any:
    """A part of a reply by its name or place, of the kind that it has to be.

    Raises:
        KeyError: It is not there.
        ValueError: It is of another kind.
    """
    if isinstance(name, int) and name >= len(whole):
        raise KeyError(f"item {name}")
    found = whole[name]
    if not isinstance(found, kind):
        place = f"item {name}" if isinstance(name, int) else name
        raise ValueError(f"{place} is {plain_data.shown(found)}, where {_KINDS[kind]} is needed")
    return found


def told(error: Exception) -> str:
    """What a reply lacks, in words."""
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
    """Tokens read and written, as the server counts them where that can be, or no budget would end.

    Args:
        request: What was asked.
        content: The answer's JSON.
        written: The tokens written, counted here: exactly where they came as ids, else from the text.
    """
    found = content.get("usage")
    told = found if isinstance(found, Mapping) else {}
    return usage(request, told.get("prompt_tokens"), told.get("completion_tokens"), written)
