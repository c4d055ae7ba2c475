"""Batches of whole queries, spread over the grades, and rollouts that are what the loss will read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from interank import judging
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.errors import TrainingError
from interank.settings import PromptSettings
from interank.tasks.judge.rollouts import Rollouts, whole_queries
from tests.support import rule
from tests.support.grpo_training import trainer_at


def test_each_query_gives_so_many_documents_of_all_its_grades() -> None:
    chosen = whole_queries(rule.examples(0, queries=10), documents=3, seed=1)
    assert len(chosen) == 30
    for start in range(0, 30, 3):
        group = chosen[start : start + 3]
        assert len({item.query.query_id for item in group}) == 1
        assert sorted(int(item.judgment.relevance) for item in group) == [0, 1, 2]
        assert len({item.document.doc_id for item in group}) == 3


def test_the_order_is_the_seeds() -> None:
    examples = rule.examples(0, queries=10)
    assert whole_queries(examples, documents=4, seed=1) == whole_queries(examples, documents=4, seed=1)
    assert whole_queries(examples, documents=4, seed=1) != whole_queries(examples, documents=4, seed=2)


def test_queries_without_enough_documents_or_grades_are_left_out() -> None:
    examples = rule.examples(0, queries=2)
    one_grade = [item for item in examples[:12] if item.judgment.relevance == 0]
    assert {item.query.query_id for item in whole_queries([*one_grade, *examples[12:]], documents=4, seed=0)} == {
        examples[12].query.query_id
    }
    with pytest.raises(TrainingError, match=r"no training query .*4 documents"):
        whole_queries(one_grade, documents=4, seed=0)


@pytest.mark.parametrize("order", ["grade_first", "reason_first"])
def test_rollouts_tell_prompts_masks_and_probabilities(tiny_folder: Path, order: judging.Order) -> None:
    files = find_model(str(tiny_folder))
    settings = PromptSettings(order=order, max_length=300, max_query_tokens=60, max_document_tokens=60)
    encoder = PromptEncoder(load_tokenizer(files), settings)
    rollouts = Rollouts(encoder, rule.examples(0, queries=1), tokens=12, seed=3)
    model = load_model(files)

    output = rollouts(["0", "0", "3"], trainer_at(model, 4))
    assert output == rollouts(["0", "0", "3"], trainer_at(model, 4))
    assert output["completion_ids"] != rollouts(["0", "0", "3"], trainer_at(model, 5))["completion_ids"]
    assert [tuple(ids) for ids in output["prompt_ids"]] == [rollouts.prompts[n].ids for n in (0, 0, 3)]
    lead = len(encoder.label_lead) if order == "grade_first" else 0
    for ids, mask in zip(output["completion_ids"], output["env_mask"], strict=True):
        assert len(ids) == len(mask) <= 13
        assert mask == [0] * lead + [1] * (len(ids) - lead)
        assert tuple(ids[:lead]) == encoder.label_lead[:lead]
    assert all(sum(row) == pytest.approx(1) for row in output["probabilities"])
    if order == "grade_first":
        assert output["probabilities"][0] == output["probabilities"][1]


def test_queries_without_a_hard_pair_are_left_out_and_hard_documents_come_first() -> None:
    examples = rule.examples(0, queries=3)
    # Of the twelve documents of a query nine are irrelevant; one of these is hard.
    query = examples[12].query.query_id
    last = [item for item in examples[12:24] if item.judgment.relevance == 0][-1]
    hard = {(query, last.document.doc_id)}
    for seed in range(5):
        chosen = whole_queries(examples, documents=3, seed=seed, hard=hard)
        assert {item.query.query_id for item in chosen} == {query}
        assert last in chosen
    with pytest.raises(TrainingError, match="no training query"):
        whole_queries(examples, documents=3, seed=0, hard=frozenset())


def test_rollouts_of_both_orders_stand_in_one_batch(tiny_folder: Path) -> None:
    files = find_model(str(tiny_folder))
    encoder = PromptEncoder(
        load_tokenizer(files), PromptSettings(max_length=300, max_query_tokens=80, max_document_tokens=60)
    )
    # A tokenizer of few words spells the instruction's frame.
    given = rule.examples(0, queries=1)[:2]
    examples = [replace(item, query=replace(item.query, instruction="fox")) for item in given]
    rollouts = Rollouts(encoder, examples, tokens=12, seed=3, orders=["grade_first", "reason_first"])
    output = rollouts(["0", "1"], trainer_at(load_model(files)))
    lead = len(encoder.label_lead)
    first, second = output["completion_ids"]
    assert tuple(first[:lead]) == encoder.label_lead
    assert output["env_mask"][0][:lead] == [0] * lead
    assert output["env_mask"][1] == [1] * len(second)
    prompts = [
        encoder.prompt(i.query, i.document, answer_tokens=12, order=o)
        for i, o in zip(examples, rollouts.orders, strict=True)
    ]
    assert [tuple(ids) for ids in output["prompt_ids"]] == [prompt.ids for prompt in prompts]
    assert [row["order"] for row in rollouts.columns()] == ["grade_first", "reason_first"]
    # What the grade rests on can be asked of other texts.
    [same, other] = rollouts.regrade([(examples[0].query.text, examples[0].document.full_text), ("?", "Nothing.")])
    assert same == pytest.approx(output["probabilities"][0])
    assert other != pytest.approx(same)
