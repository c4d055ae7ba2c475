"""Known faults of engines, made on purpose; the differences that they make have to exceed the tolerance."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from interank.diagnosis.golden import GoldenQuery, Reading, read_golden
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.transformers import TransformersEngine

Broken = Callable[[Any, PromptEncoder, Sequence[GoldenQuery]], list[Reading]]
# Replaces the plain frame of a tokenizer without a chat template; one with a template loses it.
_OTHER_TEMPLATE = "{% for message in messages %}{{ 'User: ' + message['content'] + '\n\nBot: ' }}{% endfor %}"


def _with_first_token_twice(model: Any, encoder: PromptEncoder, golden: Sequence[GoldenQuery]) -> list[Reading]:
    """The readings of an engine that puts a second beginning-of-sequence token before the prompt."""

    def begun_twice(prompt: Prompt) -> Prompt:
        return replace(prompt, prefix=(*prompt.prefix[:1], *prompt.prefix))

    return read_golden(TransformersEngine(model), encoder, golden, changed=begun_twice)


def _with_other_template(model: Any, encoder: PromptEncoder, golden: Sequence[GoldenQuery]) -> list[Reading]:
    tokenizer: Any = copy.deepcopy(encoder.tokenizer)
    tokenizer.chat_template = None if tokenizer.chat_template else _OTHER_TEMPLATE
    return read_golden(TransformersEngine(model), PromptEncoder(tokenizer, encoder.settings), golden)


def _without_adapter(model: Any, encoder: PromptEncoder, golden: Sequence[GoldenQuery]) -> list[Reading]:
    with model.disable_adapter():
        return read_golden(TransformersEngine(model), encoder, golden)


NO_ADAPTER = "no adapter"
FAULTS: Mapping[str, Broken] = {
    "first token twice": _with_first_token_twice,
    "another chat template": _with_other_template,
    NO_ADAPTER: _without_adapter,
}
