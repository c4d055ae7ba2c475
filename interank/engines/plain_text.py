"""Untrusted text as token ids: what looks like a special token in it is encoded as the characters it is made of."""

from __future__ import annotations

from typing import Any


class PlainText:
    """Encodes text of unknown origin with one tokenizer."""

    def __init__(self, tokenizer: Any, *, unknown: bool = False) -> None:
        """Take a tokenizer; with `unknown` its token for unknown words may stand, as WordPiece models know it."""
        added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
        self.tokenizer = tokenizer
        self.forbidden = frozenset({*tokenizer.all_special_ids, *added, *tokenizer.added_tokens_decoder})
        if unknown:
            self.forbidden -= {tokenizer.unk_token_id}

    def __call__(self, text: str) -> tuple[int, ...]:
        """The text's ids; lone surrogates, which have no UTF-8 form, become question marks."""
        text = text.encode("utf-8", "replace").decode("utf-8")
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        if self.forbidden.isdisjoint(ids):
            return tuple(ids)
        # Tokens that were added but aren't flagged special (Qwen's <think>) slip past split_special_tokens.
        result: list[int] = []
        for index in ids:
            result += self._spelled(index) if index in self.forbidden else [index]
        return tuple(result)

    def _spelled(self, index: int) -> list[int]:
        ids: list[int] = []
        for character in str(self.tokenizer.convert_ids_to_tokens(index)):
            piece = self.tokenizer(character, add_special_tokens=False, split_special_tokens=True)["input_ids"]
            ids += [part for part in piece if part not in self.forbidden]
        return ids


def beginning(tokenizer: Any) -> tuple[int, ...]:
    """The beginning-of-sequence token, if the tokenizer puts it before what it is given."""
    bos = tokenizer.bos_token_id
    return (bos,) if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else ()
