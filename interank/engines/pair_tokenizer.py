"""Saves a tokenizer that encodes pairs as a head does, for tools that call `tokenizer(query, document)`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from interank.engines.pairs import PairEncoder
from interank.errors import ModelError
from interank.settings import HeadSettings
from interank.types import Document, Query

# Texts that tokenizers join to a prefix in different ways.
_TEXTS = (
    "fox",
    " fox",
    "  two blanks",
    "\nline",
    "7 foxes",
    "?!",
    "(a) b",
    "ähnlich",
    "狐",
    "'tis",
    "_under",
    "x\t\n y",
)
_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "cls_token", "mask_token")


def save_pair_tokenizer(encoder: PairEncoder, folder: Path) -> HeadSettings:
    """Save a tokenizer whose pairs are the encoder's, prefixes included; the settings with which interank uses it.

    Special tokens in texts stay text. The padding token never ends a pair, so that transformers' own rule, to read at
    the last token that is not padding, agrees with interank.

    Raises:
        ModelError: The tokenizer joins prefix and text in a way that a saved tokenizer cannot.
    """
    settings = encoder.settings
    if settings.template:
        _save(encoder, Tokenizer.from_str(encoder.tokenizer.backend_tokenizer.to_str()), folder)
        return settings
    for lead in ("", " "):
        backend = _backend(encoder, lead)
        if backend is None:
            continue
        _save(encoder, backend, folder)
        if _agree(encoder, folder):
            query, document = (len(part) for part in _prefixes(encoder, lead))
            limit = settings.max_document_tokens
            return HeadSettings.model_validate(
                {
                    **settings.model_dump(),
                    "query_prefix": "",
                    "document_prefix": "",
                    "max_query_tokens": settings.max_query_tokens - query,
                    "max_document_tokens": limit and limit - document,
                    "template": True,
                    "end_token": False,
                }
            )
    raise ModelError(
        "this tokenizer joins prefixes and texts in a way that cannot be saved for other tools; train a head with "
        "query_prefix and document_prefix empty to export it"
    )


def longest_pair(encoder: PairEncoder) -> int:
    """The most tokens of a pair."""
    settings = encoder.settings
    around = sum(len(part) for part in encoder.frame)
    return min(settings.max_length, around + settings.max_query_tokens + settings.document_tokens)


def _prefixes(encoder: PairEncoder, lead: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The prefixes' ids without `lead`, which becomes part of the text's first token."""
    query, document = encoder.settings.query_prefix, encoder.settings.document_prefix
    return encoder.plain(query.removesuffix(lead)), encoder.plain(document.removesuffix(lead))


def _backend(encoder: PairEncoder, lead: str) -> Tokenizer | None:
    """The tokenizer with the prefixes in its template, and `lead` before each text; None if they do not end with it."""
    if lead and not all(
        prefix.endswith(lead) for prefix in (encoder.settings.query_prefix, encoder.settings.document_prefix)
    ):
        return None
    backend = Tokenizer.from_str(encoder.tokenizer.backend_tokenizer.to_str())
    query, document = _prefixes(encoder, lead)
    before, between, after = encoder.frame
    parts = {"<before>": before + query, "<between>": between + document, "<after>": after}
    named = {name: ids for name, ids in parts.items() if ids}
    first, second, last = ([name] * (name in named) for name in parts)
    backend.post_processor = processors.TemplateProcessing(
        single=" ".join([*first, "$A", *last]),
        pair=" ".join([*(f"{name}:0" for name in [*first, "$A"]), *(f"{name}:1" for name in [*second, "$B", *last])]),
        special_tokens=[
            {"id": name, "ids": list(ids), "tokens": encoder.tokenizer.convert_ids_to_tokens(list(ids))}
            for name, ids in named.items()
        ],
    )
    if lead:
        own = [backend.normalizer] if backend.normalizer is not None else []
        backend.normalizer = normalizers.Sequence([normalizers.Prepend(lead), *own])
    return backend


def _save(encoder: PairEncoder, backend: Tokenizer, folder: Path) -> None:
    """Save it as a plain fast tokenizer: model families' own classes would rebuild the backend when loaded."""
    own = encoder.tokenizer
    backend.no_padding()
    backend.no_truncation()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=longest_pair(encoder),
        padding_side="right",
        truncation_side="right",
        split_special_tokens=True,
        model_input_names=own.model_input_names,
        clean_up_tokenization_spaces=False,
        pad_token=_padding(encoder),
        **{name: getattr(own, name) for name in _NAMED if getattr(own, name) is not None},
    )
    tokenizer.save_pretrained(folder)


def _padding(encoder: PairEncoder) -> str:
    """The tokenizer's padding token, or another special token if that one ends a pair."""
    tokenizer, after = encoder.tokenizer, encoder.frame.after
    for index in (tokenizer.pad_token_id, *tokenizer.all_special_ids, *tokenizer.added_tokens_decoder):
        if index is not None and index not in after[-1:]:
            return str(tokenizer.convert_ids_to_tokens(index))
    raise ModelError("this tokenizer has no token for padding but the one that ends a pair; train without end_token")


def _agree(encoder: PairEncoder, folder: Path) -> bool:
    """Whether the saved tokenizer encodes pairs as the encoder does."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    pairs = list(zip(_TEXTS, _TEXTS[3:] + _TEXTS[:3], strict=True))
    for query, document in ((Query("", query), Document("", text)) for query, text in pairs):
        pair = encoder.pair(query, document)
        if not encoder.query_cut(query) and not pair.cut and written(tokenizer, query, document) != list(pair.ids):
            return False
    return True


def written(tokenizer: Any, query: Query, document: Document) -> Sequence[int]:
    """A pair's ids as other tools encode it."""
    return list(tokenizer(query.text, document.full_text, truncation=True)["input_ids"])
