"""Pointwise heads: transformers that read query and document as one row and give one logit, whatever the padding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from interank.artifact import MANIFEST, open_artifact
from interank.engines.adapters import ADAPTER_WEIGHTS, beside, with_adapter
from interank.engines.bases import find_base, refuse_base
from interank.engines.models import (
    HEAD_MODULES,
    PEFT,
    ModelFiles,
    find_model,
    load_classifier,
    load_tokenizer,
)
from interank.engines.pairs import Pair, PairBatch, PairEncoder
from interank.engines.soundness import require_scores
from interank.engines.use import read_head
from interank.engines.weights import read_config, weight_names
from interank.errors import InputError, ModelError
from interank.resources import expanded
from interank.settings import HeadSettings, Quantisation
from interank.settings.student import Precision
from interank.wording import counted

_TOKENIZER = "tokenizer_config.json"
_CLASSIFIER = "ForSequenceClassification"
# Tokens of a batch, padding included: more of them fit a GPU, and fewer stay in a processor's cache.
_BATCH = {"cpu": 4096, "cuda": 32768}


@dataclass(frozen=True, slots=True)
class Head:
    """A loaded head: its model, and the encoder of its pairs."""

    model: Any
    encoder: PairEncoder

    @property
    def settings(self) -> HeadSettings:
        """How it reads a pair."""
        return self.encoder.settings


@dataclass(frozen=True, slots=True)
class HeadFiles:
    """A head on this disk."""

    files: ModelFiles
    """The whole head, or the base of its adapter."""
    adapter: Path | None
    tokenizer: ModelFiles
    settings: HeadSettings | None
    """How it reads a pair, where its folder says so."""


def find_head(source: str | Path, base: str | None = None) -> HeadFiles | None:
    """Find a head by an output of `distill`, its folder, its adapter's folder or its name; None for other models.

    `base` overrides the adapter's base; see `find_base`.

    Raises:
        ModelError: The model is not available, its configuration cannot be read, or its adapter's base is another.
        InputError: A `base` is given for a whole head.
        ArtifactError: The folder is an artifact, but no trained model.
    """
    path = expanded(source)
    artifact = open_artifact(path, "adapter") if (path / MANIFEST).is_file() else None
    if artifact is not None:
        path = path / "adapter"
    if not (path / PEFT).is_file():
        files = find_model(str(source))
        path = files.folder
    settings = read_head(path)
    if not (path / PEFT).is_file():
        if not settings and not _is_classifier(files):
            return None
        refuse_base(source, base)
        return HeadFiles(files, None, files, settings)
    facts = read_config(path / PEFT)
    if facts.get("task_type") != "SEQ_CLS":
        return None
    files = find_base(artifact or path, base)
    tokenizer = ModelFiles(str(source), path, "folder") if (path / _TOKENIZER).is_file() else files
    return HeadFiles(files, path, tokenizer, settings)


def load_head(
    source: str | Path,
    *,
    settings: HeadSettings | None = None,
    quantisation: Quantisation = "none",
    precision: Precision = "auto",
    base: str | None = None,
    trainable: bool = False,
) -> Head:
    """Load a trained head: a whole model, or an unmerged adapter on its base.

    Args:
        source: The output of `distill`, a model's or a PEFT adapter's folder, or a name on the hub.
        settings: How it reads a pair, for a head that does not say so itself.
        quantisation: The format of the base's weights.
        precision: The type to compute in.
        base: Overrides the adapter's base; see `find_base`.
        trainable: Whether the adapter is to be trained further.

    Raises:
        ModelError: It is no head, or neither it nor the caller says how it reads a pair.
        ArtifactError: The folder is an artifact, but no trained model.
    """
    head_files = find_head(source, base)
    if head_files is None:
        raise ModelError(f"{source} is a language model without a head; train one with interank distill")
    if head_files.adapter is None:
        check_whole(head_files.files)
    headless = _brings_a_head(head_files)
    model: Any = load_classifier(head_files.files, quantisation=quantisation, precision=precision, headless=headless)
    if head_files.adapter is not None:
        model = with_adapter(model, head_files.adapter, trainable=trainable)
    return _with_encoder(model, head_files, str(source), settings)


def load_heads(
    sources: Mapping[str, str | Path],
    *,
    settings: HeadSettings | None = None,
    quantisation: Quantisation = "none",
    precision: Precision = "auto",
    base: str | None = None,
) -> dict[str, Head]:
    """Load several adapters with their score layers onto one base, keyed by their names for `set_adapter`.

    Raises:
        InputError: There is none, one is no adapter of a head, or they have different bases.
        ModelError: One is not available, or does not say how it reads a pair.
    """
    adapters = {name: _adapter(source, base) for name, source in sources.items()}
    bases = {str(place.files.folder): place.files for place in adapters.values()}
    if len(bases) != 1:
        raise InputError(
            f"the adapters have {counted(len(bases), 'base')} ({', '.join(bases)}), and only adapters of one base can "
            "be opened together; open each by itself"
        )
    headless = all(_brings_a_head(place) for place in adapters.values())
    (files,) = bases.values()
    model: Any = load_classifier(files, quantisation=quantisation, precision=precision, headless=headless)
    heads = {}
    for name, place in adapters.items():
        model = beside(model, Path(str(place.adapter)), name)
        heads[name] = _with_encoder(model, place, str(sources[name]), settings)
    return {name: Head(model, head.encoder) for name, head in heads.items()}


def head_beside(
    model: Any, source: str | Path, name: str, *, settings: HeadSettings | None = None, base: str | None = None
) -> Head:
    """Load one more adapter, with its score layer, onto a base that has adapters of heads.

    Raises:
        InputError: It is no adapter of a head.
        ModelError: It is not available, does not fit the base, or holds no score layer of its own.
    """
    place = _adapter(source, base)
    if not _brings_a_head(place):
        raise ModelError(f"{source} holds no score layer, and other adapters on its base do; open it by itself")
    return _with_encoder(beside(model, Path(str(place.adapter)), name), place, str(source), settings)


def head_logits(model: Any, batch: PairBatch, settings: HeadSettings) -> torch.Tensor:
    """Each row's logit in float32, with gradients where they are on.

    The logit is read at the batch's places. transformers would read at the rightmost id that is not the configuration's
    `pad_token_id`, which is padding where tokenizer and configuration disagree.
    """
    if settings.pooling == "first":
        known = getattr(model.config, "type_vocab_size", 0) > 1
        types = {"token_type_ids": batch.token_type_ids} if known else {}
        output = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, **types)
        logits: torch.Tensor = output.logits[:, 0].float()
        return logits
    whole = model.get_base_model() if isinstance(model, PeftModel) else model
    chosen = states_at(getattr(whole, whole.base_model_prefix), batch)
    # Under autocast, as in training, a score would have the 8 bits of bfloat16.
    with torch.autocast(chosen.device.type, enabled=False):
        return whole.score(chosen.to(next(whole.score.parameters()).dtype))[:, 0].float()  # type: ignore[no-any-return]


def states_at(backbone: Any, batch: PairBatch) -> torch.Tensor:
    """The last layer's hidden state at each row's place, of shape (rows, width)."""
    states = backbone(input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False).last_hidden_state
    chosen: torch.Tensor = states[torch.arange(len(states), device=states.device), batch.places.to(states.device)]
    return chosen


@torch.inference_mode()
def scores(head: Head, pairs: Sequence[Pair], *, batch_tokens: int | None = None) -> torch.Tensor:
    """The pairs' logits in their order, float32 on the CPU.

    Rows of similar length are computed together. The other rows of a batch, and their order, move a score by less than
    1e-5 of it.

    Raises:
        PromptError: A logit is no finite number.
    """
    device = head.model.device
    logits = torch.empty(len(pairs))
    for places in batches(pairs, head.settings, batch_tokens or _BATCH.get(device.type, _BATCH["cpu"])):
        batch = head.encoder.batch([pairs[place] for place in places], device)
        logits[places] = head_logits(head.model, batch, head.settings).cpu()
    require_scores(logits.tolist())
    return logits


def batches(pairs: Sequence[Pair], settings: HeadSettings, tokens: int) -> Iterator[list[int]]:
    """Batches of at most `tokens` tokens with padding, as places in `pairs`, the longest first."""
    least = settings.max_length if settings.legacy == "dear" else 0
    lengths = [max(least, len(pair.ids)) for pair in pairs]
    order = sorted(range(len(pairs)), key=lambda place: (-lengths[place], place))
    begin = 0
    while begin < len(order):
        rows = max(1, tokens // lengths[order[begin]])
        yield order[begin : begin + rows]
        begin += rows


def _with_encoder(model: Any, head_files: HeadFiles, source: str, settings: HeadSettings | None) -> Head:
    """The head with an encoder by its folder's settings, or by the caller's if the folder has none."""
    settings = head_files.settings or settings or _usual(model, source)
    tokenizer = load_tokenizer(head_files.tokenizer, writes=settings.pooling == "last")
    # For a saved model in transformers, whose own rule needs tokenizer and configuration to agree.
    model.config.pad_token_id = tokenizer.pad_token_id
    return Head(model, PairEncoder(tokenizer, settings))


def _adapter(source: str | Path, base: str | None) -> HeadFiles:
    head_files = find_head(source, base)
    if head_files is None or head_files.adapter is None:
        raise InputError(f"{source} is no adapter of a pointwise head; give adapters on one base")
    return head_files


def _is_classifier(files: ModelFiles) -> bool:
    names = read_config(files.folder / "config.json").get("architectures") or []
    return any(str(name).endswith(_CLASSIFIER) for name in names)


def check_whole(files: ModelFiles) -> None:
    """Refuse a head of several classes, which gives no score, and a missing one, which would be random."""
    if not _is_classifier(files):
        raise ModelError(
            f"{files.folder} says that it is a head, but its config.json names no {_CLASSIFIER} model; get it anew"
        )
    classes = len(read_config(files.folder / "config.json").get("id2label") or {0: "", 1: ""})
    if classes != 1:
        raise ModelError(f"{files.name} has {classes} classes, and a head has one logit; use another model")


def _brings_a_head(head_files: HeadFiles) -> bool:
    """Whether an adapter holds a trained head.

    Raises:
        ModelError: Neither the adapter nor its base holds one.
    """
    if head_files.adapter is None:
        return False
    parts = {part for name in weight_names(head_files.adapter / ADAPTER_WEIGHTS) for part in name.split(".")}
    if parts.isdisjoint(HEAD_MODULES) and not _is_classifier(head_files.files):
        raise ModelError(f"neither {head_files.adapter} nor its base holds a score layer; get the adapter anew")
    return not parts.isdisjoint(HEAD_MODULES)


def _usual(model: Any, source: str) -> HeadSettings:
    """The settings of an encoder's head, whose pairs are its tokenizer's; another head's form cannot be guessed."""
    if hasattr(model.get_base_model() if isinstance(model, PeftModel) else model, "score"):
        raise ModelError(
            f"{source} does not say how it reads a pair; say it in its settings: legacy: dear for the models that DeAR "
            "released, else its prefixes and lengths"
        )
    positions = getattr(model.config, "max_position_embeddings", 512)
    length = min(512, positions)
    return HeadSettings(
        query_prefix="",
        document_prefix="",
        max_query_tokens=length // 2,
        max_length=length,
        template=True,
        pooling="first",
    )
