"""The variants of one model (engine, number format, adapter, batch size), and how each is opened."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from interank.diagnosis.exports import readers
from interank.diagnosis.golden import ANSWER_TOKENS
from interank.diagnosis.parity import Kind
from interank.engines.adapters import merged, with_adapter
from interank.engines.last_logits import last_logits
from interank.engines.models import ModelFiles, device, load_model
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import EngineName, Labelling, LabelLogits
from interank.engines.server_engine import ServerEngine
from interank.engines.transformers import TransformersEngine, label_logits_of
from interank.engines.vllm import SPARE, VllmEngine, VllmOptions, rank_of
from interank.errors import ModelError
from interank.reranking.merging import adapted, write_merged
from interank.settings import ServerRecipe
from interank.tasks.judge.forms import read_form
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.sources import Source, find_source

BATCH = 64
Numbers = Literal["float32", "bfloat16", "bfloat16 layers"]
"""The number format of all computation; "bfloat16 layers" rounds the gated MLPs alone, as `--precision bfloat16`."""

Adapter = Literal["none", "apart", "folded", "merged"]
"""No adapter; one beside its base; folded into it in float32; or merged and rounded to bfloat16 (`interank merge`)."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of the model: its engine, number format, adapter, batch size and tensor parallelism."""

    engine: EngineName = "transformers"
    numbers: Numbers = "float32"
    adapter: Adapter = "none"
    batch: int = 1
    tensor_parallel: int = 1
    model: str = ""
    """Another folder that should hold the same model."""
    reader: str = ""
    """The tool that reads this folder, if it is an export."""

    @property
    def kind(self) -> Kind:
        """The kind of difference from the reference, which sets the tolerance."""
        if self.numbers != "float32":
            return "bfloat16"
        return "rounded" if self.adapter == "merged" or (self.model and not self.reader) else "exact"

    def __str__(self) -> str:
        parts: list[str] = [self.reader or self.engine, self.numbers]
        parts += [f"adapter {self.adapter}"] if self.adapter != "none" else []
        parts += [f"tensor parallel {self.tensor_parallel}"] if self.tensor_parallel > 1 else []
        return ", ".join([*parts, f"batch {self.batch}", *([self.model] if self.model else [])])


class PlainForward:
    """The model's own forward pass on one whole text at a time, without shared prefixes, packing or padding."""

    def __init__(self, model: Any) -> None:
        self.model = model

    @torch.inference_mode()
    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """See `Labelling`."""
        logits = []
        for prompt in prompts:
            ids = torch.tensor([prompt.ids], device=self.model.device)
            inputs: dict[str, Any] = {"input_ids": ids, "use_cache": False, "logits_to_keep": 1}
            logits += label_logits_of(last_logits(self.model, (slice(None), -1), labels, **inputs), labels)
        return logits


@dataclass(frozen=True, slots=True)
class ParityTargets:
    """The engines and folders that are compared beside transformers."""

    vllm: bool | None = None
    """Whether vLLM runs; None runs it where it is installed."""
    server: ServerRecipe | None = None
    """Servers that should hold the model."""
    server_numbers: Numbers = "bfloat16"
    """The number format of the servers."""
    against: tuple[str, ...] = ()
    """Other folders that should hold the same model."""
    base: str | None = None
    """The base model of an adapter, where it is given."""


