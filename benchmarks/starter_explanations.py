"""Whether explanations hold: the starter's beside those of its untrained base and of the rule that it learned from.

    python benchmarks/starter_explanations.py write --work DIR --judgments DIR --minilm MODEL --starter DIR
    python benchmarks/starter_explanations.py report --work DIR [--read FILE]

`write` explains pairs of `held_out.py`'s `sites`, which nothing was trained on: a question each, and one of BM25's
first five documents. `blind.jsonl` in the work folder has question, document and explanation under a number,
shuffled, without its writer. Whoever reads it writes a line of JSON for each into FILE, with `number` and three truth
values: `document` and `question` (it names something true of each), `claim` (what it claims of both is true).
`report` tells by writer what the readers said, and the checks that need no reader:

* names the document, names the question: a word of the explanation, not of the rule's wordings, stands in the text;
* quotes: how many are in the document verbatim;
* support, stance: what the rewards of these names give, read by the starter.

It needs what `starter.py` needs. What is written is kept.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import string
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import held_out
import numpy
import starter
import torch
from compare import base
from sentence_transformers import SentenceTransformer

from interank.artifact import open_artifact
from interank.engines.adapters import with_adapter
from interank.engines.bases import find_base
from interank.engines.models import load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.evaluation.explanation_marks import MARKS, mark
from interank.ir.significance import Sample
from interank.ledger import read_rows, write_rows
from interank.reranking.reranker import Reranker
from interank.resources import expanded
from interank.settings.prompts import PromptSettings
from interank.settings.rewards import MarkingRecipe
from interank.stages.explanation_rewards import marking
from interank.tasks.judge.quotes import verified
from interank.teacher.annotate import GRADE_BY_ORIGIN
from interank.types import Document, Origin, Pair, Query, Relevance, Source

SEED = 50
FIRST = 5
TOKENS = 80
WRITERS = ("untrained", "rule", "starter")
READ = ("document", "question", "claim")
_ORIGINS: Mapping[Relevance, Origin] = {
    Relevance.RELEVANT: "accepted_answer",
    Relevance.PARTIAL: "answer",
    Relevance.IRRELEVANT: "hard_negative",
}
_NO_SOURCE = Source("", "", "", "", "")


def main() -> None:
    """Write the explanations, or tell what they are worth."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").partition("\n")[0], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=("write", "report"))
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="explanations and report; kept")
    parser.add_argument("--judgments", type=Path, metavar="DIR", help="what the starter learned")
    parser.add_argument("--minilm", metavar="MODEL", help="all-MiniLM-L6-v2, a folder or its name")
    parser.add_argument("--starter", default="starter", metavar="DIR")
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--read", type=Path, metavar="FILE", help="what a reader said of blind.jsonl")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    if options.step == "write":
        write(options)
    report(options)


def write(options: argparse.Namespace) -> None:
    """One explanation of each pair by each writer, and the shuffled texts to read."""
    pairs = chosen(options)
    writers: Mapping[str, Callable[[], list[dict[str, Any]]]] = {
        "untrained": lambda: by_model(base("distill/starter"), pairs),
        "rule": lambda: by_rule(options.minilm, pairs),
        "starter": lambda: by_model(writing(options.starter), pairs),
    }
    for name, written in writers.items():
        place = options.work / f"{name}.jsonl"
        if not place.exists():
            write_rows(place, written())
    texts = [{"writer": name, **row} for name in WRITERS for row in read_rows(options.work / f"{name}.jsonl")]
    random.Random(SEED).shuffle(texts)
    numbered = list(enumerate(texts, start=1))
    write_rows(options.work / "key.jsonl", ({"number": n, "writer": row["writer"]} for n, row in numbered))
    shown = ("question", "document", "explanation")
    write_rows(options.work / "blind.jsonl", ({"number": n, **{key: row[key] for key in shown}} for n, row in numbered))


def chosen(options: argparse.Namespace) -> list[Pair]:
    """The pairs, each of another question; a document's grade is what votes say of it."""
    site = held_out.load("sites", options.judgments)
    rng = random.Random(SEED)
    asked = rng.sample(held_out.reachable(site), options.pairs)
    voted = {(qrel.query_id, qrel.doc_id): qrel.relevance for qrel in site.qrels}
    found = []
    for query in asked:
        doc_id = rng.choice(site.candidates.doc_ids(query.query_id)[:FIRST])
        grade = Relevance(voted.get((query.query_id, doc_id), 0))
        found.append(Pair(query, site.corpus[doc_id], "validation", _ORIGINS[grade], _NO_SOURCE))
    return found


def writing(source: str) -> Reranker:
    """The starter's adapter, which writes here although it is shipped to grade alone."""
    adapter = open_artifact(expanded(source), "adapter")
    files = find_base(adapter)
    encoder = PromptEncoder(load_tokenizer(files), PromptSettings.model_validate(adapter.manifest["prompt"]))
    return Reranker.on(TransformersEngine(with_adapter(load_model(files), adapter.path / "adapter")), encoder)


