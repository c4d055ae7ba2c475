"""Listwise reranking end to end: killed and resumed, on transformers and vLLM, and whether both order windows alike."""

from __future__ import annotations

import argparse
import datetime
import gzip
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from interank import Reranker
from interank.ir.measures import score_run
from interank.ir.trec import read_qrels, read_run, write_run
from interank.tasks.order import ordering
from interank.tasks.order.ranker import Windows
from interank.types import Document, Query, Run

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
LISTS = {"window": 8, "step": 4, "prompt": {"form": "direct", "max_document_tokens": 40}}
KILLED_AFTER = 3


def requests(data: Path, path: Path, queries: int, depth: int) -> None:
    """DL19's first queries with BM25's first passages, as `interank rerank` takes them."""
    with gzip.open(data / "bm25_top100_dl19.json.gz", "rt", encoding="utf-8") as file:
        rows = json.load(file)[:queries]
    made = []
    for row in rows:
        hits = row["hits"][:depth]
        documents = [{"id": str(hit["docid"]), "text": hit["content"]} for hit in hits]
        made.append({"query_id": str(hits[0]["qid"]), "query": row["query"], "documents": documents})
    path.write_text("".join(json.dumps(row) + "\n" for row in made), "utf-8")


def command(engine: str, asked: Path, out: Path) -> list[str]:
    """The command that reranks the requests."""
    lists = "window=8,step=4,prompt.form=direct,prompt.max_document_tokens=40"
    line = [sys.executable, "-m", "interank.cli.app", "rerank", MODEL, "--requests", str(asked), "--json"]
    written = ["--trec", str(out / f"{engine}.trec"), "--jsonl", str(out / f"{engine}.jsonl")]
    return [*line, "--mode", "listwise", "--lists", lists, "--engine", engine, *written]


def killed_and_resumed(engine: str, asked: Path, out: Path) -> dict[str, Any]:
    """Run the command, kill it after some queries, and run it again; what was left of the first try, and seconds."""
    line, kept = command(engine, asked, out), out / f".{engine}.jsonl.partial.jsonl"
    with subprocess.Popen(line, stdout=subprocess.DEVNULL, start_new_session=True) as started:
        while started.poll() is None and (not kept.exists() or kept.read_bytes().count(b"\n") < KILLED_AFTER):
            time.sleep(0.05)
        # With the processes that vLLM started.
        os.killpg(started.pid, signal.SIGKILL)
    left = [json.loads(row)["query_id"] for row in kept.read_text("utf-8").splitlines()]
    begun, worked = time.monotonic(), processor_seconds()
    subprocess.run(line, stdout=subprocess.DEVNULL, check=True)
    return {
        "kept": len(left),
        "seconds_of_the_rest": round(time.monotonic() - begun, 1),
        "processor_seconds_of_the_rest": round(processor_seconds() - worked, 1),
    }


def processor_seconds() -> float:
    """What commands that have ended took, with the processes that they started and waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def ndcg(run: Path, data: Path) -> float:
    """The mean of nDCG@10 over the queries that the run has."""
    ranked = read_run(run)
    qrels = [qrel for qrel in read_qrels(data / "qrels.dl19-passage.txt") if qrel.query_id in ranked]
    return score_run(qrels, ranked, ["nDCG@10"]).mean["nDCG@10"]


class Recorded:
    """A reranker that keeps the windows it asked and the answers."""

    def __init__(self, engine: str) -> None:
        self.reranker = Reranker(MODEL, mode="listwise", engine=engine, lists=LISTS)  # type: ignore[arg-type]
        ranker = self.reranker.ranks
        assert isinstance(ranker, Windows)
        self.ask = ranker.texts
        self.windows: list[tuple[Query, list[Document]]] = []
        ranker.texts = self._texts  # type: ignore[method-assign]
        self.answers: list[str] = []

    def _texts(self, query: Query, windows: Sequence[Sequence[Document]]) -> tuple[list[str], list[tuple[int, ...]]]:
        texts, cuts = self.ask(query, windows)
        self.windows += [(query, list(window)) for window in windows]
        self.answers += texts
        return texts, cuts


def agreement(asked: Path) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Both engines on the same windows: those that transformers' own orders lead to; and its rankings."""
    one = Recorded("transformers")
    rankings = {}
    for line in asked.read_text("utf-8").splitlines():
        row = json.loads(line)
        ranked = one.reranker.rank(Query(row["query_id"], row["query"]), row["documents"])
        rankings[row["query_id"]] = [item.doc_id for item in ranked]
    other = Reranker(MODEL, mode="listwise", engine="vllm", lists=LISTS)
    assert isinstance(other.ranks, Windows)
    answers = [other.ranks.texts(query, [window])[0][0] for query, window in one.windows]
    sizes = [len(window) for _, window in one.windows]
    read = [
        tuple(found.positions if (found := ordering.parse(text, size)) else () for text in pair)
        for *pair, size in zip(one.answers, answers, sizes, strict=True)
    ]
    figures = {
        "windows": len(read),
        "same_text": sum(a == b for a, b in zip(one.answers, answers, strict=True)),
        "same_order": sum(a == b for a, b in read),
        "unreadable": [sum(not order for order in orders) for orders in zip(*read, strict=True)],
        "orders_other_than_given": sum(bool(a) and a != tuple(range(len(a))) for a, _ in read),
        "counts": asdict(one.reranker.counts),
    }
    return figures, rankings


def main() -> None:
    """Run all of it, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="a folder with DL19's candidates and qrels")
    parser.add_argument("--queries", type=int, default=10)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    # On a CPU vLLM takes most of the memory otherwise, whatever else has some of it.
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    figures: dict[str, Any] = {"machine": platform.platform(), "date": datetime.date.today().isoformat()}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        asked = out / "asked.jsonl"
        requests(options.data, asked, options.queries, options.depth)
        rows = [json.loads(line) for line in asked.read_text("utf-8").splitlines()]
        given = {row["query_id"]: [document["id"] for document in row["documents"]] for row in rows}
        write_run(Run.from_orders(given, tag="bm25"), out / "bm25.trec")
        figures["bm25_ndcg@10"] = round(ndcg(out / "bm25.trec", options.data), 4)
        for engine in ("transformers", "vllm"):
            figures[engine] = killed_and_resumed(engine, asked, out)
            figures[engine]["ndcg@10"] = round(ndcg(out / f"{engine}.trec", options.data), 4)
            print(json.dumps(figures), flush=True)
        runs = [read_run(out / f"{engine}.trec") for engine in ("transformers", "vllm")]
        figures["same_rankings"] = sum(runs[0].doc_ids(name) == runs[1].doc_ids(name) for name in runs[0])
        found, rankings = agreement(asked)
        figures["as_if_never_killed"] = all(runs[0].doc_ids(name) == rankings[name] for name in runs[0])
        figures["agreement"] = found
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
