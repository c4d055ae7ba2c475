"""export, of a judge: written for another tool, read again on the golden set, and refused if it ranks otherwise."""

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

# In float32 the sums differ in their order alone.
EXACT = 1e-4


@dataclass(frozen=True, slots=True)
class ExportedJudge:
    """The folder, and how far what read it lies from the judge itself."""

    folder: Path
    told: Export
    read_by: dict[str, Difference]

    @property
    def pairs(self) -> int:
        """How many were read."""
        return next(iter(self.read_by.values())).pairs

    @property
    def largest(self) -> float:
        """The largest difference of a score."""
        return max(found.largest for found in self.read_by.values())


def export_judge(
    source: str | Path, out: Path, *, to: JudgeForm, numbers: Numbers = "float32", base: str | None = None
) -> ExportedJudge:
    """Write a judge, its adapter folded into the base, for another tool, and hold what that reads to its own scores.

    Args:
        source: An output of distill or rl, an adapter's or a model's folder, or a name on the hub.
        out: The new folder.
        to: Whose form.
        numbers: What the weights before the head are kept in.
        base: What an adapter stands on; see `find_base`.

    Raises:
        ArtifactError: The output exists, or the adapter is of another task.
        InputError: The form cannot hold the judge exactly, or what writes it is not installed.
        ModelError: The form cannot be written, or does not score as the judge does; nothing is left of it.
    """
    if to == "onnx":
        require_onnx()
    with making(out, Path(source)) as folder:
        found = find_source(source, base=base)
        require_judge(found, "export")
        encoder = judge_encoder(found)
        model = adapted(found)
        model = folded(model) if hasattr(model, "peft_config") else model
        alone = by_length(encoder)
        asked = [*fitting(encoder, golden_set()), *fitting(encoder, [hostile(encoder)])]
        cut = overlong(alone)
        engine = TransformersEngine(model)
        own = [*read_golden(engine, encoder, asked), *read_golden(engine, alone, cut)]
        told = write_form(model, encoder, folder, to, numbers=numbers)
        del model, engine
        log.info(
            "cut at %d tokens of query, document and prompt together; the judge itself cuts queries at %d and "
            "documents at %d, and longer ones are read further by other tools",
            *(told.longest, told.query_tokens, told.document_tokens),
        )
        read_by = _checked(folder, told, alone, (asked, cut), own)
        checked = ExportCheck(len(own), read_by, allowed_of(numbers, own).score)
        save_card(export_card(told, checked, base_name=found.files.name), folder)
        tell_origins(folder, source, base=base)
    for name, seen in read_by.items():
        log.info("%s: scores moved by %.3g at most, Kendall's tau %.4f", name, seen.largest, seen.tau)
    return ExportedJudge(out, told, read_by)


def allowed_of(numbers: Numbers, own: Sequence[Reading]) -> Tolerance:
    """How far an export may lie from scores."""
    if numbers == "bfloat16":
        return TOLERANCES["bfloat16"]
    return Tolerance(EXACT * max(1.0, *(abs(item.score) for item in own)), TOLERANCES["exact"].tau, 0.0)


def _checked(
    folder: Path,
    told: Export,
    encoder: PromptEncoder,
    asked: tuple[list[GoldenQuery], list[GoldenQuery]],
    own: Sequence[Reading],
) -> dict[str, Difference]:
    """What each reader at hand makes of the export: of the texts that fit in batches, of those that are cut alone.

    Raises:
        ModelError: One lies beyond the tolerance.
    """
    allowed, found = allowed_of(told.numbers, own), {}
    for reader in readers(told):
        read = read_export(folder, encoder, asked[0], reader=reader)
        # Beside these, the padding of a batch would take as much memory as its longest text.
        read += read_export(folder, encoder, asked[1], reader=reader, batch=1)
        seen = difference(own, read)
        if faults := seen.faults(allowed):
            raise ModelError(
                f"{reader} reads the {told.to} form of this judge otherwise than it is read here: {'; '.join(faults)}; "
                f"a score may differ by {allowed.score:.2g}; use the model here, or another form"
            )
        found[reader] = seen
    return found
