"""The reference of recipe keys: each with type, default and sentence, read from the recipes' own models."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from interank.recipe.evaluate import EvaluateRecipe
from interank.recipe.generate import GenerateRecipe
from interank.tasks import DISTILLED, REFINED
from interank.tasks.head.reward_model.recipe import RewardModelRecipe

RECIPES: dict[str, Mapping[str, type[BaseModel]]] = {
    "generate": {"": GenerateRecipe},
    "distill": DISTILLED,
    "reward": {"": RewardModelRecipe},
    "rl": REFINED,
    "evaluate": {"": EvaluateRecipe},
}
"""By stage its recipes, by what is learned where there are several."""

_PLAIN = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
_BOUNDS = {Ge: "at least {}", Gt: "over {}", Le: "at most {}", Lt: "under {}"}


class Key(NamedTuple):
    """A key of a recipe as the reference shows it."""

    name: str
    """With dots, as it is given on the command line."""
    type: str
    default: str
    sentence: str
    tasks: tuple[str, ...]
    """The tasks that have it; one empty name where the stage has one recipe."""


def keys_of(stage: str) -> list[Key]:
    """All keys of a stage's recipes, those of sections behind their section's, each once for all tasks that have it."""
    found: dict[Key, list[str]] = {}
    for task, model in RECIPES[stage].items():
        for key in _keys(model, ""):
            found.setdefault(key, []).append(task)
    return [key._replace(tasks=tuple(tasks)) for key, tasks in found.items()]


def _keys(model: type[BaseModel], before: str) -> Iterator[Key]:
    for name, field in model.model_fields.items():
        if name == "stage":
            continue
        path = before + name
        sections = list(_sections(field.annotation))
        default = "(section)" if sections and not _is_list(field.annotation) else _default(field)
        yield Key(path, _told(field), default, " ".join((field.description or "").split()), ())
        inner = f"{path}[]." if _is_list(field.annotation) else f"{path}."
        for section in sections:
            yield from _keys(section, inner)


def _told(field: FieldInfo) -> str:
    bounds = [_BOUNDS[type(each)].format(_number(each)) for each in field.metadata if type(each) in _BOUNDS]
    return ", ".join([_type(field.annotation), *bounds])


def _number(bound: Ge | Gt | Le | Lt) -> str:
    (value,) = (getattr(bound, name) for name in ("ge", "gt", "le", "lt") if hasattr(bound, name))
    return f"{value:.4g}"


def _type(annotation: Any) -> str:
    origin = get_origin(annotation)
    if origin is typing.Annotated:
        inner = get_args(annotation)[0]
        return _type(inner)
    if origin is Literal:
        return " or ".join(f"`{_yaml(value)}`" for value in get_args(annotation))
    if origin in (typing.Union, types.UnionType):
        parts = [_type(part) for part in get_args(annotation) if part is not type(None)]
        return " or ".join([*dict.fromkeys(parts), *(["null"] if type(None) in get_args(annotation) else [])])
    if origin in (tuple, list):
        return f"list of: {_type(get_args(annotation)[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    return _PLAIN.get(annotation, "any value")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**needed**"
    value = field.get_default(call_default_factory=True)
    return f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    """A value as a recipe has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, BaseModel):
        return "{" + ", ".join(f"{name}: {_yaml(getattr(value, name))}" for name in type(value).model_fields) + "}"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_yaml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_yaml, value))}]"
    return str(value)


def _is_list(annotation: Any) -> bool:
    if get_origin(annotation) is typing.Annotated:
        return _is_list(get_args(annotation)[0])
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return any(_is_list(part) for part in get_args(annotation))
    return get_origin(annotation) in (tuple, list)


def _sections(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for part in get_args(annotation):
        yield from _sections(part)


def page(stage: str) -> str:
    """The reference page of a stage's keys."""
    keys = keys_of(stage)
    tasks = [name for name in RECIPES[stage] if name]
    parts = [
        f"# {stage}: recipe keys",
        f"Every key that a recipe of `interank {stage}` may have. On the command line write it as it stands here, "
        f"`{keys[1].name}=VALUE`; in a recipe a dot is a level of YAML. This page is made from the code when the site "
        "is built.",
    ]
    if tasks:
        named = ", ".join(f"`{name}`" for name in tasks)
        parts.append(f"What is learned is told by `task:` ({named}). A key that not all tasks have says which have it.")
    tops = list(dict.fromkeys(key.name.partition(".")[0].removesuffix("[]") for key in keys))
    own = [key for key in keys if "." not in key.name]
    parts.append(_table(own, tasks))
    for top in tops:
        below = [key for key in keys if key.name.startswith((f"{top}.", f"{top}[]."))]
        if below:
            parts += [f"## {top}", _table(below, tasks)]
    return "\n\n".join(parts) + "\n"


def _table(keys: list[Key], tasks: list[str]) -> str:
    rows = ["| key | type | default | what it does |", "|---|---|---|---|"]
    for key in keys:
        some = f" *Only {', '.join(key.tasks)}.*" if tasks and len(key.tasks) < len(tasks) else ""
        cells = (f"`{key.name}`", key.type, key.default, key.sentence + some)
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)
