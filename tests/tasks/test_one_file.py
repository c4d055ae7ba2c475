"""A task is added by one file and its name: in a copy of the package that has both, it is taught and ranks."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.commands import command

ROOT = Path(__file__).resolve().parents[2]
TASK = '''"""helps: whether a document helps at all, in one word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from interank.tasks.recipes import DistillRecipe


class DistillHelps(DistillRecipe):
    """Whether a document helps is learned."""

    task: Literal["helps"]
    threshold: int = 1


def inputs(recipe: DistillHelps) -> Mapping[str, Path]:
    """The judgments."""
    return {"judgments": Path(str(recipe.judgments))}


def lessons(recipe: DistillHelps, student: Any, place: Any) -> Any:
    """A row for each judgment."""
    from interank import cards
    from interank.engines.models import load_tokenizer
    from interank.engines.prompts import PromptEncoder
    from interank.judgments import read_judgments
    from interank.settings import PromptSettings
    from interank.tasks.written import WrittenLessons
    from interank.training.rows import Row
    from interank.training.sft import SftSettings

    encoder = PromptEncoder(load_tokenizer(student), PromptSettings())
    examples = read_judgments(Path(str(recipe.judgments)), "train")
    rows = [
        Row(
            recipe.task,
            encoder.prompt(item.query, item.document, answer_tokens=8, order="grade_first").ids,
            (*encoder.plain("yes" if item.judgment.relevance >= recipe.threshold else "no"), encoder.end),
        )
        for item in examples
    ]
    return WrittenLessons(
        recipe,
        student,
        encoder,
        [(row,) for row in rows],
        SftSettings(recipe.trainer, recipe.seed),
        counts={"questions": 1, "rows": len(rows)},
        notes={"threshold": recipe.threshold},
        card=lambda made: cards.model_card(["# Helps or not"], library="peft", tags=[recipe.task], base=made.base),
    )


def takes(asked: Any) -> bool:
    """Whether an adapter says that it was trained for this."""
    from interank.artifact import MANIFEST, open_artifact
    from interank.tasks import task_of_adapter

    folder = Path(str(asked.model))
    return (folder / MANIFEST).is_file() and task_of_adapter(open_artifact(folder).manifest) == "helps"


def open_ranker(asked: Any) -> Any:
    """Ranks by how much sooner it would say yes than no."""
    from interank.engines.models import load_tokenizer
    from interank.engines.prompts import PromptEncoder
    from interank.settings import PromptSettings
    from interank.tasks.ranks import Scores
    from interank.tasks.sources import find_source, open_engine
    from interank.types import RankedDocument

    source = find_source(str(asked.model), asked.base)
    encoder = PromptEncoder(load_tokenizer(source.tokenizer), PromptSettings())
    labels = [encoder.plain(word)[0] for word in ("no", "perhaps", "yes")]

    class Helps(Scores):
        def __init__(self) -> None:
            self.engine = open_engine(source, asked, vocabulary=encoder.vocabulary, length=encoder.settings.max_length)

        def query_cut(self, query: Any) -> int:
            return encoder.query_cut(query)

        def scored(self, query: Any, documents: Any) -> Any:
            prompts = [encoder.prompt(query, item, answer_tokens=8, order="grade_first") for item in documents]
            found = [item.logits for item in self.engine.label_logits(prompts, labels)]
            return [
                RankedDocument(document.doc_id, yes - no)
                for document, (no, _, yes) in zip(documents, found, strict=True)
            ]

    return Helps()
'''


RANK = """
import dataclasses, json, sys
from interank import Reranker
print(json.dumps([dataclasses.asdict(item) for item in Reranker(sys.argv[1]).rank("Where?", ["A fox.", "A hen."])]))
"""


def test_a_task_of_one_file_is_taught_and_ranks(tiny_folder: Path, tmp_path: Path) -> None:
    package = tmp_path / "interank"
    shutil.copytree(ROOT / "interank", package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("recipes", "rewards", "data"):
        (tmp_path / name).symlink_to(ROOT / name)
    (package / "tasks" / "helps.py").write_text(TASK, "utf-8")
    registry = package / "tasks" / "__init__.py"
    written = registry.read_text("utf-8")
    registry.write_text(written.replace('NAMES = ("judge",', 'NAMES = ("judge", "helps",'), "utf-8")
    assert registry.read_text("utf-8") != written

    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=1, documents=4))
    recipe = tmp_path / "helps.yaml"
    content = {
        "stage": "distill",
        "task": "helps",
        "student": str(tiny_folder),
        "judgments": str(judgments),
        "lora": {"rank": 2, "alpha": 4},
        "trainer": {"max_steps": 1, "save_strategy": "no"},
    }
    recipe.write_text(yaml.safe_dump(content), "utf-8")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        return subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    refused = run(*command("distill", recipe, tmp_path / "out", "thresold=2"))
    assert refused.returncode != 0
    assert "did you mean 'threshold'?" in refused.stderr
    done = run(*command("distill", recipe, tmp_path / "out", "threshold=2"))
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert (manifest["task"], manifest["threshold"]) == ("helps", 2)
    assert (manifest["counts"]["rows"], manifest["counts"]["steps"]) == (4, 1)
    assert "# Helps or not" in (tmp_path / "out" / "README.md").read_text("utf-8")
    ranked = run(sys.executable, "-c", RANK, str(tmp_path / "out"))
    assert ranked.returncode == 0, ranked.stderr
    found = json.loads(ranked.stdout)
    assert {item["doc_id"] for item in found} == {"0", "1"}
    # A judge would have given grades.
    assert all(math.isfinite(item["score"]) and item["relevance"] is None for item in found)


LIGHT = """
import sys
from interank.tasks import NAMES, part
for name in NAMES:
    part(name, "recipe")
    if found := sorted({"torch", "transformers", "trl", "peft"} & set(sys.modules)):
        sys.exit(f"the recipe of {name} loads {', '.join(found)}")
"""


def test_recipes_of_tasks_load_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
