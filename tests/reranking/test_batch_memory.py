"""How much memory a batch's keys and values may take is said in a recipe, a command or Python, and moves no score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from interank import Reranker
from interank.cli.app import main
from interank.engines import transformers
from interank.engines.budget import Budget, budget_of, within
from interank.errors import InputError, RecipeError
from interank.recipe import load_recipe
from interank.settings import HeadSettings, LinkRecipe, RolloutsRecipe
from interank.tasks.ranker_settings import RankerSettings
from interank.training.samplers import sampler_of
from tests.support.families import family_model
from tests.support.tiny_heads import tiny_base, tiny_head

QUERY, DOCUMENTS = "Why does bread rise?", ["Yeast makes gas.", "Stones do not rise." * 9, "Salt slows yeast down."]
# Of the tiny model: two of these documents do not fit together.
LITTLE = 1e-4


@pytest.fixture
def budgets(monkeypatch: pytest.MonkeyPatch) -> list[Budget | None]:
    """Of every engine that is made."""
    found: list[Budget | None] = []
    made = transformers.TransformersEngine.__init__

    def noted(self: Any, model: Any, **options: Any) -> None:
        found.append(options.get("budget"))
        made(self, model, **options)

    monkeypatch.setattr(transformers.TransformersEngine, "__init__", noted)
    return found


def test_a_reranker_takes_it_and_scores_as_before(tiny_folder: Path, budgets: list[Budget | None]) -> None:
    ample = Reranker(tiny_folder).rank(QUERY, DOCUMENTS)
    tight = Reranker(tiny_folder, memory=LITTLE).rank(QUERY, DOCUMENTS)
    assert [budget and budget.keys for budget in budgets] == [None, 100_000]
    assert [item.doc_id for item in tight] == [item.doc_id for item in ample]
    assert [item.score for item in tight] == pytest.approx([item.score for item in ample], abs=1e-5)


def test_the_command_takes_it(tiny_folder: Path, tmp_path: Path, budgets: list[Budget | None]) -> None:
    (tmp_path / "a.txt").write_text(DOCUMENTS[0])
    line = ["rerank", str(tiny_folder), str(tmp_path / "a.txt"), "--query", QUERY, "--explain", "0", "--memory", "0.5"]
    assert main(line) == 0
    assert [budget and budget.keys for budget in budgets] == [500_000_000]


def test_a_link_and_rollouts_take_it(budgets: list[Budget | None], tmp_path: Path) -> None:
    asked = RankerSettings.of_link(LinkRecipe(model="written", memory=3.0))
    assert asked.memory == 3.0
    model = family_model("llama 3", 300)
    for memory in (None, 2.0):
        recipe = RolloutsRecipe(memory=memory)
        with (
            sampler_of(recipe, tmp_path, model, tmp_path, max_length=9) as sampler,
            sampler.engine_of(model),
        ):
            pass
    assert budgets == [None, Budget(budget_of(model).tokens, 2 * 10**9)]
    assert within(model, None) is None


def test_recipes_have_it_checked(tmp_path: Path) -> None:
    recipe = tmp_path / "evaluate.yaml"
    recipe.write_text("stage: evaluate\nmemory: 4.5\n")
    assert load_recipe(str(recipe)).memory == 4.5  # type: ignore[union-attr]
    recipe.write_text("stage: evaluate\nmemory: -1.0\n")
    with pytest.raises(RecipeError, match=r"memory.*greater than 0"):
        load_recipe(str(recipe))
    with pytest.raises(ValidationError, match="memory: engine vllm manages its own memory"):
        RolloutsRecipe(engine="vllm", memory=2.0)


def test_a_head_keeps_no_keys(tmp_path: Path) -> None:
    head = tiny_head(tmp_path / "head", tiny_base(tmp_path / "base"), HeadSettings())
    with pytest.raises(InputError, match=r"memory is for language models.*leave memory out"):
        Reranker(head, memory=2.0)
