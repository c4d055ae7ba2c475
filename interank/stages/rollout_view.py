"""The rollouts of a training for its page: by step and document, with the advantage of each part of an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interank import judging
from interank.tasks.protocol import ShownPrompt
from interank.types import grouped

Row = Mapping[str, Any]
"""A row of `rollouts.jsonl`."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a completion whose tokens have one advantage."""

    name: str
    """`grade`, `explanation` or `answer`."""
    text: str
    advantage: float

    @property
    def signed(self) -> str:
        """The advantage in figures."""
        return f"{round(self.advantage, 2) + 0.0:+.2f}"

    @property
    def mark(self) -> str:
        """The class of its colour."""
        if abs(self.advantage) < 0.005:
            return "same"
        return "better" if self.advantage > 0 else "worse"


@dataclass(frozen=True, slots=True)
class Answer:
    """A completion with the value of each reward."""

    rewards: Sequence[str]
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class PromptRollouts:
    """The completions of one prompt."""

    shown: ShownPrompt
    earns: Sequence[str]
    """The reward that each grade would have got; empty where grades are sampled."""
    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Step:
    """The recorded rollouts of a step, by query and document."""

    number: int
    queries: Sequence[tuple[str, Sequence[PromptRollouts]]]
    rewards: Sequence[str]
    """The rewards' names."""


def steps(rows: Sequence[Row], shown: Callable[[Row], ShownPrompt]) -> Iterator[Step]:
    """The steps in their order; a step that was repeated has all its recorded rollouts.

    Args:
        rows: The rows of `rollouts.jsonl`.
        shown: Gives the prompt of a row, as the task shows it.
    """
    for number, of_step in sorted(grouped(rows, lambda row: int(row["step"])).items()):
        queries = [
            (
                text,
                [_rollouts(each, shown) for each in grouped(of_query, lambda row: str(row.get("doc_id", ""))).values()],
            )
            for text, of_query in grouped(of_step, lambda row: str(row["query"])).items()
        ]
        yield Step(number, queries, list(of_step[0]["rewards"]))


def _rollouts(rows: Sequence[Row], shown: Callable[[Row], ShownPrompt]) -> PromptRollouts:
    earns = rows[0].get("earns") or ()
    answers = [Answer(["—" if v is None else _plain(v) for v in row["rewards"].values()], parts(row)) for row in rows]
    return PromptRollouts(shown(rows[0]), [_plain(value) for value in earns], answers)


def _plain(value: float) -> str:
    """Two decimals; 0 has no sign."""
    return f"{round(value, 2) + 0.0:.2f}"


def parts(row: Row) -> list[Part]:
    """A completion cut where its advantage changes.

    Where the grade is trained by the sum over all three, TRL's loss leaves its token out and `advantage` is 0 for it;
    its advantage is then its reward less the reward that the policy's probabilities expect.
    """
    completion, (first, last) = str(row["completion"]), row["advantage"]
    if row.get("order") != "grade_first":
        return [Part("answer", completion, float(last))]
    head, between, rest = completion.partition("\n")
    judgment, earns, likely = judging.parse(completion), row.get("earns"), row.get("probabilities")
    if earns and likely and judgment is not None:
        expected = sum(p * value for p, value in zip(likely, earns, strict=True))
        first = float(earns[judgment.relevance]) - expected
    grade = Part("grade", head, float(first))
    return [grade, Part("explanation", between + rest, float(last))] if rest.strip() else [grade]
