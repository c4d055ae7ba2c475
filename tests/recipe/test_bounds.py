"""Numbers that a trainer or a scorer cannot work with are refused where the recipe is read."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from trl import GRPOConfig, SFTConfig

from interank.errors import RecipeError
from interank.recipe import load_recipe
from interank.recipe.trainer_keys import BOUNDS, trainer_fields


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("evaluate/benchmark", "measures=[]"),
        ("evaluate/benchmark", "measures=nDGC@10"),
        ("rl/smollm2", "trainer.num_generations=1"),
        ("rl/smollm2", "trainer.temperature=0"),
        ("rl/smollm2", "trainer.temperature=.nan"),
        ("rl/smollm2", "trainer.gradient_accumulation_steps=0"),
        ("distill/smollm2", "trainer.gradient_accumulation_steps=0"),
        ("distill/smollm2", "trainer.per_device_train_batch_size=0"),
        ("distill/smollm2", "trainer.per_device_train_batch_size=-1"),
        ("distill/smollm2", "trainer.learning_rate=-1.0e-4"),
        ("distill/smollm2", "trainer.learning_rate=.inf"),
        ("distill/smollm2", "trainer.num_train_epochs=0"),
        ("distill/smollm2", "trainer.max_steps=0"),
        ("distill/smollm2", "trainer.save_steps=0"),
        ("distill/smollm2", "trainer.logging_steps=0"),
        ("distill/smollm2", "trainer.adam_beta2=1.0"),
        ("distill/smollm2", "trainer.warmup_steps=-1"),
        ("demo", "rl.trainer.num_generations=1"),
    ],
)
def test_what_nothing_can_be_made_with_is_refused_with_its_key(name: str, setting: str) -> None:
    key, _, value = setting.partition("=")
    load_recipe(name)
    with pytest.raises(RecipeError) as refused:
        load_recipe(name, [setting])
    # The scorer's measure is named, a number stands as it is read.
    found = {"[]": "nDCG@10", ".nan": "nan", ".inf": "inf", "-1.0e-4": "-0.0001"}.get(value, value)
    assert key in str(refused.value)
    assert found in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "facts"),
    [
        # As a shell hands it on; YAML reads a bare no as false.
        ("save_strategy=no", ("False", "'no'", "steps")),
        ("lr_scheduler_type=cosin", ("cosin", "cosine", "linear")),
        ("optim=adam", ("adam", "adamw_torch")),
    ],
)
def test_a_word_that_transformers_does_not_know_is_refused_with_those_it_knows(
    setting: str, facts: tuple[str, ...]
) -> None:
    with pytest.raises(RecipeError) as refused:
        load_recipe("distill/smollm2", [f"trainer.{setting}"])
    assert [fact for fact in (setting.partition("=")[0], *facts) if fact not in str(refused.value)] == []


@pytest.mark.parametrize(
    "setting",
    [
        "max_steps=-1",
        "max_steps=1",
        "learning_rate=0",
        "save_steps=0.5",
        "warmup_steps=0.05",
        "max_grad_norm=0",
        "save_strategy='no'",
        "optim=sgd",
    ],
)
def test_what_trainers_can_work_with_is_taken(setting: str) -> None:
    load_recipe("distill/smollm2", [f"trainer.{setting}"])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["questions_per_step=3"], "3 are 3 rows, .* of 2 .*; make it 2 or 4, or lower"),
        (["questions_per_step=1"], "1 are 1 rows, .*; make it 2, or lower"),
        (["questions_per_step=8", "trainer.gradient_accumulation_steps=2"], "are 4 microbatches of 2, and .* is 2"),
    ],
)
def test_a_step_of_no_whole_microbatches_is_refused_with_the_nearest(settings: list[str], told: str) -> None:
    with pytest.raises(RecipeError, match=told):
        load_recipe("distill/llama-3.2-3b", ["trainer.per_device_train_batch_size=2", *settings])


@pytest.mark.parametrize(
    ("name", "microbatches"),
    # A question is a row of two; a query four completions of each of five documents, which are one microbatch.
    [("distill/llama-3.2-3b", 3), ("rl/smollm2-stackexchange", 6)],
)
def test_a_step_of_questions_is_so_many_microbatches(name: str, microbatches: int) -> None:
    size = ["trainer.per_device_train_batch_size=2"] if name.startswith("distill") else []
    recipe = load_recipe(name, ["questions_per_step=6", *size])
    assert getattr(recipe, "trainer")["gradient_accumulation_steps"] == microbatches  # noqa: B009


def test_every_bound_is_of_a_field_that_a_trainer_has() -> None:
    known = {*trainer_fields("SFTConfig"), *trainer_fields("GRPOConfig"), *trainer_fields("TrainingArguments")}
    assert BOUNDS.keys() - known == set()


def test_no_default_of_a_trainer_lies_beyond_its_bounds(tmp_path: Path) -> None:
    for config in (SFTConfig(output_dir=str(tmp_path), bf16=False), GRPOConfig(output_dir=str(tmp_path), bf16=False)):
        given = {key: getattr(config, key, None) for key in BOUNDS}
        assert {key: value for key, value in given.items() if value is not None and not BOUNDS[key].hold(value)} == {}


def test_bounds_say_themselves_in_words() -> None:
    assert str(BOUNDS["max_steps"]) == "at least 1, or -1"
    assert str(BOUNDS["temperature"]) == "greater than 0"
    assert str(BOUNDS["adam_beta1"]) == "at least 0 and less than 1"
    assert not BOUNDS["learning_rate"].hold(math.nan)
