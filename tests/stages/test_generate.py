"""generate in its two steps: pairs, a plan, judgments and what comes with them, budgets, several teachers of pairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from interank.artifact import open_artifact
from interank.cli.app import main
from interank.errors import ArtifactError, InputError
from interank.recipe import GenerateRecipe, load_recipe
from interank.resources import resource_dir
from interank.stages import generate
from interank.stages.plan import plan
from interank.teacher.balance import surplus
from interank.types import Example
from tests.support import rule
from tests.support.benchmark import write_jsonl
from tests.support.dumps import checkables

DUMPS = resource_dir("data") / "stackexchange"
PROMPT = {"order": "grade_first", "max_length": 600, "max_query_tokens": 64, "max_document_tokens": 64}


def recipe_of(model: Path, **more: Any) -> GenerateRecipe:
    teacher = {"grades": "votes", "max_reasoning_tokens": 240, "temperature": 1.0, "batch_size": 4}
    content: dict[str, Any] = {
        "stage": "generate",
        "dumps": (str(DUMPS),),
        "decontaminate": False,
        "mining": {"questions": 10, "documents_per_question": 4, "validation_share": 0.3},
        "prompt": PROMPT,
        **more,
    }
    content["teacher"] = {"model": str(model), **teacher, **more.get("teacher", {})}
    return GenerateRecipe.model_validate(content)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def judged(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("judged") / "out"
    return generate.run(recipe_of(tiny_folder, teacher={"queries": 3}), out).path


def test_every_pair_is_judged_or_rejected_with_its_reason(judged: Path) -> None:
    counts = open_artifact(judged, "judgments").manifest["counts"]
    rejected = rows(judged / "rejected.jsonl")
    assert counts["judgments"] + counts["rejected"] == 40 + 10
    assert counts["judgments"] == len(rows(judged / "judgments.jsonl")) > 0
    assert all(row["reason"] for row in rejected)
    # The random teacher writes no list of search queries.
    assert sum(row["doc_id"] is None for row in rejected) == 10
    assert rows(judged / "queries.jsonl") == []


def test_datasets_reads_it_with_its_splits(judged: Path, tmp_path: Path) -> None:
    loaded = load_dataset(str(judged), cache_dir=str(tmp_path))
    written = rows(judged / "judgments.jsonl")
    assert {split: len(part) for split, part in loaded.items()} == {
        split: sum(row["split"] == split for row in written) for split in ("train", "validation")
    }
    assert [row for split in ("train", "validation") for row in loaded[split]] == sorted(
        written, key=lambda row: str(row["split"])
    )
    plain = load_dataset("json", data_files=str(judged / "judgments.jsonl"), split="train", cache_dir=str(tmp_path))
    assert plain["reasoning"][:] == [row["reasoning"] for row in written]
    questions = {split: set(part["query_id"]) for split, part in loaded.items()}
    assert not questions["train"] & questions["validation"]


def test_the_card_tells_what_it_is_and_whose(judged: Path) -> None:
    text = (judged / "README.md").read_text("utf-8")
    counts = open_artifact(judged).manifest["counts"]
    assert DatasetCard.load(judged / "README.md").data.license == "cc-by-sa-4.0"
    assert f"| sample.example.com | {counts['questions']} | {counts['judgments']} |" in text
    for told in ("CC BY-SA 3.0", "name the author", "decontaminate: false", "tokens read", "grades.svg"):
        assert told in text
    drawn = (judged / "grades.svg").read_text("utf-8")
    assert drawn.startswith("<svg ")
    assert drawn.count("<rect") == 6 + 2


def test_pairs_are_mined_once_and_judged_by_several_teachers(tiny_folder: Path, judged: Path, tmp_path: Path) -> None:
    pairs = generate.run(recipe_of(tiny_folder), tmp_path / "pairs", only_mine=True)
    assert (pairs.kind, pairs.manifest["counts"]) == ("pairs", {"pairs": 40, "questions": 10})
    recipe = recipe_of(tiny_folder, dumps=None, pairs=str(pairs.path), teacher={"queries": 3})
    again = generate.run(recipe, tmp_path / "again")
    assert (again.path / "judgments.jsonl").read_bytes() == (judged / "judgments.jsonl").read_bytes()
    assert [given["name"] for given in again.lineage()] == ["pairs", "dumps.0"]
    other = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"grades": "teacher"})})
    with pytest.raises(InputError, match=r"40 pairs.*(labels|no plain list)"):
        generate.run(other, tmp_path / "other")
    with pytest.raises(ArtifactError, match=r"judgments.* pairs "):
        generate.run(recipe.model_copy(update={"pairs": judged}), tmp_path / "wrong")


def test_a_budget_stops_it_and_a_larger_one_goes_on_to_the_same_end(tiny_folder: Path, tmp_path: Path) -> None:
    whole = generate.run(recipe_of(tiny_folder), tmp_path / "whole")
    spent = json.loads((whole.path / "cost.json").read_text("utf-8"))
    half = (spent["tokens_read"] + spent["tokens_written"]) // 2
    stopped = generate.run(recipe_of(tiny_folder, budget={"tokens": half}), tmp_path / "out")
    assert stopped.manifest["stopped"].startswith("budget: ")
    assert stopped.manifest["counts"]["unanswered"] == stopped.manifest["unanswered"]
    assert 0 < stopped.manifest["unanswered"] < 40
    assert "Incomplete: the budget was used up" in (stopped.path / "README.md").read_text("utf-8")
    kept = len(rows(stopped.path / "replies.jsonl"))

    more = generate.run(recipe_of(tiny_folder, budget={"tokens": half + 1_800}), tmp_path / "out", existing="resume")
    assert 0 < more.manifest["unanswered"] < stopped.manifest["unanswered"]
    last = generate.run(recipe_of(tiny_folder), tmp_path / "out", existing="resume")
    assert "stopped" not in last.manifest
    assert not (last.path / "replies.jsonl").exists()
    cost = json.loads((last.path / "cost.json").read_text("utf-8"))
    assert (cost["tokens_read"], cost["tokens_written"]) == (spent["tokens_read"], spent["tokens_written"])
    assert cost["last_run"]["sent"] < 40 - 4 * kept + 4
    for name in ("judgments.jsonl", "rejected.jsonl", "README.md", "grades.svg"):
        assert (last.path / name).read_bytes() == (whole.path / name).read_bytes()
    with pytest.raises(ArtifactError, match="teacher differ"):
        changed = recipe_of(tiny_folder, teacher={"max_reasoning_tokens": 9})
        generate.run(changed, tmp_path / "out", existing="resume")


def test_a_cache_serves_another_output(tiny_folder: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tiny_folder, cache=str(tmp_path / "cache"))
    first, second = (generate.run(recipe, tmp_path / name) for name in ("one", "two"))
    assert (first.path / "judgments.jsonl").read_bytes() == (second.path / "judgments.jsonl").read_bytes()
    cost = json.loads((second.path / "cost.json").read_text("utf-8"))
    assert (cost["last_run"]["sent"], cost["last_run"]["replayed"], cost["tokens_read"]) == (0, 40, 0)


def test_grades_are_balanced_where_asked(tiny_folder: Path, tmp_path: Path) -> None:
    free = generate.run(recipe_of(tiny_folder), tmp_path / "free").manifest["counts"]
    held = generate.run(recipe_of(tiny_folder, max_grade_share=0.4), tmp_path / "held")
    train = [row["relevance"] for row in rows(held.path / "judgments.jsonl") if row["split"] == "train"]
    assert max(train.count(grade) for grade in range(3)) <= 0.4 * len(train)
    left_out = [row for row in rows(held.path / "rejected.jsonl") if "no grade has over 0.4" in row["reason"]]
    assert held.manifest["counts"]["judgments"] + len(left_out) == free["judgments"]
    assert left_out


def columns(examples: list[Example]) -> list[tuple[str, int, str, str]]:
    return [(each.split, int(each.judgment.relevance), each.query.query_id, each.document.doc_id) for each in examples]


@pytest.mark.parametrize("share", [0.34, 0.4, 0.5, 0.9])
def test_balancing_keeps_as_much_as_the_share_allows(share: float) -> None:
    examples = rule.examples(1, queries=6)
    left_out = surplus(columns(examples), share, 3)
    kept = [example.judgment.relevance for place, example in enumerate(examples) if place not in left_out]
    most = max(kept.count(grade) for grade in set(kept))
    assert most <= share * len(kept)
    # One more of the most frequent grade would be too many.
    assert not left_out or most + 1 > share * (len(kept) + 1)
    assert surplus(columns(examples), share, 3) == left_out


def test_a_share_that_cannot_be_had_is_told() -> None:
    alike = [example for example in rule.examples(1, queries=6) if example.judgment.relevance == 0]
    with pytest.raises(
        InputError, match=r"max_grade_share: no grade of the training split \(\d+ of grade 0, 0 of grade 1"
    ):
        surplus(columns(alike), 0.5, 0)


def test_a_plan_counts_all_that_the_dumps_hold_and_what_is_asked(tiny_folder: Path) -> None:
    rates = {"speed": {"read": 1000.0, "written": 100.0}, "price": {"read": 0.5, "written": 2.0}}
    planned = plan(recipe_of(tiny_folder, teacher=rates))
    assert planned["sites"] == {"sample.example.com": {"questions": 83, "answers": 174, "pairs": 40}}
    read, written = planned["tokens"]["read"], planned["tokens"]["written"]
    assert planned["seconds"] == pytest.approx(read / 1000 + written / 100, abs=0.06)
    assert planned["dollars"] == pytest.approx((read * 0.5 + written * 2) / 1e6, abs=1e-4)
    more = plan(recipe_of(tiny_folder, teacher={"grades": "teacher", "queries": 4, "query_pairs": 2}))
    assert more["pairs"] == 120
    assert more["tokens"]["read"] > 3 * read


def test_the_command_plans_without_out_benchmarks_or_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("stage: generate\nteacher: {model: no/such-model}\nmining: {questions: 5}\n")
    assert main(["generate", str(recipe), f"dumps={DUMPS}", "--dry-run", "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["sites"]["sample.example.com"]["questions"] == 83
    assert main(["generate", str(recipe), f"dumps={DUMPS}", "--dry-run", "--quiet"]) == 0
    assert "pairs to judge" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["generate", str(recipe), f"dumps={DUMPS}"])
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["dumps=DUMPS"], "benchmarks=PATH"),
        ([], "dumps=PATH benchmarks=PATH"),
        (
            ["dumps=DUMPS", "benchmarks=nowhere"],
            "benchmarks: nowhere ",
        ),
        (["dumps=DUMPS", "pairs=x"], "pairs, dumps: "),
        (["dumps=DUMPS", "benchmarks=[]"], "benchmarks: "),
        (["pairs=nowhere"], "nowhere "),
    ],
)
def test_what_is_missing_is_told_with_the_ways_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], given: list[str], told: str
) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("stage: generate\nteacher: {model: no/such-model}\n")
    arguments = [part.replace("DUMPS", str(DUMPS)) for part in given]
    assert main(["generate", str(recipe), *arguments, "--out", str(tmp_path / "out"), "--quiet"]) == 1
    said = capsys.readouterr().err
    assert told in said
    if "benchmarks" in told and "pairs" not in told:
        assert "decontaminate=false" in said


def test_mining_alone_does_not_start_from_pairs(tiny_folder: Path, tmp_path: Path) -> None:
    recipe = recipe_of(tiny_folder, dumps=None, pairs="x")
    with pytest.raises(InputError, match=r"--mine-only .*pairs"):
        generate.run(recipe, tmp_path / "out", only_mine=True)


def _shared_knowledge_base(folder: Path) -> Path:
    """A benchmark that searches the sample's own questions, and asks others."""
    questions = [item for item in checkables(DUMPS / "sample.example.com") if item.kind == "question"]
    made = folder / "helpdesk"
    made.mkdir()
    write_jsonl(made / "queries.jsonl", [{"_id": "q", "text": "Where is the invoice of an order that was sent back?"}])
    write_jsonl(made / "corpus.jsonl", [{"_id": item.post_id, "text": item.text} for item in questions])
    return made


