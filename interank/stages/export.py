"""export: writes a judge or a pointwise head in the form of another tool, and checks its scores there."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from interank.distributed import refuse_several_processes
from interank.engines.adapters import folded
from interank.engines.heads import Head, find_head, load_head
from interank.engines.onnx_graph import require_onnx
from interank.errors import InputError
from interank.settings import HeadSettings
from interank.stages.export_judge import export_judge
from interank.stages.inputs import making
from interank.stages.origins import tell_origins
from interank.tasks.head.forms import Form as HeadForm
from interank.tasks.head.forms import write_form
from interank.tasks.judge.forms import JudgeForm, Numbers

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The folder, the number of checked pairs, and the largest difference from the model's own scores."""

    folder: Path
    pairs: int
    largest: float


def export(
    source: str | Path,
    out: Path,
    *,
    to: JudgeForm = "cross-encoder",
    settings: HeadSettings | None = None,
    numbers: Numbers = "float32",
    base: str | None = None,
) -> ExportResult:
    """Write a judge or a head for another tool, its adapter folded into the base.

    Args:
        source: An output of distill or rl, an adapter's or a model's folder, or a name on the hub.
        out: The new folder.
        to: The form.
        settings: How a head reads a pair, where its folder does not say so.
        numbers: The number format of a judge's weights.
        base: The adapter's base model, where it is not the recorded one; see `find_base`.

    Raises:
        ArtifactError: The output exists, or the adapter orders lists.
        InputError: The form cannot hold the model exactly, or a library that writes it is not installed.
        ModelError: The form cannot be written, or its scores differ from the model's; the output is removed.
    """
    refuse_several_processes()
    if settings is None and find_head(source, base) is None:
        judge = export_judge(source, out, to=to, numbers=numbers, base=base)
        return ExportResult(out, judge.pairs, judge.largest)
    return _export_head(source, out, _head_form(source, to, numbers), settings, base)


def _head_form(source: str | Path, to: JudgeForm, numbers: Numbers) -> HeadForm:
    if to == "vllm":
        raise InputError(
            f"{source} is a pointwise head, which vLLM serves as it is; use --to cross-encoder, and vllm serve"
        )
    if numbers != "float32":
        raise InputError(f"{source} is a pointwise head, which is written in float32; leave --numbers {numbers} out")
    return to


def _export_head(
    source: str | Path, out: Path, to: HeadForm, settings: HeadSettings | None, base: str | None
) -> ExportResult:
    load = partial(load_head, source, settings=settings, precision="float32", base=base)
    with making(out, Path(source)) as folder:
        moved = write_form(_exportable(source, to, load), folder, to)
        tell_origins(folder, source, base=base)
    log.info("%d scores moved by %.3g at most", len(moved), max(moved))
    return ExportResult(out, len(moved), max(moved))


def _exportable(source: str | Path, to: HeadForm, load: Callable[[], Head]) -> Head:
    """The head as one model, where another tool can read it as interank does."""
    if to == "onnx":
        require_onnx()
    head = load()
    if head.settings.legacy:
        raise InputError(
            f"{source} is read at the last of {head.settings.max_length} places, padding or not, which no other tool "
            "does; train it further without legacy: dear to export it"
        )
    return Head(folded(head.model) if hasattr(head.model, "peft_config") else head.model, head.encoder)
