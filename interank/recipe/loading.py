"""From a recipe file and `key=value` overrides to a checked recipe, with every fault at once."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from interank.errors import RecipeError
from interank.recipe.models import RECIPES, Recipe
from interank.recipe.trainer_keys import trainer_faults
from interank.resources import resource_dir


def recipe_files() -> list[tuple[str, Path]]:
    """The recipes that come with interank: name (`distill/llama-3.2-3b`) and file, sorted by name."""
    folder = resource_dir("recipes")
    return sorted((path.relative_to(folder).with_suffix("").as_posix(), path) for path in folder.rglob("*.yaml"))


def find_recipe(name: str) -> Path:
    """The file of a recipe given by path, or by the name that `interank recipes ls` prints.

    Raises:
        RecipeError: There is no such file and no such name.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    known = dict(recipe_files())
    # `recipes/demo.yaml` names the bundled recipe too, where there is no checkout to find it in.
    short = name.removeprefix("recipes/").removesuffix(".yaml")
    if short in known:
        return known[short]
    near = difflib.get_close_matches(short, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise RecipeError(name, [f"no such file, nor a recipe of that name; {hint}`interank recipes ls` lists them"])


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
    faults = [fault for override in overrides for fault in _apply(data, override)]
    found = data.get("stage")
    if not isinstance(found, str) or found not in RECIPES:
        raise RecipeError(source, [*faults, f"stage: {found!r} was found, one of {', '.join(RECIPES)} is expected"])
    if stage is not None and found != stage:
        raise RecipeError(
            source, [*faults, f"stage: this recipe is for `interank {found}`, not for `interank {stage}`"]
        )
    if found == "run":
        _name_stages(data)
    model = RECIPES[found]
    recipe: Recipe | None = None
    try:
        recipe = model.model_validate(data)
    except ValidationError as error:
        faults += [_fault(model, dict(item)) for item in error.errors()]
    faults += _trainer_faults(found, data)
    if recipe is None or faults:
        raise RecipeError(source, faults)
    return recipe


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
        data = yaml.safe_load(path.read_text("utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(str(path), [f"not readable as YAML: {' '.join(str(error).split())}"]) from None
    if not isinstance(data, dict):
        raise RecipeError(str(path), [f"a mapping of keys is expected, {type(data).__name__} was found"])
    return data


def _apply(data: dict[str, Any], override: str) -> list[str]:
    """Set `a.b=value` in the data; a pipeline's stages are reached without their `stages.`."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        return [f"{override!r} was given; overrides are written key=value"]
    parts = key.split(".")
    if data.get("stage") == "run" and parts[0] in RECIPES:
        parts = ["stages", *parts]
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        return [f"{key}: the value {text!r} is not readable as YAML ({' '.join(str(error).split())})"]
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
    configs = {"distill": "SFTConfig", "rl": "GRPOConfig"}
    if stage == "run":
        sections = data.get("stages")
        named = (
            [(f"stages.{name}.trainer", name, sections.get(name)) for name in configs]
            if isinstance(sections, dict)
            else []
        )
    else:
        named = [("trainer", stage, data)]
    return [
        fault
        for where, name, section in named
        if name in configs and isinstance(section, Mapping) and isinstance(section.get("trainer"), Mapping)
        for fault in trainer_faults(_config(configs[name], section), section["trainer"], where)
    ]


def _config(usual: str, section: Mapping[str, Any]) -> str:
    """Reward-weighted refinement is supervised; heads are trained by transformers' own trainer."""
    if section.get("objective", "answers") != "answers":
        return "TrainingArguments"
    return "SFTConfig" if section.get("algorithm") == "reward_weighted" else usual


def _fault(model: type[BaseModel], item: Mapping[str, Any]) -> str:
    """One of pydantic's errors as: key, what was found, what is expected or nearest."""
    location = [str(part) for part in item["loc"]]
    where = ".".join(location)
    if item["type"] == "extra_forbidden":
        near = difflib.get_close_matches(location[-1], _keys_at(model, location[:-1]), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; known here: {', '.join(_keys_at(model, location[:-1]))}"
        return f"{where}: unknown key{hint}"
    if item["type"] == "missing":
        return f"{where}: missing, and it has no default"
    if item["type"] == "value_error":
        return f"{where}: {item['ctx']['error']}".removeprefix(": ")
    value = item["input"]
    hint = ""
    if isinstance(value, str) and _is_number(value):
        hint = f"; YAML reads {value} as text, write {float(value)!r}" if "e" in value.lower() else ""
    return f"{where}: {value!r} was found: {item['msg'][0].lower()}{item['msg'][1:]}{hint}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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
