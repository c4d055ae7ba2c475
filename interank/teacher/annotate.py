"""The teacher's annotation of pairs: each gets a judgment, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from interank import judging
from interank.engines.judge import before_label, whole_sentences
from interank.engines.prompts import Prompt, PromptEncoder, check_instruction
from interank.engines.protocol import CHARACTERS_PER_TOKEN, Completion, Failure, LabelLogits, Reply, Request, Sampling
from interank.settings import PromptSettings, TeacherRecipe
from interank.teacher.leaks import leak
from interank.teacher.replies import Asker
from interank.types import Judgment, Origin, Pair, Relevance

# The grade that a document's votes and acceptance imply, for teachers too small to grade.
GRADE_BY_ORIGIN: dict[Origin, Relevance] = {
    "accepted_answer": Relevance.RELEVANT,
    "answer": Relevance.PARTIAL,
    "low_answer": Relevance.PARTIAL,
    "linked_answer": Relevance.PARTIAL,
    "page": Relevance.PARTIAL,
    "hard_negative": Relevance.IRRELEVANT,
    "random_negative": Relevance.IRRELEVANT,
}
# Where the three labels together have less probability, the model was not about to write a label.
_LEAST_MASS = 0.5
# The first words of an explanation, put before a small model's, which would otherwise begin all of them alike.
_OPENING = "The document"
# The distance between the seeds of a pair's samples.
_SAMPLE_STRIDE = 7_919
# Tokens for the JSON around an answer, label included.
_ROOM_FOR_FORM = 40


@dataclass(frozen=True, slots=True)
class TeacherJudgment:
    """The teacher's judgment of a pair, its grade probabilities where it graded, and the agreement of its samples."""

    judgment: Judgment
    probabilities: tuple[float, float, float] | None
    agreement: float | None = None
    unexplained: Rejection | None = None
    """Why a grade known beforehand has no explanation, where one was requested."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """The reason why a pair got no judgment, and the teacher's reply."""

    reason: str
    reply: str


Outcome = TeacherJudgment | Rejection | None
"""None where the budget ended before there was one."""


