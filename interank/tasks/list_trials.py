"""The base of trials on lists: the prompts, the halves of the questions, and the answers that are shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean
from typing import Any, Generic, TypeVar

from interank.engines.prompts import Prompt
from interank.judgments import JudgedList
from interank.tasks.list_columns import columns
from interank.tasks.window_prompts import WindowEncoder
from interank.training.halves import counted, places

_Encoder = TypeVar("_Encoder", bound=WindowEncoder[Any])


class JudgedListsTrial(Generic[_Encoder]):
    """A trial on the same judged lists each time."""

    def __init__(
        self,
        encoder: _Encoder,
        lists: Sequence[JudgedList],
        *,
        tokens: int,
        shown: int = 0,
        reporting: Collection[str] = (),
    ) -> None:
        """Prepare the prompts.

        Args:
            encoder: Makes the prompts.
            lists: The judged lists.
            tokens: The token budget of an answer.
            shown: The number of lists whose answers are kept.
            reporting: The ids of the questions that are only reported and do not choose the adapter.
        """
        query_ids = [item.query.query_id for item in lists]
        self.questions: Mapping[str, int] = counted(query_ids, reporting)
        self._halves = places(query_ids, reporting)
        self.encoder, self.lists, self.tokens = encoder, list(lists), tokens
        self.prompts = list_prompts(encoder, self.lists, tokens)
        # Stays empty: answers about lists have no grade probabilities that later ones could be compared with.
        self.start: list[tuple[float, float, float]] = []
        self.answers: Sequence[Mapping[str, Any]] = ()
        self._shown = shown

    def keep_answers(self, texts: Sequence[str]) -> None:
        """Keep the answers to the first `shown` lists."""
        answered = zip(self.lists[: self._shown], texts, strict=False)
        self.answers = [{**columns(item), "completion": text} for item, text in answered]

    def by_half(self, name: str, values: Sequence[float]) -> dict[str, float]:
        """The mean of the lists' values, for each half of the questions under its name."""
        return {f"{prefix}{name}": fmean(values[place] for place in own) for prefix, own in self._halves.items()}


def list_prompts(encoder: WindowEncoder[Any], lists: Sequence[JudgedList], tokens: int) -> list[Prompt]:
    """The prompt of each list, with room for an answer of `tokens` tokens."""
    return [
        encoder.prompt(
            item.query, item.documents, reasoning_tokens=max(0, tokens - encoder.answer_tokens(len(item.documents), 0))
        ).prompt
        for item in lists
    ]
