"""The model behind a reranker: an artifact, a PEFT adapter, a merged model's folder, or a name on the hub."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from interank import judging
from interank.artifact import MANIFEST, RECIPE, open_artifact
from interank.engines.models import ModelFiles, find_model, load_model, load_tokenizer, merged, with_adapter
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Engine, EngineName, Precision
from interank.engines.served import ServerEngine
from interank.engines.transformers import TransformersEngine
from interank.engines.vllm import VllmEngine, VllmOptions, rank_of
from interank.errors import ArtifactError, InputError, ModelError
from interank.recipe import PromptSettings, ServerRecipe

_PEFT = "adapter_config.json"
# Of a model that reads little, the query takes this part at the most.
_QUERY_PART = 4
_ENGINES: tuple[EngineName, ...] = ("transformers", "vllm", "openai")


AnyServer = str | Mapping[str, Any] | ServerRecipe
"""Servers by the base URL of one, or by `ServerRecipe` or its keys."""


@dataclass(frozen=True, slots=True)
class Running:
    """What runs a model, and how."""

    engine: EngineName = "transformers"
    precision: Precision = "exact"
    server: AnyServer | None = None
    """For `openai`: the servers."""
    answer_tokens: int = 0
    """What may stand behind a prompt."""


@dataclass(frozen=True, slots=True)
class _Source:
    """A model's files, its adapter if that is apart, and the prompts that it reads."""

    files: ModelFiles
    adapter: Path | None
    settings: PromptSettings


def open_engine(source: str | Path, running: Running) -> tuple[Engine, PromptEncoder]:
    """The engine with the model, and the encoder of its prompts.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
        ModelError: The model cannot be had, or no server answers.
        InputError: The engine is unknown, or the precision or the server do not go with it.
    """
    _check(running)
    found = _found(source)
    encoder = PromptEncoder(load_tokenizer(found.files), found.settings)
    if running.engine == "vllm":
        return _vllm(found, running), encoder
    if running.engine == "openai":
        server = _server(running)
        return ServerEngine(server.model or str(source), server), encoder
    model: Any = load_model(found.files)
    if found.adapter is not None:
        model = merged(with_adapter(model, found.adapter))
    return TransformersEngine(model, precision=running.precision), encoder


def _vllm(found: _Source, running: Running) -> VllmEngine:
    length = _readable(found.files, found.settings.max_length + running.answer_tokens)
    rank = rank_of(found.adapter) if found.adapter else 0
    engine = VllmEngine(found.files.folder, VllmOptions(max_length=length, lora_rank=rank))
    if found.adapter:
        engine.take_adapter(found.adapter)
    return engine


def _check(running: Running) -> None:
    if running.engine not in _ENGINES:
        raise InputError(f"found the engine {running.engine!r}; expected one of {', '.join(_ENGINES)}")
    if running.precision != "exact" and running.engine != "transformers":
        raise InputError(
            f"precision {running.precision} is for engine transformers, which has its own arithmetic; found engine "
            f"{running.engine}; leave one of them out"
        )
    if (running.server is None) == (running.engine == "openai"):
        raise InputError(
            "engine openai and a server belong together: give engine openai with its server, as "
            "http://HOST:8000/v1, or neither"
        )


def _server(running: Running) -> ServerRecipe:
    given = {"urls": running.server} if isinstance(running.server, str) else running.server
    try:
        settings = ServerRecipe.model_validate(given)
    except ValidationError as error:
        raise InputError(f"server: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    if not settings.urls:
        raise InputError("engine openai was given no server's address; give one, as http://HOST:8000/v1")
    return settings


def _found(source: str | Path) -> _Source:
    path = Path(source).expanduser()
    if (path / MANIFEST).is_file():
        artifact = open_artifact(path, "adapter")
        if artifact.manifest["prompt_hash"] != judging.prompt_hash():
            raise ArtifactError(
                f"{path} was trained on another wording of the prompt ({artifact.manifest['prompt_hash']}, here "
                f"{judging.prompt_hash()}); train it anew or use the interank version in its {RECIPE}"
            )
        settings = PromptSettings.model_validate(artifact.manifest["prompt"])
        return _Source(find_model(str(artifact.manifest["base"])), path / "adapter", settings)
    files: ModelFiles
    adapter: Path | None
    if (path / _PEFT).is_file():
        files, adapter = find_model(_base(path / _PEFT)), path
    else:
        files, adapter = find_model(str(source)), None
    usual = PromptSettings()
    room = _readable(files, usual.max_length)
    query = min(usual.max_query_tokens, room // _QUERY_PART)
    return _Source(files, adapter, PromptSettings(max_length=room, max_query_tokens=query))


def _readable(files: ModelFiles, length: int) -> int:
    """So many tokens, or as many as the model has positions for."""
    config = files.folder / "config.json"
    try:
        positions = json.loads(config.read_text("utf-8")).get("max_position_embeddings")
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{config} cannot be read ({error}); get the model anew") from None
    return min(length, positions) if isinstance(positions, int) else length


def _base(config: Path) -> str:
    """The base model that a PEFT adapter names."""
    try:
        base = json.loads(config.read_text("utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError) as error:
        raise ModelError(f"{config} cannot be read ({error}); save the adapter anew") from None
    if not isinstance(base, str) or not base:
        raise ModelError(f"{config} names no base_model_name_or_path; add the model that the adapter belongs to")
    return base
