"""Grades of windows: the answer and its parser, what rewards give, a rule that is learned, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import pytest

from interank import judging
from interank.artifact import open_artifact
from interank.engines.prompts import Prompt
from interank.engines.protocol import Completion, LabelLogits
from interank.engines.work import Work
from interank.errors import ArtifactError, InputError
from interank.ir.measures import score_run
from interank.judgments import by_question
from interank.recipe import EvaluateRecipe
from interank.reranking.reranker import Reranker
from interank.rewards import Reward
from interank.settings import ListwiseRecipe, RewardRecipe
from interank.stages import distill, evaluate, rl
from interank.stages.inputs import require_judge
from interank.tasks.group import DistillGroup, GroupEncoder, GroupRanker, RlGroup, parse
from interank.tasks.judged_lists import in_windows
from interank.tasks.sources import find_source
from interank.types import Document, Example, Qrel, Query, Run, ScoredDoc
from tests.support import group_model
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder
from tests.support.tiny import FAMILIES, Family, tiny_tokenizer

SEEDS = (0, 1, 2)
HELD_OUT = group_model.examples(999, queries=40, split="validation")
TRAINER = {"gradient_checkpointing": False, "save_strategy": "no", "logging_steps": 50}
STEPS, HALF, REFINED_STEPS = 20, 8, 15


@pytest.mark.parametrize(
    ("text", "grades"),
    [
        ("[1] 2\n[2] 0", (2, 0)),
        (" [1] 2 \n[2] 0\n", (2, 0)),
        ("[1] 2", None),
        ("[2] 0\n[1] 2", None),
        ("[1] 2\n[1] 2\n[2] 0", None),
        ("[1] 3\n[2] 0", None),
        ("[1] 2\n[2] 0\nThe first helps.", None),
        ("", None),
    ],
)
def test_an_answer_is_read_whole_or_not_at_all(text: str, grades: tuple[int, ...] | None) -> None:
    assert parse(text, 2) == grades


@pytest.mark.parametrize("family", FAMILIES)
def test_an_answers_ids_are_its_lines_and_begin_as_what_is_read_behind(family: Family) -> None:
    encoder = GroupEncoder.of(tiny_tokenizer(family), group_model.PROMPT)
    ids = encoder.answer([2, 0, 1])
    assert parse(encoder.encoder.text(ids[:-1]), 3) == (2, 0, 1)
    assert ids[-1] == encoder.encoder.end
    for place, grade in enumerate((2, 0, 1)):
        begun = encoder.begun([2, 0, 1][:place])
        assert ids[: len(begun) + 1] == (*begun, encoder.encoder.label_ids[grade])
    assert encoder.answer_tokens(3, 5) == len(ids) + 5


class Scripted:
    """An engine that writes one text, and whose labels' logits are those of the next window's next place."""

    work, device, abilities = Work(), "cpu", frozenset({"token_ids", "label_logits"})

    def __init__(self, encoder: GroupEncoder, said: str, logits: Sequence[tuple[float, float, float]]) -> None:
        self.encoder, self.said, self.logits = encoder, said, iter(logits)
        self.asked: list[Prompt] = []
        self.read: list[list[Prompt]] = []

    def generate(self, prompts: Sequence[Prompt], sampling: Any, *, end: int) -> list[Completion]:
        self.asked += prompts
        return [Completion(self.encoder.encoder.plain(self.said), (), finished=True) for _ in prompts]

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        self.read.append(list(prompts))
        return [LabelLogits(next(self.logits), 1.0) for _ in prompts]

    def flops(self, work: Work) -> None:
        return None


ZERO, ONE, TWO = (3.0, 0.0, 0.0), (0.0, 3.0, 0.0), (0.0, 0.0, 3.0)
ENCODER = GroupEncoder.of(tiny_tokenizer(), group_model.PROMPT)


def scripted(said: str, logits: Sequence[tuple[float, float, float]], **lists: Any) -> tuple[GroupRanker, Scripted]:
    engine = Scripted(ENCODER, said, logits)
    return GroupRanker(engine, ENCODER, ListwiseRecipe(**lists)), engine


def test_a_grade_is_read_behind_those_before_it_in_the_ids_that_are_learned() -> None:
    ranker, engine = scripted("[1] 0\n[2] 2\n[3] 1", [ZERO, TWO, ONE])
    query, documents = Query("q", "Which animal barks?"), [Document(name, name) for name in ("hen", "fox", "owl")]
    ranking = ranker.rank(query, documents)
    assert [(item.doc_id, item.relevance) for item in ranking] == [("fox", 2), ("owl", 1), ("hen", 0)]
    assert [item.score for item in ranking] == pytest.approx([judging.score(logits) for logits in (TWO, ONE, ZERO)])
    assert (ranker.counts.answers, ranker.counts.unreadable) == (1, 0)
    prompt = ENCODER.prompt(query, documents, reasoning_tokens=0).prompt
    row = prompt.ids + ENCODER.answer([0, 2, 1])
    (read,) = engine.read
    assert engine.asked == [prompt]
    for grade, behind in zip((0, 2, 1), read, strict=True):
        assert row[: len(behind.ids) + 1] == (*behind.ids, ENCODER.encoder.label_ids[grade])


def test_an_answer_that_cannot_be_read_is_written_anew_in_its_form() -> None:
    # A call for each place, and then all of them behind the grades that these gave.
    ranker, engine = scripted("The second.", [ZERO, TWO, ZERO, TWO])
    ranking = ranker.rank("Which animal barks?", ["hen", "fox"])
    assert [(item.doc_id, item.relevance) for item in ranking] == [("1", 2), ("0", 0)]
    assert (ranker.counts.answers, ranker.counts.unreadable) == (1, 1)
    assert [len(each) for each in engine.read] == [1, 1, 2]
    assert engine.read[2][1].ids == engine.read[1][0].ids == (*engine.asked[0].ids, *ENCODER.begun([0]))


def test_a_document_of_several_windows_has_the_mean_of_their_logits() -> None:
    # Windows of the second and third document, and then of the first and of the better of the two.
    ranker, engine = scripted("[1] 0\n[2] 0", [ZERO, TWO, TWO, ZERO], window=2, step=1)
    ranking = ranker.rank("Which animal barks?", ["fox", "hen", "owl"])
    assert [item.doc_id for item in ranking] == ["0", "2", "1"]
    means = (TWO, (1.5, 0.0, 1.5), ZERO)
    assert [item.score for item in ranking] == pytest.approx([judging.score(logits) for logits in means])
    assert ranking[1].probabilities == judging.probabilities((1.5, 0.0, 1.5))
    assert len(engine.asked) == 2


def test_a_document_alone_is_graded_and_nothing_is_asked_about_none() -> None:
    ranker, engine = scripted("[1] 2", [TWO])
    (alone,) = ranker.rank("Which animal barks?", ["fox"])
    assert alone.relevance == 2
    assert ranker.rank("Which animal barks?", []) == []
    assert len(engine.asked) == 1


def test_all_documents_of_a_question_are_dealt_into_windows_so_many_times() -> None:
    judged = group_model.examples(0, queries=2)
    first, second = (in_windows(items, window=3, times=2, seed=1) for items in by_question(judged))
    assert [len(item.documents) for item in first] == [3, 1, 3, 1]
    for windows, items in zip((first, second), by_question(judged), strict=True):
        for time in (windows[:2], windows[2:]):
            found = {d.doc_id: grade for w in time for d, grade in zip(w.documents, w.grades, strict=True)}
            assert found == {item.document.doc_id: item.judgment.relevance for item in items}
    assert first[0] != first[2]


def values(use: str, texts: list[str], judged: list[list[int]]) -> list[float | None]:
    reward = Reward.from_recipe(RewardRecipe(use=use))
    assert reward.of == "groups"
    columns: dict[str, Any] = dict.fromkeys(("query_id", "query", "doc_ids", "documents"), texts)
    return reward(completions=texts, grades=judged, **columns)


def test_rewards_by_hand() -> None:
    texts = ["[1] 2\n[2] 0\n[3] 0", "[1] 0\n[2] 0\n[3] 0", "[1] 0\n[2] 2\n[3] 1", "none"]
    judged = [[2, 0, 1]] * 4
    # Grade by grade 1, 1 and 1/2; 0, 1 and 1/2; 0, 0 and 1.
    assert values("group_grades", texts, judged) == pytest.approx([2.5 / 3, 1.5 / 3, 1 / 3, -1])
    # Of the pairs (1, 2), (1, 3), (2, 3): both and half; halves; none.
    assert values("group_ranking", texts, judged) == pytest.approx([2.5 / 3, 0.5, 0, -1])
    assert values("group_ranking", ["none"], [[1, 1]]) == [None]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return group_model.group_base(tmp_path_factory.mktemp("groups") / "base")


def distilled(base: Path, out: Path, *, seed: int, steps: int, shuffled: bool = False, tried: bool = False) -> Path:
    examples = group_model.examples(seed, queries=16 * steps)
    if shuffled:
        judgments = [item.judgment for item in examples]
        Random(seed).shuffle(judgments)
        examples = [replace(item, judgment=judged) for item, judged in zip(examples, judgments, strict=True)]
    examples += group_model.examples(seed, queries=3, split="validation") if tried else []
    content = {
        "stage": "distill",
        "task": "group",
        "student": str(base),
        "judgments": judgments_artifact(out.with_name(f"{out.name}-judgments"), examples),
        "seed": seed,
        "window": group_model.SIZE,
        "prompt": group_model.PROMPT.model_dump(),
        "lora": {"rank": 16, "alpha": 32},
        "trainer": {
            **TRAINER,
            "learning_rate": 6.0e-3,
            "per_device_train_batch_size": 16,
            "gradient_accumulation_steps": 1,
            "max_steps": steps,
        },
    }
    return distill.run(DistillGroup.model_validate(content), out).path


def refined(adapter: Path, out: Path, *, seed: int, steps: int = REFINED_STEPS) -> Path:
    examples = group_model.examples(100 + seed, queries=8 * steps)
    content = {
        "stage": "rl",
        "task": "group",
        "adapter": adapter,
        "judgments": judgments_artifact(out.with_name(f"{out.name}-judgments"), examples),
        "seed": seed,
        "window": group_model.SIZE,
        "max_completion_tokens": 40,
        "rewards": ({"use": "group_ranking"}, {"use": "group_grades", "weight": 0.5}),
        "trainer": {
            **TRAINER,
            "learning_rate": 1.0e-3,
            "per_device_train_batch_size": 64,
            "num_generations": 8,
            "max_grad_norm": 0.5,
            "max_steps": steps,
        },
    }
    return rl.run(RlGroup.model_validate(content), out).path


def ndcg(adapter: Path) -> float:
    """Held-out nDCG@10 of the reranker."""
    reranker = Reranker(adapter, mode="listwise")
    scored = [
        ScoredDoc(items[0].query.query_id, found.doc_id, found.score)
        for items in by_question(HELD_OUT)
        for found in reranker.rank(items[0].query, [item.document for item in items])
    ]
    return score_run(qrels(HELD_OUT), Run.from_scores(scored, tag="t")).mean["nDCG@10"]


def qrels(examples: list[Example]) -> list[Qrel]:
    return [Qrel(i.query.query_id, i.document.doc_id, int(i.judgment.relevance)) for i in examples]


@pytest.mark.slow
def test_a_student_learns_the_rule_and_none_where_there_is_none(base: Path, tmp_path: Path) -> None:
    learned = [ndcg(distilled(base, tmp_path / f"true-{seed}", seed=seed, steps=STEPS)) for seed in SEEDS]
    control = [
        ndcg(distilled(base, tmp_path / f"dealt-{seed}", seed=seed, steps=STEPS, shuffled=True)) for seed in SEEDS
    ]
    print(f"nDCG@10 distilled {learned}; grades dealt out anew {control}")
    assert min(learned) > 0.9
    assert fmean(control) < 0.8


@pytest.mark.slow
def test_grpo_raises_a_half_trained_student(base: Path, tmp_path: Path) -> None:
    half = [distilled(base, tmp_path / f"half-{seed}", seed=seed, steps=HALF) for seed in SEEDS]
    before = [ndcg(adapter) for adapter in half]
    after = [ndcg(refined(adapter, tmp_path / f"rl-{seed}", seed=seed)) for seed, adapter in enumerate(half)]
    print(f"nDCG@10 half-trained {before}, after GRPO {after}")
    assert fmean(after) > fmean(before) + 0.05


@pytest.fixture(scope="module")
def taught(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter that has learned next to nothing."""
    return distilled(tiny_folder, tmp_path_factory.mktemp("taught") / "adapter", seed=0, steps=1, tried=True)


