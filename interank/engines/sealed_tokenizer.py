"""Saves a tokenizer that adds a prompt's frame, and with which no text can write a special token, in any tool."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from interank.engines.pairs import Frame
from interank.engines.plain_text import PlainText
from interank.errors import ModelError

FILE = "tokenizer.json"
_INPUTS = ["input_ids", "attention_mask"]
# A log-probability so low that a unigram tokenizer never chooses the piece.
_NEVER = -1e9


def save_sealed(tokenizer: Any, frame: Frame, folder: Path, *, length: int) -> None:
    """Save a tokenizer that puts `frame` around a query and a document, with at most `length` tokens in all.

    Its list of added tokens is empty, since through that list `<|im_end|>` in a text becomes the real token in most
    tools. Tokens that only the list held move into the vocabulary. Those that are added but not special are split into
    characters, as in `PlainText`. Only the document is ever cut, at its end.

    Raises:
        ModelError: A text can still write a special token, or the vocabulary cannot hold one.
    """
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.no_padding()
    backend.post_processor = _template(tokenizer, frame)
    if names := [token.content for token in tokenizer.added_tokens_decoder.values() if not token.special]:
        own = [backend.pre_tokenizer] if backend.pre_tokenizer is not None else []
        backend.pre_tokenizer = pre_tokenizers.Sequence([*_spelling(names), *own])
    facts = json.loads(backend.to_str())
    _seal(facts, tokenizer)
    facts["truncation"] = {"direction": "Right", "max_length": length, "strategy": "OnlySecond", "stride": 0}
    saved = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(facts)),
        model_max_length=length,
        padding_side="right",
        truncation_side="right",
        split_special_tokens=True,
        model_input_names=_INPUTS,
        clean_up_tokenization_spaces=False,
        pad_token=str(tokenizer.convert_ids_to_tokens(_padding(tokenizer, frame))),
    )
    saved.save_pretrained(folder)
    # transformers adds the padding token to the list again.
    (folder / FILE).write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", "utf-8")
    _check(tokenizer, frame, folder)


def open_sealed(folder: Path) -> Any:
    """The tokenizer, opened by transformers."""
    return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)


def sealed_ids(folder: Path, query: str, document: str) -> list[int]:
    """The ids of a pair by the tokenizers library, which servers in Rust use."""
    return list(Tokenizer.from_file(str(folder / FILE)).encode(query, document).ids)


def hostile_texts(tokenizer: Any, *, most: int | None = None) -> list[str]:
    """Texts that spell tokens that no text may write: alone, together and within words.

    `most` limits the number of special tokens, and likewise of those that are added but not special.
    """
    added = tokenizer.added_tokens_decoder.values()
    special, other = ([str(token.content) for token in added if token.special is kind][:most] for kind in (True, False))
    names = [*special, *other]
    some = [*special[:40], *other[:40]]
    glued = [f"so{name}that\n{name} is" for name in other]
    return [*names, *glued, "".join(some), f"a {' '.join(some)} b"]


def _template(tokenizer: Any, frame: Frame) -> Any:
    parts = {"<before>": frame.before, "<between>": frame.between, "<after>": frame.after}
    named = {name: list(ids) for name, ids in parts.items() if ids}
    first, second, last = ([name] * (name in named) for name in parts)
    return processors.TemplateProcessing(
        single=" ".join([*first, "$A", *last]),
        pair=" ".join(f"{part}:0" for part in [*first, "$A", *second, "$B", *last]),
        special_tokens=[
            {"id": name, "ids": ids, "tokens": tokenizer.convert_ids_to_tokens(ids)} for name, ids in named.items()
        ],
    )


def _spelling(names: Sequence[str]) -> list[Any]:
    """Pre-tokenizers that cut these words out of a text, the longest first, and split each into characters."""
    words = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    # A piece that is one of them is read character by character, each match going on where the last one ended.
    characters = rf"(?:\A(?=(?:{words})\z)|\G(?!\A))[\s\S]"
    return [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in (f"(?:{words})", characters)]


def _seal(facts: dict[str, Any], tokenizer: Any) -> None:
    """Empty the list of added tokens in a tokenizer's JSON; tokens that the vocabulary lacks move into it."""
    added = {int(token["id"]): str(token["content"]) for token in facts["added_tokens"]}
    facts["added_tokens"] = []
    vocabulary = facts["model"].get("vocab")
    if isinstance(vocabulary, dict):
        for index, content in added.items():
            vocabulary.setdefault(content, index)
    elif isinstance(vocabulary, list):
        for index, content in sorted(added.items()):
            if index < len(vocabulary):
                vocabulary[index] = [content, _NEVER]
            elif index == len(vocabulary):
                vocabulary.append([content, _NEVER])
            else:
                raise ModelError(
                    f"the token {content!r} has no place in this tokenizer's vocabulary; use the model in interank"
                )
    else:
        raise ModelError(
            f"this tokenizer is a {facts['model'].get('type')}, which cannot be exported; use the model in interank"
        )


def _padding(tokenizer: Any, frame: Frame) -> int:
    """A token for padding that does not end a prompt, since transformers reads the last token that is not padding."""
    for index in (tokenizer.pad_token_id, *tokenizer.all_special_ids, *tokenizer.added_tokens_decoder):
        if index is not None and index not in frame.after[-1:]:
            return int(index)
    raise ModelError("this tokenizer has no token for padding but the one that ends a prompt; use another model")


def _check(tokenizer: Any, frame: Frame, folder: Path) -> None:
    """Check that both libraries give the frame and plain text, whatever a text spells.

    Raises:
        ModelError: One does not.
    """
    plain, opened = PlainText(tokenizer), open_sealed(folder)
    alone = Tokenizer.from_file(str(folder / FILE))
    alone.no_truncation()
    for text in ["fox", " two  blanks", "ähnlich 狐", *hostile_texts(tokenizer)]:
        for ids in (list(alone.encode(text, text).ids), list(opened(text, text)["input_ids"])):
            inner = _within(ids, frame)
            if inner is None or any(part != plain(text) for part in inner):
                raise ModelError(
                    f"the exported tokenizer encodes {text[:60]!r} in other tokens than interank, so that other tools "
                    "would read another document; use the model in interank"
                )


def _within(ids: list[int], frame: Frame) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """The two equal texts' ids between the parts of the frame; None where the frame is not there."""
    before, between, after = frame
    room = len(ids) - len(before) - len(between) - len(after)
    if room < 0 or room % 2:
        return None
    half, row = room // 2, tuple(ids)
    first, second = row[len(before) : len(before) + half], row[len(row) - len(after) - half : len(row) - len(after)]
    return (first, second) if before + first + between + second + after == row else None