def by_model(reranker: Reranker, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """What a judge says, and how it grades."""
    rows = []
    for pair in pairs:
        (item,) = reranker.rank(pair.query, [pair.document], explain=1)
        rows.append(row_of(pair, item.explanation or "", item.relevance, item.probabilities))
    return rows


def by_rule(minilm: str, pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """What the rule says where votes grade; a pair of which it has nothing to say has an empty text."""
    vectors = starter.Vectors(SentenceTransformer(minilm, device="cpu"))
    votes = [GRADE_BY_ORIGIN[pair.origin] for pair in pairs if pair.origin]
    _, quotes = starter.compared(vectors, pairs)
    asked = [part for pair in pairs for part in pair.query.text.partition("\n")[::2] if part]
    topics = starter.Topics(vectors, [pair.document.full_text for pair in pairs] + asked)
    rng = random.Random(SEED)
    rows = []
    for pair, vote, quote in zip(pairs, votes, quotes, strict=True):
        rows.append(row_of(pair, starter.worded(topics, pair, vote, quote, rng), vote, None))
    return rows


def row_of(pair: Pair, explanation: str, grade: Any, probabilities: Any) -> dict[str, Any]:
    """A line of what was written."""
    return {
        "query_id": pair.query.query_id,
        "doc_id": pair.document.doc_id,
        "question": pair.query.text,
        "document": pair.document.full_text,
        "explanation": " ".join(explanation.split()),
        "relevance": None if grade is None else int(grade),
        "probabilities": probabilities,
    }


def report(options: argparse.Namespace) -> None:
    """Write `report.json` and print it as a table; a text that is empty holds nothing."""
    said = {row["number"]: row for row in read_rows(options.read)} if options.read else {}
    writer = {row["number"]: row["writer"] for row in read_rows(options.work / "key.jsonl")}
    figures: dict[str, Any] = {}
    for name in WRITERS:
        rows = read_rows(options.work / f"{name}.jsonl")
        values = checked(rows)
        for key in READ if said else ():
            values[f"read: {key}"] = [float(row[key]) for n, row in sorted(said.items()) if writer[n] == name]
        figures[name] = {key: told(own) for key, own in values.items()}
        figures[name] |= marks(options.starter, rows)
    (options.work / "report.json").write_text(json.dumps(figures, indent=2) + "\n", "utf-8")
    names = list(dict.fromkeys(key for own in figures.values() for key in own))
    print(f"| | {' | '.join(WRITERS)} |\n|{'---|' * (1 + len(WRITERS))}")
    for key in names:
        print(f"| {key} | {' | '.join(shown(figures[name].get(key)) for name in WRITERS)} |")


def shown(figure: Mapping[str, float] | None) -> str:
    """A figure in a table."""
    return f"{figure['mean']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})" if figure else ""


def told(values: Sequence[float]) -> dict[str, float]:
    """A mean with its 95% interval."""
    (interval,) = Sample([len(values)], seed=SEED).intervals(numpy.array([[value] for value in values]))
    return {"mean": interval.mean, "low": interval.low, "high": interval.high, "count": len(values)}


def checked(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """What needs no reader, by check."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        said = own_words(row["explanation"])
        values["names the document"].append(float(bool(said & own_words(row["document"]))))
        values["names the question"].append(float(bool(said & own_words(row["question"]))))
        values["both"].append(min(values["names the document"][-1], values["names the question"][-1]))
        values["whole sentences"].append(float(bool(re.search(r"[.!?]\"?$", row["explanation"]))))
        found = verified(row["explanation"], row["document"], row["question"])
        if found.total:
            values["quotes that are in the document"].append(found.found / found.total)
    return values


def own_words(text: str) -> set[str]:
    """The words that tell of something, without those of the rule's wordings."""
    return set(starter.words(text)) - _WORDINGS


_WORDINGS = {
    word
    for wordings in (starter.HELPS, starter.IN_PART, starter.ONLY_PART, starter.NO_HELP, starter.OTHER_MATTER)
    for wording in wordings
    for word in starter.words("".join(part for part, *_ in string.Formatter().parse(wording)))
} | {"relevant", "query", "information", "provide", "provided", "topic"}


def marks(reader: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the rewards give that ask a reader, where a grade and probabilities go with the text."""
    graded = [row for row in rows if row["explanation"] and row["probabilities"]]
    if not graded:
        return {}
    corpus = {row["doc_id"]: Document(row["doc_id"], row["document"]) for row in graded}
    asked = [Query(row["query_id"], row["question"]) for row in graded]
    task = _Asked("held-out sites", asked, corpus)
    rankings: dict[tuple[str, str], dict[str, Any]] = {
        (task.name, row["query_id"]): {"ranking": [dict(row)]} for row in graded
    }
    rewards = marking(MarkingRecipe(reader=Path(reader)), None, 2048)
    mark([task], rankings, rewards, "grade_first")  # type: ignore[list-item]
    found: dict[str, list[float]] = defaultdict(list)
    for own in rankings.values():
        for of_document in own.get(MARKS, {}).values():
            for name, value in of_document.items():
                if value is not None:
                    found[name].append(value)
    return {name: told(values) for name, values in found.items()}


class _Asked:
    """A task as `mark` takes it."""

    def __init__(self, name: str, queries: list[Query], corpus: dict[str, Document]) -> None:
        self.name, self.queries, self.corpus = name, queries, corpus


if __name__ == "__main__":
    main()
