"""The engine on transformers: a query's prefix is computed once for all its documents, on CPU or GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import torch

from interank.engines.alignment import AlignedRunner
from interank.engines.budget import Budget, budget_of
from interank.engines.dense import DenseDecoder, fits
from interank.engines.drawing import Draw
from interank.engines.layers import allowed
from interank.engines.packing import PackedBatch, PackedRunner
from interank.engines.prompts import Prompt
from interank.engines.protocol import Ability, Completion, ForcedLabels, LabelLogits, Sampling
from interank.engines.rounding import rounded
from interank.engines.tree.pieces import Beginning
from interank.engines.tree.probe import tree_runner
from interank.engines.tree.runner import TreeRunner
from interank.engines.work import Work, flops, positions_attended, work_of_reading, work_of_writing
from interank.errors import InputError
from interank.settings.precision import Precision

_Choose = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
_Ended = Callable[[Sequence[Sequence[int]]], Iterable[int]]
P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def reading(model: Any) -> Iterator[None]:
    """Set a model to evaluation mode; afterwards modules that were in training mode are in it again.

    Each module has a mode of its own: an adapter that is loaded for training has dropout although its base has none.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


class _Batch(Protocol):
    """Texts that are generated together."""

    logits: torch.Tensor

    @property
    def places(self) -> list[int]: ...

    def step(self, tokens: torch.Tensor) -> None: ...

    def release(self, finished: Iterable[int]) -> None: ...


