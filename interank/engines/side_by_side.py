"""Several adapters of a language model on one base, which is loaded once and never changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from peft import PeftModel

from interank.engines.adapters import beside, without
from interank.engines.budget import within
from interank.engines.models import ModelFiles, load_model
from interank.engines.prompts import Prompt
from interank.engines.protocol import Ability, Completion, ForcedLabels, LabelLogits, Sampling
from interank.engines.transformers import TransformersEngine
from interank.engines.tree.pieces import Beginning
from interank.engines.work import Work
from interank.settings import Quantisation

Between = Callable[[Mapping[int, Sequence[int]]], Collection[int]]


class SharedBase:
    """A base and the adapters on it; nothing may compute while the caller adds or removes one."""

    def __init__(self, files: ModelFiles, *, quantisation: Quantisation = "none", memory: float | None = None) -> None:
        """Load the base.

        Raises:
            ModelError: The base is not available.
        """
        self.files = files
        self._memory = memory
        self._loaded = 0
        self._chosen: AdapterEngine | None = None
        self._take(load_model(files, quantisation=quantisation))

    def _take(self, model: Any) -> None:
        self._model = model
        self.engine = TransformersEngine(model, budget=within(model, self._memory))

    def add(self, folder: Path) -> AdapterEngine:
        """Load the adapter in a folder; an engine with it.

        Raises:
            ModelError: It does not fit this base, or changes weights that other adapters share.
        """
        # An adapter's name has no dot and is no attribute's, and none is used twice.
        name = f"adapter_{self._loaded}"
        self._loaded += 1
        self._take(beside(self._model, folder, name))
        return AdapterEngine(self, name)

    def bare(self) -> AdapterEngine:
        """An engine with the base alone."""
        return AdapterEngine(self, None)

    def remove(self, engine: AdapterEngine) -> None:
        """Unload an adapter."""
        left = without(self._model, str(engine.adapter))
        if left is not self._model:
            self._take(left)

    @contextmanager
    def chosen(self, one: AdapterEngine) -> Iterator[TransformersEngine]:
        """The engine with one's adapter active, or none; afterwards the one before is active, since calls may nest."""
        before = self._chosen
        self._choose(one)
        try:
            yield self.engine
        finally:
            self._choose(before)

    def _choose(self, one: AdapterEngine | None) -> None:
        self._chosen = one
        self.engine.beginning = one.beginning if one else None
        if not isinstance(self._model, PeftModel):
            return
        adapter = one.adapter if one else None
        if adapter is None:
            self._model.base_model.disable_adapter_layers()
        else:
            # `set_adapter` does not enable layers that are disabled.
            self._model.base_model.enable_adapter_layers()
            self._model.set_adapter(adapter)


class AdapterEngine:
    """The engine of one adapter among those of a base."""

    def __init__(self, base: SharedBase, adapter: str | None) -> None:
        self.base = base
        self.adapter = adapter
        self.beginning: Beginning | None = None
        """See `TransformersEngine`."""

    @property
    def work(self) -> Work:
        """See `Working`; the work of all adapters together."""
        return self.base.engine.work

    @property
    def abilities(self) -> frozenset[Ability]:
        """See `Engine`."""
        return self.base.engine.abilities

    @property
    def device(self) -> str:
        """See `Working`."""
        return self.base.engine.device

    @property
    def rereads(self) -> bool:
        """See `Grading`."""
        return self.base.engine.rereads

    @property
    def between(self) -> Between | None:
        """See `TransformersEngine`."""
        return self.base.engine.between

    @between.setter
    def between(self, called: Between | None) -> None:
        self.base.engine.between = called

    def flops(self, work: Work) -> float | None:
        """See `Working`."""
        return self.base.engine.flops(work)

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """See `Labelling`."""
        with self.base.chosen(self) as engine:
            return engine.label_logits(prompts, labels)

    def read_beginning(self, ids: Sequence[int]) -> Beginning | None:
        """See `TransformersEngine`."""
        with self.base.chosen(self) as engine:
            return engine.read_beginning(ids)

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """See `Engine`."""
        with self.base.chosen(self) as engine:
            return engine.generate(prompts, sampling, end=end)

    def generate_graded(
        self, prompts: Sequence[Prompt], sampling: Sampling, asked: ForcedLabels, *, end: int
    ) -> list[tuple[Completion, LabelLogits]]:
        """See `Grading`."""
        with self.base.chosen(self) as engine:
            return engine.generate_graded(prompts, sampling, asked, end=end)
