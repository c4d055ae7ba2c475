"""Explanations of judged pairs, marked side by side: what teacher, student and faults are worth, and what is told."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import DatasetCard
from pydantic import ValidationError

from interank.artifact import Artifact, open_artifact
from interank.cli.app import main
from interank.cli.stage import what_comes_next
from interank.errors import InputError
from interank.explanations import FAULTS, ExplanationRow, read_explanations
from interank.judgments import read_judgments
from interank.ledger import read_rows
from interank.recipe import GenerateRecipe
from interank.stages import generate
from interank.stages.plan import plan
from interank.types import Example, Split
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.explaining import answer, explained, good, mark, marks
from tests.support.stub import READ, WRITTEN, Answer, Stub, priced, said, serving

PROMPT = {"order": "grade_first", "max_length": 600, "max_query_tokens": 64, "max_document_tokens": 64}
ASKED_NOBODY = {"grades": "given", "max_reasoning_tokens": 0}
MADE = {"samples": 1, "marks": "made"}
Said = Callable[[int, dict[str, Any]], Answer]


def judged(folder: Path, *, queries: int = 5, explain: bool = True) -> Path:
    """Judgments of the rule, in both splits, each with an honest explanation."""
    examples: list[Example] = [
        *rule.examples(3, queries=queries, documents=5),
        *rule.examples(4, queries=2, documents=5, split="validation"),
    ]
    say = good if explain else lambda query, document: ""
    return judgments_artifact(folder, [explained(item, say) for item in examples])


def served(stub: Stub, **more: Any) -> dict[str, Any]:
    server = {"urls": [stub.url], "api": "chat", "in_flight": 4}
    return {"model": "a/teacher", "engine": "openai", "server": server, "grades": "given", **more}


def recipe_of(judgments: Path, teacher: dict[str, Any], explanations: dict[str, Any], **more: Any) -> GenerateRecipe:
    given = {"stage": "generate", "prompt": PROMPT, "judgments": str(judgments), "teacher": teacher}
    return GenerateRecipe.model_validate({**given, "explanations": explanations, **more})


def taught(tmp_path: Path, explanations: dict[str, Any], say: Said = answer, **more: Any) -> tuple[Artifact, Stub]:
    """What a teacher on a server makes of the judgments."""
    stub = Stub(say)
    with serving(stub):
        recipe = recipe_of(judged(tmp_path / "judged"), served(stub), explanations, **more)
        return generate.run(recipe, tmp_path / "out"), stub


def mean(rows: Sequence[ExplanationRow], kind: str) -> float:
    known = [row.mark for row in rows if row.kind == kind and row.mark is not None]
    return sum(known) / len(known)


def test_a_teacher_marks_its_own_words_and_made_faults(tmp_path: Path) -> None:
    made, stub = taught(tmp_path, {"samples": 2})
    rows = read_explanations(made.path)
    assert {row.kind for row in rows} == {"honest", *FAULTS}
    assert {row.writer for row in rows if row.kind == "honest"} == {"teacher"}
    assert {row.marked_by for row in rows} == {"a/teacher"}
    assert {row.split for row in rows} == {"train", "validation"}
    for row in rows:
        assert row.dropped is None
        worth = round(10 * mark(row.query, row.document, row.relevance, row.explanation)) / 10
        assert row.marks == pytest.approx((worth, worth))
        assert row.mark == pytest.approx(worth)
        assert set(row.reasons) <= {"it names what decides", "it does not"}
    assert mean(rows, "honest") > 0.5 > max(mean(rows, kind) for kind in ("template", "idle_quote", "opposite_stance"))
    # Judgments are kept as they were.
    assert read_judgments(made.path) == read_judgments(tmp_path / "judged")
    questions = [body["messages"][-1]["content"] for body in stub.bodies]
    sets = [question for question in questions if "Explanation 1:" in question]
    assert len(sets) == 2 * 35
    assert len(questions) == 3 * 35, "one more explanation a pair, and two orders"


def test_both_orders_show_the_same_explanations_from_either_end(tmp_path: Path) -> None:
    _, stub = taught(tmp_path, {"samples": 1})
    seen: dict[str, list[list[str]]] = {}
    for body in stub.bodies:
        head, *texts = re.split(r"\n\nExplanation \d+:\n", body["messages"][-1]["content"].rpartition("\n\n")[0])
        seen.setdefault(head, []).append(texts)
    for first, second in seen.values():
        assert first == second[::-1]
        assert len(first) > 5
    firsts = Counter(orders[0][0] for orders in seen.values())
    assert max(firsts.values()) < len(seen) / 2, "no explanation always stands first"


def test_the_card_and_the_manifest_tell_kinds_bias_contradictions_and_length(tmp_path: Path) -> None:
    made, _ = taught(tmp_path, {"samples": 1})
    told = made.manifest["explanations"]
    rows = read_explanations(made.path)
    assert told["explanations"] == made.manifest["counts"]["explanations"] == len(rows)
    assert told["kinds"]["template"]["explanations"] == sum(row.kind == "template" for row in rows)
    assert told["kinds"]["honest (teacher)"] == {"explanations": 35, "mean_mark": 1.0}
    assert (told["sets"], told["position_bias"], told["contradicted_preferences"], told["tied_sets"]) == (35, 0, 0, 0)
    assert -1 < told["length_correlation"] < 1
    card = DatasetCard.load(made.path / "README.md")
    assert "## Explanations with marks" in card.text
    assert "with the reason for it, which `a/teacher` wrote where there was none." in card.text
    assert "| honest (teacher) | 35 | 1.00 |" in card.text
    assert "Contradictions: 0 of" in card.text
    configs = card.data.to_dict()["configs"]
    assert {"config_name": "explanations", "data_files": "explanations.parquet"} in configs


def by_place(question: str) -> str:
    """Marks that fall with the place and know nothing else."""
    count = len(re.findall(r"\n\nExplanation \d+:\n", question))
    return "\n".join(f"{place}: {max(0, 10 - place)} - place" for place in range(1, count + 1))


def test_a_judge_that_goes_by_the_place_contradicts_itself(tmp_path: Path) -> None:
    made, _ = taught(tmp_path, {"samples": 1}, lambda number, body: said(by_place(body["messages"][-1]["content"])))
    told = made.manifest["explanations"]
    assert told["position_bias"] > 0.3
    assert told["contradicted_preferences"] > 0.7 * told["preferences"]
    rows = read_explanations(made.path)
    assert Counter(row.dropped for row in rows)["contradicted"] > len(rows) / 2
    assert all(len(row.marks) == 2 for row in rows), "what was said of a dropped one is kept"
    for query, document in {(row.query_id, row.doc_id) for row in rows}:
        kept = [row for row in rows if (row.query_id, row.doc_id) == (query, document) and row.dropped is None]
        for one in kept:
            for other in kept:
                first, second = (one.marks[order] - other.marks[order] for order in (0, 1))
                assert first * second >= 0 or abs(first - second) <= 0.2 + 1e-9


def test_marks_that_cannot_be_read_are_kept_with_the_reason_and_count_for_nothing(tmp_path: Path) -> None:
    def say(number: int, body: dict[str, Any]) -> Answer:
        question = body["messages"][-1]["content"]
        return said("All of them are good." if "red" in question.partition("Document:")[0] else marks(question))

    made, _ = taught(tmp_path, {"samples": 1}, say)
    rows = read_explanations(made.path)
    unread = [row for row in rows if row.dropped == "unreadable"]
    assert unread
    assert {"red" in row.query for row in unread} == {True}
    assert {row.dropped for row in rows if "red" not in row.query} == {None}
    rejected = read_rows(made.path / "rejected_explanations.jsonl")
    assert {(row["writer"], row["reply"]) for row in rejected} == {("judge", "All of them are good.")}
    assert made.manifest["explanations"]["rejected"] == len(rejected)


def test_a_judge_that_always_ties_is_refused(tmp_path: Path) -> None:
    def tie(number: int, body: dict[str, Any]) -> Answer:
        return said(re.sub(r": \d+", ": 7", marks(body["messages"][-1]["content"])))

    with pytest.raises(InputError, match=r"gave all explanations of a pair one mark, in each of 35 sets"):
        taught(tmp_path, {"samples": 1}, tie)


def test_a_judge_that_marks_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"marked none of 35 sets of explanations\. The first: the marks of"):
        taught(tmp_path, {"samples": 1}, lambda number, body: said("Fine."))


def test_explanations_that_leave_no_room_for_their_document_are_not_marked(tmp_path: Path) -> None:
    told = (
        r"marked none of 35 sets.*The first: \d+ explanations leave 0 tokens for the document; raise explanations\.max_"
    )
    with pytest.raises(InputError, match=told):
        taught(tmp_path, {"samples": 1, "max_length": 512})
    # Where some have room, those are marked and the others asked of nobody.
    stub = Stub(answer)
    with serving(stub):
        settings = {"samples": 1, "max_length": 700, "faults": ["padding", "pasted", "template"]}
        long = [
            explained(item, lambda *pair: f"{good(*pair)} {'It is so. ' * 30}") for item in rule.examples(3, queries=1)
        ]
        short = [explained(item) for item in rule.examples(4, queries=1)]
        place = judgments_artifact(tmp_path / "mixed", [*long, *short])
        made = generate.run(recipe_of(place, served(stub), settings), tmp_path / "mixed-out")
    rows = read_explanations(made.path)
    assert {row.dropped for row in rows if "It is so." in row.explanation} == {"failed"}
    assert {row.dropped for row in rows if (row.query_id, row.doc_id) in {_pair(item) for item in short}} == {None}
    assert len(stub.bodies) == 2 * len(short)
    assert {row["writer"] for row in read_rows(made.path / "rejected_explanations.jsonl")} == {"judge"}


def _pair(example: Example) -> tuple[str, str]:
    return example.query.query_id, example.document.doc_id


def test_made_marks_ask_nobody_and_the_card_says_so(tmp_path: Path) -> None:
    made = generate.run(recipe_of(judged(tmp_path / "judged"), ASKED_NOBODY, MADE), tmp_path / "out")
    rows = read_explanations(made.path)
    assert {(row.kind == "honest", row.mark) for row in rows} == {(True, 1.0), (False, 0.0)}
    assert {row.marked_by for row in rows} == {"made faults"}
    assert "teacher" not in made.manifest
    card = DatasetCard.load(made.path / "README.md").text
    assert "Nobody marked them" in card
    assert "# Relevance judgments with explanations" in card
    assert "2 relevant) with the reason for it.\n" in card, "of the judgments, by whoever wrote them"
    (learned, _) = what_comes_next("generate", made)
    assert learned.startswith(f"interank reward reward/smollm2 judgments={made.path} --out runs/reward")
    again = generate.run(recipe_of(judged(tmp_path / "same"), ASKED_NOBODY, MADE), tmp_path / "again")
    assert (again.path / "explanations.parquet").read_bytes() == (made.path / "explanations.parquet").read_bytes()


def test_faults_take_no_words_from_the_other_split(tmp_path: Path) -> None:
    made = generate.run(recipe_of(judged(tmp_path / "judged"), ASKED_NOBODY, MADE), tmp_path / "out")
    splits: tuple[Split, ...] = ("train", "validation")
    honest = {split: {item.judgment.reasoning for item in read_judgments(made.path, split)} for split in splits}
    others = read_explanations(made.path)
    for row in others:
        if row.kind == "other_document":
            assert row.explanation in honest[row.split]


def test_a_part_of_the_pairs_and_of_the_kinds(tmp_path: Path) -> None:
    settings = {**MADE, "pairs": 7, "faults": "template,pasted"}
    made = generate.run(recipe_of(judged(tmp_path / "judged"), ASKED_NOBODY, settings), tmp_path / "out")
    rows = read_explanations(made.path)
    assert len({(row.query_id, row.doc_id) for row in rows}) == 7
    assert {row.kind for row in rows} == {"honest", "template", "pasted"}
    assert len(read_judgments(made.path)) == 35


def test_a_student_explains_in_its_own_words(tiny_adapter: Path, tmp_path: Path) -> None:
    stub = Stub(priced(answer))
    with serving(stub):
        settings = {"samples": 1, "student": str(tiny_adapter), "student_samples": 6, "max_tokens": 120, "pairs": 12}
        # As much as the teacher's marks take, and less than the student's words would.
        budget = {"tokens": 24 * (READ + WRITTEN)}
        recipe = recipe_of(judged(tmp_path / "judged"), served(stub), settings, budget=budget)
        made = generate.run(recipe, tmp_path / "out")
    assert made.manifest["explanations"]["unanswered"] == 0
    rows = read_explanations(made.path)
    own = [row for row in rows if row.writer == "student"]
    rejected = read_rows(made.path / "rejected_explanations.jsonl")
    assert {row["writer"] for row in rejected} <= {"student"}
    assert 0 < len(own) <= 72 - len(rejected)
    assert {row.kind for row in own} == {"honest"}
    assert made.manifest["inputs"]["explanations.student"]["digest"] == open_artifact(tiny_adapter).digest
    assert "honest (student)" in made.manifest["explanations"]["kinds"]
    assert len(stub.bodies) == 24, "a student's words are not asked of the teacher"
    cost = json.loads((made.path / "cost.json").read_text())
    assert (cost["tokens_read"], cost["tokens_written"]) == (24 * READ, 24 * WRITTEN), "nor paid for"


def test_a_second_pass_keeps_what_was_marked_and_adds_the_words_of_a_policy_that_moved(
    tiny_adapter: Path, tmp_path: Path
) -> None:
    stub = Stub(answer)
    with serving(stub):
        first = recipe_of(judged(tmp_path / "judged"), served(stub), {"samples": 2, "faults": ["template"]})
        before = read_explanations(generate.run(first, tmp_path / "first").path)
        settings = {"samples": 1, "student": str(tiny_adapter), "max_tokens": 120, "pairs": 12, "faults": ["template"]}
        fresh = generate.run(recipe_of(tmp_path / "judged", served(stub), settings), tmp_path / "fresh")
        both = generate.run(recipe_of(tmp_path / "first", served(stub), settings), tmp_path / "both")
    anew = read_explanations(fresh.path)
    assert "student" in {row.writer for row in anew}
    texts = {(row.query_id, row.doc_id, row.explanation) for row in anew}
    kept = [row for row in before if (row.query_id, row.doc_id, row.explanation) not in texts]
    assert 0 < len(kept) < len(before), "what stands in the set again has its mark beside the student's words"
    assert read_explanations(both.path) == [*kept, *anew]
    assert both.manifest["explanations"]["earlier"] == len(kept)
    assert "earlier" not in fresh.manifest["explanations"]
    assert f"Earlier: {len(kept)} explanations came with the" in DatasetCard.load(both.path / "README.md").text


def test_explanations_of_pairs_that_were_taken_out_are_not_kept(tmp_path: Path) -> None:
    stub = Stub(answer)
    with serving(stub):
        first = recipe_of(judged(tmp_path / "judged"), served(stub), {"samples": 2})
        before = generate.run(first, tmp_path / "first")
        less = recipe_of(before.path, served(stub), {"samples": 1, "pairs": 3}, max_grade_share=0.38)
        after = generate.run(less, tmp_path / "second")
    judgments = {(item.query.query_id, item.document.doc_id) for item in read_judgments(after.path)}
    assert len(judgments) < 35
    assert {(row.query_id, row.doc_id) for row in read_explanations(after.path)} == judgments


def test_a_teacher_in_this_process_writes_further_explanations(tiny_folder: Path, tmp_path: Path) -> None:
    teacher = {"model": str(tiny_folder), "grades": "given", "temperature": 1.0}
    settings = {"samples": 3, "marks": "made", "max_tokens": 120, "pairs": 12}
    made = generate.run(recipe_of(judged(tmp_path / "judged"), teacher, settings), tmp_path / "out")
    own = [row for row in read_explanations(made.path) if row.kind == "honest"]
    rejected = read_rows(made.path / "rejected_explanations.jsonl")
    assert 12 < len(own) <= 36 - len(rejected)
    assert {row.writer for row in own} == {"teacher"}
    cost = json.loads((made.path / "cost.json").read_text())
    assert cost["last_run"]["sent"] == 24, "two more of each pair, and no marks"


def test_a_teacher_in_this_process_is_shown_whole_sets(tiny_folder: Path, tmp_path: Path) -> None:
    """So small a model marks nothing, which is told with what it was asked for."""
    recipe = recipe_of(
        judged(tmp_path / "judged"), {"model": str(tiny_folder), "grades": "given"}, {"samples": 1, "pairs": 3}
    )
    with pytest.raises(InputError, match=r"marked none of 3 sets of explanations\. The first: the marks of \d+ exp"):
        generate.run(recipe, tmp_path / "out")


def test_a_student_of_another_prompt_or_task_is_refused(tiny_adapter: Path, tmp_path: Path) -> None:
    teacher = {
        "model": "a/teacher",
        "engine": "openai",
        "grades": "given",
        "server": {"urls": ["http://127.0.0.1:9/v1"]},
    }
    recipe = recipe_of(judged(tmp_path / "judged"), teacher, {"samples": 1, "student": str(tmp_path / "other")})
    for key, value, told in [
        ("prompt_hash", "0123456789abcdef", r"another wording of the prompt \(0123456789abcdef, here"),
        ("task", "head", "was trained for task head, which explains no single document"),
    ]:
        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        shutil.copytree(tiny_adapter, tmp_path / "other")
        manifest = tmp_path / "other" / "manifest.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), key: value}))
        with pytest.raises(InputError, match=told):
            generate.run(recipe, tmp_path / "out")


def test_a_budget_ends_marking_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    stub = Stub(priced(answer))
    with serving(stub):
        judgments = judged(tmp_path / "judged")
        small = recipe_of(judgments, served(stub), {"samples": 2}, budget={"tokens": 60 * (READ + WRITTEN)})
        made = generate.run(small, tmp_path / "out")
        told = made.manifest["explanations"]
        assert made.manifest["stopped"].startswith("budget:")
        assert 0 < told["sets"] < 35
        assert told["sets"] + told["unanswered"] == 35
        assert "Not whole" in DatasetCard.load(made.path / "README.md").text
        large = recipe_of(judgments, served(stub), {"samples": 2}, budget={"tokens": 10**6})
        whole = generate.run(large, tmp_path / "out", existing="resume")
        asked = Counter(json.dumps(body, sort_keys=True) for body in stub.bodies)
        assert max(asked.values()) == 1, "no question was asked twice"
        assert whole.manifest["explanations"]["unanswered"] == 0
        alone = generate.run(large, tmp_path / "alone")
    assert (alone.path / "explanations.parquet").read_bytes() == (whole.path / "explanations.parquet").read_bytes()


def test_a_cache_serves_explanations_and_marks_of_another_output(
    tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub, settings = Stub(answer), {"samples": 2, "student": str(tiny_adapter), "max_tokens": 120, "pairs": 6}
    with serving(stub):
        recipe = recipe_of(judged(tmp_path / "judged"), served(stub), settings, cache=str(tmp_path / "cache"))
        first = generate.run(recipe, tmp_path / "first")
        asked = len(stub.bodies)

        def writes(*_: object, **__: object) -> None:
            raise AssertionError("the student's words are in the cache")

        monkeypatch.setattr("interank.engines.transformers.TransformersEngine.generate", writes)
        second = generate.run(recipe, tmp_path / "second")
    assert len(stub.bodies) == asked == 18, "one more explanation a pair, and two orders, once"
    one, other = ((made.path / "explanations.parquet").read_bytes() for made in (first, second))
    assert one == other
    assert "student" in {row.writer for row in read_explanations(second.path)}


def test_a_budget_that_leaves_no_set_marked_is_told(tmp_path: Path) -> None:
    stub = Stub(priced(answer))
    with serving(stub):
        recipe = recipe_of(judged(tmp_path / "judged"), served(stub), {"samples": 2}, budget={"tokens": 1})
        made = generate.run(recipe, tmp_path / "out")
        more = generate.run(recipe_of(made.path, served(stub), {"samples": 2}), tmp_path / "more")
    assert made.manifest["explanations"]["sets"] == 0
    assert more.manifest["explanations"]["sets"] == 35
    assert "No set was marked" in DatasetCard.load(made.path / "README.md").text


def test_judgments_without_explanations_get_some_from_samples(tmp_path: Path) -> None:
    stub = Stub(answer)
    with serving(stub):
        teacher = served(stub, max_reasoning_tokens=0)
        recipe = recipe_of(judged(tmp_path / "judged", explain=False), teacher, {"samples": 2})
        rows = read_explanations(generate.run(recipe, tmp_path / "out").path)
    assert {row.writer for row in rows if row.kind == "honest"} == {"teacher"}
    assert len({(row.query_id, row.doc_id) for row in rows}) == 35


def test_judgments_without_explanations_give_nothing_to_compare(tmp_path: Path) -> None:
    recipe = recipe_of(judged(tmp_path / "judged", explain=False), ASKED_NOBODY, MADE)
    with pytest.raises(InputError, match=r"none of 35 judged pairs has an explanation, so no fault can be made"):
        generate.run(recipe, tmp_path / "out")


def test_explanations_of_one_kind_only_are_refused(tmp_path: Path) -> None:
    def alike(number: int, body: dict[str, Any]) -> Answer:
        query = re.findall(r"Where is the \w+ \w+\?", body["messages"][-1]["content"])[0]
        document = re.findall(r"A \w+ \w+ sits in the \w+\.", body["messages"][-1]["content"])[0]
        return said(good(query, document))

    with pytest.raises(InputError, match=r"none of 35 pairs has two different explanations"):
        taught(tmp_path, {"samples": 2, "faults": []}, alike)


def test_the_plan_counts_the_calls_that_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stub = Stub(answer)
    with serving(stub):
        recipe = recipe_of(judged(tmp_path / "judged"), served(stub), {"samples": 2, "pairs": 20})
        planned = plan(recipe)
        generate.run(recipe, tmp_path / "out")
    assert planned["explanations"]["pairs"] == 20
    assert planned["explanations"]["calls"] == len(stub.bodies) == 60
    assert planned["pairs"] == 0, "each is explained already"
    assert planned["tokens"] == {name: planned["explanations"][name] for name in ("read", "written")}
    assert planned["explanations"]["read"] > 20 * 3 * 130
    made = recipe_of(tmp_path / "judged", ASKED_NOBODY, MADE)
    assert plan(made)["explanations"] == {"pairs": 35, "calls": 0, "read": 0, "written": 0}
    words = ["generate/explanations-made", f"judgments={tmp_path / 'judged'}"]
    assert main(["generate", *words, "--dry-run"]) == 0
    assert "explanations: of 35 pairs, with 0 calls of the teacher" in capsys.readouterr().out
    assert main(["check", *words, "explanations.pairs=9"]) == 0
    assert "explanations: of 9 pairs, with 0 calls of the teacher" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("teacher", "explanations", "told"),
    [
        (ASKED_NOBODY, {"faults": ["nonsense"], **MADE}, "Input should be 'other_document'"),
        (ASKED_NOBODY, {"faults": ["pasted", "pasted"], **MADE}, "a kind is named twice"),
        (ASKED_NOBODY, {**MADE, "faults": []}, "marks: made needs constructed faults"),
        ({"model": "m", **ASKED_NOBODY}, {"samples": 1, "faults": []}, "a pair has one explanation"),
        (ASKED_NOBODY, {"samples": 1}, "explanations are written or marked by a model"),
        (ASKED_NOBODY, {**MADE, "student": "runs/student"}, "student: with marks: made nobody reads the student"),
        (ASKED_NOBODY, {"samples": 2, "marks": "made"}, "explanations are written or marked by a model"),
    ],
)
def test_what_does_not_go_together_is_told(teacher: dict[str, Any], explanations: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        recipe_of(Path("j"), teacher, explanations)


def test_mined_grades_without_explanations_are_told() -> None:
    given = {"stage": "generate", "dumps": ("d",), "decontaminate": False, "explanations": MADE}
    with pytest.raises(ValidationError, match="there are no honest explanations beside the constructed faults"):
        GenerateRecipe.model_validate({**given, "teacher": {"grades": "votes", "max_reasoning_tokens": 0}})