def _reads(
    method: Callable[Concatenate[TransformersEngine, P], T],
) -> Callable[Concatenate[TransformersEngine, P], T]:
    """Run a method in evaluation mode and without gradients, even during training, one call at a time."""

    @wraps(method)
    def read(self: TransformersEngine, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with self._lock, reading(self.model), torch.inference_mode():
            return method(self, *args, **kwargs)

    return read


class TransformersEngine:
    """Runs a causal language model of transformers, with or without an adapter."""

    def __init__(self, model: Any, *, precision: Precision = "exact", budget: Budget | None = None) -> None:
        """Take a loaded model.

        Args:
            model: A causal language model, with or without an adapter.
            precision: Others than `exact` round a copy of its layers' matrices, for plain models on a CPU.
            budget: The limits of its batches; by default from the free memory at each call. It changes no result.

        Raises:
            InputError: The model cannot run in that precision here.
        """
        self.model = model
        self.work = Work()
        # Rerankers that share an engine have a lock each, and counting work and hooks on the head allow one call only.
        self._lock = threading.RLock()
        self.budget = budget
        self.between: Callable[[Mapping[int, Sequence[int]]], Collection[int]] | None = None
        """Called after each token that is generated, with the texts so far by the places of their prompts; it may score
        in between, and returns the places of texts that end here."""
        self.beginning: Beginning | None = None
        """A beginning of prompts that `label_logits` need not read again, by `read_beginning` of the same weights."""
        plain = fits(model)
        if precision != "exact" and not plain:
            raise InputError(
                f"precision {precision} is for Llama-like models in float32 on a CPU, with their adapter "
                f"merged; this is {type(model).__name__} on {self.device}: use precision exact"
            )
        run = rounded(model) if precision == "bfloat16" else model
        # Probed in evaluation mode: dropout would look like a fault, and use random numbers of the training.
        with reading(run):
            self._reader: TreeRunner | AlignedRunner = tree_runner(run) or AlignedRunner(run)
        self._writer: PackedRunner | TreeRunner | AlignedRunner
        if plain:
            self._writer = PackedRunner(DenseDecoder(run))
        else:
            self._writer = self._reader if allowed(model.config).padding else AlignedRunner(run)

    @property
    def abilities(self) -> frozenset[Ability]:
        """See `Engine`."""
        return frozenset({"token_ids", "label_logits"})

    @property
    def device(self) -> str:
        """See `Engine`."""
        return str(self.model.device.type)

    @property
    def rereads(self) -> bool:
        """See `Grading`."""
        return not isinstance(self._writer, PackedRunner)

    def flops(self, work: Work) -> float | None:
        """See `Engine`."""
        return flops(self.model.config, work)

    @_reads
    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """See `Engine`; batches are cut by length, so scores do not depend on the order of the prompts."""
        results: dict[int, LabelLogits] = {}
        if isinstance(self._reader, TreeRunner):
            read = self._reader.logits(prompts, self._budget(), labels, self.beginning)
        else:
            read = self._reader.logits(prompts, self._budget(), labels)
        for places, logits in read:
            results |= zip(places, label_logits_of(logits, labels), strict=True)
        self.work += work_of_reading(prompts)
        self.work += Work(projected=len(prompts))
        return [results[place] for place in range(len(prompts))]

    @_reads
    def read_beginning(self, ids: Sequence[int]) -> Beginning | None:
        """Read the beginning of many prompts; None where the model's layers allow no tree."""
        return self._reader.beginning(tuple(ids)) if isinstance(self._reader, TreeRunner) else None

    @_reads
    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """See `Engine`; texts are generated together, as many as fit the budget."""
        completions: dict[int, Completion] = {}
        for places in self._writer.cut(prompts, self._budget(), sampling.max_new_tokens):
            written, _ = self._written(prompts, places, sampling, end)
            completions |= zip(places, written, strict=True)
        return [completions[place] for place in range(len(prompts))]

    @_reads
    def generate_graded(
        self, prompts: Sequence[Prompt], sampling: Sampling, asked: ForcedLabels, *, end: int
    ) -> list[tuple[Completion, LabelLogits]]:
        """See `Grading`; a plain model on a CPU does not read its completions again."""
        results: dict[int, tuple[Completion, LabelLogits]] = {}
        for places in self._writer.cut(prompts, self._budget(), sampling.max_new_tokens):
            written, labels = self._written(prompts, places, sampling, end, asked)
            # Read after the batch is freed.
            again = [prompts[place].then(asked.continuation(item)) for place, item in zip(places, written, strict=True)]
            graded = zip(written, labels or self.label_logits(again, asked.labels), strict=True)
            results |= zip(places, graded, strict=True)
        return [results[place] for place in range(len(prompts))]

    def _written(
        self,
        prompts: Sequence[Prompt],
        places: Sequence[int],
        sampling: Sampling,
        end: int,
        forced_labels: ForcedLabels | None = None,
    ) -> tuple[list[Completion], list[LabelLogits]]:
        """Completions of the prompts at these places, and labels' logits after them if no second reading is needed."""
        chosen = [prompts[place] for place in places]
        batch = self._writer.start(chosen, self._budget(), sampling.max_new_tokens)
        draw = Draw(sampling.among or len(prompts), sampling.temperature, sampling.seed, sampling.before)

        def choose(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return draw(logits, [places[row] for row in batch.places])

        def ended(ids: Sequence[Sequence[int]]) -> Iterable[int]:
            stopped = self.between(dict(zip(places, ids, strict=True))) if self.between else ()
            return (row for row, place in enumerate(places) if place in stopped)

        completions = self._write(chosen, batch, sampling.max_new_tokens, end, choose, ended)
        if forced_labels is None or not isinstance(batch, PackedBatch):
            return completions, []
        forced = [forced_labels.continuation(completion) for completion in completions]
        own = [_common(ids, item.ids) for ids, item in zip(forced, completions, strict=True)]
        logits, kept = batch.after(list(zip(forced, own, strict=True)))
        for prompt, ids, count in zip(chosen, forced, kept, strict=True):
            read = len(ids) - count
            attended = positions_attended(len(prompt.ids) + count, read)
            self.work += Work(tokens_read=read, attended=attended, projected=1)
        return completions, label_logits_of(logits, forced_labels.labels)

    def _write(
        self, prompts: Sequence[Prompt], batch: _Batch, room: int, end: int, draw: _Choose, ended: _Ended
    ) -> list[Completion]:
        """Generate until all texts have ended; finished rows are released, which changes no other row's tokens."""
        self.work += work_of_reading(prompts)
        ids: list[list[int]] = [[] for _ in prompts]
        logprobs: list[list[float]] = [[] for _ in prompts]
        ends: list[float | None] = [None] * len(prompts)
        finished = [False] * len(prompts)
        for step in range(room):
            tokens, values = draw(batch.logits)
            for place, index, value in zip(batch.places, tokens.tolist(), values.tolist(), strict=True):
                if index == end:
                    finished[place], ends[place] = True, value
                else:
                    ids[place].append(index)
                    logprobs[place].append(value)
            for place in ended(ids):
                finished[place] = True
            if all(finished) or step == room - 1:
                break
            if any(finished[place] for place in batch.places):
                chosen = dict(zip(batch.places, tokens.tolist(), strict=True))
                batch.release([place for place in batch.places if finished[place]])
                tokens = torch.tensor([chosen[place] for place in batch.places])
            batch.step(tokens)
        lengths = [len(row) + done for row, done in zip(ids, finished, strict=True)]
        self.work += work_of_writing(prompts, lengths)
        written = zip(ids, logprobs, finished, ends, strict=True)
        return [Completion(tuple(i), tuple(p), done, end_logprob) for i, p, done, end_logprob in written]

    def _budget(self) -> Budget:
        return self.budget or budget_of(self.model)


def label_logits_of(logits: torch.Tensor, labels: Sequence[int]) -> list[LabelLogits]:
    """The labels' part of the vocabulary's logits, shape (prompts, vocabulary)."""
    chosen = logits[:, list(labels)]
    # Rounding can raise it a little above 1.
    mass = (chosen.logsumexp(-1) - logits.logsumexp(-1)).exp().clamp(max=1.0)
    return [LabelLogits(tuple(row), share) for row, share in zip(chosen.tolist(), mass.tolist(), strict=True)]


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """The length of the common prefix."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
