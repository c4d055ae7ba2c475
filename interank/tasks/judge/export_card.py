"""The card of an exported judge: how a tool opens it, what its scores mean, and how they were checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from huggingface_hub import ModelCard

from interank import cards
from interank.tasks.judge.forms import Export, JudgeForm


class Difference(Protocol):
    """The difference between a tool's scores and the judge's."""

    @property
    def largest(self) -> float:
        """The largest difference of a score."""
        ...

    @property
    def tau(self) -> float:
        """Kendall's tau."""
        ...


@dataclass(frozen=True, slots=True)
class ExportCheck:
    """The check of an export when it was made: pairs scored, difference by tool, and the largest one allowed."""

    pairs: int
    read_by: Mapping[str, Difference]
    allowed: float


_LIBRARIES: dict[JudgeForm, str] = {"cross-encoder": "sentence-transformers", "onnx": "onnx", "vllm": "vllm"}
_USES: dict[JudgeForm, str] = {}
_USES["cross-encoder"] = """\
```python
from sentence_transformers import CrossEncoder  # 5.5 or later

model = CrossEncoder("THIS FOLDER")
model.rank("a query", ["a document", "another"])
```

The score is log((p1 + 2 p2) / (2 p0 + p1)) of the grades' probabilities, as interank gives it. With
`activation_fn=torch.nn.Sigmoid()` it is half the expected grade, from 0 to 1. The same folder gives the
three grades' logits:

```python
from transformers import AutoModelForSequenceClassification, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")
model = AutoModelForSequenceClassification.from_pretrained("THIS FOLDER")
rows = tokenizer(["a query"], ["a document"], padding=True, truncation="only_second", return_tensors="pt")
model(**rows).logits  # of grade 0, 1 and 2
```

vLLM's `LLM("THIS FOLDER", runner="pooling", dtype="float32").classify(...)` gives these logits too."""
_USES["onnx"] = """\
```python
import onnxruntime
from transformers import AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")
session = onnxruntime.InferenceSession("THIS FOLDER/model.onnx", providers=["CPUExecutionProvider"])
rows = tokenizer(["a query"], ["a document"], padding=True, truncation="only_second", return_tensors="np")
session.run(["logits"], {"input_ids": rows["input_ids"], "attention_mask": rows["attention_mask"]})[0]
```

The output is the score log((p1 + 2 p2) / (2 p0 + p1)) of the grades' probabilities, of shape (pairs, 1). Any number
of pairs and tokens will do, and padding may stand on either side."""
_USES["vllm"] = """\
```bash
pip install interank  # in vLLM's environment: it registers the model
vllm serve "THIS FOLDER" --dtype float32  # by itself vLLM would compute in 16 bits
curl localhost:8000/rerank -H 'Content-Type: application/json' \\
  -d '{"model": "THIS FOLDER", "query": "a query", "documents": ["a document", "another"]}'
```

`relevance_score`, and `score` of `/score`, is half the expected grade, from 0 to 1; with `"use_activation": false` it
is log((p1 + 2 p2) / (2 p0 + p1)) of the grades' probabilities. Without interank vLLM does not know the model and says
so."""


def export_card(export: Export, checked: ExportCheck, *, base_name: str) -> ModelCard:
    """The card; `base_name` is the hub's name of the judge's base model, or a path, which is left out."""
    sections = [
        "# A reranker that grades",
        "A judge of relevance, exported by interank: it reads a query and a document and gives the grades 0 "
        "(irrelevant), 1 (partially relevant) and 2 (relevant) their logits. Documents are ranked by one score of the "
        "three.",
        f"## Use\n\n{_USES[export.to]}",
        f"## What is read\n\n{_reading(export)}",
        f"## Checked\n\n{_table(export, checked)}",
    ]
    tags = ["reranker", "cross-encoder", *(["onnx"] if export.to == "onnx" else [])]
    base = None if Path(base_name).exists() else base_name
    return cards.model_card(sections, library=_LIBRARIES[export.to], tags=tags, base=base)


def _reading(export: Export) -> str:
    return (
        "`tokenizer.json` adds the prompt, so that tools are given plain texts: the query, and the document with "
        f"its title on a line before it. A pair has at most {export.longest} tokens with the prompt; a longer document "
        "loses its end, and a query that leaves no room for a document is refused. A document cannot write a special "
        "token, whatever it spells.\n\nTools cut by this length alone. The judge itself cuts a query after "
        f"{export.query_tokens} tokens and a document after {export.document_tokens}, limits that no tool has, so that "
        "more of a longer text is read here and it scores differently."
    )


def _table(export: Export, checked: ExportCheck) -> str:
    rows = [(name, f"{apart.largest:.2g}", f"{apart.tau:.4f}") for name, apart in checked.read_by.items()]
    table = cards.table(("read by", "largest difference of a score", "Kendall's tau"), rows)
    return (
        f"When this folder was made, {checked.pairs} pairs were read from it and compared with the judge in float32; "
        f"{checked.allowed:.2g} was allowed. Weights are in {export.numbers}.\n\n{table}"
    )
