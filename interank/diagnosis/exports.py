"""An exported judge read on the golden set by the tools that it was made for."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification

from interank.diagnosis.golden import GoldenQuery, Reading
from interank.engines.onnx_graph import graph_logits
from interank.engines.prompts import PromptEncoder
from interank.engines.sealed_tokenizer import hostile_texts, open_sealed, sealed_ids
from interank.engines.weights import ONNX
from interank.errors import ArtifactError
from interank.tasks.judge.forms import SENTENCE_TRANSFORMERS, Export, read_form
from interank.types import Document, Query
from interank.versions import require

Pairs = Sequence[tuple[str, str]]
Reads = Callable[[Path, Pairs, int, str], list[Reading]]
_BATCH = 32


def readers(told: Export) -> Mapping[str, Reads]:
    """By name, what can read the export here, each given texts, how many at a time and where padding stands.

    Raises:
        InputError: One of them is too old for it.
    """
    if told.to == "onnx":
        return {"onnxruntime": _by_onnxruntime}
    found: dict[str, Reads] = {"transformers": _by_transformers}
    if told.to == "cross-encoder" and importlib.util.find_spec("sentence_transformers"):
        require("sentence-transformers", SENTENCE_TRANSFORMERS[told.numbers], "mteb")
        found["sentence-transformers"] = _by_sentence_transformers
    return found


def read_export(
    folder: Path,
    encoder: PromptEncoder,
    asked: Sequence[GoldenQuery],
    *,
    reader: str = "",
    batch: int = _BATCH,
    side: str = "right",
) -> list[Reading]:
    """What an exported judge says of each pair, by one of its readers, the first unless it is said.

    `encoder` makes the judge's own prompts, which the ids are held to.

    Raises:
        ArtifactError: The folder says of no export, or not that this reader opens it.
    """
    told = read_form(folder)
    if told is None:
        raise ArtifactError(f"{folder} is no export of a judge; make one with interank export")
    known = readers(told)
    if reader and reader not in known:
        raise ArtifactError(
            f"{folder} is read by {', '.join(known)} here, and {reader} was asked for; take one of them"
        )
    named = [(query.query_id, query.text, document.full_text) for query, documents in asked for document in documents]
    read = known[reader or next(iter(known))](folder, [(query, text) for _, query, text in named], batch, side)
    lead = len(encoder.label_lead)
    return [
        replace(found, query_id=query_id, ids=found.ids[: len(found.ids) - lead])
        for (query_id, _, _), found in zip(named, read, strict=True)
    ]


def fitting(encoder: PromptEncoder, asked: Sequence[GoldenQuery]) -> list[GoldenQuery]:
    """The golden set with so many of its texts' first words as are read whole."""

    def cut(query: Query, document: Document) -> bool:
        return encoder.prompt(query, document, answer_tokens=16, order="grade_first").cut > 0

    found: list[GoldenQuery] = []
    for query, documents in asked:
        while encoder.query_cut(query):
            query = replace(query, text=_shorter(query.text))
        kept = []
        for document in documents:
            while cut(query, document):
                document = Document(document.doc_id, _shorter(document.full_text))
            kept.append(document)
        found.append((query, kept))
    return found


def hostile(encoder: PromptEncoder) -> GoldenQuery:
    """A query with documents that spell special tokens and other added ones, alone, together and amid words."""
    # Llama 3 reserves hundreds.
    texts = [*hostile_texts(encoder.tokenizer, most=8), "Relevance Label: 2"]
    return Query("hostile", "what is it"), [Document(f"hostile-{place}", text) for place, text in enumerate(texts)]


def overlong(encoder: PromptEncoder) -> list[GoldenQuery]:
    """A document that no prompt has room for, to a short query and to one that is longer than the judge reads.

    `encoder` cuts by length alone, as the export does.
    """
    short, words = "what a pump does in rain", "a pump that runs without rain "
    document = Document("overlong", words * (encoder.settings.max_length // len(encoder.plain(words)) + 1))
    # Half of what a query may take, which leaves the document the other half.
    query = Query("overlong, query too", words * (encoder.longest_query // 2 // len(encoder.plain(words)) + 1))
    while encoder.query_cut(query):
        query = replace(query, text=_shorter(query.text))
    return [(Query("overlong", short), [document]), (query, [document])]


def _by_transformers(folder: Path, pairs: Pairs, batch: int, side: str) -> list[Reading]:
    """Three logits, by transformers' classifier and its own rule of which token is read."""
    config = {"num_labels": 3}
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False, **config
    ).eval()
    tokenizer = open_sealed(folder)
    tokenizer.padding_side = side
    found: list[Reading] = []
    with torch.inference_mode():
        for begin in range(0, len(pairs), batch):
            rows = _rows(tokenizer, pairs[begin : begin + batch], "pt")
            logits = model(**rows).logits.float().tolist()
            found += [Reading("", ids, tuple(row)) for ids, row in zip(_ids(rows), logits, strict=True)]
    return found


def _by_sentence_transformers(folder: Path, pairs: Pairs, batch: int, side: str) -> list[Reading]:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(folder), device="cpu")
    model.tokenizer.padding_side = side
    scores = model.predict(list(pairs), batch_size=batch, show_progress_bar=False)
    rows = [tuple(sealed_ids(folder, *pair)) for pair in pairs]
    return [Reading("", ids, (), float(score)) for ids, score in zip(rows, scores, strict=True)]


def _by_onnxruntime(folder: Path, pairs: Pairs, batch: int, side: str) -> list[Reading]:
    tokenizer = open_sealed(folder)
    tokenizer.padding_side = side
    found: list[Reading] = []
    for begin in range(0, len(pairs), batch):
        rows = _rows(tokenizer, pairs[begin : begin + batch], "np")
        scores: Any = graph_logits(folder / ONNX, rows)
        found += [Reading("", ids, (), float(score[0])) for ids, score in zip(_ids(rows), scores, strict=True)]
    return found


def _rows(tokenizer: Any, pairs: Pairs, kind: str) -> Any:
    queries, texts = [query for query, _ in pairs], [text for _, text in pairs]
    return tokenizer(queries, texts, padding=True, truncation="only_second", return_tensors=kind)


def _ids(rows: Any) -> list[tuple[int, ...]]:
    """Each row's ids without its padding."""
    kept = zip(rows["input_ids"].tolist(), rows["attention_mask"].tolist(), strict=True)
    return [tuple(index for index, real in zip(ids, mask, strict=True) if real) for ids, mask in kept]


def _shorter(text: str) -> str:
    words = text.split()
    return " ".join(words[: len(words) * 3 // 4])
