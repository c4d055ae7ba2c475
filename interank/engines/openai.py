"""A teacher on OpenAI-compatible servers: token ids where the server takes them (vLLM's does), messages otherwise."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx2

from interank.engines.endpoints import Endpoints
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
from interank.engines.vllm import labels_of
from interank.errors import ModelError
from interank.recipe import ServerRecipe

_SEEDS = 2**31
# Whatever a server's generation_config.json says, tokens are chosen as asked.
_PLAIN = {"top_p": 1.0, "top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0}
# Any ids will do to see whether a server takes ids and tells labels; they exist in every vocabulary.
_PROBE = Request(Prompt((), (), (1, 2, 3)), labels=(1, 2, 3))


class OpenAiTeacher:
    """Keeps up to `in_flight` requests under way over all servers."""

    unit_size = 1

    def __init__(self, model: str, settings: ServerRecipe, *, token_ids: bool | None = None) -> None:
        """Take a model by the name that the servers know.

        Args:
            model: The name.
            settings: The servers.
            token_ids: Whether they take token ids and tell the labels' probabilities; None asks them.

        Raises:
            ModelError: No server answers.
        """
        self.model = model
        self.settings = settings
        self.identity = f"openai {model}"
        self._endpoints = Endpoints(settings, os.environ.get(settings.key))
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
            return _reply(request, content)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            return Failed(f"the server's reply lacks what was asked for ({type(error).__name__}: {error})")

    def _body(self, request: Request) -> tuple[str, dict[str, Any]]:
        """The path and the JSON of a request."""
        if isinstance(request.prompt, Prompt):
            return "completions", token_body(self.model, request, self._seed(request))
        messages = [{"role": role, "content": content} for role, content in request.prompt]
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
            self._endpoints = Endpoints(self.settings, os.environ.get(self.settings.key))
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
    """The labels' logits that a choice tells, as `token_body` asked for them."""
    told = choice["logprobs"]["top_logprobs"][0]
    return labels_of({label: float(told[f"token_id:{label}"]) for label in labels}, labels)


def _reply(request: Request, content: Mapping[str, Any]) -> Reply:
    choice = content["choices"][0]
    read, written = _usage(request, content, choice)
    if not isinstance(request.prompt, Prompt):
        text = choice["message"]["content"]
        if not isinstance(text, str):
            raise ValueError(f"content is {text!r}, text is expected")
        return Reply(text=text, finished=choice["finish_reason"] == "stop", read=read, written=written)
    if request.labels:
        return Reply(labels=labels_in(choice, request.labels), read=read, written=written)
    ids = tuple(int(index) for index in choice["token_ids"])
    finished = choice["finish_reason"] == "stop"
    if finished and ids[-1:] == (request.end,):
        ids = ids[:-1]
    return Reply(ids, finished=finished, read=read, written=written)


def _usage(request: Request, content: Mapping[str, Any], choice: Mapping[str, Any]) -> tuple[int, int]:
    """Tokens read and written, as the server counts them; guessed where it does not, or no budget would end."""
    usage = content.get("usage") or {}
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if isinstance(request.prompt, Prompt):
        guess = len(request.prompt.ids), len(choice.get("token_ids") or ()) or 1
    else:
        asked = sum(len(part) for _, part in request.prompt)
        answered = len(str(choice["message"]["content"]))
        guess = -(-asked // CHARACTERS_PER_TOKEN), -(-answered // CHARACTERS_PER_TOKEN)
    return int(guess[0] if read is None else read), int(guess[1] if written is None else written)
