"""Loads a recipe file with `key=value` overrides, checks it, and reports all faults at once."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from interank.errors import RecipeError
from interank.outputs import RENAMED_KEYS
from interank.recipe.by_task import task_of
from interank.recipe.evaluate import EvaluateRecipe
from interank.recipe.foreign import foreign_keys, shown
from interank.recipe.generate import GenerateRecipe
from interank.recipe.run import RunRecipe
from interank.recipe.trainer_keys import trainer_faults
from interank.recipe.words import read_yaml
from interank.resources import expanded, resource_dir
from interank.tasks import DISTILLED, REFINED
from interank.tasks.head.reward_model.recipe import RewardModelRecipe
from interank.tasks.recipes import DistillRecipe, RlRecipe
from interank.wording import listed

Recipe = GenerateRecipe | DistillRecipe | RewardModelRecipe | RlRecipe | EvaluateRecipe | RunRecipe

_OF_ONE_TASK: dict[str, type[Recipe]] = {
    "generate": GenerateRecipe,
    "reward": RewardModelRecipe,
    "evaluate": EvaluateRecipe,
    "run": RunRecipe,
}
_BY_TASK: dict[str, Mapping[str, type[DistillRecipe] | type[RlRecipe]]] = {"distill": DISTILLED, "rl": REFINED}
STAGES = ("generate", "distill", "reward", "rl", "evaluate", "run")
# The stages that train, whose recipes have a `trainer:` section.
_TRAINING = ("distill", "reward", "rl")

# Keys of earlier versions, by stage.
_FORMER = {
    "distill": {
        "lists": "this section is now a task; set `task: order`, and its keys without `lists.`, as window: 20",
        "head": "this section is now a task; set `task: head`, and its keys without `head.`, as documents: 8",
    },
    "rl": {
        "lists": "this section is now a task; set `task: order`, and its keys without `lists.`, as window: 20",
        **{key: f"this key is now `{name}`; rename it" for key, name in RENAMED_KEYS.items()},
    },
}


def recipe_files() -> list[tuple[str, Path]]:
    """The bundled recipes: name (`distill/llama-3.2-3b`) and file, sorted by name."""
    folder = resource_dir("recipes")
    return sorted((path.relative_to(folder).with_suffix("").as_posix(), path) for path in folder.rglob("*.yaml"))


def find_recipe(name: str) -> Path:
    """The file of a recipe, by its path or by a name that `interank recipes ls` lists.

    Raises:
        RecipeError: There is no such file or name.
    """
    path = expanded(name)
    if path.is_file():
        return path
    known = dict(recipe_files())
    # `recipes/demo.yaml` names the bundled recipe even without a checkout.
    short = name.removeprefix("recipes/").removesuffix(".yaml")
    if short in known:
        return known[short]
    alike = [each for each in known if each.rpartition("/")[2] == short]
    if alike:
        several = "these recipes have" if len(alike) > 1 else "this recipe has"
        raise RecipeError(name, [f"{several} that name in a stage: {', '.join(alike)}; give the name with its stage"])
    if "/" in short:
        near = difflib.get_close_matches(short, known, n=1)
    else:
        ends = difflib.get_close_matches(short, [each.rpartition("/")[2] for each in known], n=1)
        near = [each for each in known if each.rpartition("/")[2] in ends]
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise RecipeError(
        name, [f"there is no such file, and no recipe of that name; {hint}`interank recipes ls` lists them"]
    )


def load_recipe(name: str, overrides: Sequence[str] = (), *, stage: str | None = None) -> Recipe:
    """Read a recipe, apply the overrides, and check the result.

    Args:
        name: A path, or a bundled recipe's name.
        overrides: `key=value` with dots for nesting and YAML for the value; they win over the file.
        stage: The stage that the recipe has to be of.

    Raises:
        RecipeError: The recipe is wrong; the error lists every fault.
    """
    path = find_recipe(name)
    source = str(path)
    data = _read(path)
    faults = [
        *foreign_keys(data, [override.partition("=")[0] for override in overrides]),
        *(fault for override in overrides for fault in _apply(data, override)),
    ]
    own_stage = data.get("stage")
    if not isinstance(own_stage, str) or own_stage not in STAGES:
        raise RecipeError(source, [*faults, f"stage is {own_stage!r}, where one of {', '.join(STAGES)} is needed"])
    if stage is not None and own_stage != stage:
        raise RecipeError(
            source, [*faults, f"stage: this recipe is for `interank {own_stage}`, not for `interank {stage}`"]
        )
    if own_stage == "run":
        _name_stages(data)
    if former := _former(own_stage, data):
        raise RecipeError(source, [*faults, *former])
    model = model_of(data)
    if model is None:
        raise RecipeError(source, [*faults, _unknown_task(own_stage, data)])
    recipe: Recipe | None = None
    try:
        recipe = model.model_validate(data)
    except ValidationError as error:
        faults += [_fault(model, dict(item)) for item in error.errors()]
    faults += _trainer_faults(own_stage, data)
    if recipe is None or faults:
        raise RecipeError(source, faults)
    return recipe


def model_of(data: Mapping[str, Any]) -> type[Recipe] | None:
    """The model class that checks a recipe of these keys; None if its stage has no such task."""
    stage = data["stage"]
    return _of_task(stage, data) if stage in _BY_TASK else _OF_ONE_TASK[stage]


def _of_task(stage: str, section: Mapping[str, Any]) -> type[DistillRecipe] | type[RlRecipe] | None:
    task = task_of(section)
    # In YAML it may be a list, which cannot be looked up.
    return _BY_TASK[stage].get(task) if isinstance(task, str) else None


def _sections(stage: str, data: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """The parts that are recipes of training stages, each as its key prefix, stage and keys."""
    if stage != "run":
        return [("", stage, data)] if stage in _TRAINING else []
    stages = data.get("stages")
    parts = stages if isinstance(stages, dict) else {}
    return [(f"stages.{name}.", name, parts[name]) for name in _TRAINING if isinstance(parts.get(name), Mapping)]


def _former(stage: str, data: Mapping[str, Any]) -> list[str]:
    faults = [
        f"{before}{key}: {sentence}"
        for before, name, section in _sections(stage, data)
        for key, sentence in _FORMER.get(name, {}).items()
        if key in section
    ]
    for before, name, section in _sections(stage, data):
        if name == "distill" and "objective" in section and "task" not in section:
            answers = section["objective"] == "answers"
            advice = "`task: judge` learns answers; leave it out" if answers else "a head is a task; set `task: head`"
            faults.append(f"{before}objective: {advice}")
    return faults


def _unknown_task(stage: str, data: Mapping[str, Any]) -> str:
    return f"task: {task_of(data)!r} was found, {listed(_BY_TASK[stage], last='or')} is expected"


def read_keys(source: str, overrides: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` settings into a mapping, with dots for nesting and YAML for the values.

    Raises:
        RecipeError: A setting is wrong; the error names the source and lists every fault.
    """
    data: dict[str, Any] = {}
    faults = [fault for override in overrides for fault in _apply(data, override)]
    if faults:
        raise RecipeError(source, faults)
    return data


