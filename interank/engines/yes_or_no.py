"""Released rerankers that answer yes or no: how each encodes a pair, and which tokens give its score."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from interank.engines.plain_text import PlainText, framed
from interank.engines.prompts import Prompt
from interank.engines.released_forms import GEMMA, GEMMA_TASK, MXBAI, QWEN3, USUAL_TASK, ReleasedForm
from interank.errors import ModelError
from interank.types import Document, Query

_QWEN3_BEFORE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
_QWEN3_AFTER = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_MXBAI_BEFORE = (
    "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\n"
)
_MXBAI_TASK = (
    "You are a search relevance expert who evaluates how well documents match search queries. For each query-document "
    "pair, carefully analyze the semantic relationship between them, then provide your binary relevance judgment (0 "
    "for not relevant, 1 for relevant).\nRelevance:"
)
_MXBAI_AFTER = "<|im_end|>\n<|im_start|>assistant\n"


class AnswerEncoder:
    """Encodes pairs as a released reranker's own code does; special tokens that texts spell stay text."""

    def __init__(self, tokenizer: Any, form: ReleasedForm, positions: int | None = None) -> None:
        """Look up the tokens of the form's answers.

        Raises:
            ModelError: The tokenizer does not write its answers as one token each.
        """
        self.form = form
        self._tokenizer = tokenizer
        self._plain = PlainText(tokenizer)
        self._length = min(form.length, positions or form.length)
        answers = [self._framed(word) for word in form.answers]
        if form is not GEMMA and any(len(ids) != 1 for ids in answers):
            raise ModelError(
                f"this tokenizer does not write {' and '.join(form.answers)} as one token each, as that of {form.name} "
                "does; give the original model"
            )
        self.labels = tuple(ids[0] for ids in answers)
        writers: dict[str, Callable[[Query, str], Prompt]] = {
            QWEN3.name: self._qwen3,
            MXBAI.name: self._mxbai,
            GEMMA.name: self._gemma,
        }
        self._write = writers[form.name]

    def prompt(self, query: Query, document: Document) -> Prompt:
        """The prompt for a pair."""
        return self._write(query, document.full_text)

    def _framed(self, text: str) -> tuple[int, ...]:
        return framed(self._tokenizer, text)

    def _qwen3(self, query: Query, document: str) -> Prompt:
        task = (query.instruction or "").strip() or USUAL_TASK
        before, after = self._framed(_QWEN3_BEFORE), self._framed(_QWEN3_AFTER)
        text = self._plain(f"<Instruct>: {task}\n<Query>: {query.text}\n<Document>: {document}")
        kept = text[: self._length - len(before) - len(after)]
        return Prompt(before, kept, after, len(text) - len(kept))

    def _mxbai(self, query: Query, document: str) -> Prompt:
        before, line, task, after = map(self._framed, (_MXBAI_BEFORE, "\n", _MXBAI_TASK, _MXBAI_AFTER))
        room = self._length - len(before) - len(line) - len(task) - len(after)
        query_ids = self._plain(f"query: {query.text}")[: room * 3 // 4]
        text = self._plain(f"document: {document}")
        kept = text[: max(0, room - len(query_ids) - len(line))]
        return Prompt(before + query_ids + line, kept, line + task + after, len(text) - len(kept))

    def _gemma(self, query: Query, document: str) -> Prompt:
        line, task = self._framed("\n"), self._framed(GEMMA_TASK)
        begin, padding = self._tokenizer.bos_token_id, self._tokenizer.pad_token_id
        query_ids = self._plain(f"A: {query.text}")[: self._length * 3 // 4]
        prefix = ((begin,) if begin is not None and begin != padding else ()) + query_ids + line
        text = self._plain(f"B: {document}")
        kept = text[: min(self._length, self._length + len(line) + len(task) - len(prefix))]
        return Prompt(prefix, kept, line + task, len(text) - len(kept))
