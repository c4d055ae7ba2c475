"""What GRPO is given of lists: seeded orders with their grades, prompts that use will see, sampled completions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.judgments import by_question
from interank.settings import ListPromptSettings, PromptSettings
from interank.tasks.judged_lists import in_orders, judged_lists
from interank.tasks.list_rollouts import ListRollouts
from interank.tasks.order.encoder import ListEncoder
from tests.support import rule
from tests.support.grpo_training import trainer_at

LISTS = list(judged_lists(by_question(rule.examples(0, queries=20)), documents=4, seed=0))


def test_each_list_stands_in_so_many_orders_with_its_own_grades() -> None:
    shown = in_orders(LISTS, 3, seed=1)
    assert len(shown) == 3 * len(LISTS)
    assert shown == in_orders(LISTS, 3, seed=1)
    assert shown != in_orders(LISTS, 3, seed=2)
    grades = {
        document.doc_id: grade for item in LISTS for document, grade in zip(item.documents, item.grades, strict=True)
    }
    for item in shown:
        assert [grades[document.doc_id] for document in item.documents] == list(item.grades)
    assert set(Counter(item.query.query_id for item in shown).values()) == {3}
    assert {item.grades.index(2) for item in shown} == {0, 1, 2, 3}


def test_rollouts_tell_prompts_masks_and_columns(tiny_folder: Path) -> None:
    files = find_model(str(tiny_folder))
    encoder = ListEncoder(PromptEncoder(load_tokenizer(files), PromptSettings()), ListPromptSettings(max_length=900))
    rollouts = ListRollouts(encoder, LISTS[:3], tokens=80, seed=3)
    model = load_model(files)

    output = rollouts(["0", "0", "2"], trainer_at(model, 4))
    assert output == rollouts(["0", "0", "2"], trainer_at(model, 4))
    assert output["completion_ids"] != rollouts(["0", "0", "2"], trainer_at(model, 5))["completion_ids"]
    assert [tuple(ids) for ids in output["prompt_ids"]] == [rollouts.prompts[number].ids for number in (0, 0, 2)]
    for ids, mask, logprobs in zip(output["completion_ids"], output["env_mask"], output["logprobs"], strict=True):
        assert mask == [1] * len(ids)
        assert len(logprobs) == len(ids) <= 81
    (first, *_), item = rollouts.columns(), LISTS[0]
    assert first["doc_ids"] == [document.doc_id for document in item.documents]
    assert first["grades"] == list(item.grades)
    # Whatever is written has its room beside the prompt.
    room = encoder.settings.max_length - 80
    assert all(len(prompt.ids) <= room for prompt in rollouts.prompts)
