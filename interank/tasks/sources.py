"""The model behind a reranker: an artifact, a PEFT adapter, a merged model's folder, or a name on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

from pydantic import ValidationError

from interank import judging
from interank.artifact import MANIFEST, RECIPE, open_artifact
from interank.engines.adapters import merged, with_adapter
from interank.engines.bases import find_base, refuse_base
from interank.engines.models import (
    PEFT,
    ModelFiles,
    find_model,
    load_model,
    load_tokenizer,
    read_config,
)
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Engine, EngineName, Precision
from interank.engines.served import ServerEngine
from interank.engines.transformers import TransformersEngine
from interank.engines.use import read_use
from interank.engines.vllm import VllmEngine, VllmOptions, rank_of
from interank.errors import ArtifactError, InputError
from interank.settings import (
    ListPromptSettings,
    ListwiseRecipe,
    PromptSettings,
    ServerRecipe,
)
from interank.tasks.order import ordering

_TOKENIZER = "tokenizer_config.json"
# Of a model that reads little, the query takes this part at the most.
_QUERY_PART = 4
_ENGINES: tuple[EngineName, ...] = ("transformers", "vllm", "openai")


AnyServer = str | Mapping[str, Any] | ServerRecipe
"""Servers by the base URL of one, or by `ServerRecipe` or its keys."""


class Runs(TypedDict, total=False):
    """What a caller may say of what runs a model."""

    engine: EngineName
    """`transformers`, in this process, unless it is said. `vllm` starts processes that import the program's main
    module, so a script needs its `if __name__ == "__main__":`. With `openai` servers run it, as `vllm serve` does."""
    precision: Precision
    """`exact` unless it is said; on a CPU layers in `bfloat16`, with scores a little off, which is faster where the
    processor multiplies it (Intel's AMX), or in `int8`, with scores further off; or base weights in 4 bits (`nf4`),
    which takes less memory."""
    server: AnyServer | None
    """For `openai`, a base URL, or keys of a recipe's `teacher.server`; the model then tells the prompts' form, and its
    name on the servers where `server` has no `model`."""
    base: str | None
    """The name or folder of what an adapter stands on, where it is not where it was when the adapter was trained.
    Another one than that is taken, with a warning; unsaid, it is refused."""


@dataclass(frozen=True, slots=True)
class Running:
    """What runs a model, and how."""

    engine: EngineName = "transformers"
    precision: Precision = "exact"
    server: AnyServer | None = None
    """For `openai`: the servers."""
    answer_tokens: int = 0
    """What may stand behind a prompt."""
    lists: ListwiseRecipe | None = None
    """How lists are asked for, if they are; their prompts' length holds the room for the answer already."""
    base: str | None = None
    """What an adapter stands on, where that is said; see `find_base`."""


@dataclass(frozen=True, slots=True)
class Source:
    """A model's files, its adapter if that is apart, and the prompts that it reads."""

    files: ModelFiles
    adapter: Path | None
    settings: PromptSettings
    lists: ListPromptSettings
    tokenizer: ModelFiles

    def encoder(self) -> PromptEncoder:
        """What makes its prompts."""
        return PromptEncoder(load_tokenizer(self.tokenizer), self.settings)


class Opened(NamedTuple):
    """An engine with the model, the encoder of its prompts, and what prompts of lists are like."""

    engine: Engine
    encoder: PromptEncoder
    lists: ListPromptSettings


def open_engine(source: str | Path, running: Running) -> Opened:
    """The engine with the model, and how its prompts are made.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
        ModelError: The model cannot be had, or no server answers.
        InputError: The engine is unknown, or the precision or the server do not go with it.
    """
    _check(running)
    found = find_source(source, running.lists, running.base)
    encoder = found.encoder()
    return Opened(_engine(str(source), found, running, encoder), encoder, found.lists)


def _engine(source: str, found: Source, running: Running, encoder: PromptEncoder) -> Engine:
    if running.engine == "vllm":
        return _vllm(found, running)
    if running.engine == "openai":
        server = server_settings(running.server)
        return ServerEngine(server.model or source, server, vocabulary=encoder.vocabulary)
    in_4_bits = running.precision == "nf4"
    model: Any = load_model(found.files, quantisation="nf4" if in_4_bits else "none")
    if found.adapter is not None:
        model = merged(with_adapter(model, found.adapter))
    return TransformersEngine(model, precision="exact" if in_4_bits else running.precision)


def _vllm(found: Source, running: Running) -> VllmEngine:
    asked = found.lists.max_length if running.lists else found.settings.max_length + running.answer_tokens
    length = readable(found.files, asked)
    rank = rank_of(found.adapter, found.files) if found.adapter else 0
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


def server_settings(given: AnyServer | None) -> ServerRecipe:
    """Servers as a recipe has them, from however they were given.

    Raises:
        InputError: They are of no such form, or there is none.
    """
    named = {"urls": given} if isinstance(given, str) else given
    try:
        settings = ServerRecipe.model_validate(named)
    except ValidationError as error:
        raise InputError(f"server: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    if not settings.urls:
        raise InputError("engine openai was given no server's address; give one, as http://HOST:8000/v1")
    return settings


def find_source(source: str | Path, asked: ListwiseRecipe | None = None, base: str | None = None) -> Source:
    """The files behind a name, and the prompts that are read: its own, those asked for, or the usual ones.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter, or was trained on other prompts.
        ModelError: The model cannot be had, or an adapter's base, or that is another and `base` does not say so.
        InputError: A `base` is given for a whole model.
    """
    path = Path(source).expanduser()
    if (path / MANIFEST).is_file():
        return _artifact(path, asked, base)
    adapter: Path | None = path
    if not (path / PEFT).is_file():
        files = find_model(str(source))
        # On the hub an adapter has a name like a model's.
        adapter = files.folder if (files.folder / PEFT).is_file() else None
    if adapter is not None:
        files = find_base(adapter, base)
    else:
        refuse_base(source, base)
    usual = PromptSettings()
    room = readable(files, usual.max_length)
    settings = PromptSettings(max_length=room, max_query_tokens=min(usual.max_query_tokens, room // _QUERY_PART))
    if use := read_use(adapter or files.folder):
        settings = use.prompt
    # Who trains on a base without a chat template ships the template with the adapter.
    own = adapter is not None and (adapter / _TOKENIZER).is_file()
    tokenizer = ModelFiles(str(source), adapter, "folder") if own and adapter else files
    lists = (asked and asked.prompt) or ListPromptSettings()
    return Source(files, adapter, settings, _lists(files, lists), tokenizer)


def _artifact(path: Path, asked: ListwiseRecipe | None, base: str | None) -> Source:
    """An output of distill or rl, for the prompts that it was trained on and no others."""
    artifact = open_artifact(path, "adapter")
    manifest = artifact.manifest
    prompt = manifest["prompt"]
    trained_on_lists = "form" in prompt
    if trained_on_lists != (asked is not None):
        found, mode = ("lists", "listwise") if trained_on_lists else ("single documents", "score, explain or reason")
        raise ArtifactError(f"{path} was trained on {found}; use it in mode {mode}")
    lists = ListPromptSettings.model_validate(prompt) if trained_on_lists else ListPromptSettings()
    settings = PromptSettings() if trained_on_lists else PromptSettings.model_validate(prompt)
    here = ordering.prompt_hash(lists.form) if trained_on_lists else judging.prompt_hash(fence=settings.fence)
    if manifest["prompt_hash"] != here:
        raise ArtifactError(
            f"{path} was trained on another wording of the prompt ({manifest['prompt_hash']}, here {here}); train it "
            f"anew or use the interank version in its {RECIPE}"
        )
    if asked and asked.prompt and asked.prompt.form != lists.form:
        raise ArtifactError(f"{path} was trained on the form {lists.form}, not {asked.prompt.form}; leave form out")
    lists = (asked and asked.prompt) or lists
    files = find_base(artifact, base)
    return Source(files, path / "adapter", settings, lists, files)


def _lists(files: ModelFiles, usual: ListPromptSettings) -> ListPromptSettings:
    """The usual settings, or less where the model reads less."""
    room = readable(files, usual.max_length)
    return usual.model_copy(
        update={"max_length": room, "max_query_tokens": min(usual.max_query_tokens, room // _QUERY_PART)}
    )


def readable(files: ModelFiles, length: int) -> int:
    """So many tokens, or as many as the model has positions for."""
    positions = read_config(files.folder / "config.json").get("max_position_embeddings")
    return min(length, positions) if isinstance(positions, int) else length
