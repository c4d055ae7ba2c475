"""export: a pointwise head to a sentence-transformers CrossEncoder or to ONNX, checked against its own scores."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from interank.engines.adapters import folded
from interank.engines.heads import Head, load_head
from interank.engines.onnx_graph import require_onnx
from interank.errors import InputError
from interank.launched import refuse_several_processes
from interank.settings import HeadSettings
from interank.stages.inputs import making
from interank.tasks.head.forms import Form, write_form

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Exported:
    """The folder, and how far its scores lie from the head's own."""

    folder: Path
    pairs: int
    largest: float


def export(
    source: str | Path,
    out: Path,
    *,
    to: Form = "cross-encoder",
    settings: HeadSettings | None = None,
    base: str | None = None,
) -> Exported:
    """Write a head, its adapter folded into the base, in float32 and in sentence-transformers' form or as ONNX.

    `base` says what the adapter stands on; see `find_base`.

    Raises:
        ArtifactError: The output exists.
        InputError: The head is one of the released DeAR models, or what writes the form is not installed.
        ModelError: The form cannot be written, or does not score as the head does; nothing is left of it.
    """
    refuse_several_processes()
    load = partial(load_head, source, settings=settings, precision="float32", base=base)
    with making(out, Path(source)) as folder:
        moved = write_form(_exportable(source, to, load), folder, to)
    log.info("%d scores moved by %.3g at most", len(moved), max(moved))
    return Exported(out, len(moved), max(moved))


def _exportable(source: str | Path, to: Form, load: Callable[[], Head]) -> Head:
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
