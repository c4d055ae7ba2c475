"""What two processes have to agree on beside gradients: nothing to learn, replaced queries, stops, judges, readers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from interank.artifact import open_artifact
from interank.cli.app import main
from tests.stages.test_launch import difference
from tests.stages.test_list_training import judgments_with_lists
from tests.support import rule
from tests.support.adapter_server import AdapterServer
from tests.support.artifacts import judgments_artifact
from tests.support.distributed_commands import done_together
from tests.support.stub import Answer, Stub, said, serving

pytestmark = pytest.mark.own_rewards

TRAINER = {
    "max_steps": 3,
    "num_generations": 2,
    "per_device_train_batch_size": 4,
    "gradient_checkpointing": False,
    "save_steps": 2,
    "logging_steps": 1,
    "learning_rate": 1.0e-3,
}
# Each process has one query of a step, and of every second query all completions earn the same.
HALF = """
def reward(*, completion_ids, query_id, **_):
    return [len(set(ids)) * (int(name[-1]) % 2) for ids, name in zip(completion_ids, query_id)]
"""
SENSITIVE = {"patience": 1, "ndcg_drop": 1e-9, "grade_entropy_share": 0.9999, "calibration_rise": 1e-6}
RL: dict[str, Any] = {
    "stage": "rl",
    "task": "judge",
    "max_completion_tokens": 14,
    "documents_per_query": 2,
    "questions_per_step": 2,
    "grade": {"gradient": "sampled"},
    "validation": {"questions": 0},
    "quantisation": "none",
    "trainer": TRAINER,
}


def recipes(folder: Path, url: str, rollouts: str) -> dict[str, dict[str, Any]]:
    """Of each what another has not."""
    half = [{"use": str(folder / "half.py")}]
    server = {"urls": [url], "api": "chat", "attempts": 1}
    asked = {"engine": "openai", "server": server, "max_reasoning_tokens": 8}
    judge, gold = {"model": "judge", **asked}, {"model": "gold", **asked}
    fixed = {"max_steps": 2, "per_device_train_batch_size": 2, "gradient_checkpointing": False}
    return {
        "idle": {**RL, "rewards": half, "refills": 0, "trainer": {**TRAINER, "max_steps": 5}},
        "refilled": {**RL, "rewards": half, "refills": 2, "trainer": {**TRAINER, "max_steps": 5}},
        "stopped": {
            **RL,
            "rewards": [{"use": "grade_agreement"}, *half],
            "grade": {"gradient": "exact"},
            "validation": {"every": 1, "questions": 4, "explained": 2, "calibration_margin": 1.0},
            "collapse_detection": SENSITIVE,
            "trainer": {**TRAINER, "max_steps": 9, "learning_rate": 2.0e-2},
        },
        "judged": {
            **RL,
            "rewards": [{"use": "explanation_quality"}, {"use": "well_formed"}],
            "reason_share": 0.5,
            "judge": judge,
        },
        "read": {
            **RL,
            "rewards": [{"use": "ranking"}, {"use": "stance"}, {"use": "faithfulness", "params": {"deletion": 1.0}}],
            "reason_share": 0.5,
            "validation": {
                "every": 1,
                "questions": 4,
                "explained": 2,
                "gold": {"every": 2, "samples": 4, "judge": gold},
            },
            "collapse_detection": {"enabled": False},
        },
        "weighted": {
            **{name: RL[name] for name in ("stage", "task", "max_completion_tokens", "quantisation")},
            "algorithm": "reward_weighted",
            "reward_weighted": {"samples": 2},
            "rewards": [{"use": "explanation_quality"}, {"use": "brevity", "params": {"soft": 3, "hard": 9}}],
            "judge": judge,
            "trainer": {**fixed, "gradient_accumulation_steps": 2},
        },
        "lists": {
            "stage": "rl",
            "task": "order",
            "max_completion_tokens": 120,
            "rewards": [{"use": "list_ndcg"}],
            "validation": {"questions": 0},
            "quantisation": "none",
            "questions_per_step": 2,
            "trainer": {**TRAINER, "max_steps": 2, "per_device_train_batch_size": 2},
        },
        "served": {
            **RL,
            "rewards": half,
            "rollouts": {"engine": "server", "server": {"urls": [rollouts], "attempts": 1}},
        },
        "early": {
            "stage": "distill",
            "task": "judge",
            "quantisation": "none",
            "prompt": {"max_length": 300, "max_query_tokens": 60, "max_document_tokens": 60},
            "lora": {"rank": 4, "alpha": 8},
            "validation": {"questions": 4, "every": 1, "patience": 1},
            "trainer": {
                "max_steps": 12,
                "per_device_train_batch_size": 1,
                "gradient_accumulation_steps": 2,
                "gradient_checkpointing": False,
                "save_steps": 1,
                "learning_rate": 2.0e-2,
            },
        },
    }


NAMES = tuple(recipes(Path(), "", ""))


@dataclass(frozen=True)
class Done:
    """What one process made and two, and what each asked the judges."""

    one: Path
    two: Path
    asked: Mapping[str, list[str]]
    handed: Mapping[str, int]
    """How many adapters the server of the rollouts got."""
    sampled: Mapping[str, list[str]]
    """What that server was to complete, by which of the adapters."""
    stale: int

    def log(self, who: str, name: str) -> list[dict[str, Any]]:
        """The training's lines."""
        file = getattr(self, who) / name / "log.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()]