def test_an_adapter_says_what_it_is_and_refuses_what_it_has_not(taught: Path) -> None:
    artifact = open_artifact(taught, "adapter")
    assert artifact.manifest["task"] == "group"
    assert artifact.manifest["counts"]["validation_lists"] == 3
    card = (taught / "README.md").read_text("utf-8")
    assert artifact.manifest["prompt_hash"] in card
    assert "| grade accuracy |" in card
    with pytest.raises(ArtifactError, match=r"windows of documents.*mode listwise"):
        Reranker(taught)
    with pytest.raises(InputError, match=r"trained on; leave prompt out"):
        Reranker(taught, mode="listwise", lists={"prompt": {}})
    with pytest.raises(ArtifactError, match=r"windows of documents.*interank merge"):
        require_judge(find_source(taught), "merge")
    with pytest.raises(InputError, match="explain"):
        Reranker(taught, mode="listwise").rank("Which animal barks?", ["fox"], explain=1)


def test_grpo_goes_on_with_an_adapter_and_evaluate_opens_what_comes_of_it(taught: Path, tmp_path: Path) -> None:
    refined_ = refined(taught, tmp_path / "rl", seed=0, steps=1)
    before, after = open_artifact(taught).manifest, open_artifact(refined_).manifest
    assert (after["task"], after["counts"]["lists"]) == ("group", 8)
    assert {name: after[name] for name in ("prompt", "prompt_hash")} == {
        name: before[name] for name in ("prompt", "prompt_hash")
    }
    assert "grades the documents of a window together" in (refined_ / "README.md").read_text("utf-8")
    content = {"stage": "evaluate", "benchmark": benchmark_folder(tmp_path / "benchmark"), "adapters": [refined_]}
    recipe = EvaluateRecipe.model_validate({**content, "mode": "listwise", "lists": {"window": 3}, "depth": 5})
    made = evaluate.run(recipe, tmp_path / "evaluation").path
    assert "nDCG@10" in (made / "report.md").read_text("utf-8")
