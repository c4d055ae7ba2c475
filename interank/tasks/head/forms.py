"""Exports of a head as sentence-transformers' CrossEncoder or as ONNX, checked against the head's own scores."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from interank.cards import model_card, save_card
from interank.engines.heads import Head, scores
from interank.engines.onnx_graph import graph_logits, write_graph
from interank.engines.pair_tokenizer import save_pair_tokenizer
from interank.engines.use import save_head
from interank.engines.weights import ONNX
from interank.errors import ModelError
from interank.ir.benchmarks import load_benchmark
from interank.resources import resource_dir
from interank.settings import HeadSettings
from interank.types import Document, Query

Form = Literal["cross-encoder", "onnx"]

TOLERANCE = 1e-4
_QUERIES, _DOCUMENTS = 6, 4
# sentence-transformers applies a sigmoid to one logit unless the configuration names another function.
_RAW = {"activation_fn": "torch.nn.modules.linear.Identity"}
_LIBRARIES: dict[Form, str] = {"cross-encoder": "sentence-transformers", "onnx": "onnx"}
_TAGS: dict[Form, list[str]] = {
    "cross-encoder": ["cross-encoder", "reranking"],
    "onnx": ["onnx", "cross-encoder", "reranking"],
}
_USES: dict[Form, str] = {}
_USES["cross-encoder"] = """\
```python
from sentence_transformers import CrossEncoder

model = CrossEncoder("THIS FOLDER")
model.predict([("a query", "a document")])  # raw logits, as interank gives them
```

The tokenizer's template adds prefixes and special tokens to plain texts. A pair has at most {length} tokens.
{limits}"""
_USES["onnx"] = """\
```python
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")
session = onnxruntime.InferenceSession("THIS FOLDER/model.onnx", providers=["CPUExecutionProvider"])
rows = tokenizer(["a query"], ["a document"], padding=True, truncation=True, return_tensors="np")
inputs = {{each.name: rows[each.name] for each in session.get_inputs()}}
session.run(["logits"], inputs)[0]  # raw logits, as interank gives them
```

Any number of pairs and tokens will do. {pooling} The tokenizer's template adds prefixes and special tokens to plain
texts; `interank.json` says how interank reads a pair. A pair has at most {length} tokens. {limits}"""
_POOLING = {
    "last": "The score is read at the last token that `attention_mask` holds, and padding may stand on either side.",
    "first": "Padding stands on the right, as the tokenizer has it.",
}


def write_form(head: Head, folder: Path, form: Form) -> list[float]:
    """Write the folder, and return how far its scores are from the head's own, on pairs that need no cut.

    Raises:
        ModelError: The form cannot be written, or its scores are not the head's.
    """
    settings = save_pair_tokenizer(head.encoder, folder)
    save_head(folder, settings)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    if form == "onnx":
        write_graph(head, folder / ONNX)
    else:
        head.model.config.pad_token_id = tokenizer.pad_token_id
        head.model.config.sentence_transformers = _RAW
        head.model.save_pretrained(folder)
    use = _USES[form].format(
        length=tokenizer.model_max_length, limits=_limits(head.settings), pooling=_POOLING[head.settings.pooling]
    )
    save_card(model_card(["# A pointwise reranker", use], library=_LIBRARIES[form], tags=_TAGS[form]), folder)
    pairs = _pairs(head)
    own = scores(head, [head.encoder.pair(query, document) for query, document in pairs]).tolist()
    rows = tokenizer(
        [query.text for query, _ in pairs],
        [document.full_text for _, document in pairs],
        padding=True,
        truncation=True,
        return_tensors="np" if form == "onnx" else "pt",
    )
    logits = graph_logits(folder / ONNX, rows) if form == "onnx" else _logits(folder, rows)
    differences = [abs(one - other) for one, other in zip(own, logits, strict=True)]
    # max() may skip NaN, depending on its place.
    largest = max(differences) if all(map(math.isfinite, differences)) else math.inf
    if not largest <= TOLERANCE * max(1.0, *map(abs, own)):
        raise ModelError(
            f"in its new form a score moves by {largest:.3g}, where at most {TOLERANCE:g} is allowed; this "
            "architecture cannot be exported in that form, use the head in interank"
        )
    return differences


def _logits(folder: Path, rows: Any) -> list[float]:
    """The folder's logits, computed by transformers alone, with its own handling of the pad token."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, trust_remote_code=False)
    with torch.inference_mode():
        logits: list[float] = model.eval()(**rows).logits[:, 0].tolist()
    return logits


def _pairs(head: Head) -> list[tuple[Query, Document]]:
    """Pairs of the sample benchmark, shortened until the head reads them whole."""
    pairs = []
    benchmark = load_benchmark(resource_dir("data") / "benchmark")
    documents = list(benchmark.documents().values())[:_DOCUMENTS]
    for query, document in product(list(benchmark.queries.values())[:_QUERIES], documents):
        while head.encoder.query_cut(query):
            query = Query(query.query_id, _shorter(query.text))
        while head.encoder.pair(query, document).cut:
            document = Document(document.doc_id, _shorter(document.full_text))
        pairs.append((query, document))
    return pairs


def _shorter(text: str) -> str:
    words = text.split()
    return " ".join(words[: len(words) * 3 // 4])


def _limits(settings: HeadSettings) -> str:
    """A card's sentence on texts that other tools cut in another place."""
    limits = [f"a query at {settings.max_query_tokens} tokens"]
    if settings.max_document_tokens:
        limits.append(f"a document at {settings.max_document_tokens}")
    return (
        f"interank also cuts {' and '.join(limits)}, prefixes included, where a tokenizer shortens the "
        "longer of the two until both fit: texts over these limits have different scores there."
    )
