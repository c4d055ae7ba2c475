"""The teacher's replies become judgments or rejections, never default grades."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from interank.engines.local import LocalTeacher
from interank.engines.models import find_model, load_tokenizer
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import (
    Ability,
    Completion,
    Failure,
    LabelLogits,
    Reply,
    Request,
    Sampling,
    Teacher,
    Unit,
)
from interank.judging import Order, probabilities
from interank.settings import (
    BudgetRecipe,
    PromptSettings,
    TeacherRecipe,
)
from interank.teacher.annotate import Annotator, Outcome, Rejection, TeacherJudgment, conflicts
from interank.teacher.budget import Meter
from interank.teacher.leaks import leak
from interank.teacher.queries import query_pairs, write_queries
from interank.teacher.replies import Asker, ReplyStore
from interank.types import Document, Example, Judgment, Origin, Pair, Query, Relevance, Source


class ScriptedEngine:
    """Says given texts and reads given logits, one call after the other, and keeps the prompts."""

    def __init__(self, encoder: PromptEncoder, texts: Sequence[str], logits: Sequence[LabelLogits]) -> None:
        self.encoder = encoder
        self.texts = list(texts)
        self.logits = list(logits)
        self.prompts: list[Prompt] = []

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        assert tuple(labels) == self.encoder.label_ids
        assert all(prompt.suffix[-len(self.encoder.label_lead) :] == self.encoder.label_lead for prompt in prompts)
        return [self.logits.pop(0) for _ in prompts]

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        self.prompts += prompts
        texts = [self.texts.pop(0) for _ in prompts]
        ids = [self.encoder.plain(text.removesuffix("...")) for text in texts]
        return [Completion(i, (0.0,) * len(i), not text.endswith("...")) for i, text in zip(ids, texts, strict=True)]


class TextTeacher:
    """A server that takes messages only, and says given texts (None: it fails)."""

    identity = "text"
    unit_size = 1
    vocabulary: int | None = None
    abilities: frozenset[Ability] = frozenset({"schema"})

    def __init__(self, texts: Sequence[str | None], *, finished: bool = True) -> None:
        self.texts = list(texts)
        self.finished = finished
        self.requests: list[Request] = []

    def ask(self, units: Iterator[Unit]) -> Iterator[tuple[Unit, tuple[Reply | Failure, ...]]]:
        for unit in units:
            self.requests += unit
            text = self.texts.pop(0)
            yield unit, (Failure("the server refused") if text is None else Reply(text=text, finished=self.finished),)


@pytest.fixture
def encoder(tiny_folder: Path) -> PromptEncoder:
    return PromptEncoder(
        load_tokenizer(find_model(str(tiny_folder))), PromptSettings(max_length=400, max_query_tokens=50)
    )


def pair_of(origin: Origin = "answer") -> Pair:
    return Pair(Query("q", "Where?"), Document("d", "There."), "train", origin, Source("s", "1", "", "", ""))


def annotator(
    folder: Path, teacher: Teacher, encoder: PromptEncoder | None, *, order: Order = "grade_first", **recipe: object
) -> Annotator:
    settings = TeacherRecipe.model_validate({"model": "m", **recipe})
    meter = Meter(BudgetRecipe(), None)
    asker = Asker(teacher, ReplyStore(folder / "replies.sqlite"), None, meter)
    return Annotator(asker, settings, PromptSettings(max_length=400, max_query_tokens=50, order=order), encoder, 0)


def scripted(
    folder: Path,
    encoder: PromptEncoder,
    texts: Sequence[str],
    logits: Sequence[tuple[float, float, float]] = ((0, 1, 2),),
    mass: float = 0.9,
    **recipe: object,
) -> tuple[Outcome, ScriptedEngine]:
    engine = ScriptedEngine(encoder, texts, [LabelLogits(one, mass) for one in logits])
    asking = annotator(folder, LocalTeacher(engine, "scripted"), encoder, order=encoder.settings.order, **recipe)
    (result,) = asking.annotate([pair_of()])
    return result, engine


def outcome(folder: Path, encoder: PromptEncoder, text: str, *, mass: float = 0.9) -> Outcome:
    return scripted(folder, encoder, [text], mass=mass)[0]


def test_the_grade_is_the_most_probable_label_with_its_probabilities(encoder: PromptEncoder, tmp_path: Path) -> None:
    result = outcome(tmp_path, encoder, "It says where.")
    assert isinstance(result, TeacherJudgment)
    assert (result.judgment.relevance, result.judgment.reasoning) == (Relevance.RELEVANT, "It says where.")
    assert result.probabilities is not None
    assert sum(result.probabilities) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "mass", "reason"),
    [
        ("", 0.9, "no whole sentence"),
        ("It says where", 0.9, None),
        ("It says where...", 0.9, "no whole sentence"),
        ("It says where.", 0.4, "the three labels hold 0.40"),
        ("It says.\nRelevance Label: 0", 0.9, "a label of its own"),
    ],
)
def test_what_is_no_judgment_is_rejected_with_its_reason(
    encoder: PromptEncoder, tmp_path: Path, text: str, mass: float, reason: str | None
) -> None:
    result = outcome(tmp_path, encoder, text, mass=mass)
    if reason is None:
        assert isinstance(result, TeacherJudgment)
    else:
        assert isinstance(result, Rejection)
        assert reason in result.reason


def test_an_explanation_that_the_budget_cut_ends_at_its_last_sentence(encoder: PromptEncoder, tmp_path: Path) -> None:
    result = outcome(tmp_path, encoder, "It says where. And it goes on to...")
    assert isinstance(result, TeacherJudgment)
    assert result.judgment.reasoning == "It says where."


@pytest.mark.parametrize(
    ("origin", "grade"), [("accepted_answer", 2), ("answer", 1), ("linked_answer", 1), ("hard_negative", 0)]
)
def test_votes_grade_where_the_teacher_is_too_small(
    encoder: PromptEncoder, tmp_path: Path, origin: Origin, grade: int
) -> None:
    engine = ScriptedEngine(encoder, [" says where."], [])
    asking = annotator(tmp_path, LocalTeacher(engine, "scripted"), encoder, grades="votes")
    (result,) = asking.annotate([pair_of(origin)])
    assert isinstance(result, TeacherJudgment)
    assert (result.judgment.relevance, result.probabilities) == (grade, None)
    assert result.judgment.reasoning == "The document says where."
    assert encoder.label_ids[grade] in engine.prompts[0].suffix


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (" says where...", "no whole sentence"),
        (" says.\nRelevance Label: 0", "a label of its own"),
        (" is the accepted answer.", "tells where the document came from"),
    ],
)
def test_a_vote_stays_where_the_teacher_cannot_explain_it(
    encoder: PromptEncoder, tmp_path: Path, text: str, reason: str
) -> None:
    result, _ = scripted(tmp_path, encoder, [text], grades="votes")
    assert isinstance(result, TeacherJudgment)
    assert result.judgment == Judgment("", Relevance.PARTIAL)
    assert result.unexplained is not None
    assert reason in result.unexplained.reason
    assert result.unexplained.reply.startswith("The document")


def test_without_room_for_an_explanation_the_grade_is_the_answer(encoder: PromptEncoder, tmp_path: Path) -> None:
    result, engine = scripted(tmp_path, encoder, [], max_reasoning_tokens=0)
    assert result == TeacherJudgment(Judgment("", Relevance.RELEVANT), probabilities((0, 1, 2)))
    assert engine.prompts == []
    asking = annotator(tmp_path / "chat", TextTeacher(["Relevance Label: 1\n\nIt says"]), None, max_reasoning_tokens=0)
    assert asking.annotate([pair_of()]) == [TeacherJudgment(Judgment("", Relevance.PARTIAL), None)]


def given_pair(reasoning: str) -> Pair:
    pair = pair_of("hard_negative")
    judgment = Judgment(reasoning, Relevance.RELEVANT)
    told = (0.1, 0.2, 0.7)
    return replace(pair, given=Example(pair.query, pair.document, judgment, told, "train", pair.source, 3.5, 2.0))


def test_a_given_grade_is_explained_and_kept_whatever_is_said(encoder: PromptEncoder, tmp_path: Path) -> None:
    engine = ScriptedEngine(encoder, [" says where.", " says..."], [])
    asking = annotator(tmp_path, LocalTeacher(engine, "scripted"), encoder, grades="given")
    pairs = [given_pair(""), given_pair("A person wrote this."), replace(given_pair(""), query=Query("p", "Who?"))]
    first, second, third = asking.annotate(pairs)
    assert first == TeacherJudgment(Judgment("The document says where.", Relevance.RELEVANT), (0.1, 0.2, 0.7))
    assert second == TeacherJudgment(Judgment("A person wrote this.", Relevance.RELEVANT), (0.1, 0.2, 0.7)), (
        "it was asked about"
    )
    assert isinstance(third, TeacherJudgment)
    assert (third.judgment, third.unexplained is None) == (Judgment("", Relevance.RELEVANT), False)
    assert all(encoder.label_ids[2] in prompt.suffix for prompt in engine.prompts)


def test_servers_of_messages_explain_given_grades_too(tmp_path: Path) -> None:
    teacher = TextTeacher(["It says where.", None])
    asking = annotator(tmp_path, teacher, None, grades="given")
    first, second = asking.annotate([given_pair(""), replace(given_pair(""), query=Query("p", "Who?"))])
    assert first == TeacherJudgment(Judgment("It says where.", Relevance.RELEVANT), (0.1, 0.2, 0.7))
    ((_, text),) = teacher.requests[0].prompt
    assert text.endswith(
        "The relevance label of this document is 2. Write one or two sentences that explain why, and nothing else."
    )
    assert isinstance(second, TeacherJudgment)
    assert second.unexplained == Rejection("the server refused", "")


@pytest.fixture
def reasoning(tiny_folder: Path) -> PromptEncoder:
    settings = PromptSettings(max_length=400, max_query_tokens=50, order="reason_first")
    return PromptEncoder(load_tokenizer(find_model(str(tiny_folder))), settings)


def test_reason_first_reads_the_grade_after_the_explanation(reasoning: PromptEncoder, tmp_path: Path) -> None:
    result, _ = scripted(tmp_path, reasoning, ["It says where.\n\nRelevance Label: 0"], [(0, 3, 1)])
    assert isinstance(result, TeacherJudgment)
    assert (result.judgment.relevance, result.judgment.reasoning) == (Relevance.PARTIAL, "It says where.")


def test_samples_vote_and_their_probabilities_are_averaged(reasoning: PromptEncoder, tmp_path: Path) -> None:
    texts = ["Not there.", "It says where.", "It tells the place."]
    logits = [(5.0, 0.0, 0.0), (0.0, 0.0, 5.0), (0.0, 0.0, 4.0)]
    result, engine = scripted(tmp_path, reasoning, texts, logits, samples=3, temperature=1.0)
    assert isinstance(result, TeacherJudgment)
    assert (result.judgment.relevance, result.agreement) == (Relevance.RELEVANT, pytest.approx(2 / 3))
    assert result.judgment.reasoning == "It says where.", "the explanation is not one of the voted grade"
    expected = [sum(values) / 3 for values in zip(*map(probabilities, logits), strict=True)]
    assert result.probabilities == pytest.approx(expected)
    assert len(engine.prompts) == 3


def test_a_tie_goes_to_the_grade_that_is_more_probable(reasoning: PromptEncoder, tmp_path: Path) -> None:
    result, _ = scripted(tmp_path, reasoning, ["No.", "Yes."], [(0, 0, 1.0), (9.0, 0, 0)], samples=2, temperature=1.0)
    assert isinstance(result, TeacherJudgment)
    assert (result.judgment.relevance, result.judgment.reasoning) == (Relevance.IRRELEVANT, "Yes.")


def test_samples_that_disagree_are_rejected_if_asked(reasoning: PromptEncoder, tmp_path: Path) -> None:
    texts, logits = ["No.", "Yes.", ""], [(9.0, 0, 0), (0, 0, 9.0), (0, 0, 9.0)]
    result, _ = scripted(tmp_path, reasoning, texts, logits, samples=3, temperature=1.0, min_agreement=0.5)
    # The sample without an explanation is no vote for anything.
    assert isinstance(result, Rejection)
    assert result.reason == "1 of 3 samples agree on a grade, fewer than min_agreement: 0.5"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Relevance Label: 2\n\nIt says where.", None),
        ("Sure! It is relevant.", "no grade could be read"),
        ("Relevance Label: 3\n\nIt says where.", "no grade could be read"),
        ("Relevance Label: 2", "no whole sentence"),
        ("", "no grade could be read"),
        (None, "the server refused"),
    ],
)
def test_messages_are_parsed_and_never_graded_by_default(tmp_path: Path, text: str | None, reason: str | None) -> None:
    (result,) = annotator(tmp_path, TextTeacher([text]), None).annotate([pair_of()])
    if reason is None:
        assert result == TeacherJudgment(Judgment("It says where.", Relevance.RELEVANT), None)
    else:
        assert isinstance(result, Rejection)
        assert reason in result.reason
        assert result.reply == (text or "")


def test_votes_of_messages_are_their_probabilities(tmp_path: Path) -> None:
    texts = [f"Relevance Label: {grade}\n\nIt says where." for grade in (2, 0, 2, 2)]
    asking = annotator(tmp_path, TextTeacher(texts), None, samples=4, temperature=1.0)
    (result,) = asking.annotate([pair_of()])
    assert result == TeacherJudgment(Judgment("It says where.", Relevance.RELEVANT), (0.25, 0.0, 0.75), 0.75)


def test_a_schema_is_asked_for_and_its_answer_read(tmp_path: Path) -> None:
    teacher = TextTeacher(['{"relevance": 1, "explanation": "It says where."}'])
    server = {"urls": ["http://localhost/v1"], "schema_output": True}
    asking = annotator(tmp_path, teacher, None, engine="openai", server=server)
    assert asking.annotate([pair_of()]) == [TeacherJudgment(Judgment("It says where.", Relevance.PARTIAL), None)]
    assert "relevance" in teacher.requests[0].schema


@pytest.mark.parametrize(
    ("text", "document", "told"),
    [
        ("This is the accepted answer, so it helps.", "Boil it.", "accepted answer"),
        ("It was upvoted.", "Boil it.", "upvoted"),
        ("The top-voted reply says so.", "Boil it.", "top-voted"),
        ("This Stack Exchange post settles it.", "Boil it.", "Stack Exchange"),
        ("It answers a duplicate question.", "Boil it.", "duplicate question"),
        ("The OP wants tea.", "Boil it.", "The OP"),
        ("The stack overflow comes from recursion.", "A stack  overflow happens.", None),
        ("It explains how votes are counted.", "Boil it.", None),
        ("It answers the question.", "Boil it.", None),
    ],
)
def test_explanations_that_tell_where_a_document_came_from_are_found(
    text: str, document: str, told: str | None
) -> None:
    assert leak(text, document) == told


def test_a_leak_is_a_rejection(encoder: PromptEncoder, tmp_path: Path) -> None:
    result = outcome(tmp_path, encoder, "It is the accepted answer.")
    assert isinstance(result, Rejection)
    assert "tells where the document came from" in result.reason


@pytest.mark.parametrize(
    ("origin", "grade", "conflict"),
    [
        ("accepted_answer", 0, True),
        ("accepted_answer", 1, False),
        ("hard_negative", 2, True),
        ("answer", 0, False),
        ("random_negative", 0, False),
    ],
)
def test_a_conflict_is_the_opposite_of_what_votes_say(origin: Origin, grade: int, conflict: bool) -> None:
    assert conflicts(pair_of(origin), Judgment("", Relevance(grade))) is conflict


def test_search_queries_are_read_and_paired_with_the_question_s_documents(
    encoder: PromptEncoder, tmp_path: Path
) -> None:
    engine = ScriptedEngine(
        encoder, ["1. red fox\n2. Red  fox\n3. fox places", "Here you are:\n1. x", "1. a\n2. b..."], []
    )
    asking = annotator(tmp_path, LocalTeacher(engine, "scripted"), encoder, queries=3, query_pairs=2)
    questions = [Query(name, f"Where is {name}?") for name in ("one", "two", "three")]
    first, second, third = write_queries(asking, questions)
    assert first == ("red fox", "fox places")
    assert isinstance(second, Rejection)
    assert third == ("a",), "a query that the budget cut was taken"
    pairs = query_pairs([pair_of()], {"q": ("red fox", "fox places", "more")}, 2)
    assert [(pair.query.query_id, pair.query.text) for pair in pairs] == [("q#1", "red fox"), ("q#2", "fox places")]
    assert {(pair.document.doc_id, pair.split) for pair in pairs} == {("d", "train")}
