"""What memory distill takes by the number of judgments, beside its model.

    python benchmarks/distill_memory.py [--task judge] [--judgments 20000 100000] [--steps 2] [--json FILE]

Each number is distilled in a process of its own into a tiny model, some steps long; the texts are made, and prompts are
cut at 1,024 tokens. `mb_before` is what the process held with the libraries loaded. `own_mb` is the most that it held
itself, looked at ten times a second. `peak_mb` is the most by the kernel's count, with pages of files, which it takes
back where memory is short: the libraries', and those of the mapped ids. `digest` is that of what was learned.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from interank.artifact import Workplace, create
from interank.judgments import COLUMNS, JudgmentsWriter, judgment_row
from interank.recipe import load_recipe
from interank.tasks.order.lists import ListExample
from interank.tasks.order.ordering import Ordering
from interank.tasks.order.orderings import write_orderings
from interank.types import Document, Example, Judgment, Query, Relevance, Source, Split

DOCUMENTS = 5
_LISTED = {"max_length": 1024, "max_query_tokens": 160, "max_document_tokens": 140}
TASKS: dict[str, dict[str, Any]] = {
    "judge": {
        "prompt": {"order": "grade_first", "max_length": 1024, "max_query_tokens": 256, "max_document_tokens": 640},
        "validation": {"questions": 4},
    },
    "order": {"prompt": _LISTED},
    "head": {"objective": "cross_entropy", "encoding": {"max_length": 1024}, "validation": {"questions": 4}},
    "group": {"prompt": _LISTED, "validation": {"questions": 4}},
}


def split_of(question: int) -> Split:
    """The split of a question."""
    return "validation" if question % 10 == 0 else "train"


def made_judgments(out: Path, judgments: int) -> Path:
    """An artifact of judgments, about 2.5 KB of text each, and a list for each question; a tenth are for validation."""
    rng = random.Random(1)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(5000)]
    source = Source("made.example.com", "1", "https://made.example.com/a/1", "", "CC BY-SA 4.0")

    def each() -> Iterator[Example]:
        for number in range(judgments):
            question = number // DOCUMENTS
            if number % DOCUMENTS == 0:
                query = Query(f"made.example.com/{question}", " ".join(rng.choices(words, k=120)))
            document = Document(f"made.example.com/d{number}", " ".join(rng.choices(words, k=300)))
            judgment = Judgment(f"It is {' '.join(rng.choices(words, k=20))}.", Relevance(number % 3))
            yield Example(query, document, judgment, None, split_of(question), source)

    def each_list() -> Iterator[tuple[ListExample, float]]:
        for question in range(judgments // DOCUMENTS):
            # Their texts are in the judgments.
            numbers = range(question * DOCUMENTS, (question + 1) * DOCUMENTS)
            documents = tuple(Document(f"made.example.com/d{number}", "") for number in numbers)
            query = Query(f"made.example.com/{question}", "")
            yield ListExample(query, documents, Ordering((2, 1, 0, 4, 3), "See [3]."), split_of(question)), 1.0

    place = create(out, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    with JudgmentsWriter(place.folder, COLUMNS) as writer:
        for example in each():
            writer.add(judgment_row(example, None))
    write_orderings(each_list(), place.folder)
    return place.finish(seed=0, counts={"judgments": judgments}, notes={"sites": {}, "decontamination": None}).path


class Watch:
    """Looks at the memory that is this process's own, not files', ten times a second."""

    def __init__(self) -> None:
        self.most = self._now()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def end(self) -> float:
        """The most that was seen, in MB."""
        self._ended.set()
        self._thread.join()
        return self.most

    def _look(self) -> None:
        while not self._ended.wait(0.1):
            self.most = max(self.most, self._now())

    @staticmethod
    def _now() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))


def distilled(task: str, folder: Path, judgments: Path, student: Path, steps: int) -> dict[str, Any]:
    """Distil in this process; seconds, and the most that it held."""
    from interank.stages import distill

    told = {
        "stage": "distill",
        "task": task,
        "student": str(student),
        "trainer": {"max_steps": steps, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1},
        **TASKS[task],
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(told))
    recipe: Any = load_recipe(folder / "recipe.yaml", [f"judgments={judgments}"])
    watch = Watch()
    before = watch.most
    start, cpu = time.monotonic(), time.process_time()
    made = distill.run(recipe, folder / "out")
    weights = (made.path / "adapter" / "adapter_model.safetensors").read_bytes()
    return {
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "mb_before": round(before),
        "own_mb": round(watch.end()),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "tokens": made.manifest["counts"]["tokens"],
        "digest": hashlib.sha256(weights).hexdigest()[:16],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=TASKS, default="judge")
    parser.add_argument("--judgments", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one by default")
    parser.add_argument("--given", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.given:
        print(json.dumps(distilled(arguments.task, arguments.folder, *arguments.given, arguments.steps)))
        return
    from tests.support.tiny import tiny_model

    figures: dict[str, Any] = {"task": arguments.task}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        student = tiny_model(Path(name) / "tiny")
        for size in arguments.judgments:
            own = Path(name) / str(size)
            own.mkdir()
            judgments = made_judgments(own / "judgments", size)
            run = [sys.executable, __file__, "--task", arguments.task, "--steps", str(arguments.steps)]
            run += ["--folder", str(own), "--given", str(judgments), str(student)]
            figures[str(size)] = json.loads(subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout)
            print(size, figures[str(size)], file=sys.stderr, flush=True)
    figures |= {"load": round(os.getloadavg()[0], 2), "date": date.today().isoformat()}
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
