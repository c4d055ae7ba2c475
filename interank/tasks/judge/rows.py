"""Judged examples as rows of token ids, grouped by question so that they can share its tokens."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from interank import judging
from interank.engines.prompts import PromptEncoder
from interank.judging import Order
from interank.settings.student import MixtureRecipe, Task
from interank.tasks.judge.asking import LABEL_ROOM
from interank.training.rows import Group, Row
from interank.types import GRADES, Example, Query

_ORDERS: dict[Task, Order] = {"score": "grade_first", "explain": "grade_first", "reason": "reason_first"}


def training_row(encoder: PromptEncoder, example: Example, task: Task | None = None, *, listed: bool = False) -> Row:
    """The example's row for one task; by default the task with the order of the encoder's settings.

    The answer is kept whole and the document cut to make room for it; the explanation is cut only where it is
    longer than half of `max_length`. All tasks of an example cut its document alike.
    """
    task = task or ("explain" if encoder.settings.order == "grade_first" else "reason")
    order = _ORDERS[task]
    most = encoder.settings.max_length // 2
    reasoning = min(most, len(encoder.plain(example.judgment.reasoning)))
    prompt = encoder.prompt(example.query, example.document, answer_tokens=reasoning + LABEL_ROOM, order=order)
    answer = encoder.answer(example.judgment, reasoning_tokens=reasoning, order=order)
    grade_at = len(encoder.label_lead) if order == "grade_first" else len(answer) - 2
    if task == "score":
        # The words before the grade are forced where it is read, so there is nothing to learn about them.
        answer = answer[: grade_at + 1]
    trained_from = grade_at if task == "score" else 0
    return Row(task, prompt.ids, answer, trained_from, grade_at, _grades(example), listed=listed, weight=example.weight)


def queries_row(encoder: PromptEncoder, question: Query, queries: Sequence[str]) -> Row:
    """The row of the search queries that a teacher wrote for a question; as many as fit, each whole."""
    room = encoder.settings.max_length // 2
    fitting = list(queries)
    while len(fitting) > 1 and len(encoder.plain(judging.queries_answer(fitting))) > room:
        fitting.pop()
    prompt = encoder.queries_prompt(question, len(queries))
    return Row("queries", prompt.ids, (*encoder.plain(judging.queries_answer(fitting))[:room], encoder.end))


def training_groups(
    encoder: PromptEncoder,
    questions: Iterable[Sequence[Example]],
    mixture: MixtureRecipe,
    *,
    documents: int,
    seed: int,
    queries: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Group]:
    """The rows of all questions; a group has at most `documents` documents of one question.

    The tasks of each question are drawn by `seed`; a question without a task is left out.

    Args:
        encoder: Makes the ids.
        questions: The judged examples of each question.
        mixture: The share of the questions for each task.
        documents: The most documents of a group.
        seed: Decides the draw.
        queries: The teacher's search queries, by question id.
    """
    written = queries or {}
    for items in questions:
        question = items[0].query
        tasks = [task for task, share in mixture.shares.items() if _drawn(seed, task, question.query_id, share)]
        graded = [task for task in tasks if task != "queries"]
        has_queries = "queries" in tasks and question.query_id in written
        extra = (queries_row(encoder, question, written[question.query_id]),) if has_queries else ()
        for start in range(0, len(items), documents):
            rows = [row for item in items[start : start + documents] for row in _rows(encoder, item, graded)]
            rows += extra if start == 0 else ()
            if rows:
                yield tuple(rows)


def _rows(encoder: PromptEncoder, example: Example, tasks: Sequence[Task]) -> list[Row]:
    if not example.judgment.reasoning:
        # Without an explanation only the grade can be learned, once.
        tasks = ["score"] if tasks else []
    # The listwise loss takes a document's score from the first of its rows that is grade-first.
    listed = next((task for task in tasks if _ORDERS[task] == "grade_first"), None)
    return [training_row(encoder, example, task, listed=task == listed) for task in tasks]


def _drawn(seed: int, task: Task, query_id: str, share: float) -> bool:
    return random.Random(f"{seed} {task} {query_id}").random() < share


def _grades(example: Example) -> tuple[float, float, float]:
    """The teacher's probabilities, or certainty where it gave none."""
    if example.probabilities is not None:
        return example.probabilities
    sure = [float(grade == example.judgment.relevance) for grade in GRADES]
    return sure[0], sure[1], sure[2]


def columns(item: Example, order: Order) -> dict[str, Any]:
    """The columns that rewards get of an example: the pair, its judged grade, and the order of the answer."""
    return {
        "query_id": item.query.query_id,
        "doc_id": item.document.doc_id,
        "query": item.query.text,
        "document": item.document.full_text,
        "relevance": int(item.judgment.relevance),
        "order": order,
    }
