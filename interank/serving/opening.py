"""Opens a server's models at start, and adapters by name at run time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from interank import plain_data
from interank.engines.adapters import without
from interank.engines.head_engine import HeadEngine
from interank.engines.heads import Head, HeadFiles, find_head, head_beside
from interank.engines.pairs import PairEncoder
from interank.engines.prompts import PromptEncoder
from interank.engines.server_engine import ServerEngine
from interank.engines.shared_tokenizer import SharedTokenizer
from interank.engines.side_by_side import AdapterEngine, SharedBase
from interank.engines.transformers import TransformersEngine
from interank.errors import InputError, InterankError
from interank.modes import in_words
from interank.serving.engines import RETRY_SECONDS
from interank.serving.models import (
    Facts,
    Kind,
    ServedHead,
    ServedLanguageModel,
    ServedModel,
    ServedWhole,
    fits_of,
    judge_facts,
    lists_of,
    order_facts,
)
from interank.serving.requests import Refusal
from interank.serving.schedule import Scheduler
from interank.settings import ListPromptSettings, Quantisation
from interank.tasks import TRAINED_ON, exported_judge, late_lists, released_rerankers, task_of_adapter
from interank.tasks.head import ranker as heads
from interank.tasks.judge.asking import LABEL_ROOM, Judge
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.order.ranker import list_encoder, readable_lists
from interank.tasks.ranker_settings import LoadedModel, RankerSettings
from interank.tasks.sources import Source, find_source, open_engine

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Opened:
    """The models that a server is started with."""

    settings: RankerSettings
    """MODEL and the settings to rank with."""
    adapters: Mapping[str, str] = field(default_factory=dict)
    """Further models by name, mostly adapters on the same base."""
    names: tuple[str, ...] = ()
    """The names of MODEL; by default its folder's name."""
    root: Path | None = None
    """The folder of adapters that may be loaded at run time."""


