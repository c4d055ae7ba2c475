"""check-parity: runs every available variant of a model, and compares each with the plainest on the golden set."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from interank.diagnosis.certificate import Certificate, Control, Row, StoredReadings
from interank.diagnosis.exports import fitting, read_export
from interank.diagnosis.faults import FAULTS, NO_ADAPTER, Broken
from interank.diagnosis.golden import GoldenQuery, Reading, golden_set, read_golden
from interank.diagnosis.variants import Opener, ParityTargets, PlainForward, Variant, available_variants, exports_at
from interank.distributed import refuse_several_processes
from interank.engines.adapters import unfoldable
from interank.engines.prompts import PromptEncoder
from interank.errors import ArtifactError
from interank.outputs import write_whole
from interank.reranking.merging import adapted
from interank.reranking.resuming import model_identity
from interank.stages.inputs import require_judge
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.sources import find_source

log = logging.getLogger(__name__)


def check_parity(
    model: str, targets: ParityTargets, golden: Path | None = None, *, output: Path | None = None
) -> Certificate:
    """Run every available variant of the model.

    Args:
        model: An output of distill or rl, or a model's folder or hub name.
        targets: The engines and folders to compare beside transformers.
        golden: Queries with documents; None takes those that come with interank.
        output: The certificate's file; readings are stored beside it, so that a killed call can go on.

    Raises:
        ArtifactError: The folder is an artifact, but no adapter for single documents, or an export.
        ModelError: The model, or an engine that was asked for, is not available.
        InputError: The golden set cannot be used.
    """
    refuse_several_processes()
    if exports_at(model):
        raise ArtifactError(
            f"{model} is an export of a judge, which is compared with that; give the judge, and the export as "
            f"--against {model}"
        )
    queries, source = golden_set(golden), find_source(model, base=targets.base)
    require_judge(source, "check-parity")
    encoder = judge_encoder(source)
    variants, skipped = available_variants(source, targets)
    if any(variant.reader for variant in variants):
        # An export cuts texts elsewhere and refuses long queries: only texts that both read whole are compared.
        queries = fitting(encoder, queries)
    log.info("%s: %d variants on %d pairs", model, len(variants), sum(len(documents) for _, documents in queries))
    compare = (model, *targets.against, *([targets.base] if targets.base else []))
    models = [model_identity(name) for name in compare]
    kept = StoredReadings(
        output, [models, [[query.text, [d.full_text for d in documents]] for query, documents in queries]]
    )
    load = cache(lambda: adapted(source))
    if source.adapter and (reason := unfoldable(load())):
        variants = [variant for variant in variants if variant.adapter not in ("folded", "merged")]
        skipped.append(f"folded and merged: {reason}")
    reference = kept.readings("reference", lambda: read_golden(PlainForward(load()), encoder, queries))
    controls = []
    for fault, read in FAULTS.items():
        if source.adapter or fault != NO_ADAPTER:
            broken = kept.readings(f"fault: {fault}", partial(_broken, read, load, encoder, queries))
            controls.append(Control.of(fault, reference, broken))
    load.cache_clear()
    with tempfile.TemporaryDirectory(prefix="interank-") as folder:
        opener = Opener(source, encoder, Path(folder) / "merged", targets.server)
        rows = []
        for variant in variants:
            readings = kept.readings(str(variant), partial(_read, variant, opener, queries))
            rows.append(Row.of(variant, reference, readings))
            log.info("%s: scores differ by %.3g at most", variant, rows[-1].difference.largest)
    plainest = Variant(adapter="apart" if source.adapter else "none")
    certificate = Certificate(plainest, tuple(rows), tuple(skipped), tuple(controls))
    if output:
        write_whole(output, json.dumps(certificate.as_row(), indent=2) + "\n")
    kept.finish()
    return certificate


def _read(variant: Variant, opener: Opener, queries: Sequence[GoldenQuery]) -> list[Reading]:
    if variant.reader:
        return read_export(Path(variant.model), opener.encoder, queries, reader=variant.reader, batch=variant.batch)
    with opener.opened(variant) as (engine, encoder):
        return read_golden(engine, encoder, queries, batch=variant.batch)


def _broken(
    read: Broken, load: Callable[[], Any], encoder: PromptEncoder, queries: Sequence[GoldenQuery]
) -> list[Reading]:
    return read(load(), encoder, queries)
