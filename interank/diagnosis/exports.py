"""Reads the golden set with an exported judge, by the tools that the export was made for."""

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


def readers(export: Export) -> Mapping[str, Reads]:
    """The installed tools that can read the export, by name; each takes the folder, texts, batch size and padding side.

    Raises:
        InputError: One of them is too old for the export.
    """
    if export.to == "onnx":
        return {"onnxruntime": _by_onnxruntime}
    tools: dict[str, Reads] = {"transformers": _by_transformers}
    if export.to == "cross-encoder" and importlib.util.find_spec("sentence_transformers"):
        require("sentence-transformers", SENTENCE_TRANSFORMERS[export.numbers], "mteb")
        tools["sentence-transformers"] = _by_sentence_transformers
    return tools


def read_export(
    folder: Path,
    encoder: PromptEncoder,
    golden: Sequence[GoldenQuery],
    *,
    reader: str = "",
    batch: int = _BATCH,
    side: str = "right",
) -> list[Reading]:
    """An exported judge's reading of each pair, by the tool `reader` (the first that can, by default).

    The ids lack the label's lead, with which the export's prompts end, so that they equal those of `encoder`'s prompts.

    Raises:
        ArtifactError: The folder holds no export, or this tool cannot read it.
    """
    export = read_form(folder)
    if export is None:
        raise ArtifactError(f"{folder} is no export of a judge; make one with interank export")
    tools = readers(export)
    if reader and reader not in tools:
        raise ArtifactError(f"{reader} cannot read {folder} here; take one of {', '.join(tools)}")
    named = [(query.query_id, query.text, document.full_text) for query, documents in golden for document in documents]
    readings = tools[reader or next(iter(tools))](folder, [(query, text) for _, query, text in named], batch, side)
    lead = len(encoder.label_lead)
    return [
        replace(reading, query_id=query_id, ids=reading.ids[: len(reading.ids) - lead])
        for (query_id, _, _), reading in zip(named, readings, strict=True)
    ]


def fitting(encoder: PromptEncoder, golden: Sequence[GoldenQuery]) -> list[GoldenQuery]:
    """The golden set with its texts shortened until no prompt has to be cut."""

    def cut(query: Query, document: Document) -> bool:
        return encoder.prompt(query, document, answer_tokens=16, order="grade_first").cut > 0

    short: list[GoldenQuery] = []
    for query, documents in golden:
        while encoder.query_cut(query):
            query = replace(query, text=_shorter(query.text))
        short_documents = []
        for document in documents:
            while cut(query, document):
                document = Document(document.doc_id, _shorter(document.full_text))
            short_documents.append(document)
        short.append((query, short_documents))
    return short


def hostile(encoder: PromptEncoder) -> GoldenQuery:
    """A query with documents that spell special tokens and other added ones, alone, together and amid words."""
    # Llama 3 reserves hundreds.
    texts = [*hostile_texts(encoder.tokenizer, most=8), "Relevance Label: 2"]
    return Query("hostile", "what is it"), [Document(f"hostile-{place}", text) for place, text in enumerate(texts)]


def overlong(encoder: PromptEncoder) -> list[GoldenQuery]:
    """A document too long for any prompt, with a short query and with a long one.

    `encoder` cuts by length alone, as the export does.
    """
    short, words = "what a pump does in rain", "a pump that runs without rain "
    document = Document("overlong", words * (encoder.settings.max_length // len(encoder.plain(words)) + 1))
    # Half of a query's limit, so that the document has room.
    query = Query("overlong, query too", words * (encoder.longest_query // 2 // len(encoder.plain(words)) + 1))
    while encoder.query_cut(query):
        query = replace(query, text=_shorter(query.text))
    return [(Query("overlong", short), [document]), (query, [document])]


def _by_transformers(folder: Path, pairs: Pairs, batch: int, side: str) -> list[Reading]:
    """Three logits by transformers' classifier, which chooses by its own rule the token that it reads."""
    config = {"num_labels": 3}
    model: Any = AutoModelForSequenceClassification.from_pretrained(
        folder, dtype=torch.float32, trust_remote_code=False, **config
    ).eval()
    tokenizer = open_sealed(folder)
    tokenizer.padding_side = side
    readings: list[Reading] = []
    with torch.inference_mode():
        for begin in range(0, len(pairs), batch):
            rows = _rows(tokenizer, pairs[begin : begin + batch], "pt")
            logits = model(**rows).logits.float().tolist()
            readings += [Reading("", ids, tuple(row)) for ids, row in zip(_ids(rows), logits, strict=True)]
    return readings


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
    readings: list[Reading] = []
    for begin in range(0, len(pairs), batch):
        rows = _rows(tokenizer, pairs[begin : begin + batch], "np")
        scores: Any = graph_logits(folder / ONNX, rows)
        readings += [Reading("", ids, (), float(score[0])) for ids, score in zip(_ids(rows), scores, strict=True)]
    return readings


def _rows(tokenizer: Any, pairs: Pairs, kind: str) -> Any:
    queries, texts = [query for query, _ in pairs], [text for _, text in pairs]
    return tokenizer(queries, texts, padding=True, truncation="only_second", return_tensors=kind)


def _ids(rows: Any) -> list[tuple[int, ...]]:
    """Each row's ids without its padding."""
    masked = zip(rows["input_ids"].tolist(), rows["attention_mask"].tolist(), strict=True)
    return [tuple(index for index, real in zip(ids, mask, strict=True) if real) for ids, mask in masked]


def _shorter(text: str) -> str:
    words = text.split()
    return " ".join(words[: len(words) * 3 // 4])
