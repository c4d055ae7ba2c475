"""export of a judge: written for another tool, and refused where that tool's scores on the golden set differ."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from interank.cards import save_card
from interank.diagnosis.exports import fitting, hostile, overlong, read_export, readers
from interank.diagnosis.golden import GoldenQuery, Reading, golden_set, read_golden
from interank.diagnosis.parity import TOLERANCES, Difference, Tolerance, difference
from interank.engines.adapters import folded
from interank.engines.onnx_graph import require_onnx
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.errors import ModelError
from interank.reranking.merging import adapted
from interank.stages.inputs import making, require_judge
from interank.stages.origins import tell_origins
from interank.tasks.judge.export_card import ExportCheck, export_card
from interank.tasks.judge.forms import Export, JudgeForm, Numbers, by_length, write_form
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.sources import find_source

log = logging.getLogger(__name__)

# In float32 only the order of additions differs.
EXACT = 1e-4


@dataclass(frozen=True, slots=True)
class ExportedJudge:
    """The folder, the facts of the export, and the differences of each reader from the judge itself."""

    folder: Path
    export: Export
    read_by: dict[str, Difference]

    @property
    def pairs(self) -> int:
        """The number of pairs that were read."""
        return next(iter(self.read_by.values())).pairs

    @property
    def largest(self) -> float:
        """The largest difference of a score."""
        return max(each.largest for each in self.read_by.values())


def export_judge(
    source: str | Path, out: Path, *, to: JudgeForm, numbers: Numbers = "float32", base: str | None = None
) -> ExportedJudge:
    """Write a judge for another tool, its adapter folded into the base, and compare that tool's scores with its own.

    Args:
        source: An output of distill or rl, an adapter's or a model's folder, or a name on the hub.
        out: The new folder.
        to: The form.
        numbers: The number format of the weights before the head.
        base: The adapter's base model, where it is not the recorded one; see `find_base`.

    Raises:
        ArtifactError: The output exists, or the adapter is of another task.
        InputError: The form cannot hold the judge exactly, or a library that writes it is not installed.
        ModelError: The form cannot be written, or its scores differ from the judge's; the output is removed.
    """
    if to == "onnx":
        require_onnx()
    with making(out, Path(source)) as folder:
        judge = find_source(source, base=base)
        require_judge(judge, "export")
        encoder = judge_encoder(judge)
        model = adapted(judge)
        model = folded(model) if hasattr(model, "peft_config") else model
        alone = by_length(encoder)
        asked = [*fitting(encoder, golden_set()), *fitting(encoder, [hostile(encoder)])]
        cut = overlong(alone)
        engine = TransformersEngine(model)
        own = [*read_golden(engine, encoder, asked), *read_golden(engine, alone, cut)]
        export = write_form(model, encoder, folder, to, numbers=numbers)
        del model, engine
        log.info(
            "cut at %d tokens of query, document and prompt together; the judge itself cuts queries at %d and "
            "documents at %d, and longer ones are read further by other tools",
            *(export.longest, export.query_tokens, export.document_tokens),
        )
        read_by = _checked(folder, export, alone, (asked, cut), own)
        checked = ExportCheck(len(own), read_by, allowed_of(numbers, own).score)
        save_card(export_card(export, checked, base_name=judge.files.name), folder)
        tell_origins(folder, source, base=base)
    for name, seen in read_by.items():
        log.info("%s: scores moved by %.3g at most, Kendall's tau %.4f", name, seen.largest, seen.tau)
    return ExportedJudge(out, export, read_by)


def allowed_of(numbers: Numbers, own: Sequence[Reading]) -> Tolerance:
    """The tolerance of an export's scores, given the judge's own."""
    if numbers == "bfloat16":
        return TOLERANCES["bfloat16"]
    return Tolerance(EXACT * max(1.0, *(abs(item.score) for item in own)), TOLERANCES["exact"].tau, 0.0)


def _checked(
    folder: Path,
    export: Export,
    encoder: PromptEncoder,
    asked: tuple[list[GoldenQuery], list[GoldenQuery]],
    own: Sequence[Reading],
) -> dict[str, Difference]:
    """Each available reader's differences: texts that fit are read in batches, texts that are cut one at a time.

    Raises:
        ModelError: A reader's scores lie beyond the tolerance.
    """
    allowed, differences = allowed_of(export.numbers, own), {}
    for reader in readers(export):
        read = read_export(folder, encoder, asked[0], reader=reader)
        # In a batch with these, padding would take as much memory as the longest text.
        read += read_export(folder, encoder, asked[1], reader=reader, batch=1)
        seen = difference(own, read)
        if faults := seen.faults(allowed):
            raise ModelError(
                f"{reader} reads the {export.to} form of this judge otherwise than it is read here: {'; '.join(faults)}"
                f"; a score may differ by {allowed.score:.2g}; use the model here, or another form"
            )
        differences[reader] = seen
    return differences
