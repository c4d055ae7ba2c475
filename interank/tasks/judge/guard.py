"""A guard against documents that please the judge whatever is asked: what they gain without a question is taken off."""

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

# A question that every text answers alike.
NO_QUESTION = Query("", "N/A")
NO_DOCUMENT = Document("", "")


class Contrasting(Judge):
    """A judge whose verdicts are less what the same document gets where nothing is asked."""

    def verdicts(self, query: Query, documents: Sequence[Document]) -> list[tuple[Prompt, Verdict]]:
        """See `Judge`."""
        asked = super().verdicts(query, documents)
        no_question = replace(NO_QUESTION, instruction=query.instruction)
        *unasked, (_, nothing) = super().verdicts(no_question, [*documents, NO_DOCUMENT])
        return [
            (prompt, contrasted(found, alone, nothing))
            for (prompt, found), (_, alone) in zip(asked, unasked, strict=True)
        ]


def guarded(judge: Judge, guard: Guard) -> Judge:
    """The judge, on the same engine, with a guard.

    Raises:
        InputError: There is no room for a fence.
    """
    kind = Contrasting if guard == "contrast" else Judge
    encoder = judge.encoder.fenced() if guard == "fence" else judge.encoder
    own = {item.name: getattr(judge, item.name) for item in fields(Judge)}
    return kind(**{**own, "encoder": encoder, "guard": guard})


def contrasted(verdict: Verdict, unasked: Verdict, nothing: Verdict) -> Verdict:
    """The verdict less what the document gains by itself.

    Args:
        verdict: Of the document, for the query.
        unasked: Of the document, for no question.
        nothing: Of no document, for no question: what `unasked` is measured from.
    """
    gained, base = (_among_themselves(item.labels) for item in (unasked, nothing))
    first, second, third = (
        logit - (own - usual) for logit, own, usual in zip(verdict.labels.logits, gained, base, strict=True)
    )
    return replace(verdict, labels=replace(verdict.labels, logits=(first, second, third)))


def _among_themselves(labels: LabelLogits) -> list[float]:
    """The logarithms of the labels' probabilities among themselves, so that no common constant counts."""
    ceiling = max(labels.logits)
    total = ceiling + math.log(sum(math.exp(logit - ceiling) for logit in labels.logits))
    return [logit - total for logit in labels.logits]
