"""A task is added by one file and its name: in a copy of the package with both, it is taught, improved and ranks."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.commands import command

pytestmark = pytest.mark.own_rewards

ROOT = Path(__file__).resolve().parents[2]
TASK = '''"""helps: whether a document helps at all, in one word."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from interank.tasks.recipes import DistillRecipe, RlRecipe


class DistillHelps(DistillRecipe):
    """Whether a document helps is learned."""

    task: Literal["helps"]
    threshold: int = 1


class RlHelps(RlRecipe):
    """Whether a document helps is rewarded."""

    task: Literal["helps"]
    threshold: int = 1


def inputs(recipe: DistillHelps) -> Any:
    """The judgments."""
    from interank.inputs import judgments

    return [judgments(Path(str(recipe.judgments)))]


def training_data(recipe: DistillHelps, student: Any, place: Any) -> Any:
    """A row for each judgment."""
    from interank import cards
    from interank.engines.models import load_tokenizer
    from interank.engines.prompts import PromptEncoder
    from interank.judgments import read_judgments
    from interank.settings import PromptSettings
    from interank.tasks.sft_data import SftTrainingData
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
    return SftTrainingData(
        recipe,
        student,
        encoder,
        [(row,) for row in rows],
        SftSettings(recipe.trainer, recipe.seed),
        counts={"questions": 1, "rows": len(rows)},
        notes={"threshold": recipe.threshold},
        card=lambda made: cards.model_card(["# Helps or not"], library="peft", tags=[recipe.task], base=made.base),
    )


SUBJECT = "judgments"


def check(recipe: RlHelps, adapter: Any, rewards: Any) -> None:
    """Stop where the adapter learned another threshold."""
    from interank.errors import InputError

    if adapter.manifest["threshold"] != recipe.threshold:
        raise InputError("the adapter was taught another threshold; give its own")


def shown(row: Mapping[str, Any]) -> Any:
    """The document."""
    from interank.tasks.protocol import ShownPrompt

    return ShownPrompt("Document", [row["document"]])


def policy(recipe: RlHelps, adapter: Any, base: Any, work: Path) -> Any:
    """A prompt for each judgment."""
    from interank.engines.models import load_tokenizer
    from interank.engines.prompts import PromptEncoder
    from interank.judgments import read_judgments
    from interank.settings import PromptSettings

    encoder = PromptEncoder(load_tokenizer(base), PromptSettings())
    return Helping(recipe, encoder, work, read_judgments(Path(str(recipe.judgments)), "train"))


class Helping:
    """Judgments whose documents help or not."""

    does = "says whether a document helps"
    algorithm = "grpo, on single words"

    def __init__(self, recipe: RlHelps, encoder: Any, work: Path, examples: Any) -> None:
        self.recipe, self.encoder, self.work, self.examples = recipe, encoder, work, examples
        self.notes = {"threshold": recipe.threshold}

    def train(self, model: Any, rewards: Any) -> Any:
        """By GRPO."""
        from dataclasses import replace

        from interank.training.grpo import prepare
        from interank.training.objective import Objective
        from interank.training.refining import see_through
        from interank.training.rollouts import PolicyRollouts

        recipe, encoder = self.recipe, self.encoder
        tokens = recipe.max_completion_tokens
        asked = [
            (
                encoder.prompt(item.query, item.document, answer_tokens=tokens, order="grade_first"),
                {
                    "query_id": item.query.query_id,
                    "query": item.query.text,
                    "document": item.document.full_text,
                    "helps": bool(item.judgment.relevance >= recipe.threshold),
                },
            )
            for item in self.examples
        ]
        rollouts = PolicyRollouts(encoder, asked, tokens=tokens, seed=recipe.seed, settings=recipe.rollouts)
        objective = Objective(rewards, token_credit=False)
        folder = self.work / "checkpoints"
        grpo = prepare(model, rollouts, objective, trainer=recipe.trainer, folder=folder)
        refined = see_through(grpo, None, recipe.validation, recipe.collapse_detection, self.work)
        return replace(refined, counts={"pairs": len(asked)})


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
    labels = [encoder.plain(word)[0] for word in ("no", "yes")]

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
                for document, (no, yes) in zip(documents, found, strict=True)
            ]

    return Helps()
