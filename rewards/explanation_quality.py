"""The quality of an explanation, by a reward model or by a language model with a rubric.

With `model: runs/reward`, an output of `interank reward` on the policy's base, the sigmoid of its score, 0 to 1; it
runs on the policy's own base weights with another adapter. It reads the explanation without the grade. A grade without
an explanation counts as a completion that cannot be read, since the model was not trained on any.

With another `model` (a sequence classifier with one output, such as Skywork-Reward-Llama-3.1-8B-v0.2, which the
original InteRank used): the sigmoid of its output on question and answer, 0 to 1, or the output itself with
`scale: raw`.
Without `model` the recipe's `judge` is asked, on any engine: `scale: absolute` lets it mark each explanation from 0 to
10 by the rubric, `scale: relative` lets it mark the different explanations of a pair side by side, in an order and in
its reverse. Value: mark / 10, the mean of both orders; None for explanations that the two orders rank differently.
The log gets their share (`explanation_quality/contradicted`), and by how many marks those in the first half are marked
higher (`explanation_quality/position_bias`).

Where the judge fails or gives no mark, the value is None; a completion that cannot be read gets -1 (with `scale: raw`
one less than the lowest of the batch). Equal questions are asked once: a judge's replies are stored on disk, a model's
outputs in memory. The answers to a question are read together, so that question and document are computed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import blake2b
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from interank import judging, rubric
from interank.errors import InputError
from interank.judging import parse
from interank.wording import counted, listed

if TYPE_CHECKING:
    from interank.engines.reward_model import RewardModel

CREDIT = "explanation"
UNREADABLE = -1.0
# From this many different explanations of pairs with several on, one mark for all is taken for a fault of the judge.
_ALIKE = 16

Own = Callable[[Sequence[tuple[str, str, str]]], list[float]]
"""A reward model trained by `interank reward`: a score in logits for each query, document and explanation."""
Judge = Callable[[Sequence[str]], list[str | None]]
"""Answers each question, or None where it failed."""
Log = Callable[[str, float], None]
"""Takes a figure for the training's log."""


class Answered(NamedTuple):
    """A pair and a readable answer to it."""

    query: str
    document: str
    answer: str


def reward(
    *,
    completions: Sequence[str],
    query: Sequence[str],
    document: Sequence[str],
    judge: Judge | None = None,
    model: str | Own | None = None,
    scale: str = "absolute",
    **given: Any,
) -> list[float | None]:
    """One value or None a completion."""
    scales = ("absolute", "relative") if model is None else ("absolute", "raw")
    if scale not in scales:
        raise InputError(f"reward explanation_quality: scale is {scale!r}; it has to be {listed(scales, last='or')}")
    own = model is not None and not isinstance(model, str)
    rows = [
        Answered(question, text, completion.strip()) if _can_be_marked(completion, own=own) else None
        for completion, question, text in zip(completions, query, document, strict=True)
    ]
    distinct = sorted({row for row in rows if row is not None})
    marks: dict[Answered, float | None]
    if model is not None:
        marks = dict(zip(distinct, _modelled(model, distinct, scale), strict=True))
    elif judge is None:
        raise InputError(
            "reward explanation_quality has neither a judge nor a model; give the recipe a judge, or set params.model"
        )
    elif scale == "absolute":
        marks = dict(zip(distinct, map(_mark, judge([_question((row,)) for row in distinct])), strict=True))
    else:
        marks = _side_by_side(judge, distinct, given.get("log_metric"))
    if model is None:
        _require_differences(marks)
    known = [mark for mark in marks.values() if mark is not None]
    floor = min(known) - 1 if scale == "raw" and known else UNREADABLE
    return [floor if row is None else marks[row] for row in rows]


def _can_be_marked(completion: str, *, own: bool) -> bool:
    """Whether the completion has a grade, and for a model of `interank reward` (`own`) an explanation too."""
    judgment = parse(completion)
    return judgment is not None and (bool(judgment.reasoning) or not own)


def _question(rows: Sequence[Answered]) -> str:
    return rubric.question(rows[0].query, rows[0].document, [row.answer for row in rows])


