"""The judge that a recipe names for its rewards: a teacher that answers plain questions; replies are stored."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from interank import distributed
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Reply, Request, Sampling
from interank.settings import (
    BudgetRecipe,
    PromptSettings,
    TeacherRecipe,
)
from interank.teacher.budget import Meter
from interank.teacher.opening import REPLIES, default_cache, open_teacher
from interank.teacher.replies import Asker, ReplyStore

log = logging.getLogger(__name__)


class Judge:
    """Answers questions in their order; None for a question that failed."""

    def __init__(self, asker: Asker, encoder: PromptEncoder | None, tokens: int) -> None:
        """Take the asker, the encoder of questions (None sends messages), and the most tokens of an answer."""
        self._asker, self._encoder, self._tokens = asker, encoder, tokens

    def __call__(self, questions: Sequence[str]) -> list[str | None]:
        """The answers; those of repeated questions come from the store."""
        replies = self._asker.replies([self._request(question) for question in questions])
        failed = sum(not isinstance(reply, Reply) for reply in replies)
        if failed:
            log.warning("the judge failed on %d of %d questions, which count for nothing", failed, len(replies))
        return [self._text(reply) if isinstance(reply, Reply) else None for reply in replies]

    def _request(self, question: str) -> Request:
        sampling = Sampling(self._tokens)
        if self._encoder is None:
            return Request((("user", question),), sampling)
        return Request(self._encoder.question_prompt(question), sampling, end=self._encoder.end)

    def _text(self, reply: Reply) -> str:
        return self._encoder.text(reply.ids) if self._encoder is not None and reply.ids else reply.text


def open_judge(
    settings: TeacherRecipe, prompt: PromptSettings, work: Path, seed: int
) -> Callable[[Sequence[str]], list[str | None]]:
    """The judge; its replies are stored in `work`, and across outputs where $INTERANK_CACHE is set.

    Of several processes only the first asks; the judge of the others answers None, and they get the first's rewards.
    """
    if not distributed.first():
        return lambda questions: [None] * len(questions)
    teacher, encoder, _ = open_teacher(settings, prompt, seed)
    shared = default_cache()
    asker = Asker(
        teacher,
        ReplyStore(work / "judge" / REPLIES),
        ReplyStore(shared / REPLIES) if shared else None,
        Meter(BudgetRecipe(), settings.price),
    )
    return Judge(asker, encoder, settings.max_reasoning_tokens)
