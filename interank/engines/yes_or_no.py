"""Released rerankers that answer yes or no: how each writes a pair for its model, and by which tokens it scores."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.artifact import MANIFEST
from interank.engines.late_lists import ARCHITECTURE
from interank.engines.models import PEFT, model_here
from interank.engines.plain_text import PlainText
from interank.engines.prompts import Prompt
from interank.engines.use import FILE
from interank.engines.weights import read_config
from interank.errors import InputError, ModelError
from interank.resources import expanded, hub_name
from interank.types import Document, Query

_QWEN3_BEFORE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
)
_QWEN3_AFTER = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_QWEN3_TASK = "Given a web search query, retrieve relevant passages that answer the query"
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
_QWEN3_QUOTED = "Judge whether the Document meets the requirements based on the Query and the Instruct provided"
_MXBAI_QUOTED = "You are a search relevance expert who evaluates how well documents match search queries"
_GEMMA_TASK = (
    "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing a "
    "prediction of either 'Yes' or 'No'."
)


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """A form of released rerankers: of which names, with how many tokens, and what the score is made of."""

    name: str
    named: str
    """A pattern of the last part of a model's name, without case."""
    quoted: str
    """What its templates or its card quote of its prompt, and those of no other model."""
    kinds: tuple[str, ...]
    """The kinds of models, as their configurations call them."""
    length: int
    """Tokens that its own code takes unless told otherwise."""
    yes: str
    no: str | None
    """The score is the logit of `yes` less that of `no`, if there is one."""
    instructed: bool = False
    """Whether its prompt has a place for a query's instruction, in place of the usual one."""


QWEN3 = AnswerForm("Qwen3-Reranker", r"qwen3-reranker", _QWEN3_QUOTED, ("qwen3",), 8192, "yes", "no", instructed=True)
MXBAI = AnswerForm("mxbai-rerank-v2", r"mxbai-rerank-\w+-v2", _MXBAI_QUOTED, ("qwen2",), 8192, "1", "0")
GEMMA = AnswerForm(
    "bge-reranker-v2-gemma", r"bge-reranker-v2-gemma", _GEMMA_TASK, ("gemma", "gemma2"), 512, "Yes", None
)
ANSWER_FORMS = (QWEN3, MXBAI, GEMMA)
_CONFIG = "config.json"
# Where a model's folder has its prompt, or tells of it.
_TELLING = ("chat_template.jinja", "tokenizer_config.json", "config_sentence_transformers.json", "README.md")
# Those that interank cannot run as they were made, and why.
_REFUSED = {
    r"\berank\b|\berank-": "ERank reasons first, and scores by the number from 0 to 10 that it then writes and that "
    "number's probability; its paper has the prompt's words, and neither its lines nor how a 10, which is two tokens, "
    "is counted",
    r"jina-reranker|^Jina": "Jina's rerankers, but for jina-reranker-v3, need code that comes with the model, which "
    "interank does not run",
}


def answer_form(source: str | Path) -> AnswerForm | None:
    """The form of a released reranker, told by its files, or by its name where these quote no prompt; None of another.

    What interank made is none, whatever it is called, nor is a model with a head of its own.

    Raises:
        InputError: It is a reranker that cannot be run here, or is called like one and is another model.
        ModelError: Its configuration cannot be read, or a folder is named that is not there.
    """
    path = expanded(str(source))
    folder = path if path.is_dir() else None
    name = Path(hub_name(str(source))[0]).name.lower()
    if folder is None and (fetched := model_here(str(source))):
        folder = fetched.folder
    if folder and any((folder / own).is_file() for own in (MANIFEST, FILE)):
        return None
    if folder and (folder / PEFT).is_file():
        # An adapter answers as its base does, and is called as its owner likes.
        base = str(read_config(folder / PEFT).get("base_model_name_or_path") or "")
        return answer_form(base) if base and base != str(source) else None
    config = read_config(folder / _CONFIG) if folder and (folder / _CONFIG).is_file() else {}
    classes = [str(each) for each in config.get("architectures") or []]
    if any(each.endswith("ForSequenceClassification") for each in classes):
        return None
    if ARCHITECTURE in classes or (not config and "jina-reranker-v3" in name):
        return None
    for pattern, why in _REFUSED.items():
        if re.search(pattern, name) or any(re.search(pattern, each) for each in classes):
            raise InputError(f"{source} cannot be ranked with: {why}; give the run that its own code made (runs=FILE)")
    kind = config.get("model_type")
    if folder and (found := _quoting(folder, kind)):
        return found
    called = next((form for form in ANSWER_FORMS if re.search(form.named, name)), None)
    if called and config and kind not in called.kinds:
        raise InputError(
            f"{source} is called like {called.name}, and its config.json says {kind}, where "
            f"{' or '.join(called.kinds)} is expected; give the folder another name, or that model"
        )
    return called


