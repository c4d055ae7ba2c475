"""rl end to end on a random model: what is in the artifact, for each way of training."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from pydantic import ValidationError
from safetensors.torch import load_file

from interank.artifact import Artifact, open_artifact
from interank.errors import InputError, ModelError, TrainingError
from interank.judgments import read_judgments
from interank.reranking.reranker import Reranker
from interank.settings import RewardRecipe
from interank.stages import rl
from interank.tasks.judge.recipe import RlJudge
from interank.training.halves import reporting
from interank.types import Judgment, grouped
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.stub import Answer, Stub, refused, said, serving

pytestmark = pytest.mark.own_rewards

REWARDS = (
    RewardRecipe(use="grade_agreement"),
    RewardRecipe(use="ranking", params={"measure": "reciprocal_rank"}),
    RewardRecipe(use="well_formed", weight=0.2),
    RewardRecipe(use="brevity", weight=0.2, params={"soft": 3, "hard": 9}),
)
# Those that ask the adapter from which the training starts.
FROZEN = (
    RewardRecipe(use="ranking"),
    RewardRecipe(use="stance"),
    RewardRecipe(use="support"),
    RewardRecipe(use="faithfulness", params={"deletion": 1.0}),
)
TRAINER = {
    "max_steps": 4,
    "num_generations": 2,
    "per_device_train_batch_size": 16,
    "gradient_checkpointing": False,
    "save_steps": 2,
    "learning_rate": 1.0e-3,
}


@pytest.fixture(scope="module")
def judgments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    examples = [
        *rule.examples(0, queries=8, documents=4),
        *rule.examples(1, queries=5, documents=5, split="validation"),
    ]
    return judgments_artifact(tmp_path_factory.mktemp("rl") / "judgments", examples)


def refined(judgments: Path, adapter: Path, out: Path, given: Mapping[str, Any] | None = None) -> Artifact:
    recipe = {
        "stage": "rl",
        "judgments": judgments,
        "adapter": adapter,
        "max_completion_tokens": 14,
        "documents_per_query": 4,
        # A random model's calibration goes up and down.
        "validation": {"every": 2, "questions": 5, "explained": 3, "calibration_margin": 1.0},
        "rewards": REWARDS,
        "trainer": TRAINER,
        "collapse_detection": {"enabled": False},
    }
    return rl.run(RlJudge.model_validate({**recipe, **(given or {})}), out)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"grade": {"gradient": "sampled"}},
        {"reason_share": 0.5, "trainer": {**TRAINER, "beta": 0.05}},
        {"shared_prefix": False, "grade": {"gradient": "exact", "calibration": 0.5, "listwise": 0.5}},
        {"hard_examples": {"least": 0.0, "most": 1.0, "samples": 2, "questions": 6}, "reason_share": 1.0},
        {"rewards": (RewardRecipe(use="ranking"),)},
        {"rewards": FROZEN, "reason_share": 0.5},
        {"rewards": FROZEN, "trainer": {**TRAINER, "beta": 0.05}, "shared_prefix": False},
    ],
    ids=["exact", "sampled", "both orders", "stock", "hard, reasoned", "grade alone", "a reader", "a reader, stock"],
)
def test_rl_leaves_what_one_wants_to_see(
    tiny_adapter: Path, judgments: Path, tmp_path: Path, given: Mapping[str, Any]
) -> None:
    artifact = refined(judgments, tiny_adapter, tmp_path / "rl", given)
    open_artifact(artifact.path, "adapter")
    log = lines(artifact.path / "log.jsonl")
    steps = [row for row in log if "validation/nDCG@10" in row]
    assert [row["step"] for row in steps] == [2, 4]
    wanted = {"reward", "entropy", "frac_reward_zero_std", "validation/grade_accuracy", "validation/calibration_error"}
    wanted |= {"validation/format_rate", "validation/explanation_words", "validation/grade_kl"}
    assert wanted <= set(steps[0])
    assert all(
        f"rewards/{entry.use}/{part}" in steps[0] for entry in given.get("rewards", REWARDS) for part in ("mean", "std")
    )
    if "hard_examples" in given:
        counts = artifact.manifest["counts"]
        assert (counts["rated_questions"], counts["rated_pairs"], counts["hard_pairs"]) == (6, 24, 24)
        assert (counts["queries"], counts["judged_pairs"]) == (6, 32)
    trials = artifact.manifest["validation"]
    assert trials["start"]["step"] == 0
    assert trials["best"]["nDCG@10"] >= max(trials["start"]["nDCG@10"], trials["last"]["nDCG@10"])
    assert trials["questions"] == {"choosing": 3, "reporting": 2}
    assert all("reported/nDCG@10" in trials[when] for when in ("start", "best", "last"))
    rows = lines(artifact.path / "rollouts.jsonl")
    assert {row["step"] for row in rows} == {1, 2, 4}
    assert {"query", "document", "completion", "rewards", "relevance"} <= set(rows[0])
    answers = grouped(lines(artifact.path / "answers.jsonl"), lambda row: (row["query_id"], row["doc_id"]))
    assert [[row["step"] for row in each] for each in answers.values()] == [[0, 2, 4]] * len(answers)
    assert len(answers) == 3
    page = (artifact.path / "report.html").read_text()
    assert page.count("<svg") >= 2
    assert "2 others, by which nothing was chosen" in page
    assert rows[0]["completion"].split()[0] in page
    loaded = ModelCard.load(artifact.path / "README.md")
    assert loaded.data.base_model == artifact.manifest["lineage"]["base"]
    assert "grpo" in loaded.data.tags
    card = loaded.text
    assert "ranking" in card
    assert f"| nDCG@10, questions that report | {trials['start']['reported/nDCG@10']:.3f} |" in card
    assert "It was chosen on 3 validation questions; 2 others, by which nothing was chosen, say how good it is." in card
    assert open_artifact(tiny_adapter).digest in card


def test_the_exact_gradient_keeps_the_policy_writing_grades(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    """What a grade earns among the three says nothing of the other tokens, which must not take its place."""
    given = {
        "rewards": (RewardRecipe(use="ranking"),),
        "validation": {"questions": 0},
        "trainer": {**TRAINER, "max_steps": 40, "learning_rate": 1.0e-2},
    }
    artifact = refined(judgments, tiny_adapter, tmp_path / "rl", given)
    before, after = (label_mass(Reranker(path)) for path in (tiny_adapter, artifact.path))
    assert after > 1.4 * before


def label_mass(reranker: Reranker) -> float:
    """The least probability, over some pairs, that a grade is what the model writes where one is due."""
    pairs = [(item.query.text, item.document) for item in rule.examples(2, queries=2)]
    found = [reranker.rank(query, [document])[0].label_mass for query, document in pairs]
    return min(mass for mass in found if mass is not None)


def test_rewards_that_cannot_work_are_told_before_anything_is_loaded(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    for rewards, message in (
        ((RewardRecipe(use="explanation_quality"),), "explanation_quality .*judge"),
        ((RewardRecipe(use="calibration"),), "calibration .*grade_first"),
        ((RewardRecipe(use="list_ndcg"),), "list_ndcg .*lists.*task judge"),
    ):
        with pytest.raises(InputError, match=message):
            refined(judgments, tiny_adapter, tmp_path / "rl", {"rewards": rewards})


def test_losses_of_grades_that_come_first_are_refused_where_none_does(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    for loss in ("listwise", "calibration"):
        with pytest.raises(InputError, match=r"explanation first.*reason_share"):
            refined(judgments, tiny_adapter, tmp_path / "rl", {"grade": {loss: 0.5}, "reason_share": 1.0})


def test_the_original_refinement_samples_rewards_and_learns_by_weight(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    given = {
        "algorithm": "reward_weighted",
        "reward_weighted": {"samples": 2},
        "validation": {},
        "collapse_detection": {},
        "trainer": {"max_steps": 3, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1},
    }
    artifact = refined(judgments, tiny_adapter, tmp_path / "rl", given)
    counts = artifact.manifest["counts"]
    assert counts["pairs"] == 32
    assert counts["answers"] == 3 * 32
    # Of each pair the best one at least.
    assert 32 <= counts["learned"] < 3 * 32
    assert counts["steps"] == 3


def test_the_original_refinement_needs_explanations_to_learn(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    given = read_judgments(judgments)
    given[0] = replace(given[0], judgment=Judgment("", given[0].judgment.relevance))
    labels = judgments_artifact(tmp_path / "labels", given)
    more = {"algorithm": "reward_weighted", "validation": {}, "collapse_detection": {}, "trainer": {"max_steps": 1}}
    with pytest.raises(InputError, match=r"no explanation for 1 of 32 judgments .*teacher\.grades=given"):
        refined(labels, tiny_adapter, tmp_path / "rl", more)


def test_what_the_original_refinement_has_no_use_for_is_refused(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    given = {"algorithm": "reward_weighted", "refills": 0, "rollouts": {"tolerance": 0.1}}
    told = r"reward_weighted.*refills .*validation .*collapse_detection .*rollouts\.tolerance"
    with pytest.raises(ValidationError, match=told):
        refined(judgments, tiny_adapter, tmp_path / "rl", given)


def test_a_judge_on_a_server_marks_explanations_and_is_asked_once(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    def mark(number: int, body: dict[str, Any]) -> Answer:
        text = body["messages"][0]["content"]
        # The longer the explanation, the better; every fifth reply is none.
        return said(f"Mark: {min(10, len(text) % 11)}") if number % 5 else refused(400)

    stub = Stub(mark)
    with serving(stub):
        given = {
            "rewards": (RewardRecipe(use="explanation_quality"), RewardRecipe(use="well_formed")),
            "judge": {
                "model": "judge",
                "engine": "openai",
                "server": {"urls": (stub.url,), "api": "chat", "attempts": 1},
                "max_reasoning_tokens": 8,
            },
            "trainer": {**TRAINER, "max_steps": 2},
            "validation": {"every": 2, "questions": 0},
        }
        artifact = refined(judgments, tiny_adapter, tmp_path / "rl", given)
    rows = lines(artifact.path / "rollouts.jsonl")
    assert "rewards/explanation_quality/mean" in lines(artifact.path / "log.jsonl")[0]
    texts = [body["messages"][0]["content"] for body in stub.bodies]
    assert len(texts) == len(set(texts))
    # What could not be read is not asked about.
    assert all(row["rewards"]["explanation_quality"] == -1 for row in rows if row["rewards"]["well_formed"] == 0)


def test_a_training_whose_validation_falls_is_stopped_and_the_best_adapter_kept(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    file = tmp_path / "stutter.py"
    file.write_text(
        "def reward(*, completion_ids, **_):\n"
        "    return [max(map(list(ids).count, ids)) / len(ids) for ids in completion_ids]\n"
    )
    given = {
        "rewards": (RewardRecipe(use=str(file)),),
        "grade": {"gradient": "sampled"},
        # A random model learns nothing from this; its validation goes up and down, and the first fall is enough.
        "collapse_detection": {
            "patience": 1,
            "ndcg_drop": 0.01,
            "entropy_share": 0.0,
            "grade_entropy_share": 0.0,
            "calibration_rise": 1.0,
        },
        "validation": {"every": 4, "questions": 3, "explained": 0, "calibration_margin": 1.0},
        "trainer": {**TRAINER, "max_steps": 60, "num_generations": 4, "learning_rate": 2.0e-2, "save_steps": 100},
    }
    artifact = refined(judgments, tiny_adapter, tmp_path / "rl", given)
    tried = artifact.manifest["validation"]
    assert tried["stopped"].startswith(("validation down", "reward up while validation falls"))
    assert tried["last"]["step"] == artifact.manifest["counts"]["steps"] < 60
    assert tried["best"]["nDCG@10"] > tried["last"]["nDCG@10"]
    assert "The training was stopped by a sign of collapse" in (artifact.path / "report.html").read_text()


def test_a_gold_judge_that_gives_no_marks_ends_the_training_in_a_sentence(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    stub = Stub(lambda number, body: said("It is fine."))
    with serving(stub):
        server = {"urls": (stub.url,), "api": "chat", "attempts": 1}
        judge = {"model": "gold", "engine": "openai", "server": server, "max_reasoning_tokens": 8}
        gold = {"every": 2, "samples": 8, "judge": judge}
        with pytest.raises(TrainingError, match=r"gold: the judge gave 0 marks for 8 explanations"):
            refined(
                judgments, tiny_adapter, tmp_path / "rl", {"validation": {"every": 2, "questions": 4, "gold": gold}}
            )


def test_a_gold_judge_that_always_ties_is_told_and_sees_no_question_that_reports(
    tiny_adapter: Path, judgments: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stub = Stub(lambda number, body: said("Mark: 7"))
    with serving(stub), caplog.at_level(logging.WARNING):
        server = {"urls": (stub.url,), "api": "chat", "attempts": 1}
        judge = {"model": "gold", "engine": "openai", "server": server, "max_reasoning_tokens": 8}
        gold = {"every": 2, "samples": 16, "judge": judge}
        validation = {"every": 1, "questions": 5, "explained": 0, "gold": gold}
        made = refined(judgments, tiny_adapter, tmp_path / "rl", {"validation": validation})
    assert [row.get("gold") for row in lines(made.path / "trials.jsonl")] == [0.7, None, 0.7, None, 0.7]
    assert caplog.text.count("gave all 16 explanations of the start the mark 7; if it always does") == 1
    asked = [body["messages"][-1]["content"] for body in stub.bodies]
    held_out = read_judgments(judgments, "validation")
    reported = reporting((item.query.query_id for item in held_out), RlJudge.model_fields["seed"].default)
    halves = [
        {(item.query.text, item.document.full_text) for item in held_out if (item.query.query_id in reported) == half}
        for half in (False, True)
    ]
    seen = {pair for pair in halves[0] | halves[1] if any(all(text in each for text in pair) for each in asked)}
    assert seen <= halves[0]
    assert len(seen) > 3
    assert halves[1] - halves[0]


def test_judgments_without_validation_are_told_and_refused_to_gold(
    tiny_adapter: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=8, documents=4))
    trainer = {"trainer": {**TRAINER, "max_steps": 1}}
    with caplog.at_level(logging.WARNING):
        assert refined(judgments, tiny_adapter, tmp_path / "rl", trainer).manifest["validation"] is None
    assert "has documents of two grades, so there is no validation, nothing stops a collapse" in caplog.text
    gold = {"validation": {"every": 1, "questions": 5, "gold": {"every": 1, "judge": {"model": "g"}}}}
    with pytest.raises(InputError, match=r"validation\.gold: no validation question of .*leave gold out"):
        refined(judgments, tiny_adapter, tmp_path / "gold", {**trainer, **gold})
    assert not list(tmp_path.glob("*gold*"))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"validation": {"every": 4, "gold": {"every": 6, "judge": {"model": "g"}}}}, "multiple of every, 4"),
        (
            {
                "validation": {"every": 2, "gold": {"every": 2, "judge": {"model": "g"}}},
                "judge": {"model": "g"},
            },
            "another family",
        ),
        (
            {"validation": {"every": 2, "gold": {"every": 4, "judge": {"model": "g"}}}, "collapse_detection": {}},
            r"gold\.every: 4 was found, and trainer\.max_steps is 4, .*2 checks after the start.*to 2 or less",
        ),
    ],
)
def test_gold_that_could_notice_nothing_is_refused(
    tiny_adapter: Path, judgments: Path, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        refined(judgments, tiny_adapter, tmp_path / "rl", given)


def test_an_adapter_that_is_calibrated_worse_than_the_start_is_not_kept(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    given = {
        "rewards": (RewardRecipe(use="ranking"),),
        "validation": {"every": 2, "questions": 5, "explained": 0, "calibration_margin": 0.0},
        "trainer": {**TRAINER, "max_steps": 12, "learning_rate": 2.0e-2},
    }
    artifact = refined(judgments, tiny_adapter, tmp_path / "rl", given)
    trials = lines(artifact.path / "trials.jsonl")
    limit = trials[0]["calibration_error"]
    fair = [row for row in trials if row["calibration_error"] <= limit]
    # The test says nothing unless the best of all is one of those that are left out.
    assert max(row["nDCG@10"] for row in trials) > max(row["nDCG@10"] for row in fair)
    kept = artifact.manifest["validation"]
    assert kept["best"]["nDCG@10"] == max(row["nDCG@10"] for row in fair)
    assert kept["calibration_limit"] == limit
    card = (artifact.path / "README.md").read_text()
    assert f"whose calibration error is at most {limit:.3f}." in card


def test_weights_that_are_no_numbers_end_it_with_the_best_adapter_safe(
    tiny_adapter: Path, judgments: Path, tmp_path: Path
) -> None:
    with pytest.raises((ModelError, TrainingError), match=r"[Ll]ower trainer\.learning_rate"):
        refined(judgments, tiny_adapter, tmp_path / "rl", {"trainer": {**TRAINER, "learning_rate": 1.0e30}})
    [kept] = (tmp_path / ".rl.partial" / "work").glob("adapter-*.safetensors")
    assert all(bool(weight.isfinite().all()) for weight in load_file(kept).values())


def test_memory_that_runs_out_is_told_in_a_sentence(tiny_adapter: Path, judgments: Path, tmp_path: Path) -> None:
    file = tmp_path / "greedy.py"
    file.write_text(
        "import torch\n"
        "def reward(*, completions, trainer_state, **_):\n"
        "    if trainer_state.global_step == 3:\n"
        "        raise torch.OutOfMemoryError('CUDA out of memory')\n"
        "    return [float(len(text) % 3) for text in completions]\n"
    )
    with pytest.raises(TrainingError, match=r"memory.*checkpoint-3"):
        refined(judgments, tiny_adapter, tmp_path / "rl", {"rewards": (RewardRecipe(use=str(file)),)})
