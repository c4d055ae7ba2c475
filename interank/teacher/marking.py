"""Marks for a pair's explanations, which a judge reads side by side in two orders, to detect position bias."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from random import Random
from statistics import fmean

from interank import judging, rubric
from interank.engines.protocol import CHARACTERS_PER_TOKEN, Failure, Reply, Request, Sampling
from interank.explanations import HONEST, MADE_MARKS, DropReason, ExplanationRow
from interank.rubric import Mark
from interank.settings import ExplanationsRecipe
from interank.teacher.annotate import Annotator, cut
from interank.teacher.explaining import Draft, ExplainedPair
from interank.types import Judgment
from interank.wording import counted

# Tokens of a line with number, mark and a few words of reason.
LINE_TOKENS = 24
# Tokens of the rubric, its headings and the frame around the prompt.
RUBRIC_TOKENS = 320
# A judge that is shown fewer tokens of a document cannot say what is true of it.
_LEAST_DOCUMENT = 64
# Two orders contradict each other on two explanations if they prefer different ones, and the two differences of marks
# are further apart than this.
_SAME = 0.2


@dataclass(frozen=True, slots=True)
class MarkedSet:
    """The explanations of a pair with their marks in each order of reading."""

    gathered: ExplainedPair
    orders: tuple[tuple[int, ...], ...]
    """The indices of the drafts in each order; empty where no judge was asked."""
    readings: tuple[tuple[Mark, ...] | None, ...]
    """For each order the marks of the drafts, in the drafts' own sequence; None where a reply gave none."""
    dropped: tuple[DropReason | None, ...]
    """For each draft the reason why it gets no mark, or None."""

    @property
    def whole(self) -> list[tuple[Mark, ...]]:
        """The readings that gave marks."""
        return [reading for reading in self.readings if reading is not None]

    @property
    def is_tied(self) -> bool:
        """Whether each reading gave all explanations the same mark."""
        return bool(self.whole) and all(len({marked.mark for marked in reading}) == 1 for reading in self.whole)

    def rows(self, marked_by: str) -> list[ExplanationRow]:
        """The explanations as rows of the output."""
        example = self.gathered.example
        return [
            ExplanationRow(
                query_id=example.query.query_id,
                doc_id=example.document.doc_id,
                query=example.query.text,
                document=example.document.full_text,
                split=example.split,
                site=example.source.site,
                relevance=int(example.judgment.relevance),
                explanation=draft.text,
                writer=draft.writer,
                kind=draft.kind,
                mark=None if dropped else round(fmean(reading[place].mark for reading in self.whole), 4),
                marks=tuple(reading[place].mark for reading in self.whole),
                dropped=dropped,
                marked_by=marked_by,
                reasons=tuple(reading[place].reason for reading in self.whole) if self.orders else (),
            )
            for place, (draft, dropped) in enumerate(zip(self.gathered.drafts, self.dropped, strict=True))
        ]


def made_marks(gathered: ExplainedPair) -> MarkedSet:
    """Marks without a judge: 1 for an honest explanation, 0 for a made fault."""
    reading = tuple(Mark(float(draft.kind == HONEST), "") for draft in gathered.drafts)
    return MarkedSet(gathered, (), (reading,), (None,) * len(reading))


def mark(annotator: Annotator, sets: Sequence[ExplainedPair], settings: ExplanationsRecipe) -> list[MarkedSet | None]:
    """Have the teacher mark each set in two orders; None where the budget ended before both were read."""
    orders = [_orders(each, settings.seed) for each in sets]
    rooms = [_room(annotator, each, settings) for each in sets]
    requests = [
        _request(annotator, each, order, room)
        for each, both, room in zip(sets, orders, rooms, strict=True)
        for order in both
        if _shows_document(annotator, each, room)
    ]
    replies = iter(annotator.asker.replies(requests))
    marked: list[MarkedSet | None] = []
    for each, both, room in zip(sets, orders, rooms, strict=True):
        if _shows_document(annotator, each, room):
            answers = [next(replies) for _ in both]
        else:
            told = f"{counted(len(each.drafts), 'explanation')} leave {max(0, room)} tokens for the document"
            answers = [Failure(f"{told}; raise explanations.max_length ({settings.max_length})")] * 2
        answered = [reply for reply in answers if reply is not None]
        marked.append(_marked(annotator, each, both, answered) if len(answered) == len(answers) else None)
    return marked


def contradicted(readings: Sequence[Sequence[Mark]]) -> list[tuple[int, int]]:
    """The pairs of explanations on which the two orders contradict each other; see `_SAME`."""
    if len(readings) < 2:
        return []
    first, second = ([marked.mark for marked in reading] for reading in readings)
    turned = []
    for one, other in combinations(range(len(first)), 2):
        before, after = first[one] - first[other], second[one] - second[other]
        if before * after < 0 and abs(before - after) > _SAME + 1e-9:
            turned.append((one, other))
    return turned