'''


# All in one process, which reads the copy.
COMMANDS = """
import contextlib, dataclasses, io, json, sys
from interank import Reranker
from interank.cli.app import main
ended = []
for line in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(line)
    ended.append([code, said.getvalue()])
ranked = [dataclasses.asdict(item) for item in Reranker(sys.argv[2]).rank("Where?", ["A fox.", "A hen."])]
print(json.dumps([ended, ranked]))
"""


REWARD = '''"""Rewards the right word."""


def reward(*, completions, helps, **_):
    return [float(("yes" if truth else "no") in text) - len(text) / 1000 for text, truth in zip(completions, helps)]
'''


def test_a_task_of_one_file_is_taught_improved_and_ranks(tiny_folder: Path, tmp_path: Path) -> None:
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

    (tmp_path / "right.py").write_text(REWARD, "utf-8")
    improved = tmp_path / "helps-rl.yaml"
    content = {
        "stage": "rl",
        "task": "helps",
        "judgments": str(judgments),
        "adapter": str(tmp_path / "out"),
        "max_completion_tokens": 8,
        "rewards": [{"use": str(tmp_path / "right.py")}],
        "trainer": {"max_steps": 1, "num_generations": 2, "per_device_train_batch_size": 4},
    }
    improved.write_text(yaml.safe_dump(content), "utf-8")
    commands = [
        command("distill", recipe, tmp_path / "out", "thresold=2"),
        command("distill", recipe, tmp_path / "out", "threshold=2"),
        command("rl", improved, tmp_path / "rl"),
        command("rl", improved, tmp_path / "rl", "threshold=2"),
        command("merge", tmp_path / "out", tmp_path / "merged"),
    ]
    asked = [sys.executable, "-c", COMMANDS, json.dumps([each[3:] for each in commands]), str(tmp_path / "rl")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ended, ranked = json.loads(done.stdout.splitlines()[-1])
    assert [code for code, _ in ended] == [1, 0, 1, 0, 1], ended
    misspelt, _, untaught, _, merged = (said for _, said in ended)

    assert "did you mean 'threshold'?" in misspelt
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text("utf-8"))
    assert (manifest["task"], manifest["threshold"]) == ("helps", 2)
    assert (manifest["counts"]["rows"], manifest["counts"]["steps"]) == (4, 1)
    assert "# Helps or not" in (tmp_path / "out" / "README.md").read_text("utf-8")

    assert "taught another threshold" in untaught
    manifest = json.loads((tmp_path / "rl" / "manifest.json").read_text("utf-8"))
    assert (manifest["task"], manifest["threshold"]) == ("helps", 2)
    assert (manifest["counts"]["pairs"], manifest["counts"]["steps"]) == (4, 1)
    assert "says whether a document helps, refined by rl" in (tmp_path / "rl" / "README.md").read_text("utf-8")
    rollouts = (tmp_path / "rl" / "rollouts.jsonl").read_text("utf-8").splitlines()
    assert all(json.loads(line)["document"] for line in rollouts)
    assert "<summary>Document</summary>" in (tmp_path / "rl" / "report.html").read_text("utf-8")

    assert {item["doc_id"] for item in ranked} == {"0", "1"}
    # A judge would have given grades.
    assert all(math.isfinite(item["score"]) and item["relevance"] is None for item in ranked)
    assert re.search("task helps.*merge.*task judge", merged)


LIGHT = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(f"interank.{name}")
    if found := sorted({"torch", "transformers", "trl", "peft"} & set(sys.modules)):
        sys.exit(f"importing {name} loads {', '.join(found)}")
"""
# First all recipes of tasks, then what the architecture lets stand at the top of a task of one file.
LIGHTS = ["tasks", "cards", "inputs", "judgments", "distributed", "ir.measures", "engines.prompts", "engines.protocol"]
LIGHTS += ["engines.soundness", "tasks.ranker_settings", "tasks.documents", "tasks.ranks"]


def test_recipes_of_tasks_and_what_they_may_import_load_nothing_heavy() -> None:
    told = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    assert not [name for name in LIGHTS[1:] if f"`{name.replace('.', '/')}`" not in told]
    script = [sys.executable, "-c", LIGHT, *LIGHTS]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
