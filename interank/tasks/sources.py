"""The model behind a reranker: an artifact, a PEFT adapter, a merged model's folder, or a name on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.artifact import MANIFEST, RECIPE, open_artifact
from interank.engines.adapters import merged, with_adapter
from interank.engines.bases import find_base, refuse_base
from interank.engines.budget import within
from interank.engines.models import (
    PEFT,
    ModelFiles,
    find_model,
    load_model,
)
from interank.engines.protocol import Engine
from interank.engines.server_engine import ServerEngine
from interank.engines.transformers import TransformersEngine
from interank.engines.use import read_use
from interank.engines.vllm import VllmEngine, VllmOptions, rank_of
from interank.engines.weights import read_config
from interank.errors import ArtifactError
from interank.modes import in_words
from interank.resources import expanded
from interank.settings import PromptSettings, ServerRecipe
from interank.tasks import TASK_MODES, TRAINED_ON, task_of_adapter
from interank.tasks.ranker_settings import RankerSettings

_TOKENIZER = "tokenizer_config.json"
# Of a model that reads little, the query takes this part at the most.
_QUERY_PART = 4


@dataclass(frozen=True, slots=True)
class Source:
    """A model's files, its adapter if that is apart, and what an artifact says of its prompts."""

    name: str
    files: ModelFiles
    adapter: Path | None
    tokenizer: ModelFiles
    manifest: Mapping[str, Any] | None = None
    """None where it is no artifact of ours."""

    def readable(self, length: int) -> int:
        """So many tokens, or as many as the model has positions for."""
        positions = read_config(self.files.folder / "config.json").get("max_position_embeddings")
        return min(length, positions) if isinstance(positions, int) else length

    def lengths(self, max_length: int, max_query_tokens: int) -> dict[str, int]:
        """The usual lengths of a prompt and of a query in it, or less where the model reads less."""
        room = self.readable(max_length)
        return {"max_length": room, "max_query_tokens": min(max_query_tokens, room // _QUERY_PART)}

    def prompt(self) -> PromptSettings:
        """What a model that is no artifact says of its prompts, else the usual ones, as far as it has room for them.

        Raises:
            ArtifactError: It was trained on another wording.
        """
        if use := read_use(self.adapter or self.files.folder):
            return use.prompt
        usual = PromptSettings()
        return usual.model_copy(update=self.lengths(usual.max_length, usual.max_query_tokens))

    def trained_on(self, task: str) -> Mapping[str, Any] | None:
        """The prompt that an artifact was trained on; None where it is none.

        Raises:
            ArtifactError: It was trained on another task's.
        """
        if self.manifest is None:
            return None
        found = task_of_adapter(self.manifest)
        if found != task:
            what = TRAINED_ON.get(found, f"task {found}")
            how = f"use it in mode {in_words(TASK_MODES[found])}" if found in TASK_MODES else f"{task} is expected"
            raise ArtifactError(f"{self.name} was trained on {what}; {how}")
        prompt: Mapping[str, Any] = self.manifest["prompt"]
        return prompt

    def modes(self) -> tuple[str, ...]:
        """What the model was trained for; empty where nothing says so."""
        if self.manifest is not None:
            return tuple(self.manifest.get("modes") or ())
        use = read_use(self.adapter or self.files.folder)
        return use.modes if use else ()

    def check_wording(self, here: str) -> None:
        """Hold an artifact's wording of its prompt to the one that is `here`.

        Raises:
            ArtifactError: It is another one.
        """
        trained = self.manifest["prompt_hash"] if self.manifest else here
        if trained != here:
            raise ArtifactError(
                f"{self.name} was trained on another wording of the prompt ({trained}, here {here}); train it "
                f"anew or use the interank version in its {RECIPE}"
            )


def is_adapter_of(asked: RankerSettings, task: str) -> bool:
    """Whether the model is an adapter that says it was trained for the task, for a task that tells its own so."""
    folder = expanded(str(asked.model))
    if asked.loaded is not None or not (folder / MANIFEST).is_file():
        return False
    artifact = open_artifact(folder)
    return artifact.kind == "adapter" and task_of_adapter(artifact.manifest) == task


def find_source(source: str | Path, base: str | None = None) -> Source:
    """The files behind a name.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter.
        ModelError: The model cannot be had, or an adapter's base, or that is another and `base` does not say so.
        InputError: A `base` is given for a whole model.
    """
    path = expanded(source)
    if (path / MANIFEST).is_file():
        artifact = open_artifact(path, "adapter")
        files = find_base(artifact, base)
        return Source(str(path), files, path / "adapter", files, artifact.manifest)
    adapter: Path | None = path
    if not (path / PEFT).is_file():
        files = find_model(str(source))
        # On the hub an adapter has a name like a model's.
        adapter = files.folder if (files.folder / PEFT).is_file() else None
    if adapter is not None:
        files = find_base(adapter, base)
    else:
        refuse_base(source, base)
    # Who trains on a base without a chat template ships the template with the adapter.
    own = adapter is not None and (adapter / _TOKENIZER).is_file()
    return Source(str(source), files, adapter, ModelFiles(str(source), adapter, "folder") if own and adapter else files)


def open_engine(source: Source, asked: RankerSettings, *, vocabulary: int, length: int) -> Engine:
    """The engine with the model.

    Args:
        source: The model.
        asked: What runs it.
        vocabulary: How many token ids there are.
        length: The tokens of the longest prompt and its answer together.

    Raises:
        ModelError: The model cannot be had, or no server answers.
    """
    if asked.engine == "vllm":
        return _vllm(source, length)
    if asked.engine == "openai":
        server = asked.server or ServerRecipe()
        return ServerEngine(server.model or str(asked.model), server, vocabulary=vocabulary)
    in_4_bits = asked.precision == "nf4"
    model: Any = load_model(source.files, quantisation="nf4" if in_4_bits else "none")
    if source.adapter is not None:
        model = merged(with_adapter(model, source.adapter))
    precision = "exact" if in_4_bits else asked.precision
    return TransformersEngine(model, precision=precision, budget=within(model, asked.memory))


def _vllm(source: Source, length: int) -> VllmEngine:
    rank = rank_of(source.adapter, source.files) if source.adapter else 0
    engine = VllmEngine(source.files.folder, VllmOptions(max_length=source.readable(length), lora_rank=rank))
    if source.adapter:
        engine.take_adapter(source.adapter)
    return engine
