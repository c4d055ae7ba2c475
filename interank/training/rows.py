"""Examples as rows of token ids and labels: loss on the answer alone, its end-of-turn included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from interank.engines.prompts import PromptEncoder
from interank.types import Example

IGNORED = -100
# The room an answer needs besides its explanation: label line, gap, end-of-turn.
_LABEL_ROOM = 16


class Row(TypedDict):
    """One training example: ids of shape (tokens,), labels of the same shape with -100 on the prompt."""

    input_ids: list[int]
    labels: list[int]


def training_row(encoder: PromptEncoder, example: Example) -> Row:
    """The example in the order that the encoder's settings choose.

    The answer is kept whole and the document cut to make room for it; the explanation is cut only where it alone
    would fill what the recipe leaves for document and answer.
    """
    most = encoder.settings.max_length // 2
    reasoning = min(most, len(encoder.plain(example.judgment.reasoning)))
    prompt = encoder.prompt(example.query, example.document, answer_tokens=reasoning + _LABEL_ROOM)
    answer = encoder.answer(example.judgment, reasoning_tokens=reasoning)
    ids = [*prompt.ids, *answer]
    return {"input_ids": ids, "labels": [IGNORED] * len(prompt.ids) + list(answer)}


def training_rows(encoder: PromptEncoder, examples: Sequence[Example]) -> list[Row]:
    """The rows of all examples, in their order."""
    return [training_row(encoder, example) for example in examples]
