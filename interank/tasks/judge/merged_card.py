"""The card of a merged judge: how to open it, and how to read its grades from vLLM without interank."""

from __future__ import annotations

import json
from pathlib import Path

from huggingface_hub import ModelCard

from interank import cards
from interank.engines.prompts import PromptEncoder
from interank.tasks.judge.asking import LABEL_ROOM

_OPENED = """\
## Use

```python
from interank import Reranker

Reranker("THIS FOLDER").rank("a query", ["a document", "another"])
```

It is a causal language model, which vLLM and its like serve as it is."""
_SERVED = """\
## From vLLM as it is

`/v1/completions` returns the grades' log-probabilities at the answer's first token. A prompt is sent as token
ids: `before`, those of the query, `between`, those of the document, `after`. The query's and the document's are made
without special tokens (`add_special_tokens=False, split_special_tokens=True`); a query is cut at {query} of them, a
document at {document}, and all together at {whole}.

```json
{ids}
```

```json
{{"prompt": [...], "max_tokens": 1, "temperature": 0, "logprobs": 3, "logprob_token_ids": {labels}}}
```

With p0, p1 and p2 the probabilities of these three tokens in this order, the score is log((p1 + 2 p2) / (2 p0 + p1)).
Temperature and penalties would change it. Two of the grades alone, or `yes` and `no`, rank otherwise."""
_FENCED = """\
## From vLLM as it is

This judge reads documents behind a fence, for which lines are taken out of them, so that interank alone makes its
prompts: `interank rerank THIS_FOLDER --engine openai --server URL ...`."""


def merged_card(encoder: PromptEncoder, *, base_name: str) -> ModelCard:
    """The card; `base_name` is the hub's name of the judge's base model, or a path, which is left out."""
    served = _FENCED if encoder.settings.fence else _served_by_ids(encoder)
    about = (
        "A judge of relevance by interank, its adapter merged into its base in bfloat16: it reads a query and a "
        "document and grades the document 0, 1 or 2."
    )
    base = None if Path(base_name).exists() else base_name
    sections = ["# A reranker that grades", about, _OPENED, served]
    return cards.model_card(sections, library="transformers", tags=["reranker"], base=base)


def _served_by_ids(encoder: PromptEncoder) -> str:
    settings, frame = encoder.settings, encoder.graded
    parts = {"before": frame.before, "between": frame.between, "after": frame.after}
    return _SERVED.format(
        query=encoder.query_room(settings.instruction),
        document=settings.max_document_tokens,
        whole=settings.max_length - LABEL_ROOM + len(encoder.label_lead),
        ids=json.dumps({name: list(ids) for name, ids in parts.items()}),
        labels=list(encoder.label_ids),
    )