def _mark(number: int, body: dict[str, Any]) -> Answer:
    text = body["messages"][0]["content"]
    return said(f"Mark: {min(10, len(text) % 11)}")


@pytest.fixture(scope="module")
def done(tiny_folder: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Done]:
    """All recipes in one process, then in two, in one launch."""
    folder = tmp_path_factory.mktemp("policies")
    (folder / "half.py").write_text(HALF)
    judged = [*rule.examples(0, queries=8, documents=4), *rule.examples(1, queries=5, documents=5, split="validation")]
    judgments_artifact(folder / "judgments", judged)
    judgments_with_lists(folder / "lists")
    start = {
        "stage": "distill",
        "task": "order",
        "judgments": str(folder / "lists"),
        "student": str(tiny_folder),
        "quantisation": "none",
        "prompt": {"max_length": 900, "max_query_tokens": 40, "max_document_tokens": 30},
        "lora": {"rank": 4, "alpha": 8},
        "trainer": {"max_steps": 2, "per_device_train_batch_size": 2, "gradient_checkpointing": False},
    }
    (folder / "start.yaml").write_text(yaml.safe_dump(start))
    assert main(["distill", str(folder / "start.yaml"), "--out", str(folder / "start"), "--quiet"]) == 0
    stub, server = Stub(_mark), AdapterServer(tiny_folder)
    with serving(stub, server):
        given = recipes(folder, stub.url, server.url)
        for name, recipe in given.items():
            on_lists = name == "lists"
            if recipe["stage"] == "rl":
                recipe["adapter"] = str(folder / "start" if on_lists else tiny_adapter)
            else:
                recipe["student"] = str(tiny_folder)
            recipe["judgments"] = str(folder / ("lists" if on_lists else "judgments"))
            (folder / f"{name}.yaml").write_text(yaml.safe_dump(recipe))
        asked, handed, sampled = {}, {}, {}
        for who in ("one", "two"):
            (folder / who).mkdir()
            commands = [
                [str(recipe["stage"]), str(folder / f"{name}.yaml"), "--out", str(folder / who / name), "--quiet"]
                for name, recipe in given.items()
            ]
            before, adapters, completed = len(stub.bodies), len(server.handed), len(server.asked)
            if who == "one":
                for each in commands:
                    assert main(each) == 0
            else:
                assert done_together(commands, folder) == 0, (folder / "said.txt").read_text()
            asked[who] = sorted(json.dumps(body, sort_keys=True) for body in stub.bodies[before:])
            handed[who] = len(server.handed) - adapters
            sampled[who] = sorted(
                json.dumps({**body, "adapter": body["adapter"] - adapters}) for body in server.asked[completed:]
            )
    yield Done(folder / "one", folder / "two", asked, handed, sampled, server.stale)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_two_processes_make_what_one_makes(done: Done, name: str) -> None:
    # Adam divides a gradient by its own size, so that rounding of one near 0 shows by the learning rate: 2e-2 in these.
    assert difference(done.one / name, done.two / name) < (1e-5 if name in ("stopped", "early") else 1e-6)
    one, two = (open_artifact(each / name).manifest for each in (done.one, done.two))
    assert two["processes"] == 2
    assert two["counts"] == one["counts"]


@pytest.mark.slow
def test_a_process_had_nothing_to_learn_beside_one_that_had(done: Done) -> None:
    shares = [line["skipped_completions"] for line in done.log("two", "idle") if "skipped_completions" in line]
    # A query of two.
    assert 0.5 in shares


@pytest.mark.slow
def test_some_queries_were_replaced_and_not_all(done: Done) -> None:
    replaced = [line["refilled_queries"] for line in done.log("two", "refilled") if "refilled_queries" in line]
    assert any(number % 2 for number in replaced)
    assert replaced == [line["refilled_queries"] for line in done.log("one", "refilled") if "refilled_queries" in line]


@pytest.mark.slow
def test_stops_come_at_the_same_step(done: Done) -> None:
    for name, most in (("stopped", 9), ("early", 12)):
        one, two = (open_artifact(each / name).manifest for each in (done.one, done.two))
        assert one["counts"]["steps"] == two["counts"]["steps"] < most
    assert one is not two
    assert open_artifact(done.two / "stopped").manifest["validation"]["stopped"]


@pytest.mark.slow
def test_judges_are_asked_as_often_as_by_one(done: Done) -> None:
    assert done.asked["one"]
    assert done.asked["two"] == done.asked["one"]


@pytest.mark.slow
def test_one_hands_each_adapter_over_and_each_asks_for_its_own(done: Done) -> None:
    assert done.handed["two"] == done.handed["one"] > 1
    assert done.sampled["one"]
    # One process that needs no other query completes its neighbour's for company: the very same.
    assert {*done.sampled["two"]} == {*done.sampled["one"]}
    assert not done.stale


@pytest.mark.slow
@pytest.mark.parametrize("name", ["idle", "judged", "read", "lists", "early"])
def test_figures_are_those_of_all_processes(done: Done, name: str) -> None:
    for one, two in zip(done.log("one", name), done.log("two", name), strict=True):
        timed = [each for each in one if "time" in each or "second" in each or "runtime" in each]
        assert one.keys() == two.keys()
        for figure in one.keys() - set(timed):
            if isinstance(one[figure], float | int):
                assert two[figure] == pytest.approx(one[figure], rel=1e-4, abs=1e-5), (figure, one, two)
