"""The teacher's replies become judgments or rejections, never default grades."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from interank.engines.models import find_model, load_tokenizer
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Completion, LabelLogits, Sampling
from interank.recipe import PromptSettings, TeacherRecipe
from interank.teacher.annotate import Judged, Rejected, annotate
from interank.types import Document, Origin, Pair, Query, Relevance, Source


class ScriptedEngine:
    """Says given texts and reads given logits, in the order it is asked, and keeps the prompts."""

    def __init__(self, encoder: PromptEncoder, texts: Sequence[str], logits: Sequence[LabelLogits]) -> None:
        self.encoder = encoder
        self.texts = list(texts)
        self.logits = list(logits)
        self.prompts: list[Prompt] = []

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        assert tuple(labels) == self.encoder.label_ids
        assert all(prompt.suffix[-len(self.encoder.label_lead) :] == self.encoder.label_lead for prompt in prompts)
        return self.logits[: len(prompts)]

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        self.prompts += prompts
        ids = [self.encoder.plain(text.removesuffix("...")) for text in self.texts]
        return [
            Completion(i, (0.0,) * len(i), not text.endswith("...")) for i, text in zip(ids, self.texts, strict=True)
        ]


@pytest.fixture
def encoder(tiny_folder: Path) -> PromptEncoder:
    return PromptEncoder(
        load_tokenizer(find_model(str(tiny_folder))), PromptSettings(max_length=400, max_query_tokens=50)
    )


def pair_of(origin: Origin = "answer") -> Pair:
    return Pair(Query("q", "Where?"), Document("d", "There."), "train", origin, Source("s", "1", "", "", ""))


def outcome(
    encoder: PromptEncoder,
    text: str,
    logits: tuple[float, float, float] = (0, 1, 2),
    *,
    mass: float = 0.9,
    **recipe: str,
) -> Judged | Rejected:
    engine = ScriptedEngine(encoder, [text], [LabelLogits(logits, mass)])
    settings = TeacherRecipe(model="m")
    (result,) = annotate([pair_of()], engine, encoder, settings, seed=0)
    return result


def test_the_grade_is_the_most_probable_label_with_its_probabilities(encoder: PromptEncoder) -> None:
    result = outcome(encoder, "It says where.")
    assert isinstance(result, Judged)
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
    encoder: PromptEncoder, text: str, mass: float, reason: str | None
) -> None:
    result = outcome(encoder, text, mass=mass)
    if reason is None:
        assert isinstance(result, Judged)
    else:
        assert isinstance(result, Rejected)
        assert reason in result.reason


def test_an_explanation_that_the_budget_cut_ends_at_its_last_sentence(encoder: PromptEncoder) -> None:
    result = outcome(encoder, "It says where. And it goes on to...")
    assert isinstance(result, Judged)
    assert result.judgment.reasoning == "It says where."


@pytest.mark.parametrize(
    ("origin", "grade"), [("accepted_answer", 2), ("answer", 1), ("linked_answer", 1), ("hard_negative", 0)]
)
def test_votes_grade_where_the_teacher_is_too_small(encoder: PromptEncoder, origin: Origin, grade: int) -> None:
    engine = ScriptedEngine(encoder, [" says where."], [])
    (result,) = annotate([pair_of(origin)], engine, encoder, TeacherRecipe(model="m", grades="votes"), seed=0)
    assert isinstance(result, Judged)
    assert (result.judgment.relevance, result.probabilities) == (grade, None)
    assert result.judgment.reasoning == "The document says where."
    assert encoder.label_ids[grade] in engine.prompts[0].suffix


def test_reason_first_reads_the_grade_after_the_explanation(tiny_folder: Path) -> None:
    settings = PromptSettings(max_length=400, max_query_tokens=50, order="reason_first")
    encoder = PromptEncoder(load_tokenizer(find_model(str(tiny_folder))), settings)
    result = outcome(encoder, "It says where.\n\nRelevance Label: 0", (0, 3, 1))
    assert isinstance(result, Judged)
    assert (result.judgment.relevance, result.judgment.reasoning) == (Relevance.PARTIAL, "It says where.")
