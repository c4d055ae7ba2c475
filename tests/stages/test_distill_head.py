"""distill of a head: judgments, Tevatron's layout and a teacher's scores to an adapter that says how it is read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard
from pydantic import ValidationError
from safetensors.torch import load_file
from transformers import PreTrainedTokenizerFast

from interank.artifact import Artifact, open_artifact
from interank.engines.heads import load_head, scores
from interank.errors import InputError, RecipeError
from interank.ir.measures import score_run
from interank.recipe import load_recipe
from interank.stages import distill, rl
from interank.tasks.head.groups import digest, read_groups
from interank.tasks.head.recipe import DistillHead
from interank.tasks.judge.recipe import RlJudge
from interank.tasks.recipes import DistillRecipe
from interank.types import Document, Example, Qrel, Query, Run, ScoredDoc
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.tiny import tiny_model
from tests.support.tiny_heads import tiny_encoder

TRAINER = {
    "max_steps": 2,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "save_strategy": "no",
    "logging_steps": 1,
}
ENCODING = {"max_length": 64}

# What a head alone is told.
HEAD_KEYS = {*DistillHead.model_fields} - {*DistillRecipe.model_fields} - {"objective", "validation"}


def recipe_of(student: Path, objective: str = "cross_entropy", **more: Any) -> DistillHead:
    head = {"documents": 4, "encoding": ENCODING, **more.pop("head", {})}
    if "adapter" in head:
        del head["encoding"]
    content = {
        "stage": "distill",
        "student": str(student),
        "quantisation": "none",
        "objective": objective,
        "task": "head",
        **head,
        "lora": {"rank": 4, "alpha": 8},
        "trainer": TRAINER,
        **more,
    }
    return DistillHead.model_validate(content)


def tevatron(file: Path, examples: Sequence[Example]) -> Path:
    """The rule's documents as rows of positives (grade 2) and negatives."""
    rows: dict[str, dict[str, Any]] = {}
    for item in examples:
        row = rows.setdefault(
            item.query.query_id,
            {
                "query_id": item.query.query_id,
                "query": item.query.text,
                "positive_passages": [],
                "negative_passages": [],
            },
        )
        side = "positive_passages" if item.judgment.relevance == 2 else "negative_passages"
        row[side].append({"docid": item.document.doc_id, "title": "", "text": item.document.text})
    file.write_text("".join(json.dumps(row) + "\n" for row in rows.values()))
    return file


@pytest.fixture(scope="module")
def judgments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    train = rule.examples(0, queries=6, documents=6)
    held = rule.examples(1, queries=3, documents=6, split="validation")
    return judgments_artifact(tmp_path_factory.mktemp("heads") / "judgments", [*train, *held])


