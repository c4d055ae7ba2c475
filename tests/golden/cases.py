"""What every command computes on small models, as plain numbers: losses, gradients, scores and rankings.

Everything goes through the command line and through files that users read, so that the numbers say nothing of how the
project is laid out inside.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import yaml
from safetensors.numpy import load_file

from interank.artifact import Workplace, create
from interank.cli.app import main
from interank.judgments import write_judgments
from interank.pairs import read_pairs
from interank.resources import resource_dir
from interank.settings import HeadSettings
from interank.tasks.order.orderings import write_orderings
from tests.support import list_rule, rule
from tests.support.benchmark import benchmark_folder, write_jsonl
from tests.support.tiny import strong_model
from tests.support.tiny_heads import tiny_head

# What a log tells of time says nothing of what was computed.
_TIMES = ("second", "runtime", "time", "epoch", "num_tokens", "total_flos", "share")
PROMPT = {"max_length": 400, "max_query_tokens": 64, "max_document_tokens": 64}
LIST_PROMPT = {"max_length": 900, "max_query_tokens": 40, "max_document_tokens": 30}
# Plain gradient descent: an adapter's weights after it are its start less the gradients.
TRAINER = {
    "max_steps": 3,
    "optim": "sgd",
    "learning_rate": 0.05,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "max_grad_norm": 0.0,
    "gradient_checkpointing": False,
    "save_strategy": "no",
    "logging_steps": 1,
}
LORA = {"rank": 4, "alpha": 8}


@dataclass(frozen=True, slots=True)
class World:
    """A folder with a base model, its head, judgments of single documents and of lists, and a benchmark."""

    folder: Path

    @property
    def base(self) -> Path:
        return self.folder / "base"

    @property
    def head(self) -> Path:
        return self.folder / "head"

    @property
    def judgments(self) -> Path:
        return self.folder / "judgments"

    @property
    def lists(self) -> Path:
        return self.folder / "lists"

    @property
    def benchmark(self) -> Path:
        return self.folder / "benchmark"

    def adapter(self, task: str) -> Path:
        """An adapter that was distilled for a task: judge, order or head."""
        return self.folder / "adapters" / task


def world(folder: Path) -> World:
    """Make it, the adapters included."""
    made = World(folder)
    strong_model(made.base)
    tiny_head(made.head, made.base, HeadSettings(max_length=64))
    judged = [*rule.examples(0, queries=4, documents=5), *rule.examples(1, queries=4, documents=5, split="validation")]
    _judgments(made.judgments, judged, [])
    listed, lists = list_rule.examples(1, queries=4)
    tried, _ = list_rule.examples(2, queries=4, split="validation")
    _judgments(made.lists, [*listed, *tried], lists)
    benchmark_folder(made.benchmark, queries=3, documents=6)
    rng = random.Random(5)
    requests = []
    for number in range(3):
        colour, animal = rng.choice(rule.COLOURS), rng.choice(rule.ANIMALS)
        documents = [
            rule.document_text(rng.choice((colour, "red")), rng.choice((animal, "owl")), rng.choice(rule.PLACES)) * 2
            for _ in range(7)
        ]
        requests.append({"query_id": f"q{number}", "query": rule.query_text(colour, animal), "documents": documents})
    write_jsonl(folder / "requests.jsonl", requests)
    for task, recipe in (("judge", _judge()), ("order", _order()), ("head", _head("cross_entropy"))):
        _stage(made, "distill", recipe, made.adapter(task))
    return made


def _judgments(out: Path, examples: list[Any], lists: list[Any]) -> None:
    place = create(out, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    write_judgments(examples, place.folder)
    if lists:
        write_orderings(((item, 1.0) for item in lists), place.folder)
    place.finish(seed=0, counts={"judgments": len(examples)})


def _judge(**more: Any) -> dict[str, Any]:
    return {
        "prompt": PROMPT,
        "lora": LORA,
        "mixture": {"score": 1.0, "explain": 1.0, "reason": 1.0},
        "loss": {"tokens": 1.0, "grade": 0.5, "listwise": 0.5},
        "validation": {"questions": 2, "every": 1},
        "trainer": {**TRAINER, "per_device_train_batch_size": 2},
        **more,
    }


def _order() -> dict[str, Any]:
    return {
        "task": "order",
        "prompt": LIST_PROMPT,
        "shuffles": 1,
        "lora": LORA,
        "trainer": {**TRAINER, "per_device_train_batch_size": 2},
    }


def _head(objective: str, **more: Any) -> dict[str, Any]:
    return {
        "task": "head",
        "objective": objective,
        "documents": 4,
        "encoding": {"max_length": 64},
        **more,
        "quantisation": "none",
        "lora": LORA,
        "trainer": {**TRAINER, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1},
    }


def _rl(**more: Any) -> dict[str, Any]:
    return {
        "max_completion_tokens": 16,
        "documents_per_query": 4,
        "rewards": [
            {"use": "ranking", "weight": 1.0},
            {"use": "grade_agreement", "weight": 0.5},
            {"use": "well_formed", "weight": 0.5},
            {"use": "brevity", "weight": 0.5, "params": {"soft": 2, "hard": 6}},
        ],
        "validation": {"questions": 4, "every": 2, "explained": 1},
        "collapse_detection": {"enabled": False},
        "trainer": {**TRAINER, "num_generations": 2, "per_device_train_batch_size": 16, "beta": 0.05},
        **more,
    }


def _stage(made: World, verb: str, recipe: dict[str, Any], out: Path) -> Path:
    inputs: dict[str, Any] = {}
    if verb == "distill":
        inputs = {
            "student": str(made.base),
            "judgments": str(made.lists if recipe.get("task") == "order" else made.judgments),
        }
    elif verb == "rl":
        task = recipe.get("task", "judge")
        inputs = {"judgments": str(made.lists if task == "order" else made.judgments)}
        inputs["adapter"] = str(made.adapter(task))
    out.parent.mkdir(exist_ok=True)
    file = out.parent / f"{out.name}.yaml"
    file.write_text(yaml.safe_dump({"stage": verb, **inputs, **recipe}), "utf-8")
    called(verb, file, "--out", out)
    return out


def called(*arguments: object) -> str:
    """Run a command here; its standard output."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = main([*map(str, arguments), "--quiet"])
    assert code == 0, arguments
    return said.getvalue()


