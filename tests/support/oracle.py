"""An engine that answers prompts of lists from what stands in them, as an exact or a clumsy model would."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Ability, Completion, LabelLogits, Message, Sampling
from interank.engines.work import Work
from interank.tasks.order import ordering

_LINE = re.compile(r"^(?:<\|im_start\|>user\n)?\[(\d+)\] .*?worth (\d+)", re.M)

Said = Callable[[list[int]], str]
"""The answer about documents of these values, in the order in which they are shown."""


def exact(values: Sequence[int]) -> str:
    """The documents by their values, with a thought whose digits are no ranking."""
    order = sorted(range(len(values)), key=lambda position: -values[position])
    return ordering.answer(order, f"It takes 2 steps. [1] is not {values[0] + 1}, and [2] > [1] may be.")


class OracleEngine:
    """Reads the documents' values off the decoded prompt; in ids, or where `chat` is set in messages alone."""

    def __init__(self, encoder: PromptEncoder, said: Said = exact, *, chat: bool = False) -> None:
        self.encoder = encoder
        self.said = said
        self.work = Work()
        self.device = "cpu"
        self.read: list[str] = []
        self.together: list[int] = []
        self.abilities: frozenset[Ability] = frozenset({"schema"} if chat else {"token_ids"})

    def flops(self, work: Work) -> float | None:
        return 10.0 * work.tokens_read

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        raise AssertionError("a listwise reranker reads no logits")

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        texts = [self.encoder.tokenizer.decode(list(prompt.ids)) for prompt in prompts]
        self.work += Work(tokens_read=sum(len(prompt.ids) for prompt in prompts))
        ids = [self.encoder.plain(text)[: sampling.max_new_tokens] for text in self._answers(texts)]
        return [Completion(row, (0.0,) * len(row), len(row) < sampling.max_new_tokens) for row in ids]

    def converse(self, conversations: Sequence[Sequence[Message]], sampling: Sampling) -> list[str]:
        return self._answers(["\n".join(content for _, content in one) for one in conversations])

    def _answers(self, texts: Sequence[str]) -> list[str]:
        self.read += texts
        self.together.append(len(texts))
        return [self.said([int(value) for _, value in _LINE.findall(text)]) for text in texts]
