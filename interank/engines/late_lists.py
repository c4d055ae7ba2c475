"""Jina's listwise reranker (jina-reranker-v3): all documents in one prompt, each with an embedding at its end."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from transformers import Qwen3Config, Qwen3Model, Qwen3PreTrainedModel

from interank.engines.layers import allowed_of
from interank.engines.models import ModelFiles, compute_dtype, device, load_tokenizer, model_here
from interank.engines.plain_text import PlainText
from interank.engines.weights import load_whole, model_weights, read_config
from interank.engines.work import Work, flops, positions_attended
from interank.errors import InputError, ModelError
from interank.resources import expanded
from interank.wording import counted

ARCHITECTURE = "JinaForRanking"
_SYSTEM = (
    "You are a search relevance expert who can determine a ranking of the passages based on how relevant they are to "
    "the query. If the query is a question, how relevant a passage is depends on how well it answers the question. If "
    "not, try to analyze the intent of the query and assess how well each passage satisfies the intent. If an "
    "instruction is provided, you should follow the instruction when determining the ranking."
)
_BEFORE = f"<|im_start|>system\n{_SYSTEM}<|im_end|>\n<|im_start|>"
_AFTER = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_DOCUMENT, _QUERY = "<|embed_token|>", "<|rerank_token|>"
# Tokens of a document and of a query that its own code reads.
_LONGEST, _LONGEST_QUERY = 2048, 512
_PROJECTOR = ("projector.0.weight", "projector.2.weight")


def reads_lists(source: str | Path) -> bool:
    """Whether a model on this disk is such a reranker, by its configuration.

    Raises:
        ModelError: The named folder does not exist, or its configuration cannot be read.
    """
    path = expanded(str(source))
    files = None if path.is_dir() else model_here(str(source))
    file = (files.folder if files else path) / "config.json"
    return file.is_file() and ARCHITECTURE in (read_config(file).get("architectures") or [])


class _Projected(Qwen3PreTrainedModel):  # type: ignore[misc]
    """The language model without its head, and the projector from states to embeddings, named as in the files."""

    # The files may hold the vocabulary's head, which is not needed.
    _keys_to_ignore_on_load_unexpected = (r"^lm_head\.",)

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__(config)
        middle, last = config.projected
        self.model = Qwen3Model(config)
        self.projector = torch.nn.Sequential(
            torch.nn.Linear(config.hidden_size, middle, bias=False),
            torch.nn.ReLU(),
            torch.nn.Linear(middle, last, bias=False),
        )
        self.post_init()


class LateLists:
    """Compares a query with documents in one prompt, in which each document attends to those before it."""

    def __init__(self, files: ModelFiles) -> None:
        """Load the model.

        Raises:
            ModelError: Its files are not whole, or its tokenizer lacks the tokens that mark embeddings.
        """
        self.work = Work()
        self._lock = threading.RLock()
        self._tokenizer: Any = load_tokenizer(files)
        self._plain = PlainText(self._tokenizer)
        known = self._tokenizer.get_vocab()
        if missing := [token for token in (_DOCUMENT, _QUERY) if token not in known]:
            raise ModelError(
                f"the tokenizer of {files.name} lacks {' and '.join(missing)}, at which {ARCHITECTURE} takes "
                "embeddings; get the model anew"
            )
        self._marks = known[_DOCUMENT], known[_QUERY]
        config = Qwen3Config.from_pretrained(files.folder)
        config.projected = _sizes(files.folder)
        attention = allowed_of(files.name, files.folder).attention
        options: dict[str, Any] = {"config": config, "dtype": compute_dtype(), "attn_implementation": attention}
        self._model: Any = load_whole(_Projected, files.folder, **options).to(device()).eval()

    @property
    def device(self) -> str:
        """See `Working`."""
        return str(self._model.device.type)

    def flops(self, work: Work) -> float | None:
        """See `Working`."""
        return flops(self._model.config, work)

    def query_cut(self, query: str) -> int:
        """How many tokens at the query's end are cut."""
        return max(0, len(self._plain(query)) - _LONGEST_QUERY)

    def scores(self, query: str, texts: Sequence[str]) -> tuple[list[float], list[int]]:
        """The cosine between the query and each document, and how many tokens of each document were cut.

        Raises:
            InputError: The documents together exceed the model's context.
        """
        shown, cuts = zip(*(self._shortened(text, _LONGEST) for text in texts), strict=True)
        ids = self._prompt(self._shortened(query, _LONGEST_QUERY)[0], shown)
        room = self._model.config.max_position_embeddings
        if len(ids) > room:
            raise InputError(
                f"the query and {counted(len(texts), 'document')} are {counted(len(ids), 'token')} together, and this "
                f"model reads them in one text of {room} at most; rank fewer documents (depth), or shorter ones"
            )
        document_mark, query_mark = self._marks
        with self._lock, torch.inference_mode():
            row = torch.tensor([ids], device=self._model.device)
            states = self._model.model(input_ids=row).last_hidden_state[0]
            ends = [place for place, index in enumerate(ids) if index == document_mark]
            vectors = self._model.projector(states[[*ends, ids.index(query_mark)]]).float()
            cosines = torch.nn.functional.cosine_similarity(vectors[-1:], vectors[:-1])
            self.work += Work(len(ids), 0, positions_attended(0, len(ids)), 0)
        return cosines.tolist(), list(cuts)

    def _prompt(self, query: str, texts: Sequence[str]) -> list[int]:
        """The ids of the prompt; each text is encoded together with the words around it, from mark to mark."""
        document_mark, query_mark = self._marks
        # The prompt says "1 passages" too, as in the model's training.
        count = len(texts)
        lead = (
            f"user\nI will provide you with {count} passages, each indicated by a numerical identifier. Rank the "
            f"passages based on their relevance to query: {query}\n"
        )
        ids = [*self._framed(_BEFORE)]
        for place, text in enumerate(texts):
            ids += [*self._plain(f'{lead}<passage id="{place}">\n{text}'), document_mark]
            lead = "\n</passage>\n"
        return [
            *ids,
            *self._plain(f"{lead}<query>\n{query}"),
            query_mark,
            *self._plain("\n</query>"),
            *self._framed(_AFTER),
        ]

    def _framed(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _shortened(self, text: str, longest: int) -> tuple[str, int]:
        """The text without mark tokens, as in the model's own code, cut to `longest` tokens; how many are cut."""
        for mark in (_DOCUMENT, _QUERY):
            text = text.replace(mark, "")
        ids = self._plain(text)
        if len(ids) <= longest:
            return text, 0
        return str(self._tokenizer.decode(ids[:longest])), len(ids) - longest


def _sizes(folder: Path) -> list[int]:
    """The widths of the projector's two layers.

    Raises:
        ModelError: The files lack one of them.
    """
    widths: dict[str, int] = {}
    for file in model_weights(folder):
        with safe_open(file, "pt") as weights:
            names = set(weights.keys())
            widths |= {name: weights.get_slice(name).get_shape()[0] for name in _PROJECTOR if name in names}
    if len(widths) != len(_PROJECTOR):
        raise ModelError(f"{folder} lacks {' or '.join(_PROJECTOR)}, which {ARCHITECTURE} has; get the model anew")
    return [widths[name] for name in _PROJECTOR]
