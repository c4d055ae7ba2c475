"""From a recipe file and `key=value` overrides to a checked recipe, with every fault at once."""

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
# Those that train, and take fields of a trainer.
_TRAINING = ("distill", "reward", "rl")

# Keys that earlier versions had, by stage.
_FORMER = {
    "distill": {
        "lists": "orders of lists are a task: set `task: order`, and its keys without `lists.`, as window: 20",
        "head": "a head is a task: set `task: head`, and its keys without `head.`, as documents: 8",
    },
    "rl": {
        "lists": "orders of lists are a task: set `task: order`, and its keys without `lists.`, as window: 20",
        **{key: f"this key is now `{name}`; rename it" for key, name in RENAMED_KEYS.items()},
    },
}


def recipe_files() -> list[tuple[str, Path]]:
    """The recipes that come with interank: name (`distill/llama-3.2-3b`) and file, sorted by name."""
    folder = resource_dir("recipes")
    return sorted((path.relative_to(folder).with_suffix("").as_posix(), path) for path in folder.rglob("*.yaml"))


def find_recipe(name: str) -> Path:
    """The file of a recipe given by path, or by the name that `interank recipes ls` prints.

    Raises:
        RecipeError: There is no such file and no such name.
    """
    path = expanded(name)
    if path.is_file():
        return path
    known = dict(recipe_files())
    # `recipes/demo.yaml` names the bundled recipe too, where there is no checkout to find it in.
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
    """Read a recipe, apply the overrides, and check the whole.

    Args:
        name: A path, or a bundled recipe's name.
        overrides: `key=value` with dots for nesting and YAML for the value; they win over the file.
        stage: What the recipe has to be for.

    Raises:
        RecipeError: With every fault found.
    """
    path = find_recipe(name)
    source = str(path)
    data = _read(path)
    faults = [
        *foreign_keys(data, [override.partition("=")[0] for override in overrides]),
        *(fault for override in overrides for fault in _apply(data, override)),
    ]
    found = data.get("stage")
    if not isinstance(found, str) or found not in STAGES:
        raise RecipeError(source, [*faults, f"stage is {found!r}, where one of {', '.join(STAGES)} is needed"])
    if stage is not None and found != stage:
        raise RecipeError(
            source, [*faults, f"stage: this recipe is for `interank {found}`, not for `interank {stage}`"]
        )
    if found == "run":
        _name_stages(data)
    if former := _former(found, data):
        raise RecipeError(source, [*faults, *former])
    model = model_of(data)
    if model is None:
        raise RecipeError(source, [*faults, _unknown_task(found, data)])
    recipe: Recipe | None = None
    try:
        recipe = model.model_validate(data)
    except ValidationError as error:
        faults += [_fault(model, dict(item)) for item in error.errors()]
    faults += _trainer_faults(found, data)
    if recipe is None or faults:
        raise RecipeError(source, faults)
    return recipe


def model_of(data: Mapping[str, Any]) -> type[Recipe] | None:
    """What a recipe of these keys is checked by; None where its stage has no such task."""
    stage = data["stage"]
    return _of_task(stage, data) if stage in _BY_TASK else _OF_ONE_TASK[stage]


def _of_task(stage: str, section: Mapping[str, Any]) -> type[DistillRecipe] | type[RlRecipe] | None:
    task = task_of(section)
    # YAML may hold a list there, which is no key of a mapping.
    return _BY_TASK[stage].get(task) if isinstance(task, str) else None


def _sections(stage: str, data: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """The parts that are recipes of stages that train: what goes before their keys, the stage, the keys."""
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
            told = "it is what `task: judge` learns; leave it out" if answers else "a head is a task: set `task: head`"
            faults.append(f"{before}objective: {told}")
    return faults


def _unknown_task(stage: str, data: Mapping[str, Any]) -> str:
    return f"task: {task_of(data)!r} was found, {listed(_BY_TASK[stage], last='or')} is expected"


def read_keys(source: str, overrides: Sequence[str]) -> dict[str, Any]:
    """The mapping that `key=value` settings make, with dots for nesting and YAML for the values.

    Raises:
        RecipeError: With every fault found; it names the source.
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
    """Set `a.b=value` in the data; a pipeline's stages are reached without their `stages.`."""
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
        given = section.get("trainer")
        if model is not None and isinstance(given, Mapping):
            faults += trainer_faults(model.trainer_config(section), given, f"{before}trainer")
    return faults


def _fault(model: type[BaseModel], item: Mapping[str, Any]) -> str:
    """One of pydantic's errors as: key, what was found, what is expected or nearest."""
    location = [str(part) for part in item["loc"]]
    if location[:1] == ["stages"] and len(location) > 2 and location[1] in _BY_TASK:
        # Behind the stage pydantic names the task.
        _, stage, task, *below = location
        inner = _fault(_BY_TASK[stage][task], {**item, "loc": below})
        return f"stages.{stage}.{inner}" if below else f"stages.{stage}: {inner.removeprefix(': ')}"
    where = ".".join(location)
    if item["type"] in ("union_tag_invalid", "union_tag_not_found"):
        # Of pydantic's unions recipes have those of tasks alone.
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
    """Where a key stands in a section below the place where it was given."""
    *above, key = location
    sections = _keys_at(model, above)
    return [".".join([*above, name, key]) for name in sections if key in _keys_at(model, [*above, name])]


def _tasks_with(model: type[BaseModel], key: str) -> list[str]:
    """The other tasks of a recipe's stage that have a key."""
    models = next((found for found in _BY_TASK.values() if model in found.values()), {})
    return [name for name, other in models.items() if key in other.model_fields]


def _task_named(model: type[BaseModel]) -> str:
    return next(name for models in _BY_TASK.values() for name, other in models.items() if other is model)


def _keys_at(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    """The keys that the section at `location` knows."""
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
