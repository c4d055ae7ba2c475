"""Untrusted text as token ids: what looks like a special token in it is encoded as the characters it is made of."""

from __future__ import annotations

import copy
import re
from typing import Any

# Models' markers of turns and texts: <|im_end|>, <start_of_turn>, </s>, [INST], <<SYS>>, DeepSeek's wide bars, Gemma's
# bar on one side (<|turn>, <turn|>), Mistral's and ChatGLM's words in brackets, tools, Nemotron's numbered ones.
_WORDS = "bos|eos|pad|unk|mask|cls|sep|sop|eop|s|think|tool_calls?|tool_responses?|tools"
_TURN = re.compile(
    r"<(?=[|\uff5c](?=[^<>\s]{0,30}\w)[^<>\s]{1,60}>|\w[^<>\s]{0,60}[|\uff5c]>|</?SYS>>"
    rf"|/?(?:(?:start|begin|end)_of_[a-z]{{1,20}}|(?:extra_id|reserved|unused)_?[0-9]{{1,6}}|{_WORDS})>)"
    r"|\[(?=/?(?:INST|(?-i:[gs]?MASK|CLS|SEP|PAD|UNK|BOS|EOS|UNUSED_TOKEN_[0-9]{1,6}"
    r"|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|MODEL_SETTINGS|THINK|ARGS|CALL_ID))\])",
    re.IGNORECASE,
)


def without_turns(text: str) -> str:
    """The text with a blank in each spelled marker of a chat, which servers would read as a real one."""
    return _TURN.sub(r"\g<0> ", text)


class PlainText:
    """Encodes text of unknown origin with one tokenizer."""

    def __init__(self, tokenizer: Any, *, unknown: bool = False) -> None:
        """Copy a tokenizer; with `unknown` its token for unknown words is allowed, as WordPiece models need it."""
        # Splitting special tokens is a state of the tokenizer, and frames are encoded without it: threads, or a frame
        # and a text, could change it for each other. On this copy it stays on.
        tokenizer = copy.deepcopy(tokenizer)
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
    """The beginning-of-sequence token, if the tokenizer puts it before a text."""
    bos = tokenizer.bos_token_id
    return (bos,) if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else ()


def framed(tokenizer: Any, text: str) -> tuple[int, ...]:
    """The ids of a prompt's own words, in which special tokens are meant."""
    return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])