def _mark(reply: str | None) -> float | None:
    """The mark of a reply about one explanation."""
    return None if reply is None else rubric.mark(reply)


def _side_by_side(judge: Judge, distinct: Sequence[Answered], log: Log | None) -> dict[Answered, float | None]:
    pairs: dict[tuple[str, str], list[Answered]] = {}
    for row in distinct:
        pairs.setdefault((row.query, row.document), []).append(row)
    groups = list(pairs.values())
    several = [rows for rows in groups if len(rows) > 1]
    alone = [rows for rows in groups if len(rows) == 1]
    replies = judge([_question(rows) for rows in (*several, *(rows[::-1] for rows in several), *alone)])
    marks = {rows[0]: _mark(reply) for rows, reply in zip(alone, replies[2 * len(several) :], strict=True)}
    biases, contradicted = [], []
    for place, rows in enumerate(several):
        first, second = _marks(replies[place], rows), _marks(replies[len(several) + place], rows[::-1])
        if first is None or second is None:
            marks |= dict.fromkeys(rows)
            continue
        both = [(one, other) for one, other in zip(first, reversed(second), strict=True)]
        against = [any((one - x) * (other - y) < 0 for x, y in both) for one, other in both]
        marks |= {
            row: None if is_against else (one + other) / 2
            for row, (one, other), is_against in zip(rows, both, against, strict=True)
        }
        contradicted += against
        half = len(rows) // 2
        gains = [one - other for one, other in both]
        biases.append((sum(gains[:half]) - sum(gains[-half:])) / (2 * half))
    if log is not None and biases:
        log("explanation_quality/contradicted", fmean(contradicted))
        log("explanation_quality/position_bias", fmean(biases) * rubric.BEST)
    return marks


def _marks(reply: str | None, rows: Sequence[Answered]) -> list[float] | None:
    return None if reply is None else rubric.marks(reply, len(rows))


def _require_differences(marks: Mapping[Answered, float | None]) -> None:
    """Refuse a judge that marks everything alike.

    Raises:
        InputError: The judge gave many different explanations of the same pairs one mark.
    """
    known = {row: mark for row, mark in marks.items() if mark is not None}
    several = Counter((row.query, row.document) for row in known)
    number = sum(count for count in several.values() if count > 1)
    if number >= _ALIKE and len(only := {*known.values()}) == 1:
        raise InputError(
            f"reward explanation_quality: the judge gave all {counted(len(known), 'explanation')} of "
            f"{counted(len(several), 'pair')} the mark {only.pop() * rubric.BEST:g}, from which the policy cannot "
            "learn; name another judge, or a reward model"
        )


# By a digest of the question, since the questions and answers of a long training do not fit memory.
_outputs: dict[bytes, float] = {}


def _modelled(model: str | Own, rows: Sequence[Answered], scale: str) -> list[float | None]:
    import torch

    outputs = torch.tensor(_by_whole(model, rows) if isinstance(model, str) else _by_own(model, rows))
    return list((outputs if scale == "raw" else outputs.sigmoid()).tolist())


def _by_own(own: Own, rows: Sequence[Answered]) -> list[float]:
    explained = [judging.parse(row.answer) for row in rows]
    return own([(row.query, row.document, each.reasoning) for row, each in zip(rows, explained, strict=True) if each])


def _by_whole(model: str, rows: Sequence[Answered]) -> list[float]:
    keys = [blake2b("\0".join((model, *row)).encode(), digest_size=16).digest() for row in rows]
    missing = {key: row for key, row in zip(keys, rows, strict=True) if key not in _outputs}
    if missing:
        chats = [
            [
                *((part["role"], part["content"]) for part in judging.render(row.query, row.document, "grade_first")),
                ("assistant", row.answer),
            ]
            for row in missing.values()
        ]
        _outputs.update(zip(missing, _reward_model(model).outputs(chats), strict=True))
    return [_outputs[key] for key in keys]


@cache
def _reward_model(name: str) -> RewardModel:
    from interank.engines.reward_model import RewardModel

    return RewardModel(name)
