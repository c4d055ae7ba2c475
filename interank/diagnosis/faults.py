"""Faults that engines are known for, made on purpose: what they move has to be beyond the tolerance."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from interank.diagnosis.golden import GoldenQuery, Reading, read_golden
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.transformers import TransformersEngine

Broken = Callable[[Any, PromptEncoder, Sequence[GoldenQuery]], list[Reading]]
# Of a tokenizer that has a chat template, and of one that has none.
_OTHER_TEMPLATE = "{% for message in messages %}{{ 'User: ' + message['content'] + '\n\nBot: ' }}{% endfor %}"


def _with_first_token_twice(model: Any, encoder: PromptEncoder, asked: Sequence[GoldenQuery]) -> list[Reading]:
    """As an engine has it that puts a beginning-of-sequence token before the prompt's own."""

    def begun_twice(prompt: Prompt) -> Prompt:
        return replace(prompt, prefix=(*prompt.prefix[:1], *prompt.prefix))

    return read_golden(TransformersEngine(model), encoder, asked, changed=begun_twice)


def _with_other_template(model: Any, encoder: PromptEncoder, asked: Sequence[GoldenQuery]) -> list[Reading]:
    tokenizer: Any = copy.deepcopy(encoder.tokenizer)
    tokenizer.chat_template = None if tokenizer.chat_template else _OTHER_TEMPLATE
    return read_golden(TransformersEngine(model), PromptEncoder(tokenizer, encoder.settings), asked)


def _without_adapter(model: Any, encoder: PromptEncoder, asked: Sequence[GoldenQuery]) -> list[Reading]:
    with model.disable_adapter():
        return read_golden(TransformersEngine(model), encoder, asked)


NO_ADAPTER = "no adapter"
FAULTS: Mapping[str, Broken] = {
    "first token twice": _with_first_token_twice,
    "another chat template": _with_other_template,
    NO_ADAPTER: _without_adapter,
}
