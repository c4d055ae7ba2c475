"""check-parity: one model run in every way that is at hand, each compared with the plainest on the golden set."""

from __future__ import annotations

import copy
import hashlib
import importlib.util
import json
import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from interank.diagnosis.golden import Asked, Reading, golden_set, read_golden
from interank.diagnosis.parity import TOLERANCES, Difference, Kind, Tolerance, difference
from interank.diagnosis.ways import Adapter, Numbers, Opener, PlainForward, Way
from interank.engines.adapters import unfoldable
from interank.engines.models import device
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.launched import refuse_several_processes
from interank.ledger import Ledger
from interank.locks import Held
from interank.outputs import write_whole
from interank.reranking.merging import adapted
from interank.reranking.resuming import model_identity
from interank.settings import ServerRecipe
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.sources import Source, find_source

log = logging.getLogger(__name__)

BATCH = 64
Broken = Callable[[Any, PromptEncoder, Sequence[Asked]], list[Reading]]
# Of a tokenizer that has a chat template, and of one that has none.
_OTHER_TEMPLATE = "{% for message in messages %}{{ 'User: ' + message['content'] + '\n\nBot: ' }}{% endfor %}"


@dataclass(frozen=True, slots=True)
class Row:
    """How far a way lies from the reference."""

    way: Way
    found: Difference
    allowed: Tolerance

    @property
    def faults(self) -> list[str]:
        """What lies beyond the tolerance."""
        return self.found.faults(self.allowed)


@dataclass(frozen=True, slots=True)
class Control:
    """A fault that was made on purpose, and the tolerances that do not let it pass; the others prove little."""

    fault: str
    found: Difference
    caught_by: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What was compared with the reference, what could not be, and whether the golden set would have shown a fault."""

    reference: Way
    rows: tuple[Row, ...]
    skipped: tuple[str, ...]
    controls: tuple[Control, ...]

    @property
    def faults(self) -> list[str]:
        """All that is wrong, a line each; empty if the ways are the same."""
        beyond = [f"{row.way}: {', '.join(row.faults)}" for row in self.rows if row.faults]
        blind = [
            f"{control.fault} moves scores by {control.found.largest:.3g} only, so the golden set shows no such fault"
            for control in self.controls
            if "exact" not in control.caught_by
        ]
        return beyond + blind

    def as_row(self) -> dict[str, Any]:
        """It as plain data."""
        rows = [{**asdict(row), "kind": row.way.kind, "faults": row.faults} for row in self.rows]
        return {**asdict(self), "rows": rows, "faults": self.faults}


@dataclass(frozen=True, slots=True)
class Compared:
    """What is run beside transformers."""

    vllm: bool | None = None
    """Whether vLLM is; None runs it where it is installed."""
    server: ServerRecipe | None = None
    """Servers that should hold the model."""
    server_numbers: Numbers = "bfloat16"
    """What they compute in."""
    against: tuple[str, ...] = ()
    """Other folders that should hold the same model."""
    base: str | None = None
    """What the model stands on, if it is an adapter and that is said."""


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
        ArtifactError: The folder is an artifact, but no adapter for single documents.
        ModelError: The model or an engine that was asked for cannot be had.
        InputError: The golden set cannot be used.
    """
    refuse_several_processes()
    asked, source = golden_set(golden), find_source(model, base=compared.base)
    encoder = judge_encoder(source)
    ways, skipped = _ways(source, compared)
    log.info("%s: %d ways on %d pairs", model, len(ways), sum(len(documents) for _, documents in asked))
    compare = (model, *compared.against, *([compared.base] if compared.base else []))
    models = [model_identity(name) for name in compare]
    kept = _Kept(output, [models, [[query.text, [d.full_text for d in documents]] for query, documents in asked]])
    load = cache(lambda: adapted(source))
    if source.adapter and (reason := unfoldable(load())):
        ways = [way for way in ways if way.adapter not in ("folded", "merged")]
        skipped.append(f"folded and merged: {reason}")
    reference = kept.readings("reference", lambda: read_golden(PlainForward(load()), encoder, asked))
    controls = []
    for fault, read in _FAULTS.items():
        if source.adapter or fault != _NO_ADAPTER:
            broken = kept.readings(f"fault: {fault}", partial(_broken, read, load, encoder, asked))
            controls.append(_control(fault, reference, broken))
    load.cache_clear()
    with tempfile.TemporaryDirectory(prefix="interank-") as folder:
        opener = Opener(source, encoder, Path(folder) / "merged", compared.server)
        rows = [_row(way, kept.readings(str(way), partial(_read, way, opener, asked)), reference) for way in ways]
    plainest = Way(adapter="apart" if source.adapter else "none")
    certificate = Certificate(plainest, tuple(rows), tuple(skipped), tuple(controls))
    if output:
        write_whole(output, json.dumps(certificate.as_row(), indent=2) + "\n")
    kept.finish()
    return certificate