def _quoting(folder: Path, kind: object) -> AnswerForm | None:
    """The form whose prompt the folder's templates or card quote, if the model is of its kind."""
    texts = [(folder / name).read_text("utf-8", "replace") for name in _TELLING if (folder / name).is_file()]
    # JSON writes a quotation mark otherwise, so that what is looked for has none.
    found = (form for form in ANSWER_FORMS if kind in form.kinds and any(form.quoted in text for text in texts))
    return next(found, None)


class AnswerEncoder:
    """Writes pairs as a released reranker's own code does; what texts spell of special tokens stays text."""

    def __init__(self, tokenizer: Any, form: AnswerForm, positions: int | None = None) -> None:
        """Find the form's tokens.

        Raises:
            ModelError: The tokenizer does not write its answers as one token each.
        """
        self.form = form
        self._tokenizer = tokenizer
        self._plain = PlainText(tokenizer)
        self._length = min(form.length, positions or form.length)
        words = [form.yes, *([form.no] if form.no else [])]
        found = [self._framed(word) for word in words]
        if form is not GEMMA and any(len(ids) != 1 for ids in found):
            raise ModelError(
                f"this tokenizer does not write {' and '.join(words)} as one token each, as that of {form.name} does; "
                "give that model whole"
            )
        self.labels = tuple(ids[0] for ids in found)
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
        return tuple(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _qwen3(self, query: Query, document: str) -> Prompt:
        task = (query.instruction or "").strip() or _QWEN3_TASK
        before, after = self._framed(_QWEN3_BEFORE), self._framed(_QWEN3_AFTER)
        text = self._plain(f"<Instruct>: {task}\n<Query>: {query.text}\n<Document>: {document}")
        kept = text[: self._length - len(before) - len(after)]
        return Prompt(before, kept, after, len(text) - len(kept))

    def _mxbai(self, query: Query, document: str) -> Prompt:
        before, line, task, after = map(self._framed, (_MXBAI_BEFORE, "\n", _MXBAI_TASK, _MXBAI_AFTER))
        room = self._length - len(before) - len(line) - len(task) - len(after)
        asked = self._plain(f"query: {query.text}")[: room * 3 // 4]
        text = self._plain(f"document: {document}")
        kept = text[: max(0, room - len(asked) - len(line))]
        return Prompt(before + asked + line, kept, line + task + after, len(text) - len(kept))

    def _gemma(self, query: Query, document: str) -> Prompt:
        line, task = self._framed("\n"), self._framed(_GEMMA_TASK)
        begin, padding = self._tokenizer.bos_token_id, self._tokenizer.pad_token_id
        asked = self._plain(f"A: {query.text}")[: self._length * 3 // 4]
        prefix = ((begin,) if begin is not None and begin != padding else ()) + asked + line
        text = self._plain(f"B: {document}")
        kept = text[: min(self._length, self._length + len(line) + len(task) - len(prefix))]
        return Prompt(prefix, kept, line + task, len(text) - len(kept))