def _read(path: Path) -> dict[str, Any]:
    try:
        data = read_yaml(path.read_text("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RecipeError(str(path), [f"not readable as YAML: {' '.join(str(error).split())}"]) from None
    except ValueError as error:
        raise RecipeError(str(path), [str(error)]) from None
    if not isinstance(data, dict):
        raise RecipeError(str(path), [f"a mapping of keys is expected, {type(data).__name__} was found"])
    return data


def _apply(data: dict[str, Any], override: str) -> list[str]:
    """Set `a.b=value` in the data and return the faults; a pipeline's keys need no `stages.` in front."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        return [f"{override!r} was given; overrides are written key=value"]
    parts = key.split(".")
    if data.get("stage") == "run" and parts[0] in STAGES:
        parts = ["stages", *parts]
    try:
        value = read_yaml(text)
    except ValueError as error:
        return [f"{key}: {shown(key, text)} was given: {error}"]
    if "#" in text and (value is None or isinstance(value, str)) and text.strip()[:1] not in ("'", '"'):
        # A command line has no comments.
        value = text.strip()
    section = data
    for part in parts[:-1]:
        below = section.setdefault(part, {})
        if not isinstance(below, dict):
            return [f"{key}: {part} holds {below!r}, so nothing can be set below it"]
        section = below
    section[parts[-1]] = value
    return []


def _name_stages(data: dict[str, Any]) -> None:
    stages = data.get("stages")
    for name, section in stages.items() if isinstance(stages, dict) else ():
        if isinstance(section, dict):
            section.setdefault("stage", name)


def _trainer_faults(stage: str, data: Mapping[str, Any]) -> list[str]:
    faults = []
    for before, name, section in _sections(stage, data):
        model = RewardModelRecipe if name == "reward" else _of_task(name, section)
        trainer = section.get("trainer")
        if model is not None and isinstance(trainer, Mapping):
            faults += trainer_faults(model.trainer_config(section), trainer, f"{before}trainer")
    return faults


def _fault(model: type[BaseModel], item: Mapping[str, Any]) -> str:
    """Word one of pydantic's errors: the key, the value found, and what is expected or the nearest key."""
    location = [str(part) for part in item["loc"]]
    if location[:1] == ["stages"] and len(location) > 2 and location[1] in _BY_TASK:
        # pydantic puts the task after the stage.
        _, stage, task, *below = location
        inner = _fault(_BY_TASK[stage][task], {**item, "loc": below})
        return f"stages.{stage}.{inner}" if below else f"stages.{stage}: {inner.removeprefix(': ')}"
    where = ".".join(location)
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        # The only discriminated unions of recipes are those of tasks.
        if isinstance(item["input"], Mapping):
            return f"{where}.{_unknown_task(location[-1], item['input'])}"
        return f"{where}: {shown(where, item['input'])} was found: a mapping of keys is expected"
    if item["type"] == "extra_forbidden":
        if len(location) == 1 and (others := _tasks_with(model, location[0])):
            verb = "has" if len(others) == 1 else "have"
            return f"{where}: task {_task_named(model)} has no such key, {listed(others)} {verb} it; leave it out"
        near = [*_below(model, location), *difflib.get_close_matches(location[-1], _keys_at(model, location[:-1]), n=1)]
        hint = f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(_keys_at(model, location[:-1]))}"
        return f"{where}: unknown key{hint}"
    if item["type"] == "missing":
        return f"{where}: missing, and it has no default"
    if item["type"] == "value_error":
        return f"{where}: {item['ctx']['error']}".removeprefix(": ")
    return f"{where}: {shown(where, item['input'])} was found: {item['msg'][0].lower()}{item['msg'][1:]}"


def _below(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    """The full names of a misplaced key in the sections below its place."""
    *above, key = location
    sections = _keys_at(model, above)
    return [".".join([*above, name, key]) for name in sections if key in _keys_at(model, [*above, name])]


def _tasks_with(model: type[BaseModel], key: str) -> list[str]:
    """The other tasks of a recipe's stage that have a key."""
    models = next((models for models in _BY_TASK.values() if model in models.values()), {})
    return [name for name, other in models.items() if key in other.model_fields]


def _task_named(model: type[BaseModel]) -> str:
    return next(name for models in _BY_TASK.values() for name, other in models.items() if other is model)


def _keys_at(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    """The keys of the section at `location`."""
    for part in location:
        if part.isdigit():
            continue
        field = model.model_fields.get(part)
        below = next(_models_in(field.annotation), None) if field else None
        if below is None:
            return []
        model = below
    return [name for name in model.model_fields if name != "stage"]


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for part in typing.get_args(annotation):
        yield from _models_in(part)