@pytest.fixture(scope="module")
def teacher(tiny_folder: Path, judgments: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """A RankLLaMA in small: cross-entropy, one positive among many, all labels and no teacher."""
    recipe = recipe_of(tiny_folder, judgments=judgments, head={"documents": 16})
    return distill.run(recipe, tmp_path_factory.mktemp("heads") / "teacher")


def test_a_head_says_all_that_is_needed_to_use_it(teacher: Artifact, tiny_folder: Path) -> None:
    manifest = open_artifact(teacher.path, "adapter").manifest
    assert (teacher.path / manifest["base"]).resolve() == tiny_folder
    assert (manifest["task"], manifest["objective"], manifest["modes"]) == ("head", "cross_entropy", ["score"])
    assert manifest["head"]["max_length"] == 64
    counts = manifest["counts"]
    # Six documents, of which one has grade 2: the groups hold all of them.
    assert (counts["questions"], counts["groups"], counts["examples"], counts["steps"]) == (6, 6, 36, 2)
    assert counts["validation_pairs"] == 18
    config = json.loads((teacher.path / "adapter" / "adapter_config.json").read_text())
    assert (config["task_type"], config["r"]) == ("SEQ_CLS", 4)
    weights = load_file(teacher.path / "adapter" / "adapter_model.safetensors")
    assert any("score" in name for name in weights)
    lines = [json.loads(line) for line in (teacher.path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "eval_nDCG@10" in line] == [0, 2]
    card = ModelCard.load(teacher.path / "README.md")
    assert (card.data.base_model, card.data.pipeline_tag) == (str(tiny_folder), "text-ranking")
    text = card.text
    assert "softmax cross-entropy over each query's group" in text
    assert "| step | nDCG@10 |" in text
    cost = json.loads((teacher.path / "cost.json").read_text())
    assert cost["trainer"]["memory"]["plan"]["working"] >= 0
    head = load_head(teacher.path)
    assert head.settings.max_length == 64
    found = scores(
        head, [head.encoder.pair(Query("q", "Where?"), Document("d", text)) for text in ("A fox.", "A hen.")]
    )
    assert torch.isfinite(found).all()
    assert found[0] != found[1]


def test_an_encoder_learns_though_no_token_of_its_own_ends_a_text(judgments: Path, tmp_path: Path) -> None:
    encoder = tiny_encoder(tmp_path / "encoder")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(encoder)
    tokenizer.eos_token = None
    tokenizer.save_pretrained(encoder)
    head = {"documents": 4, "encoding": {"template": True, "pooling": "first", "max_length": 64}}
    made = distill.run(recipe_of(encoder, judgments=judgments, head=head), tmp_path / "head")
    opened = load_head(made.path)
    assert opened.encoder.tokenizer.eos_token is None
    query = Query("q", "Where?")
    found = scores(opened, [opened.encoder.pair(query, Document("d", text)) for text in ("A fox.", "A hen.")])
    before = load_head(encoder, settings=opened.settings)
    assert torch.isfinite(found).all()
    untrained = scores(before, [before.encoder.pair(query, Document("d", "A fox."))])
    assert len({*found.tolist(), *untrained.tolist()}) == 3


def test_a_teachers_scores_are_of_the_students_own_documents_and_are_kept(
    tiny_folder: Path, teacher: Artifact, tmp_path: Path
) -> None:
    groups = tevatron(tmp_path / "train.jsonl", rule.examples(3, queries=8, documents=8))
    head = {"groups": groups, "negatives": "bm25", "documents": 3, "validation_share": 0.0}
    recipe = recipe_of(tiny_folder, "ranknet", head={**head, "teacher": str(teacher.path)})
    made = distill.run(recipe, tmp_path / "student")
    rows = [json.loads(line) for line in (made.path / "teacher_scores.jsonl").read_text().splitlines()]
    assert len(rows) == made.manifest["counts"]["examples"] == 8 * 3
    # BM25 finds negatives among all queries' documents.
    texts = {d.doc_id: d for item in read_groups(groups) for d in item.documents}
    queries = {item.query.query_id: item.query for item in read_groups(groups)}
    assert any(not row["doc_id"].startswith(f"{row['query_id']}-") for row in rows)
    asked = load_head(teacher.path)
    for row in rows:
        query, document = queries[row["query_id"]], texts[row["doc_id"]]
        assert row["texts"] == digest(query, document)
        alone = scores(asked, [asked.encoder.pair(query, document)])
        assert row["score"] == pytest.approx(float(alone[0]), rel=1e-4, abs=1e-6)
    assert made.manifest["inputs"]["teacher"]["digest"] == teacher.digest
    # The same scores from the file make the same student.
    again = recipe_of(tiny_folder, "ranknet", head={**head, "teacher_scores": made.path / "teacher_scores.jsonl"})
    twin = distill.run(again, tmp_path / "twin")
    assert adapter_bytes(twin) == adapter_bytes(made)
    # Another draw of negatives is not what was scored.
    other = recipe_of(tiny_folder, "ranknet", head=again.model_dump(include=HEAD_KEYS), seed=43)
    with pytest.raises(InputError, match="documents that the student learns from"):
        distill.run(other, tmp_path / "other")


def adapter_bytes(artifact: Artifact) -> bytes:
    return (artifact.path / "adapter" / "adapter_model.safetensors").read_bytes()


def test_judgments_probabilities_can_be_the_teacher(tiny_folder: Path, judgments: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tiny_folder, "ranknet", judgments=judgments, head={"teacher": "judgments"})
    with pytest.raises(InputError, match="holds no probabilities"):
        distill.run(recipe, tmp_path / "none")
    from dataclasses import replace

    examples = [
        replace(item, probabilities=((0.8, 0.1, 0.1), (0.1, 0.8, 0.1), (0.1, 0.1, 0.8))[item.judgment.relevance])
        for item in rule.examples(0, queries=4)
    ]
    sure = judgments_artifact(tmp_path / "judgments", examples)
    made = distill.run(recipe.model_copy(update={"judgments": sure}), tmp_path / "head")
    assert made.manifest["teacher"] == "judgments"
    assert not (made.path / "teacher_scores.jsonl").exists()


def test_a_head_is_trained_further_from_where_it_was(
    tiny_folder: Path, teacher: Artifact, judgments: Path, tmp_path: Path
) -> None:
    """The card's fine-tuning case, by a ranking loss: its code would fit the scores to labels by regression."""
    still = {**TRAINER, "learning_rate": 0.0}
    recipe = recipe_of(tiny_folder, "lambda", judgments=judgments, head={"adapter": teacher.path}, trainer=still)
    made = distill.run(recipe, tmp_path / "still")
    assert weights_of(made).keys() == weights_of(teacher).keys()
    assert all(torch.equal(weight, weights_of(teacher)[name]) for name, weight in weights_of(made).items())
    assert made.manifest["head"] == teacher.manifest["head"]
    assert made.manifest["inputs"]["adapter"]["digest"] == teacher.digest
    moving = recipe.model_copy(update={"trainer": {**TRAINER, "learning_rate": 1.0e-2}})
    moved = distill.run(moving, tmp_path / "moved")
    changed = [name for name, weight in weights_of(moved).items() if not torch.equal(weight, weights_of(teacher)[name])]
    assert len(changed) == len(weights_of(teacher))
    with pytest.raises(InputError, match=r"student is .*elsewhere"):
        other = tiny_model(tmp_path / "elsewhere", seed=5)
        distill.run(recipe.model_copy(update={"student": str(other)}), tmp_path / "x")


def weights_of(artifact: Artifact) -> dict[str, torch.Tensor]:
    return dict(load_file(artifact.path / "adapter" / "adapter_model.safetensors"))


def test_an_adapter_of_answers_is_no_head_and_a_head_is_no_policy(
    tiny_folder: Path, tiny_adapter: Path, teacher: Artifact, judgments: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(tiny_folder, judgments=judgments, head={"adapter": tiny_adapter})
    with pytest.raises(InputError, match="has no head"):
        distill.run(recipe, tmp_path / "head")
    policy = RlJudge.model_validate(
        {"stage": "rl", "judgments": judgments, "adapter": teacher.path, "rewards": ({"use": "grade_agreement"},)}
    )
    with pytest.raises(InputError, match=r"task head.*task judge, order or group"):
        rl.run(policy, tmp_path / "rl")


def test_what_was_learned_is_there_when_the_head_is_loaded_and_a_twin_of_dealt_out_labels_lacks_it(
    tiny_folder: Path, tmp_path: Path
) -> None:
    examples = rule.examples(5, queries=10, documents=6)
    means = []
    for shuffled in (False, True):
        rows = [json.loads(line) for line in tevatron(tmp_path / "rows.jsonl", examples).read_text().splitlines()]
        if shuffled:
            for number, row in enumerate(rows):
                negatives = row["negative_passages"]
                place = number % len(negatives)
                negatives[place], row["positive_passages"][0] = row["positive_passages"][0], negatives[place]
        file = tmp_path / f"rows-{shuffled}.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        recipe = recipe_of(
            tiny_folder,
            head={"groups": file, "documents": 6},
            validation={"questions": 0},
            trainer={**TRAINER, "max_steps": 60, "per_device_train_batch_size": 10, "learning_rate": 1.0e-2},
        )
        made = distill.run(recipe, tmp_path / f"head-{shuffled}")
        means.append(ndcg(made.path, examples))
    assert means[0] > 0.95
    assert means[1] < means[0] - 0.2


def ndcg(head_folder: Path, examples: Sequence[Example]) -> float:
    """By the true labels: what is relevant is what has both colour and animal."""
    head = load_head(head_folder)
    found = scores(head, [head.encoder.pair(item.query, item.document) for item in examples]).tolist()
    scored = [
        ScoredDoc(item.query.query_id, item.document.doc_id, score) for item, score in zip(examples, found, strict=True)
    ]
    qrels = [Qrel(i.query.query_id, i.document.doc_id, int(i.judgment.relevance == 2)) for i in examples]
    return score_run(qrels, Run.from_scores(scored, tag="head")).mean["nDCG@10"]


def test_quantised_base_weights_train_a_head_in_float32(tiny_folder: Path, judgments: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tiny_folder, judgments=judgments, quantisation="nf4", validation={"questions": 0})
    made = distill.run(recipe, tmp_path / "head")
    assert made.manifest["base_weights"] == "nf4"
    weight = next(weight for name, weight in weights_of(made).items() if "score" in name)
    assert (weight.dtype, tuple(weight.shape)) == (torch.float32, (1, 64))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"objective": "ranknet"}, "ranknet .*teacher or teacher_scores"),
        ({"head": {"teacher": "a", "teacher_scores": "b"}}, "teacher, teacher_scores: "),
        (
            {"head": {"teacher": "judgments", "groups": "g"}},
            "judgments has scores of the judged documents",
        ),
        ({"head": {"negatives": "run"}}, "`negatives: run`"),
        ({"head": {"corpus": "c.jsonl"}}, "`negatives: given`"),
    ],
)
def test_what_does_not_go_together_is_told(more: dict[str, Any], said: str) -> None:
    objective = more.pop("objective", "cross_entropy")
    with pytest.raises(ValidationError, match=said):
        recipe_of(Path("x"), objective, **more)


HEAD = "stage: distill\ntask: head\nstudent: x\nobjective: listnet\n"


def test_a_heads_trainer_keys_are_those_of_transformers(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text(HEAD + "trainer: {assistant_only_loss: true}\n")
    with pytest.raises(RecipeError, match=r"assistant_only_loss: .*transformers\.TrainingArguments"):
        load_recipe(str(file))
    file.write_text(HEAD + "groups: g\ntrainer: {warmup_steps: 0.1}\n")
    assert load_recipe(str(file)).missing() == []
