"""A guard against documents that score high for any query: the score they get without a query is subtracted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields, replace

from interank.engines.judge import Verdict
from interank.engines.prompts import Prompt
from interank.engines.protocol import LabelLogits
from interank.modes import Guard
from interank.tasks.judge.asking import Judge
from interank.types import Document, Query

# Stands for no question: every text answers it equally well.
NO_QUESTION = Query("", "N/A")
NO_DOCUMENT = Document("", "")


class Contrasting(Judge):
    """A judge that subtracts from a document's logits those that it gets for no question."""

    def verdicts(self, query: Query, documents: Sequence[Document]) -> list[tuple[Prompt, Verdict]]:
        """See `Judge`."""
        with_question = super().verdicts(query, documents)
        no_question = replace(NO_QUESTION, instruction=query.instruction)
        *without_question, (_, nothing) = super().verdicts(no_question, [*documents, NO_DOCUMENT])
        return [
            (prompt, contrasted(verdict, unasked, nothing))
            for (prompt, verdict), (_, unasked) in zip(with_question, without_question, strict=True)
        ]


def guarded(judge: Judge, guard: Guard) -> Judge:
    """The judge, on the same engine, with a guard.

    Raises:
        InputError: The prompt has no room for a fence.
    """
    kind = Contrasting if guard == "contrast" else Judge
    encoder = judge.encoder.fenced() if guard == "fence" else judge.encoder
    own = {item.name: getattr(judge, item.name) for item in fields(Judge)}
    return kind(**{**own, "encoder": encoder, "guard": guard})


def contrasted(verdict: Verdict, unasked: Verdict, nothing: Verdict) -> Verdict:
    """The verdict without the logits that the document gains whatever the query.

    Args:
        verdict: Of the document for the query.
        unasked: Of the document for no question.
        nothing: Of an empty document for no question: the baseline of `unasked`.
    """
    gained, base = (_log_softmax(item.labels) for item in (unasked, nothing))
    first, second, third = (
        logit - (own - usual) for logit, own, usual in zip(verdict.labels.logits, gained, base, strict=True)
    )
    return replace(verdict, labels=replace(verdict.labels, logits=(first, second, third)))


def _log_softmax(labels: LabelLogits) -> list[float]:
    """The labels' log-probabilities, normalized over the three, so that a common constant does not count."""
    ceiling = max(labels.logits)
    total = ceiling + math.log(sum(math.exp(logit - ceiling) for logit in labels.logits))
    return [logit - total for logit in labels.logits]