def available_variants(source: Source, targets: ParityTargets) -> tuple[list[Variant], list[str]]:
    """The variants that can run on this machine, and the reasons why others cannot."""
    skipped: list[str] = []
    apart: Adapter = "apart" if source.adapter else "none"
    plain = Variant(adapter=apart, batch=BATCH)
    variants = [replace(plain, batch=1), plain, replace(plain, numbers="bfloat16")]
    if source.adapter:
        variants += [replace(plain, adapter="folded"), replace(plain, adapter="merged")]
        variants += [replace(plain, numbers="bfloat16", adapter="merged")]
    else:
        skipped.append("merged: the model has no adapter")
    if device() == "cpu":
        variants.append(replace(plain, numbers="bfloat16 layers", adapter="folded" if source.adapter else "none"))
    if targets.vllm or (targets.vllm is None and importlib.util.find_spec("vllm")):
        on_vllm = replace(plain, engine="vllm")
        variants += [replace(on_vllm, batch=1), on_vllm, replace(on_vllm, numbers="bfloat16")]
        variants += [replace(on_vllm, adapter="merged")] if source.adapter else []
        if torch.cuda.device_count() > 1:
            variants.append(replace(on_vllm, tensor_parallel=2))
        else:
            skipped.append(f"tensor parallel 2: it needs two GPUs, and there are {torch.cuda.device_count()}")
    else:
        skipped.append("vllm: left out" if targets.vllm is False else "vllm: it is not installed")
    if targets.server:
        variants.append(replace(plain, engine="openai", numbers=targets.server_numbers, adapter="none"))
    for name in targets.against:
        variants += exports_at(name) or [Variant(batch=BATCH, model=name)]
    return variants, skipped


def exports_at(name: str) -> list[Variant]:
    """The variants of an exported judge: each tool that reads it, with and without batches. Empty if none is there."""
    export = read_form(Path(name))
    if export is None:
        return []
    return [
        Variant(numbers=export.numbers, batch=size, model=name, reader=tool)
        for tool in readers(export)
        for size in (1, BATCH)
    ]


class Opener:
    """Opens the model in a variant; the merged model is written once, for the first variant that needs it."""

    def __init__(self, source: Source, encoder: PromptEncoder, folder: Path, server: ServerRecipe | None) -> None:
        """Take the model, its encoder, the folder for the merged model, and the servers that hold it."""
        self._source = source
        self.encoder = encoder
        self._folder = folder
        self._server = server

    @contextmanager
    def opened(self, variant: Variant) -> Iterator[tuple[Labelling, PromptEncoder]]:
        """The engine, closed at the end, and the encoder of its prompts."""
        if variant.model:
            other = find_source(variant.model)
            yield TransformersEngine(merged(adapted(other)) if other.adapter else adapted(other)), judge_encoder(other)
        elif variant.engine == "openai":
            yield self._served(self._server or ServerRecipe()), self.encoder
        elif variant.engine == "vllm":
            engine = self._vllm(variant)
            try:
                yield engine, self.encoder
            finally:
                engine.close()
        else:
            yield self._transformers(variant), self.encoder

    def _served(self, server: ServerRecipe) -> ServerEngine:
        engine = ServerEngine(server.model or self._source.files.name, server, vocabulary=self.encoder.vocabulary)
        if "label_logits" not in engine.abilities:
            raise ModelError(
                f"{engine.device} returns no probabilities of the grades, and those are compared; start it with "
                "`vllm serve`, or give the name by which it serves the model"
            )
        return engine

    def _transformers(self, variant: Variant) -> TransformersEngine:
        files, adapter = self._merged(variant)
        model: Any = load_model(files, precision="bfloat16" if variant.numbers == "bfloat16" else "float32")
        if adapter:
            model = with_adapter(model, adapter)
        if variant.adapter == "folded":
            model = merged(model)
        return TransformersEngine(model, precision="bfloat16" if variant.numbers == "bfloat16 layers" else "exact")

    def _vllm(self, variant: Variant) -> VllmEngine:
        files, adapter = self._merged(variant)
        length = self._source.readable(self.encoder.settings.max_length + ANSWER_TOKENS + SPARE)
        rank = rank_of(adapter, files) if adapter else 0
        options = VllmOptions(length, variant.tensor_parallel, dtype=variant.numbers, lora_rank=rank)
        engine = VllmEngine(files.folder, options)
        if adapter:
            engine.take_adapter(adapter)
        return engine

    def _merged(self, variant: Variant) -> tuple[ModelFiles, Path | None]:
        """The files to load, and the adapter to put on them."""
        if variant.adapter != "merged":
            return self._source.files, self._source.adapter
        if not self._folder.exists():
            write_merged(adapted(self._source), self.encoder, self._folder)
        return find_source(self._folder).files, None
