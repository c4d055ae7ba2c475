"""merge: writes an adapter and its base as one model in bfloat16, and checks its scores against the two apart."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path

from interank.artifact import MERGED, open_artifact
from interank.cards import save_card
from interank.diagnosis.golden import golden_set, read_golden
from interank.diagnosis.parity import TOLERANCES, difference
from interank.distributed import refuse_several_processes
from interank.engines.heads import find_head
from interank.engines.models import load_model
from interank.engines.transformers import TransformersEngine
from interank.errors import ArtifactError, ModelError
from interank.reranking.fitting import fit_for, store_fit, stored_modes
from interank.reranking.merging import adapted, write_merged
from interank.stages.inputs import making, require_judge
from interank.tasks.judge.merged_card import merged_card
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.sources import find_source

log = logging.getLogger(__name__)

# Weights keep 8 bits of their sum with the adapter.
TOLERANCE = TOLERANCES["rounded"].score


@dataclass(frozen=True, slots=True)
class MergeResult:
    """The folder, the number of compared pairs, and the differences from the scores of base and adapter apart."""

    folder: Path
    pairs: int
    largest: float
    mean: float


def merge(adapter: Path, out: Path, *, tolerance: float = TOLERANCE, base: str | None = None) -> MergeResult:
    """Write base plus adapter as one model, in bfloat16.

    The sum is computed in float32 from the base's own weights, whatever the adapter was trained on: an adapter that
    was trained on NF4 weights is never folded into these. Stored fits of the adapter are copied.

    `base` names the adapter's base model, where it is not the recorded one; see `find_base`.

    Raises:
        ArtifactError: The output exists, or the input is no adapter.
        InputError: A stored fit is damaged or another model's.
        ModelError: The merged model's scores differ from those of base and adapter; nothing is written.
    """
    refuse_several_processes()
    with making(out, adapter) as folder:
        merged = _merged(adapter, folder, tolerance, base)
    log.info("%d scores moved by %.3g at most, %.3g on average", merged.pairs, merged.largest, merged.mean)
    return MergeResult(out, merged.pairs, merged.largest, merged.mean)


def _merged(adapter: Path, folder: Path, tolerance: float, base: str | None) -> MergeResult:
    """Write the merged model to a folder, and compare its scores with those of base and adapter apart."""
    if find_head(adapter, base):
        raise ArtifactError(f"{adapter} is a pointwise head; use interank export --to cross-encoder")
    artifact = open_artifact(adapter, "adapter")
    fits = [fit_for(adapter, mode, adapter) for mode in stored_modes(adapter)]
    source = find_source(adapter, base=base)
    require_judge(source, "merge")
    encoder = judge_encoder(source)
    model = adapted(source)
    golden = golden_set()
    apart = read_golden(TransformersEngine(model), encoder, golden)
    write_merged(model, encoder, folder, modes=tuple(artifact.manifest.get("modes", ())))
    written = find_source(folder)
    joined = read_golden(
        TransformersEngine(load_model(written.files, precision="float32")), judge_encoder(written), golden
    )
    moved = difference(apart, joined)
    # Written so that NaN is refused too.
    if not moved.largest <= tolerance:
        raise ModelError(
            f"merged, a score moves by {moved.largest:.3g}, at most {tolerance:g} is expected: the base is not the one "
            f"that {adapter} was trained on, or its weights do not stand rounding to bfloat16; use the adapter unmerged"
        )
    facts = {"base": source.files.name, "adapter": artifact.digest, "pairs": moved.pairs, "largest": moved.largest}
    (folder / MERGED).write_text(json.dumps({**facts, "mean": moved.mean}, indent=2) + "\n", "utf-8")
    save_card(merged_card(encoder, base_name=source.files.name), folder)
    for fit in fits:
        store_fit(fit, folder)
    return MergeResult(folder, moved.pairs, moved.largest, moved.mean)
