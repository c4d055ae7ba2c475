"""A guard against documents that please the judge whatever is asked: what they gain without a question is taken off."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from interank.engines.judge import Verdict
from interank.engines.protocol import LabelLogits
from interank.types import Document, Query

Guard = Literal["none", "fence", "contrast"]
"""Grades as the model gives them; with the document fenced, whether the model has learned that or not; or less what
the same document gets where nothing is asked, which is twice the work."""

# A question that every text answers alike.
NO_QUESTION = Query("", "N/A")
NO_DOCUMENT = Document("", "")


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
