"""What a manifest tells of the task that an adapter was trained for, and which tasks each stage has."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any, get_args

import pytest

import interank
from interank.settings import ListPromptSettings, PromptSettings
from interank.tasks import DISTILLED, NAMES, REFINED, DistillRecipe, RlRecipe, task_of_adapter


@pytest.mark.parametrize(
    ("manifest", "task"),
    [
        ({"task": "judge", "prompt": {"form": "reason"}}, "judge"),
        ({"prompt": PromptSettings().model_dump(mode="json")}, "judge"),
        ({"prompt": ListPromptSettings().model_dump(mode="json")}, "order"),
        ({"head": {}, "modes": ["score"]}, "head"),
    ],
)
def test_an_adapter_that_does_not_say_its_task_tells_it_by_its_prompt(manifest: dict[str, Any], task: str) -> None:
    assert task_of_adapter(manifest) == task


def test_every_recipe_names_its_own_task() -> None:
    assert list(DISTILLED) == list(NAMES)
    assert {"judge", "order"} <= {*REFINED} <= {*NAMES}
    for models in (DISTILLED, REFINED):
        for name, model in models.items():
            assert model.model_fields["task"].annotation.__args__ == (name,)  # type: ignore[union-attr]


@pytest.mark.parametrize("recipe", [*DISTILLED.values(), *REFINED.values()], ids=lambda recipe: recipe.__name__)
def test_the_keys_to_lower_where_memory_is_short_are_those_of_the_task(recipe: type[DistillRecipe | RlRecipe]) -> None:
    assert recipe.shorter
    for key in recipe.shorter:
        name, _, inner = key.partition(".")
        kind = recipe.model_fields[name].annotation
        assert not inner or any(inner in getattr(each, "model_fields", ()) for each in get_args(kind) or (kind,))


def test_no_sentence_names_keys_by_the_sections_in_which_they_stood_before_tasks_had_recipes() -> None:
    keys = {name for model in (DISTILLED["order"], DISTILLED["head"]) for name in model.model_fields}
    former = re.compile(rf"\b(?:lists|head)\.(?:{'|'.join(sorted(keys))})\b")
    folder = Path(interank.__file__).parent
    found = [
        f"{path.relative_to(folder)}:{node.lineno}: {node.value}"
        for path in sorted(folder.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and former.search(node.value)
    ]
    assert found == []
