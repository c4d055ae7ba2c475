"""merge: an adapter and its pristine base to one model in bfloat16, checked against the two apart."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from interank import judging
from interank.artifact import Artifact, open_artifact
from interank.benchmarks import load_benchmark
from interank.engines.judge import grade
from interank.engines.models import ModelFiles, find_model, load_model, load_tokenizer, with_adapter
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.engines.use import Use, save_use
from interank.errors import ArtifactError, ModelError
from interank.recipe import PromptSettings
from interank.resources import resource_dir

log = logging.getLogger(__name__)

# How far a score may move: weights keep 8 bits of their sum with the adapter, and scores span about 10.
TOLERANCE = 0.1
_QUERIES, _DOCUMENTS = 6, 4
_ANSWER_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Merged:
    """The folder, and how far its scores lie from those of base and adapter apart."""

    folder: Path
    pairs: int
    largest: float
    mean: float


def merge(adapter: Path, out: Path, *, tolerance: float = TOLERANCE) -> Merged:
    """Write base plus adapter as one model, in bfloat16.

    The sum is computed in float32 from the base's own weights, whatever the adapter was trained on: an adapter that
    was trained on NF4 weights is never folded into these.

    Raises:
        ArtifactError: The output exists, or the input is no adapter.
        ModelError: The merged model's scores are not those of base and adapter; nothing is written.
    """
    if out.exists():
        raise ArtifactError(f"{out} exists; choose another --out, or remove it")
    artifact = open_artifact(adapter, "adapter")
    base = find_model(str(artifact.manifest["base"]))
    encoder = PromptEncoder(load_tokenizer(base), PromptSettings.model_validate(artifact.manifest["prompt"]))
    partial = out.parent / f".{out.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    prompts = golden(encoder)
    apart = _written(artifact, base, encoder, partial, prompts)
    joined = _scores(load_model(find_model(str(partial)), precision="float32"), encoder, prompts)
    moved = [abs(one - other) for one, other in zip(apart, joined, strict=True)]
    found = Merged(out, len(prompts), max(moved), sum(moved) / len(moved))
    # Written so that NaN is refused too.
    if not found.largest <= tolerance:
        shutil.rmtree(partial)
        raise ModelError(
            f"merged, a score moves by {found.largest:.3g}, at most {tolerance:g} is expected: the base is not the one "
            f"that {adapter} was trained on, or its weights do not stand rounding to bfloat16; use the adapter unmerged"
        )
    facts = {"base": base.name, "adapter": artifact.digest, "pairs": found.pairs, "largest": found.largest}
    (partial / "merge.json").write_text(json.dumps({**facts, "mean": found.mean}, indent=2) + "\n", "utf-8")
    partial.replace(out)
    log.info("%d scores moved by %.3g at most, %.3g on average", found.pairs, found.largest, found.mean)
    return found


def _written(
    artifact: Artifact, base: ModelFiles, encoder: PromptEncoder, folder: Path, prompts: Sequence[Prompt]
) -> list[float]:
    """Write the merged model; the scores of base and adapter apart."""
    adapted = with_adapter(load_model(base, precision="float32"), artifact.path / "adapter")
    scores = _scores(adapted, encoder, prompts)
    whole: Any = adapted.merge_and_unload(safe_merge=True)
    whole.to(torch.bfloat16).save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)
    save_use(folder, Use(encoder.settings, tuple(artifact.manifest.get("modes", ()))))
    return scores


def golden(encoder: PromptEncoder) -> list[Prompt]:
    """Prompts of the sample benchmark: its first queries with their first candidates."""
    benchmark = load_benchmark(resource_dir("data") / "benchmark")
    documents = list(benchmark.documents().values())[:_DOCUMENTS]
    return [
        encoder.prompt(query, document, answer_tokens=_ANSWER_TOKENS, order="grade_first")
        for query in list(benchmark.queries.values())[:_QUERIES]
        for document in documents
    ]


def _scores(model: Any, encoder: PromptEncoder, prompts: Sequence[Prompt]) -> list[float]:
    return [judging.score(item.logits) for item in grade(TransformersEngine(model), encoder, prompts)]
