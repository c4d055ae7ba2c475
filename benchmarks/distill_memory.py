"""What memory distill takes by the number of judgments, beside its model.

    python benchmarks/distill_memory.py [--judgments 20000 100000] [--steps 2] [--json FILE]

Each number is distilled in a process of its own into a tiny model, some steps long; the texts are made, and prompts are
cut at 1,024 tokens. `peak_mb` is the most that the process held, `mb_before` what it held with the libraries loaded;
pages of files that are mapped count in the first, though the kernel takes them back where memory is short.
`digest` is that of what was learned.
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
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from interank.artifact import Workplace, create
from interank.judgments import COLUMNS, JudgmentsWriter, judgment_row
from interank.recipe import load_recipe
from interank.types import Document, Example, Judgment, Query, Relevance, Source

DOCUMENTS = 5


def made_judgments(out: Path, judgments: int) -> Path:
    """An artifact of judgments, about 2.5 KB of text each, a tenth of them for validation."""
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
            yield Example(query, document, judgment, None, "validation" if question % 10 == 0 else "train", source)

    place = create(out, "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    with JudgmentsWriter(place.folder, COLUMNS) as writer:
        for example in each():
            writer.add(judgment_row(example, None))
    return place.finish(seed=0, counts={"judgments": judgments}, notes={"sites": {}, "decontamination": None}).path


def distilled(folder: Path, judgments: Path, student: Path, steps: int) -> dict[str, Any]:
    """Distil in this process; seconds, and the most that it held."""
    from interank.stages import distill

    told = {
        "stage": "distill",
        "student": str(student),
        "prompt": {"order": "grade_first", "max_length": 1024, "max_query_tokens": 256, "max_document_tokens": 640},
        "validation": {"questions": 4},
        "trainer": {"max_steps": steps, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(told))
    recipe: Any = load_recipe(folder / "recipe.yaml", [f"judgments={judgments}"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    start, cpu = time.monotonic(), time.process_time()
    made = distill.run(recipe, folder / "out")
    weights = (made.path / "adapter" / "adapter_model.safetensors").read_bytes()
    return {
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "mb_before": round(before),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3),
        "tokens": made.manifest["counts"]["tokens"],
        "digest": hashlib.sha256(weights).hexdigest()[:16],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", type=int, nargs="+", default=[20_000, 100_000])
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures there")
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one by default")
    parser.add_argument("--given", type=Path, nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.given:
        print(json.dumps(distilled(arguments.folder, *arguments.given, arguments.steps)))
        return
    from tests.support.tiny import tiny_model

    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        student = tiny_model(Path(name) / "tiny")
        for size in arguments.judgments:
            own = Path(name) / str(size)
            own.mkdir()
            judgments = made_judgments(own / "judgments", size)
            run = [sys.executable, __file__, "--steps", str(arguments.steps), "--folder", str(own)]
            run += ["--given", str(judgments), str(student)]
            figures[str(size)] = json.loads(subprocess.run(run, stdout=subprocess.PIPE, text=True, check=True).stdout)
            print(size, figures[str(size)], file=sys.stderr, flush=True)
    figures |= {"load": round(os.getloadavg()[0], 2), "date": date.today().isoformat()}
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