def trained(out: Path) -> dict[str, Any]:
    """What a training computed: the figures of its steps, and for each adapter weight its size and a projection."""
    steps = []
    for line in (out / "log.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        steps.append({name: value for name, value in row.items() if _tells(name, value)})
    weights = {}
    for file in sorted(out.rglob("adapter_model.safetensors")):
        for name, weight in sorted(load_file(file).items()):
            flat = weight.astype(numpy.float64).ravel()
            direction = numpy.random.default_rng(len(flat)).normal(size=len(flat))
            weights[name] = [float(numpy.linalg.norm(flat)), float(flat @ direction)]
    return {"steps": steps, "weights": weights}


def _tells(name: str, value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return number and not any(time in name for time in _TIMES)


def training(verb: str, recipe: dict[str, Any]) -> Callable[[World, Path], Any]:
    """A case that trains."""
    return lambda made, folder: trained(_stage(made, verb, recipe, folder / "out"))


def _teacher_scores(made: World, folder: Path) -> Any:
    return trained(_stage(made, "distill", _head("ranknet", teacher=str(made.head)), folder / "out"))


def reranking(task: str, *options: str) -> Callable[[World, Path], Any]:
    """A case that ranks the requests."""

    def ranked(made: World, folder: Path) -> Any:
        printed = called("rerank", made.adapter(task), "--requests", made.folder / "requests.jsonl", *options, "--json")
        return [_ranking(json.loads(line)["ranking"]) for line in printed.splitlines()]

    return ranked


def _ranking(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The order, and for each document what the model said of it."""
    told = ("score", "relevance", "probabilities", "label_mass", "explanation", "probability")
    return {
        "order": [item["doc_id"] for item in documents],
        "documents": {item["doc_id"]: {name: item[name] for name in told if name in item} for item in documents},
    }


def evaluation(task: str, *overrides: str) -> Callable[[World, Path], Any]:
    """A case that evaluates an adapter on the benchmark."""

    def evaluated(made: World, folder: Path) -> Any:
        given = [f"benchmark={made.benchmark}", f"adapters={made.adapter(task)}", "depth=6", *overrides]
        called("evaluate", "evaluate/benchmark", *given, "--out", folder / "out")
        metrics = json.loads((folder / "out" / "metrics.json").read_text("utf-8"))
        runs = {file.name: _rows(file) for file in sorted((folder / "out").rglob("*.trec"))}
        return {"metrics": metrics, "runs": runs}

    return evaluated


def _rows(run: Path) -> list[list[Any]]:
    """A run's queries and documents in order, with their scores."""
    lines = [line.split() for line in run.read_text("utf-8").splitlines()]
    return [[query, document, float(score)] for query, _, document, _, score, _ in lines]


def _mining(made: World, folder: Path) -> Any:
    """The pairs drawn from the sample dump, and BM25's scores on the sample benchmark."""
    data = resource_dir("data")
    called(
        "generate",
        "generate/smollm2",
        f"dumps={next(path.parent for path in sorted(data.rglob('Posts.xml')))}",
        "decontaminate=false",
        "--mine-only",
        "--out",
        folder / "pairs",
    )
    pairs = read_pairs(folder / "pairs")
    called("evaluate", "evaluate/benchmark", f"benchmark={data / 'benchmark'}", "depth=10", "--out", folder / "bm25")
    metrics = json.loads((folder / "bm25" / "metrics.json").read_text("utf-8"))
    return {"pairs": [[pair.query.query_id, pair.document.doc_id] for pair in pairs], "bm25": metrics}


CASES: dict[str, Callable[[World, Path], Any]] = {
    "distill-judge": training("distill", _judge()),
    "distill-judge-padded": training("distill", _judge(shared_prefix=False)),
    "distill-order": training("distill", _order()),
    **{
        f"distill-head-{objective}": training("distill", _head(objective))
        for objective in ("cross_entropy", "binary_cross_entropy", "ranknet_hard", "listnet", "lambda")
    },
    "distill-head-ranknet": _teacher_scores,
    "rl-exact": training("rl", _rl(reason_share=0.0)),
    "rl-sampled": training("rl", _rl(reason_share=0.0, grade={"gradient": "sampled"})),
    "rl-listwise": training(
        "rl", _rl(reason_share=0.0, grade={"gradient": "none", "listwise": 1.0, "calibration": 0.2})
    ),
    "rl-reason": training("rl", _rl(reason_share=1.0)),
    # Nothing is rewarded but the grade, which is summed over: completions have nothing to learn and are skipped.
    "rl-grade-alone": training(
        "rl",
        _rl(
            reason_share=0.0,
            rewards=[{"use": "grade_agreement"}],
            trainer={**TRAINER, "num_generations": 2, "per_device_train_batch_size": 16},
        ),
    ),
    "rl-order": training(
        "rl",
        {
            "max_completion_tokens": 120,
            "task": "order",
            "rewards": [{"use": "list_ndcg"}],
            "collapse_detection": {"enabled": False},
            "trainer": {**TRAINER, "num_generations": 2, "per_device_train_batch_size": 4},
        },
    ),
    "rerank-score": reranking("judge"),
    "rerank-explain": reranking("judge", "--mode", "explain", "--explain", "2", "--max-reasoning-tokens", "6"),
    "rerank-reason": reranking("judge", "--mode", "reason", "--max-reasoning-tokens", "6"),
    "rerank-fence": reranking("judge", "--guard", "fence"),
    "rerank-contrast": reranking("judge", "--guard", "contrast"),
    "rerank-adaptive": reranking(
        "judge", "--mode", "adaptive", "--adaptive", "spend=reason,cut=2", "--max-reasoning-tokens", "6"
    ),
    "rerank-listwise": reranking("order", "--mode", "listwise", "--lists", "window=4,step=2"),
    "rerank-head": reranking("head"),
    "evaluate-judge": evaluation("judge", "explain=1", "max_reasoning_tokens=8"),
    "evaluate-head": evaluation("head", "explain=0"),
    "mining": _mining,
}
