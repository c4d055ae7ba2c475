"""What a manifest tells of the task that an adapter was trained for, and which tasks each stage has."""

from __future__ import annotations

from typing import Any

import pytest

from interank.settings import ListPromptSettings, PromptSettings
from interank.tasks import DISTILLED, NAMES, REFINED, task_of_adapter


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