@dataclass(frozen=True, slots=True)
class Annotator:
    """Asks a teacher for judgments, with the recipe's settings and prompt."""

    asker: Asker
    settings: TeacherRecipe
    prompt: PromptSettings
    encoder: PromptEncoder | None
    """None where the teacher takes messages only."""
    seed: int
    with_opening: bool = True
    """Whether explanations of grades known beforehand start with `_OPENING`, which the model continues."""

    def annotate(self, pairs: Sequence[Pair]) -> list[Outcome]:
        """Ask about each pair `samples` times; the outcomes in the order of the pairs."""
        rounds = []
        for sample in range(self.settings.samples):
            seed = self.seed + sample * _SAMPLE_STRIDE
            sampling = Sampling(self.settings.max_reasoning_tokens, self.settings.temperature, seed)
            rounds.append(self._once(pairs, sampling))
        return [_vote(outcomes, self.settings) for outcomes in zip(*rounds, strict=True)]

    def _once(self, pairs: Sequence[Pair], sampling: Sampling) -> list[Outcome]:
        if not self.settings.grades_itself:
            return self._known_grades(pairs, sampling)
        if self.encoder is None:
            return self._in_messages(pairs, sampling)
        prompts = self._prompts(self.encoder, pairs, sampling)
        if self.prompt.order == "reason_first":
            return self._reasoned(self.encoder, pairs, prompts, sampling)
        graded = self._grades(self.encoder, prompts)
        chosen: list[_Grade | Rejection | None] = [
            (judging.most_probable(item.logits), item) if isinstance(item, LabelLogits) else item for item in graded
        ]
        if not self.settings.max_reasoning_tokens:
            return [_grade_alone(item) if isinstance(item, tuple) else item for item in chosen]
        return self._explained(self.encoder, pairs, prompts, chosen, sampling)

    def _prompts(self, encoder: PromptEncoder, pairs: Sequence[Pair], sampling: Sampling) -> list[Prompt]:
        room = sampling.max_new_tokens + len(encoder.label_lead) + 8
        return [encoder.prompt(pair.query, pair.document, answer_tokens=room) for pair in pairs]

    def _known_grades(self, pairs: Sequence[Pair], sampling: Sampling) -> list[Outcome]:
        """Have grades by votes, or given ones, explained; explained ones stay as they are."""
        known_of = _given_judgment if self.settings.grades == "given" else _judgment_by_votes
        outcomes: list[Outcome] = [known_of(pair) for pair in pairs]
        if not self.settings.max_reasoning_tokens:
            return outcomes
        waiting = {
            place: outcome
            for place, outcome in enumerate(outcomes)
            if isinstance(outcome, TeacherJudgment) and not outcome.judgment.reasoning
        }
        own, grades = [pairs[place] for place in waiting], [item.judgment.relevance for item in waiting.values()]
        if self.encoder is None:
            explained = self._explained_in_messages(own, grades, sampling)
        else:
            prompts = self._prompts(self.encoder, own, sampling)
            explained = self._explained(self.encoder, own, prompts, [(grade, None) for grade in grades], sampling)
        for (place, known), outcome in zip(waiting.items(), explained, strict=True):
            outcomes[place] = _with_explanation(known, outcome)
        return outcomes

    def _grades(self, encoder: PromptEncoder, prompts: Sequence[Prompt]) -> list[LabelLogits | Rejection | None]:
        """The labels' logits at the label's position; rejected where the labels have too little probability."""
        requests = [Request(prompt.then(encoder.label_lead), labels=encoder.label_ids) for prompt in prompts]
        return [_labels(reply) for reply in self.asker.replies(requests)]

    def _explained(
        self,
        encoder: PromptEncoder,
        pairs: Sequence[Pair],
        prompts: Sequence[Prompt],
        grades: Sequence[_Grade | Rejection | None],
        sampling: Sampling,
    ) -> list[Outcome]:
        """Have the grades explained; rejections and missing grades stay as they are."""
        opening = _OPENING if self.with_opening and not self.settings.grades_itself else ""
        outcomes: list[Outcome] = [item if isinstance(item, Rejection) else None for item in grades]
        graded = [(place, item) for place, item in enumerate(grades) if isinstance(item, tuple)]
        requests = [
            Request(
                prompts[place].then(
                    (*encoder.label_lead, encoder.label_ids[grade], *encoder.gap, *encoder.plain(opening))
                ),
                sampling,
                encoder.end,
            )
            for place, (grade, _) in graded
        ]
        for (place, (grade, labels)), reply in zip(graded, self.asker.replies(requests), strict=True):
            if isinstance(reply, Reply):
                text = f"{opening}{encoder.text(reply.ids)}".strip()
                probabilities = judging.probabilities(labels.logits) if labels else None
                outcomes[place] = _checked(pairs[place], Judgment(text, grade), probabilities, reply.finished)
            else:
                outcomes[place] = _failed(reply)
        return outcomes

    def _reasoned(
        self, encoder: PromptEncoder, pairs: Sequence[Pair], prompts: Sequence[Prompt], sampling: Sampling
    ) -> list[Outcome]:
        """Let the teacher explain, then read the grade at its forced position."""
        requests = [Request(prompt, sampling, encoder.end) for prompt in prompts]
        replies = self.asker.replies(requests)
        outcomes: list[Outcome] = [_failed(reply) if not isinstance(reply, Reply) else None for reply in replies]
        written = [(place, reply) for place, reply in enumerate(replies) if isinstance(reply, Reply)]
        own = [before_label(encoder, Completion(reply.ids, (), reply.finished)) for _, reply in written]
        forced = [
            prompts[place].then((*ids, *(encoder.gap if ids else ())))
            for (place, _), ids in zip(written, own, strict=True)
        ]
        graded = self._grades(encoder, forced)
        for (place, reply), ids, labels in zip(written, own, graded, strict=True):
            text = encoder.text(ids).strip()
            if isinstance(labels, LabelLogits):
                judgment = Judgment(text, judging.most_probable(labels.logits))
                probabilities = judging.probabilities(labels.logits)
                outcomes[place] = _checked(pairs[place], judgment, probabilities, reply.finished)
            else:
                outcomes[place] = replace(labels, reply=text) if labels else None
        return outcomes

    def _in_messages(self, pairs: Sequence[Pair], sampling: Sampling) -> list[Outcome]:
        """Ask in messages and parse the answer: rejected where it has not exactly one label in its place."""
        schema = judging.json_schema(self.prompt.order) if self.settings.server.schema_output else ""
        render = judging.render_json if schema else judging.render
        whole = replace(sampling, max_new_tokens=sampling.max_new_tokens + _ROOM_FOR_FORM)
        requests = [
            Request(_turns(render(*self._texts(pair), self.prompt.order, **self._extras(pair))), whole, schema=schema)
            for pair in pairs
        ]
        outcomes: list[Outcome] = []
        for pair, reply in zip(pairs, self.asker.replies(requests), strict=True):
            if not isinstance(reply, Reply):
                outcomes.append(_failed(reply))
                continue
            judgment = judging.parse_json(reply.text) if schema else judging.parse(reply.text)
            if judgment is None:
                outcomes.append(Rejection("no grade could be read from the reply", reply.text))
            elif not self.settings.max_reasoning_tokens:
                outcomes.append(_grade_alone((judgment.relevance, None)))
            else:
                outcome = _checked(pair, judgment, None, reply.finished)
                outcomes.append(replace(outcome, reply=reply.text) if isinstance(outcome, Rejection) else outcome)
        return outcomes

    def _explained_in_messages(
        self, pairs: Sequence[Pair], grades: Sequence[Relevance], sampling: Sampling
    ) -> list[Outcome]:
        """Ask in messages why each pair has its grade."""
        requests = [
            Request(_turns(judging.render_given(*self._texts(pair), grade, **self._extras(pair))), sampling)
            for pair, grade in zip(pairs, grades, strict=True)
        ]
        replies = zip(pairs, grades, self.asker.replies(requests), strict=True)
        return [
            _checked(pair, Judgment(reply.text.strip(), grade), None, reply.finished)
            if isinstance(reply, Reply)
            else _failed(reply)
            for pair, grade, reply in replies
        ]

    def _texts(self, pair: Pair) -> tuple[str, str]:
        """Query and document, cut as servers are sent them."""
        query, document = self.prompt.max_query_tokens, self.prompt.max_document_tokens
        return cut(pair.query.text, query), cut(pair.document.full_text, document)

    def _extras(self, pair: Pair) -> _Extras:
        """The fence and the instruction of the pair's prompt."""
        instruction = self.prompt.instruction_of(pair.query)
        check_instruction(instruction, len(instruction) // CHARACTERS_PER_TOKEN, self.prompt.max_query_tokens)
        return {"fence": self.prompt.fence, "instruction": instruction}


class _Extras(TypedDict):
    """The arguments of a prompt beside query and document."""

    fence: bool
    instruction: str


_Grade = tuple[Relevance, LabelLogits | None]


def known_grades(pairs: Sequence[Pair]) -> list[Outcome]:
    """The pairs' given grades, or else those by votes, without a model."""
    return [_given_judgment(pair) if pair.given else _judgment_by_votes(pair) for pair in pairs]


def cut(text: str, tokens: int) -> str:
    """The text's beginning of about so many tokens, for servers whose tokenizer is not here."""
    return text[: tokens * CHARACTERS_PER_TOKEN]


def _turns(messages: Sequence[Mapping[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((message["role"], message["content"]) for message in messages)


def _judgment_by_votes(pair: Pair) -> TeacherJudgment | Rejection:
    grade = _grade_by_votes(pair)
    if grade is None:
        return Rejection(f"votes give no grade to a document of origin {pair.origin}", "")
    return _grade_alone((grade, None))


def _given_judgment(pair: Pair) -> TeacherJudgment | Rejection:
    """The given judgment."""
    if pair.given is None:
        return Rejection("no grade was given", "")
    return TeacherJudgment(pair.given.judgment, pair.given.probabilities)


def _with_explanation(known: TeacherJudgment, outcome: Outcome) -> Outcome:
    """A grade known beforehand with its explanation, or with the reason why there is none."""
    if isinstance(outcome, TeacherJudgment):
        return replace(outcome, probabilities=known.probabilities)
    return replace(known, unexplained=outcome) if outcome else None


def _grade_alone(grade: _Grade) -> TeacherJudgment:
    """A grade without an explanation."""
    relevance, labels = grade
    return TeacherJudgment(Judgment("", relevance), judging.probabilities(labels.logits) if labels else None)


def _grade_by_votes(pair: Pair) -> Relevance | None:
    return GRADE_BY_ORIGIN.get(pair.origin) if pair.origin else None


def conflicts(pair: Pair, judgment: Judgment) -> bool:
    """Whether the teacher's grade is the opposite of that by votes and acceptance: relevant against irrelevant."""
    voted = _grade_by_votes(pair)
    return voted is not None and abs(voted - judgment.relevance) == Relevance.RELEVANT


def _labels(reply: Reply | Failure | None) -> LabelLogits | Rejection | None:
    if not isinstance(reply, Reply):
        return _failed(reply)
    if reply.labels is None:
        return Rejection("the reply has no logits of the labels", reply.text)
    if reply.labels.mass < _LEAST_MASS:
        return Rejection(f"the three labels hold {reply.labels.mass:.2f} of the probability", "")
    return reply.labels


def _failed(reply: Failure | None) -> Rejection | None:
    return Rejection(reply.reason, "") if reply else None


def _checked(
    pair: Pair, judgment: Judgment, probabilities: tuple[float, float, float] | None, finished: bool
) -> TeacherJudgment | Rejection:
    """The judgment; rejected where its explanation is empty, holds a label, or reveals the document's origin.

    An explanation that was cut short keeps its whole sentences.
    """
    text = judgment.reasoning if finished else whole_sentences(judgment.reasoning)
    if not text:
        return Rejection("no whole sentence of explanation", judgment.reasoning)
    whole = Judgment(text, judgment.relevance)
    for order in ("grade_first", "reason_first"):
        if judging.parse(judging.answer(whole, order)) != whole:
            return Rejection("the explanation holds a label of its own", text)
    leaked = leak(text, f"{pair.query.text}\n{pair.document.full_text}")
    if leaked:
        return Rejection(f"the explanation tells where the document came from ({leaked!r})", text)
    return TeacherJudgment(whole, probabilities)


def _vote(outcomes: Sequence[Outcome], settings: TeacherRecipe) -> Outcome:
    """The grade that most samples gave, with the first explanation of it; a single sample's outcome unchanged.

    Probabilities are averaged over the samples that have a grade; one without probabilities counts as one-hot.
    """
    if settings.samples == 1:
        return outcomes[0]
    if any(outcome is None for outcome in outcomes):
        return None
    judged = [outcome for outcome in outcomes if isinstance(outcome, TeacherJudgment)]
    if not judged:
        return next(outcome for outcome in outcomes if isinstance(outcome, Rejection))
    probabilities = [item.probabilities or _one_hot(item.judgment.relevance) for item in judged]
    mean = [sum(values) / len(judged) for values in zip(*probabilities, strict=True)]
    votes = [sum(item.judgment.relevance == grade for item in judged) for grade in Relevance]
    grade = max(Relevance, key=lambda grade: (votes[grade], mean[grade], -grade))
    chosen = next(item for item in judged if item.judgment.relevance == grade)
    # A sample without a grade counts as one that disagrees.
    share = votes[grade] / settings.samples
    if share < settings.min_agreement:
        agreed = f"{votes[grade]} of {settings.samples} samples agree on a grade"
        reason = f"{agreed}, fewer than min_agreement: {settings.min_agreement:g}"
        return Rejection(reason, chosen.judgment.reasoning)
    return TeacherJudgment(chosen.judgment, (mean[0], mean[1], mean[2]), share)


def _one_hot(grade: Relevance) -> tuple[float, float, float]:
    return float(grade == 0), float(grade == 1), float(grade == 2)