def _ways(source: Source, compared: Compared) -> tuple[list[Way], list[str]]:
    """What can be run here, and why the rest cannot."""
    skipped: list[str] = []
    apart: Adapter = "apart" if source.adapter else "none"
    plain = Way(adapter=apart, batch=BATCH)
    ways = [replace(plain, batch=1), plain, replace(plain, numbers="bfloat16")]
    if source.adapter:
        ways += [replace(plain, adapter="folded"), replace(plain, adapter="merged")]
        ways += [replace(plain, numbers="bfloat16", adapter="merged")]
    else:
        skipped.append("merged: the model has no adapter")
    if device() == "cpu":
        ways.append(replace(plain, numbers="bfloat16 layers", adapter="folded" if source.adapter else "none"))
    if compared.vllm or (compared.vllm is None and importlib.util.find_spec("vllm")):
        on_vllm = replace(plain, engine="vllm")
        ways += [replace(on_vllm, batch=1), on_vllm, replace(on_vllm, numbers="bfloat16")]
        ways += [replace(on_vllm, adapter="merged")] if source.adapter else []
        if torch.cuda.device_count() > 1:
            ways.append(replace(on_vllm, tensor_parallel=2))
        else:
            skipped.append(f"tensor parallel 2: found {torch.cuda.device_count()} GPUs")
    else:
        skipped.append("vllm: left out" if compared.vllm is False else "vllm: it is not installed")
    if compared.server:
        ways.append(replace(plain, engine="openai", numbers=compared.server_numbers, adapter="none"))
    ways += [Way(batch=BATCH, model=name) for name in compared.against]
    return ways, skipped


def _read(way: Way, opener: Opener, asked: Sequence[Asked]) -> list[Reading]:
    with opener.opened(way) as (engine, encoder):
        return read_golden(engine, encoder, asked, batch=way.batch)


def _broken(read: Broken, load: Callable[[], Any], encoder: PromptEncoder, asked: Sequence[Asked]) -> list[Reading]:
    return read(load(), encoder, asked)


def _row(way: Way, readings: Sequence[Reading], reference: Sequence[Reading]) -> Row:
    found = difference(reference, readings)
    log.info("%s: scores differ by %.3g at most", way, found.largest)
    return Row(way, found, TOLERANCES[way.kind])


class _Kept:
    """What was read so far, on disk until the certificate is whole."""

    def __init__(self, output: Path | None, depends: object) -> None:
        """Take the output, without which nothing is kept, and all that readings depend on beside their way."""
        self._held = Held(output.resolve()) if output else None
        self._ledger = Ledger(output.with_name(f".{output.name}.partial.jsonl")) if output else None
        self._depends = hashlib.sha256(json.dumps(depends).encode()).hexdigest()
        self._rows = self._ledger.rows() if self._ledger else []

    def readings(self, name: str, read: Callable[[], list[Reading]]) -> list[Reading]:
        """What stands there under the name, else what is read now."""
        key = [self._depends, name]
        for row in self._rows:
            if row["key"] == key:
                return [Reading(query, tuple(ids), (one, two, three)) for query, ids, (one, two, three) in row["read"]]
        found = read()
        if self._ledger:
            self._ledger.append([{"key": key, "read": [[item.query_id, item.ids, item.logits] for item in found]}])
        return found

    def finish(self) -> None:
        """The certificate is whole: what was kept for it goes."""
        if self._ledger and self._held:
            self._ledger.path.unlink(missing_ok=True)
            self._held.release()


def _with_first_token_twice(model: Any, encoder: PromptEncoder, asked: Sequence[Asked]) -> list[Reading]:
    """As an engine has it that puts a beginning-of-sequence token before the prompt's own."""

    def begun_twice(prompt: Prompt) -> Prompt:
        return replace(prompt, prefix=(*prompt.prefix[:1], *prompt.prefix))

    return read_golden(TransformersEngine(model), encoder, asked, changed=begun_twice)


def _with_other_template(model: Any, encoder: PromptEncoder, asked: Sequence[Asked]) -> list[Reading]:
    tokenizer: Any = copy.deepcopy(encoder.tokenizer)
    tokenizer.chat_template = None if tokenizer.chat_template else _OTHER_TEMPLATE
    return read_golden(TransformersEngine(model), PromptEncoder(tokenizer, encoder.settings), asked)


def _without_adapter(model: Any, encoder: PromptEncoder, asked: Sequence[Asked]) -> list[Reading]:
    with model.disable_adapter():
        return read_golden(TransformersEngine(model), encoder, asked)


_NO_ADAPTER = "no adapter"
# What engines are known for, made on purpose: what it moves has to be beyond the tolerance.
_FAULTS: Mapping[str, Broken] = {
    "first token twice": _with_first_token_twice,
    "another chat template": _with_other_template,
    _NO_ADAPTER: _without_adapter,
}


def _control(fault: str, reference: Sequence[Reading], broken: Sequence[Reading]) -> Control:
    # An engine makes its faults behind the prompts that it is given, so these do not tell.
    found = replace(difference(reference, broken), prompts=0)
    return Control(fault, found, tuple(kind for kind, allowed in TOLERANCES.items() if found.faults(allowed)))