def preferred(readings: Sequence[Sequence[Mark]]) -> int:
    """The number of pairs of explanations with different marks in at least one order."""
    count = len(readings[0])
    return sum(
        any(reading[one].mark != reading[other].mark for reading in readings)
        for one, other in combinations(range(count), 2)
    )


def _orders(gathered: ExplainedPair, seed: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """An order drawn by a hash of the set's texts, and its reverse."""
    content = "\0".join([str(seed), gathered.example.query.text, *(draft.text for draft in gathered.drafts)])
    places = list(range(len(gathered.drafts)))
    Random(hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()).shuffle(places)
    return tuple(places), tuple(reversed(places))


def _room(annotator: Annotator, gathered: ExplainedPair, settings: ExplanationsRecipe) -> int:
    """The tokens that question, explanations and marks leave for the document; they may be none or less."""
    answers = [_answer(gathered.example.judgment, draft) for draft in gathered.drafts]
    shown = [cut(gathered.example.query.text, annotator.prompt.max_query_tokens), *answers]
    taken = RUBRIC_TOKENS + LINE_TOKENS * len(answers) + sum(map(len, shown)) // CHARACTERS_PER_TOKEN
    return settings.max_length - taken


def _shows_document(annotator: Annotator, gathered: ExplainedPair, room: int) -> bool:
    """Whether there is room for the document, or for enough of it."""
    whole = len(gathered.example.document.full_text) // CHARACTERS_PER_TOKEN
    return room >= min(_LEAST_DOCUMENT, annotator.prompt.max_document_tokens, whole)


def _request(annotator: Annotator, gathered: ExplainedPair, order: Sequence[int], room: int) -> Request:
    example, prompt = gathered.example, annotator.prompt
    answers = [_answer(example.judgment, gathered.drafts[place]) for place in order]
    query = cut(example.query.text, prompt.max_query_tokens)
    document = cut(example.document.full_text, min(prompt.max_document_tokens, room))
    question = rubric.question(query, document, answers, reasons=True)
    sampling = Sampling(LINE_TOKENS * len(answers))
    if annotator.encoder is None:
        return Request((("user", question),), sampling)
    return Request(annotator.encoder.question_prompt(question), sampling, annotator.encoder.end)


def _answer(judgment: Judgment, draft: Draft) -> str:
    """An explanation as the rubric shows it: with the judgment's grade before it."""
    return judging.answer(Judgment(draft.text, judgment.relevance), "grade_first")


def _marked(
    annotator: Annotator,
    gathered: ExplainedPair,
    orders: tuple[tuple[int, ...], tuple[int, ...]],
    replies: Sequence[Reply | Failure],
) -> MarkedSet:
    readings: list[tuple[Mark, ...] | None] = []
    why: DropReason | None = None
    for order, reply in zip(orders, replies, strict=True):
        if isinstance(reply, Failure):
            gathered.rejects("judge", reply.reason, "")
            readings.append(None)
            why = why or "failed"
            continue
        text = reply.text if annotator.encoder is None else annotator.encoder.text(reply.ids)
        marks = rubric.reasoned_marks(text, len(order))
        if marks is None:
            gathered.rejects("judge", f"the marks of {counted(len(order), 'explanation')} could not all be read", text)
            readings.append(None)
            why = why or "unreadable"
            continue
        places = sorted(zip(order, marks, strict=True), key=lambda each: each[0])
        readings.append(tuple(marked for _, marked in places))
    count = len(gathered.drafts)
    if why is not None:
        return MarkedSet(gathered, orders, tuple(readings), (why,) * count)
    left_out = _fewest(contradicted([reading for reading in readings if reading is not None]))
    dropped: list[DropReason | None] = ["contradicted" if place in left_out else None for place in range(count)]
    return MarkedSet(gathered, orders, tuple(readings), tuple(dropped))


def _fewest(turned: Sequence[tuple[int, int]]) -> set[int]:
    """Explanations to drop so that no contradiction is left, chosen greedily.

    The one in most contradictions goes first; of several with as many, the last.
    """
    left, dropped = list(turned), set[int]()
    while left:
        counts = {place: sum(place in pair for pair in left) for pair in left for place in pair}
        worst = max(counts, key=lambda place: (counts[place], place))
        dropped.add(worst)
        left = [pair for pair in left if worst not in pair]
    return dropped


def marked_by(settings: ExplanationsRecipe, teacher: str) -> str:
    """The rows' value of `marked_by`: the teacher's name, or the word for marks without a judge."""
    return MADE_MARKS if settings.marks == "made" else teacher
