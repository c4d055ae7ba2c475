"""Whether the explanation's quotes are in the document, and (with `deletion`) whether the grade depends on them.

Value for a completion that grades 1 or 2: the share of its quotes that the document has verbatim, times
min(1, (1 - t) / 0.3), where t is the share of its words in quotes or copied; 0 without a verbatim quote of three words.
For one that grades 0: None without quotes, since an honest "does not mention X" has nothing to quote, else the share
of verbatim quotes less 1. -1 for a completion that cannot be read. Sentences, and runs of 8 words or more, that the
document has too count as copied, so that pasting does not pay, with quotation marks or without.

With `deletion` over 0, that share of the value is multiplied by the deletion test (after ERASER's comprehensiveness,
arXiv 1911.03429): the fall of the expected grade, clipped to 0 to 1, when the quoted sentences are taken out of the
document (the quoted words alone, where those sentences are more than three quarters of it), as the frozen reader sees
it (the adapter from which the training starts). An explanation without quotes then gets None at every grade, since a
paraphrase may be as good; `support` values it.
"""

from __future__ import annotations

from collections.abc import Sequence

from interank.judging import parse
from interank.tasks.judge.quotes import quotes, taken, verified, without_quoted
from interank.tasks.judge.reading import Reader, expected
from interank.types import Judgment

CREDIT = "explanation"
UNREADABLE = -1.0
# The words of the shortest quote that counts, and the share of an explanation that may be copied without loss.
_LEAST, _MOST = 3, 0.7


def reward(
    *,
    completions: Sequence[str],
    query: Sequence[str],
    document: Sequence[str],
    deletion: float = 0.0,
    reader: Reader | None = None,
    **_: object,
) -> list[float | None]:
    """One value from -1 to 1, or None, a completion."""
    judgments = [parse(completion) for completion in completions]
    rows = list(zip(judgments, query, document, strict=True))
    values = [_value(judgment, text, question) for judgment, question, text in rows]
    if deletion and reader is not None:
        tested = [place for place, value in enumerate(values) if value and value > 0]
        whole = [(query[n], document[n]) for n in tested]
        without = [(query[n], without_quoted(document[n], _explanation(judgments[n]))) for n in tested]
        read = reader.grades([*whole, *without]) if tested else []
        for place, before, after in zip(tested, read[: len(tested)], read[len(tested) :], strict=True):
            fall = min(1.0, max(0.0, expected(before) - expected(after)))
            values[place] = (values[place] or 0.0) * (1 - deletion + deletion * fall)
        values = [
            None if judgment is not None and not quotes(judgment.reasoning) else value
            for judgment, value in zip(judgments, values, strict=True)
        ]
    return values


def _explanation(judgment: Judgment | None) -> str:
    return judgment.reasoning if judgment else ""


def _value(judgment: Judgment | None, document: str, query: str) -> float | None:
    if judgment is None:
        return UNREADABLE
    text = judgment.reasoning
    checked = verified(text, document, query)
    if judgment.relevance == 0:
        return checked.found / checked.total - 1 if checked.total else None
    long_enough = any(len(quote.split()) >= _LEAST and verified(f'"{quote}"', document).found for quote in quotes(text))
    if not long_enough or not checked.total:
        return 0.0
    return checked.found / checked.total * min(1.0, (1 - taken(text, document)) / (1 - _MOST))