class Models:
    """A server's models by name."""

    def __init__(self, opened: Opened, scheduler: Scheduler | None) -> None:
        """Open the models; without a scheduler, model servers run them.

        Raises:
            InterankError: A model cannot be loaded, or lacks the requested mode.
        """
        if opened.root is not None and opened.settings.engine != "transformers":
            raise InputError(
                f"found --adapter-root with engine {opened.settings.engine}, and only engine transformers loads "
                "adapters at run time; leave one of them out"
            )
        self._opened = opened
        self._scheduler = scheduler
        self._bases: dict[Path, SharedBase] = {}
        self._heads: dict[Path, _HeadBase] = {}
        names = opened.names or (_name_of(Path(str(opened.settings.model))),)
        self.default = names[0]
        settings = {names[0]: opened.settings}
        for name, source in opened.adapters.items():
            if name in names:
                raise InputError(f"the name {name} was given twice; give each model its own name")
            settings[name] = self._fitting(source)
        self._standing = Counter(_base_of(each) for each in settings.values())
        self._served = {name: self._open(name, each) for name, each in settings.items()}
        self._served |= dict.fromkeys(names, self._served[names[0]])

    def __iter__(self) -> Iterator[tuple[str, ServedModel]]:
        return iter(list(self._served.items()))

    def get(self, name: str | None) -> ServedModel:
        """The model of a name, or the default model.

        Raises:
            Refusal: No model has the name.
        """
        if name is None:
            return self._served[self.default]
        if (served := self._served.get(name)) is None:
            raise Refusal(
                "unknown",
                f"found no model {plain_data.shown(name)}; there are {', '.join(self._served)}",
                field="model",
            )
        return served

    def load(self, name: str) -> ServedModel:
        """Load an adapter from the root folder onto a base model that is already loaded.

        Raises:
            Refusal: There is no root folder, it has no such adapter, the name is taken, or the base is not loaded.
        """
        if name in self._served:
            raise Refusal(
                "invalid", f"the name {plain_data.shown(name)} is taken; unload that model first", field="name"
            )
        source = str(self._folder(name))
        try:
            served = self._open(name, self._fitting(source), late=True)
        except Refusal:
            raise
        except InterankError as error:
            raise Refusal("invalid", str(error), field="name") from error
        served.facts = replace(served.facts, removable=True)
        self._served[name] = served
        return served

    def withdraw(self, name: str) -> ServedModel:
        """Accept no more requests for a model that was loaded at run time; `unload` frees it afterwards.

        Raises:
            Refusal: No model has the name, or it was loaded at start.
        """
        served = self.get(name)
        if not served.facts.removable:
            raise Refusal(
                "invalid", f"{name} was loaded at start, and only adapters loaded later are unloaded", field="name"
            )
        return self._served.pop(name)

    def unload(self, withdrawn: ServedModel) -> None:
        """Free a withdrawn model, once its requests are answered."""
        if isinstance(withdrawn, ServedLanguageModel) and isinstance(withdrawn.engine, AdapterEngine):
            withdrawn.engine.base.remove(withdrawn.engine)
        elif isinstance(withdrawn, ServedHead):
            without(withdrawn.engine.model, str(withdrawn.engine.adapter))

    def _folder(self, name: str) -> Path:
        root = self._opened.root
        if root is None:
            raise Refusal(
                "invalid",
                "this server loads no adapters; start it with --adapter-root DIR and engine transformers",
            )
        folder = root / name
        if not _NAME.fullmatch(name) or folder.resolve().parent != root.resolve() or not folder.is_dir():
            raise Refusal(
                "unknown",
                f"found no adapter {plain_data.shown(name)} in the server's --adapter-root; put it there",
                field="name",
            )
        return folder

    def _fitting(self, source: str) -> RankerSettings:
        """The server's settings adapted to a further model, which may be of another kind than MODEL."""
        settings = replace(self._opened.settings, model=source)
        if find_head(source, settings.base) is not None:
            return replace(settings, mode="score", adaptive=None, lists=None, memory=None)
        return replace(settings, head=None)

    def _open(self, name: str, settings: RankerSettings, *, late: bool = False) -> ServedModel:
        """Open a model; `late` means at run time, onto a base model that is already loaded."""
        source, scheduler = str(settings.model), self._scheduler
        if late_lists.takes(settings):
            raise InputError(
                f"{source} reads all documents of a request together, which serve does not support; use interank rerank"
            )
        if released_rerankers.reasons(settings):
            raise InputError(
                f"{source} reasons about each document at length, which serve does not support; use interank rerank"
            )
        for module in (exported_judge, released_rerankers):
            if not late and scheduler is not None and module.takes(settings):
                facts = Facts(name, source, None, ("score",), "score", fits=fits_of(source))
                kind: Kind = "grade" if module is exported_judge else "head"
                return ServedWhole(facts, module.open_ranker(settings), scheduler, kind)
        if heads.takes(settings):
            return self._open_head(name, settings, late=late)
        return self._open_language_model(name, find_source(source, settings.base), settings, late=late)

    def _together(self, folder: Path) -> bool:
        """True if models share this base with separate adapters; False if the one adapter is merged into it."""
        return self._opened.root is not None or self._standing[folder] > 1

    def _open_head(self, name: str, settings: RankerSettings, *, late: bool) -> ServedModel:
        source = str(settings.model)
        if self._scheduler is None:
            raise InputError(f"{source} is a pointwise head, which runs on engine transformers; leave the engine out")
        files = find_head(source, settings.base)
        facts = Facts(name, source, None, ("score",), "score", fits=fits_of(source))
        if files is None or files.adapter is None or not self._together(files.files.folder):
            if late:
                raise InputError(f"{source} is no adapter; only adapters are loaded at run time")
            engine = heads.open_ranker(settings).engine
        else:
            facts = replace(facts, parent=files.files.name)
            engine = self._head_engine(name, settings, files, late=late)
        head = engine.head
        engine.head = Head(head.model, PairEncoder(SharedTokenizer(head.encoder.tokenizer), head.settings))
        return ServedHead(facts, engine, self._scheduler)

    def _head_engine(self, name: str, settings: RankerSettings, files: HeadFiles, *, late: bool) -> HeadEngine:
        source, base = str(settings.model), self._heads.get(files.files.folder)
        if base is not None:
            return base.add(source, settings)
        if late:
            raise _no_base(source, files.files.name)
        opened = heads.open_domains(
            {name: source}, precision=settings.precision, settings=settings.head, base=settings.base
        )
        self._heads[files.files.folder] = _HeadBase(opened[name].engine.model)
        return opened[name].engine

    def _open_language_model(self, name: str, source: Source, settings: RankerSettings, *, late: bool) -> ServedModel:
        task = None if source.manifest is None else task_of_adapter(source.manifest)
        if task not in (None, "judge", "order"):
            what = TRAINED_ON.get(task, f"task {task}")
            raise InputError(
                f"{source.name} was trained on {what}, and a server takes only judges, listwise models and pointwise "
                "heads; use interank rerank"
            )
        lists: ListPromptSettings | None = None
        modes: tuple[str, ...] = ()
        if task == "order":
            listing = list_encoder(source, None)
            encoder, lists, length = listing.encoder, listing.settings, listing.settings.max_length
            facts = order_facts(name, source, settings)
        else:
            encoder = judge_encoder(source)
            lists = readable_lists(source) if task is None else None
            length = encoder.settings.max_length + settings.max_reasoning_tokens + LABEL_ROOM
            modes = source.modes()
            facts = judge_facts(name, source, modes, settings, lists=task is None)
        if facts.mode not in facts.modes:
            raise InputError(f"found mode {facts.mode} for {source.name}; use mode {in_words(facts.modes)}")
        encoder = PromptEncoder(SharedTokenizer(encoder.tokenizer), encoder.settings)
        engine: Any = self._engine(name, source, settings, late=late)
        if engine is None:
            if name in self._opened.adapters and settings.server is not None:
                # Model servers select an adapter by its name, as `vllm serve --lora-modules NAME=DIR` does.
                settings = replace(settings, server=settings.server.model_copy(update={"model": name}))
            engine = open_engine(source, settings, vocabulary=encoder.vocabulary, length=length)
        if isinstance(engine, ServerEngine):
            engine.retry_failed_servers(RETRY_SECONDS)
        if task != "order":
            # Fail at start, not at the first request, if the engine cannot grade.
            Judge(engine, encoder)
            if isinstance(engine, TransformersEngine | AdapterEngine):
                engine.beginning = engine.read_beginning(encoder.beginning)
        return ServedLanguageModel(
            facts, LoadedModel(engine, encoder, modes), self._scheduler, lists_of(settings, lists)
        )

    def _engine(self, name: str, source: Source, settings: RankerSettings, *, late: bool) -> Any:
        """The engine of a model on a shared base; None if the model does not share its base."""
        folder = source.files.folder
        if settings.engine != "transformers" or not self._together(folder):
            return None
        known = self._bases.get(folder)
        if late and (known is None or source.adapter is None):
            raise _no_base(source.name, source.files.name)
        if settings.precision == "bfloat16":
            raise InputError(
                "precision bfloat16 needs an adapter merged into its base, and here several share a base; use exact"
            )
        if known is None:
            quantisation: Quantisation = "nf4" if settings.precision == "nf4" else "none"
            known = SharedBase(source.files, quantisation=quantisation, memory=settings.memory)
            self._bases[folder] = known
        return known.bare() if source.adapter is None else known.add(source.adapter)


class _HeadBase:
    """A base model shared by the adapters of several heads."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._added = 0

    def add(self, source: str, settings: RankerSettings) -> HeadEngine:
        """Add an adapter."""
        name = f"added_{self._added}"
        self._added += 1
        head = head_beside(self._model, source, name, settings=settings.head, base=settings.base)
        return HeadEngine(head, adapter=name)


def _base_of(settings: RankerSettings) -> Path | None:
    """The folder of a model's base, which is its own if it is no adapter."""
    source = str(settings.model)
    if settings.engine != "transformers" or exported_judge.takes(settings) or released_rerankers.takes(settings):
        return None
    head = find_head(source, settings.base)
    return head.files.folder if head else find_source(source, settings.base).files.folder


def _name_of(model: Path) -> str:
    """The last part of a model's folder or hub name; of `.` and `..` that of the folder that they stand for."""
    return model.name if model.name.strip(".") else model.resolve().name


def _no_base(source: str, base: str) -> Refusal:
    return Refusal(
        "invalid", f"the base model of {source} is {base}, which is not loaded; start the server with it", field="name"
    )