def test_where_decontamination_leaves_nothing_it_says_against_what_and_leaves_its_report(
    tiny_folder: Path, tmp_path: Path
) -> None:
    benchmark = _shared_knowledge_base(tmp_path)
    told = {"decontaminate": True, "benchmarks": (str(benchmark),)}
    report = tmp_path / "out.decontamination.json"
    with pytest.raises(InputError) as caught:
        generate.run(recipe_of(tiny_folder, **told), tmp_path / "out", only_mine=True)
    assert str(caught.value).startswith(
        f"all 83 questions were removed by decontamination against helpdesk; {report} lists them; "
    )
    assert "decontaminate=queries" in str(caught.value)
    assert len({entry["post_id"] for entry in json.loads(report.read_text("utf-8"))["removed"]}) == 83
    # Another try is not in the way of the first.
    shared = recipe_of(tiny_folder, **{**told, "decontaminate": "queries"})
    made = generate.run(shared, tmp_path / "out", only_mine=True)
    assert made.manifest["counts"]["questions"] == 10
    assert made.manifest["decontamination"]["removed_questions"] == 0
    assert made.manifest["decontamination"]["compared_with"] == "queries alone"


def test_published_recipes_decontaminate() -> None:
    from interank.recipe import recipe_files

    recipes = [load_recipe(name) for name, _ in recipe_files() if name.startswith("generate/")]
    assert len(recipes) >= 5
    assert all(isinstance(recipe, GenerateRecipe) and recipe.decontaminate for recipe in recipes)
