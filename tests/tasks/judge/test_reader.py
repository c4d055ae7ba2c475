"""The frozen reader reads as its adapter does by a plain forward pass, whatever becomes of the trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from trl.trainer.utils import use_adapter

from interank import judging
from interank.engines.adapters import with_adapter
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.settings import PromptSettings
from interank.tasks.judge.reader import ModelReader
from interank.tasks.judge.reading import HIDDEN, ExplanationInput, masked
from interank.training.reference import REFERENCE, keep_reference
from interank.types import Document, Query
from tests.support.tiny import strong_model

SETTINGS = PromptSettings(max_length=400, max_query_tokens=64, max_document_tokens=64)
TOLD = [
    ExplanationInput("Where is the red fox?", "A red fox sits in the barn.", 2, 'It says "A red fox sits", as asked.'),
    ExplanationInput("Where is the red fox?", "A red fox sits in the barn.", 2, "A red fox it is."),
    ExplanationInput("Where is the red fox?", HIDDEN, 2, "A red fox it is."),
    ExplanationInput("Where is the owl?", "A red fox sits in the barn.", 0, "", "reason_first"),
    ExplanationInput("Where is the owl?", "A red fox sits in the barn.", 0, "No owl; 100% naïve ☃.", "reason_first"),
]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory, tiny_adapter: Path) -> tuple[PeftModel, PromptEncoder]:
    folder = strong_model(tmp_path_factory.mktemp("models") / "strong")
    files = find_model(str(folder))
    model = with_adapter(load_model(files), tiny_adapter / "adapter", trainable=True)
    return model, PromptEncoder(load_tokenizer(files), SETTINGS)


def plainly(model: Any, encoder: PromptEncoder, told: ExplanationInput) -> list[float]:
    """The log-probabilities of an explanation's tokens by one forward pass."""
    prompt = encoder.prompt(Query("", told.query), Document("", told.document), answer_tokens=32, order=told.order).ids
    if told.order == "grade_first":
        prompt = (*prompt, *encoder.label_lead, encoder.label_ids[told.relevance], *encoder.gap)
    own = encoder.plain(told.explanation)
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([[*prompt, *own]])).logits[0].log_softmax(-1)
    return [float(logits[len(prompt) - 1 + place, index]) for place, index in enumerate(own)]


@pytest.mark.parametrize("planted", [True, False])
def test_tokens_are_as_likely_as_a_plain_pass_finds_them(
    policy: tuple[PeftModel, PromptEncoder], planted: bool
) -> None:
    model, encoder = policy
    reader = ModelReader(model, encoder, tokens=32)
    reader._planted = planted
    found = reader.tokens(TOLD)
    for told, tokens in zip(TOLD, found, strict=True):
        assert [token.log_probability for token in tokens] == pytest.approx(plainly(model, encoder, told), abs=2e-4)
        assert [token.start for token in tokens[1:]] == [token.end for token in tokens[:-1]]
        assert not tokens or (tokens[0].start, tokens[-1].end) == (0, len(told.explanation))


def test_an_explanation_is_read_where_an_answer_begins(policy: tuple[PeftModel, PromptEncoder]) -> None:
    model, encoder = policy
    reader = ModelReader(model, encoder, tokens=32)
    (found,) = reader.led_to([("Where is the fox?", "In the barn.")])
    ids = [
        *encoder.prompt(
            Query("", "Where is the fox?"), Document("", HIDDEN), answer_tokens=32, order="reason_first"
        ).ids,
        *encoder.plain("In the barn."),
        *encoder.gap,
        *encoder.label_lead,
    ]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, -1, list(encoder.label_ids)]
    assert found == pytest.approx(judging.probabilities(logits.tolist()), abs=1e-4)


def test_what_is_trained_moves_the_policy_and_not_the_reader(policy: tuple[PeftModel, PromptEncoder]) -> None:
    model, encoder = policy
    keep_reference(model)
    reader = ModelReader(model, encoder, tokens=32, adapter=REFERENCE)
    pairs, texts = [("Where is the fox?", "In the barn.")], [item[:2] for item in TOLD]

    def read() -> tuple[Any, ...]:
        return (
            reader.grades(texts),
            reader.led_to(pairs),
            [[t.log_probability for t in of] for of in reader.tokens(TOLD)],
        )

    before, own = read(), plainly(model, encoder, TOLD[0])
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    with torch.no_grad():
        for weight in trained:
            weight += 0.05
    assert plainly(model, encoder, TOLD[0]) != pytest.approx(own, abs=1e-3)
    assert read() == before
    with use_adapter(model, REFERENCE):
        assert plainly(model, encoder, TOLD[0]) == pytest.approx(own, abs=1e-6)
    # The policy's adapter is again the one that is trained, and the only one.
    assert [weight for weight in model.parameters() if weight.requires_grad] == trained
    assert model.active_adapter == "default"


def test_words_that_say_a_grade_are_masked() -> None:
    said = "It is irrelevant, not fully helpful: grade 0. The score of Relevance 2; relevantly rated. Ten of 12 marks."
    assert masked(said) == "It is _, _: _ _. The _ of _ _; _ _. Ten of 12 _."
    assert (
        masked("Off-topic, so scored 0; on topic and pertinent: marked 2 when grading.")
        == "_, so _ _; _ and _: _ _ when _."
    )
    assert (
        masked("A graduate's remark on the gradient of the ratio.")
        == "A graduate's remark on the gradient of the ratio."
    )
