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
# With a short context the query takes at most one part in this many.
_QUERY_PART = 4


@dataclass(frozen=True, slots=True)
class Source:
    """A model's files, its adapter where that is not merged, and an artifact's manifest."""

    name: str
    files: ModelFiles
    adapter: Path | None
    tokenizer: ModelFiles
    manifest: Mapping[str, Any] | None = None
    """None where the folder is no artifact."""

    def readable(self, length: int) -> int:
        """`length`, or the model's number of positions where that is less."""
        positions = read_config(self.files.folder / "config.json").get("max_position_embeddings")
        return min(length, positions) if isinstance(positions, int) else length

    def lengths(self, max_length: int, max_query_tokens: int) -> dict[str, int]:
        """The lengths of a prompt and of the query in it, lowered to what the model can read."""
        room = self.readable(max_length)
        return {"max_length": room, "max_query_tokens": min(max_query_tokens, room // _QUERY_PART)}

    def prompt(self) -> PromptSettings:
        """The prompt settings stored with a model that is no artifact, else the defaults, shortened to its context.

        Raises:
            ArtifactError: The model was trained on another wording.
        """
        if use := read_use(self.adapter or self.files.folder):
            return use.prompt
        usual = PromptSettings()
        return usual.model_copy(update=self.lengths(usual.max_length, usual.max_query_tokens))

    def trained_on(self, task: str) -> Mapping[str, Any] | None:
        """The prompt that an artifact was trained on; None for other models.

        Raises:
            ArtifactError: The artifact was trained for another task.
        """
        if self.manifest is None:
            return None
        trained_task = task_of_adapter(self.manifest)
        if trained_task != task:
            what = TRAINED_ON.get(trained_task, f"task {trained_task}")
            how = (
                f"use it in mode {in_words(TASK_MODES[trained_task])}"
                if trained_task in TASK_MODES
                else f"{task} is expected"
            )
            raise ArtifactError(f"{self.name} was trained on {what}; {how}")
        prompt: Mapping[str, Any] = self.manifest["prompt"]
        return prompt

    def modes(self) -> tuple[str, ...]:
        """The modes that the model was trained for; empty where they are not recorded."""
        if self.manifest is not None:
            return tuple(self.manifest.get("modes") or ())
        use = read_use(self.adapter or self.files.folder)
        return use.modes if use else ()

    def check_wording(self, here: str) -> None:
        """Check that an artifact was trained on this version's wording of the prompt, `here`.

        Raises:
            ArtifactError: It was trained on another one.
        """
        trained = self.manifest["prompt_hash"] if self.manifest else here
        if trained != here:
            raise ArtifactError(
                f"{self.name} was trained on another wording of the prompt ({trained}, here {here}); train it "
                f"anew or use the interank version in its {RECIPE}"
            )


def is_adapter_of(settings: RankerSettings, task: str) -> bool:
    """True where the model is an adapter whose manifest names the task."""
    folder = expanded(str(settings.model))
    if settings.loaded is not None or not (folder / MANIFEST).is_file():
        return False
    artifact = open_artifact(folder)
    return artifact.kind == "adapter" and task_of_adapter(artifact.manifest) == task


def find_source(source: str | Path, base: str | None = None) -> Source:
    """The model behind a name or a path.

    Raises:
        ArtifactError: The folder is an artifact, but not an adapter.
        ModelError: The model or an adapter's base is not available, or the base is another and `base` does not name it.
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
    # An adapter of a base without a chat template comes with a tokenizer that has one.
    own = adapter is not None and (adapter / _TOKENIZER).is_file()
    return Source(str(source), files, adapter, ModelFiles(str(source), adapter, "folder") if own and adapter else files)


def open_engine(source: Source, settings: RankerSettings, *, vocabulary: int, length: int) -> Engine:
    """The engine with the model.

    Args:
        source: The model.
        settings: The engine and its settings.
        vocabulary: The number of token ids.
        length: The tokens of the longest prompt and its answer together.

    Raises:
        ModelError: The model is not available, or no server answers.
    """
    if settings.engine == "vllm":
        return _vllm(source, length)
    if settings.engine == "openai":
        server = settings.server or ServerRecipe()
        return ServerEngine(server.model or str(settings.model), server, vocabulary=vocabulary)
    in_4_bits = settings.precision == "nf4"
    model: Any = load_model(source.files, quantisation="nf4" if in_4_bits else "none")
    if source.adapter is not None:
        model = merged(with_adapter(model, source.adapter))
    precision = "exact" if in_4_bits else settings.precision
    return TransformersEngine(model, precision=precision, budget=within(model, settings.memory))


def _vllm(source: Source, length: int) -> VllmEngine:
    rank = rank_of(source.adapter, source.files) if source.adapter else 0
    engine = VllmEngine(source.files.folder, VllmOptions(max_length=source.readable(length), lora_rank=rank))
    if source.adapter:
        engine.take_adapter(source.adapter)
    return engine
