"""The commands that are ended: their inputs, made once, and what of their outputs has to be the same byte for byte."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.outputs import UNREPRODUCIBLE
from interank.resources import resource_dir
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.stub import Answer, said

NAMES = ("generate", "generate-served", "distill", "rl", "evaluate", "rerank")
IN_FLIGHT = 4

_BENCHMARK = resource_dir("data") / "benchmark"
_DUMPS = resource_dir("data") / "stackexchange"
_PROMPT = "prompt: {order: grade_first, max_length: 300, max_query_tokens: 64, max_document_tokens: 64}"
_GENERATE = f"""
stage: generate
decontaminate: false
mining: {{questions: 8, documents_per_question: 3, validation_share: 0.25}}
teacher: {{model: MODEL, grades: votes, max_reasoning_tokens: 24, temperature: 1.0, batch_size: 4, queries: 1}}
{_PROMPT}
"""
_SERVED = f"""
stage: generate
decontaminate: false
mining: {{questions: 12, documents_per_question: 3, validation_share: 0.25}}
teacher:
  model: served
  engine: openai
  server: {{urls: [URL], api: chat, in_flight: {IN_FLIGHT}}}
  samples: 2
  temperature: 1.0
{_PROMPT}
"""
_DISTILL = f"""
stage: distill
student: MODEL
{_PROMPT}
lora: {{rank: 4, alpha: 8, dropout: 0.1}}
validation: {{questions: 2}}
trainer:
  {{max_steps: 8, per_device_train_batch_size: 4, gradient_checkpointing: false, save_steps: 2, logging_steps: 2}}
"""
_RL = """
stage: rl
max_completion_tokens: 8
documents_per_query: 4
reason_share: 0.5
rewards: [{use: grade_agreement}, {use: ranking}, {use: well_formed}]
validation: {every: 2, questions: 2, explained: 1}
collapse_detection: {enabled: false}
trainer:
  {max_steps: 6, num_generations: 2, per_device_train_batch_size: 16, gradient_checkpointing: false, save_steps: 2,
   learning_rate: 1.0e-3, beta: 0.05}
"""
_EVALUATE = "stage: evaluate\ndepth: 4\nexplain: 1\nmax_reasoning_tokens: 8\n"


class Teacher:
    """Says the same to the same request, and counts who asked how often."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, number: int, body: dict[str, Any]) -> Answer:
        key = json.dumps([body["messages"], body["seed"]])
        with self._lock:
            self.asked[key] += 1
        drawn = hashlib.sha256(key.encode()).digest()[0]
        if drawn % 11 == 0:
            return said("I would rather not say.")
        return said(f"Relevance Label: {drawn % 3}\n\nReason {drawn}.")


@dataclass(frozen=True)
class Subject:
    """A command, and the folder beside whose twins it works."""

    name: str
    arguments: Sequence[str]
    """`OUT` stands for the folder that its output goes to."""

    @property
    def goes_on(self) -> list[str]:
        """What is added to the command to go on."""
        return [] if self.name == "rerank" else ["--resume"]

    def command(self, folder: Path) -> list[str]:
        return [argument.replace("OUT", str(folder / "out")) for argument in self.arguments]

    def prepare(self, folder: Path) -> None:
        """Rerank writes files into a folder that has to be there."""
        if self.name == "rerank":
            (folder / "out").mkdir(exist_ok=True)

    def digests(self, folder: Path) -> dict[str, str]:
        """Its output, less the files in which seconds stand."""
        out = folder / "out"
        return {
            path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.name not in UNREPRODUCIBLE
        }

    def left_over(self, folder: Path) -> list[str]:
        """What a finished command should have removed."""
        return [path.name for path in folder.rglob("*") if ".partial" in path.name]


def subjects(folder: Path, model: Path, adapter: Path, url: str) -> dict[str, Subject]:
    """Make the inputs, small ones.

    Args:
        folder: For recipes and judgments.
        model: A tiny model.
        adapter: An adapter artifact on it.
        url: Where a server with a `Teacher` listens.
    """
    train = [*rule.examples(0, queries=5), *rule.examples(1, queries=2, split="validation")]
    judgments = judgments_artifact(folder / "judgments", train)
    recipes = {}
    for name, text in (
        ("generate", _GENERATE),
        ("generate-served", _SERVED),
        ("distill", _DISTILL),
        ("rl", _RL),
        ("evaluate", _EVALUATE),
    ):
        recipes[name] = folder / f"{name}.yaml"
        recipes[name].write_text(text.replace("MODEL", str(model)).replace("URL", url), "utf-8")
    given = {
        "generate": [f"dumps={_DUMPS}"],
        "generate-served": [f"dumps={_DUMPS}"],
        "distill": [f"judgments={judgments}"],
        "rl": [f"judgments={judgments}", f"adapter={adapter}"],
        "evaluate": [f"benchmark={_BENCHMARK}", f"adapters={adapter}"],
    }
    found = {
        name: Subject(name, [name.partition("-")[0], str(recipes[name]), *given[name], "--out", "OUT"])
        for name in recipes
    }
    rerank = ["rerank", str(adapter), "--corpus", str(_BENCHMARK), "--top-k", "4", "--explain", "1"]
    rerank += ["--max-reasoning-tokens", "8", "--trec", "OUT/run.trec", "--jsonl", "OUT/ranked.jsonl"]
    return {**found, "rerank": Subject("rerank", rerank)}
