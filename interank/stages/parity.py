"""check-parity: one model run in every way that is at hand, each compared with the plainest on the golden set."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from interank.diagnosis.certificate import Certificate, Control, Kept, Row
from interank.diagnosis.exports import fitting, read_export
from interank.diagnosis.faults import FAULTS, NO_ADAPTER, Broken
from interank.diagnosis.golden import Asked, Reading, golden_set, read_golden
from interank.diagnosis.ways import Compared, Opener, PlainForward, Way, exports_at, ways_at_hand
from interank.engines.adapters import unfoldable
from interank.engines.prompts import PromptEncoder
from interank.errors import ArtifactError
from interank.launched import refuse_several_processes
from interank.outputs import write_whole
from interank.reranking.merging import adapted
from interank.reranking.resuming import model_identity
from interank.stages.inputs import require_judge
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.sources import find_source

log = logging.getLogger(__name__)


def check_parity(
    model: str, compared: Compared, golden: Path | None = None, *, output: Path | None = None
) -> Certificate:
    """Run the model in every way that is at hand.

    Args:
        model: An output of distill or rl, or a model's folder or hub name.
        compared: What is run beside transformers.
        golden: Queries with documents; None takes those that come with interank.
        output: The file that the certificate is written to; beside it is kept what was read, for a killed call to go on
            with.

    Raises:
        ArtifactError: The folder is an artifact, but no adapter for single documents, or an export.
        ModelError: The model or an engine that was asked for cannot be had.
        InputError: The golden set cannot be used.
    """
    refuse_several_processes()
    if exports_at(model):
        raise ArtifactError(
            f"{model} is an export of a judge, which is compared with that; give the judge, and the export as "
            f"--against {model}"
        )
    asked, source = golden_set(golden), find_source(model, base=compared.base)
    require_judge(source, "check-parity")
    encoder = judge_encoder(source)
    ways, skipped = ways_at_hand(source, compared)
    if any(way.reader for way in ways):
        # An export cuts elsewhere, and takes no query that is too long; all ways read what both read whole.
        asked = fitting(encoder, asked)
    log.info("%s: %d ways on %d pairs", model, len(ways), sum(len(documents) for _, documents in asked))
    compare = (model, *compared.against, *([compared.base] if compared.base else []))
    models = [model_identity(name) for name in compare]
    kept = Kept(output, [models, [[query.text, [d.full_text for d in documents]] for query, documents in asked]])
    load = cache(lambda: adapted(source))
    if source.adapter and (reason := unfoldable(load())):
        ways = [way for way in ways if way.adapter not in ("folded", "merged")]
        skipped.append(f"folded and merged: {reason}")
    reference = kept.readings("reference", lambda: read_golden(PlainForward(load()), encoder, asked))
    controls = []
    for fault, read in FAULTS.items():
        if source.adapter or fault != NO_ADAPTER:
            broken = kept.readings(f"fault: {fault}", partial(_broken, read, load, encoder, asked))
            controls.append(Control.of(fault, reference, broken))
    load.cache_clear()
    with tempfile.TemporaryDirectory(prefix="interank-") as folder:
        opener = Opener(source, encoder, Path(folder) / "merged", compared.server)
        rows = []
        for way in ways:
            rows.append(Row.of(way, reference, kept.readings(str(way), partial(_read, way, opener, asked))))
            log.info("%s: scores differ by %.3g at most", way, rows[-1].found.largest)
    plainest = Way(adapter="apart" if source.adapter else "none")
    certificate = Certificate(plainest, tuple(rows), tuple(skipped), tuple(controls))
    if output:
        write_whole(output, json.dumps(certificate.as_row(), indent=2) + "\n")
    kept.finish()
    return certificate


def _read(way: Way, opener: Opener, asked: Sequence[Asked]) -> list[Reading]:
    if way.reader:
        return read_export(Path(way.model), opener.encoder, asked, reader=way.reader, batch=way.batch)
    with opener.opened(way) as (engine, encoder):
        return read_golden(engine, encoder, asked, batch=way.batch)


def _broken(read: Broken, load: Callable[[], Any], encoder: PromptEncoder, asked: Sequence[Asked]) -> list[Reading]:
    return read(load(), encoder, asked)
