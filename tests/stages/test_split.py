"""What is split is trained on and evaluated by the names of its parts, and no question stands in two of them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from interank.artifact import Workplace, create, open_artifact
from interank.cli.app import main
from interank.ir.benchmarks import load_benchmark
from interank.ir.overlap import BenchmarkIndex, BenchmarkQuery, BenchmarkTexts, training_overlap
from interank.judgments import FILE, read_judgments
from interank.ledger import write_rows
from interank.pairs import read_pairs
from interank.settings import LoraRecipe, PromptSettings
from interank.settings.student import MixtureRecipe
from interank.stages import distill
from interank.tasks.judge.recipe import DistillJudge

PARTS = {
    "part": ["gear", "spring", "valve", "hinge", "lever", "motor", "sensor", "bracket"],
    "fault": ["rusts", "breaks", "leaks", "jams", "slips"],
}


def text(number: int) -> str:
    part, fault = PARTS["part"][number % 8], PARTS["fault"][number % 5]
    return (
        f"Machine {number}: the {part} {number * 7} {fault} after {number * 3} hours of cold rain, what {number}helps?"
    )


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labels")
    lines = ["query_id,query,document,score"]
    for n in range(40):
        # Every fourth question is asked again in nearly the same words.
        asked = text(n - 1).replace("what", "pray what") if n % 4 == 1 else text(n)
        lines += [f'q{n},"{asked}",answer {n} of {m},{0.9 - m / 2}' for m in range(2)]
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")
    out = folder / "labels"
    assert main(["import", str(folder / "scores.csv"), "--as", "scores", "--grades=0.5,0.8", "--out", str(out)]) == 0
    return out


def split(source: Path, out: Path, *more: str, code: int = 0) -> Path:
    assert main(["split", str(source), "--out", str(out), *more]) == code
    return out


def test_labels_are_split_by_question(labels: Path, tmp_path: Path) -> None:
    out = split(labels, tmp_path / "split", "--shares", "60,20,20")
    train = read_judgments(open_artifact(out / "train", "judgments").path)
    trained = {item.query.query_id for item in train}
    tests = {name: load_benchmark(out, name) for name in ("dev", "test")}
    asked = [trained, *(set(task.queries) for task in tests.values())]
    assert sorted(map(len, asked)) == [8, 8, 24]
    assert set().union(*asked) == {f"q{n}" for n in range(40)}
    for n in range(1, 40, 4):
        assert any({f"q{n}", f"q{n - 1}"} <= names for names in asked), "near-duplicates were parted"
    source = {(item.query.query_id, item.document.doc_id): item for item in read_judgments(labels)}
    for item in train:
        before = source[item.query.query_id, item.document.doc_id]
        assert (item.judgment, item.score, item.document) == (before.judgment, before.score, before.document)
    held = {item.query.query_id for item in train if item.split == "validation"}
    assert 2 <= len(held) <= 3
    assert not held & {item.query.query_id for item in train if item.split == "train"}
    qrels = {(qrel.query_id, qrel.doc_id): qrel.relevance for task in tests.values() for qrel in task.qrels}
    assert all(grade == source[pair].judgment.relevance for pair, grade in qrels.items())
    assert tests["dev"].corpus == tests["test"].corpus


def test_nothing_of_the_test_is_in_what_is_trained_on(labels: Path, tmp_path: Path) -> None:
    out = split(labels, tmp_path / "split", "--shares", "60,20,20")
    for name in ("dev", "test"):
        queries = tuple(BenchmarkQuery(q.query_id, q.text) for q in load_benchmark(out, name).queries.values())
        found = training_overlap(
            read_judgments(out / "train"), BenchmarkIndex([BenchmarkTexts("b", "t", queries, None)])
        )
        assert not found.by_queries.removed
    everything = training_overlap(read_judgments(labels), BenchmarkIndex([BenchmarkTexts("b", "t", queries, None)]))
    assert everything.by_queries.removed, "the check finds nothing at all"
    train = open_artifact(out / "train")
    assert train.lineage() == [], "what is trained on leads back to what the test is made of"
    assert train.manifest["grades"] == "scores"
    assert train.manifest["split_of"]["digest"] == open_artifact(labels).digest


def test_a_seed_gives_the_same_bytes(labels: Path, tmp_path: Path) -> None:
    made = [split(labels, tmp_path / name, "--seed", seed) for name, seed in (("a", "1"), ("b", "1"), ("c", "2"))]
    first, again, other = (
        {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.name.startswith(("qrels", FILE))}
        for out in made
    )
    assert first == again
    assert first != other


def test_what_a_teacher_left_beside_is_split_too(labels: Path, tmp_path: Path) -> None:
    source = tmp_path / "judged"
    source.mkdir()
    rows = [json.loads(line) for line in (labels / FILE).read_text().splitlines()]
    rows = [{**row, "split": "validation" if row["query_id"] in ("q0", "q1") else "train"} for row in rows]
    place = create(source / "a", "judgments", recipe={}, inputs={})
    assert isinstance(place, Workplace)
    write_rows(place.folder / FILE, rows)
    beside = [{"query_id": f"q{n}", "queries": ["a"], "split": "train"} for n in range(40)]
    write_rows(place.folder / "queries.jsonl", beside)
    place.finish(seed=1, counts={}, notes={"teacher": "t", "grades": "votes"})
    out = split(source / "a", tmp_path / "split", "--shares", "8,1,1")
    train = read_judgments(out / "train")
    names = {item.query.query_id for item in train}
    written = [json.loads(line) for line in (out / "train" / "queries.jsonl").read_text().splitlines()]
    assert {row["query_id"] for row in written} == names
    if "q0" in names:
        assert {item.query.query_id for item in train if item.split == "validation"} == {"q0", "q1"}
    assert open_artifact(out / "train").manifest["teacher"] == "t"


def test_questions_are_split_into_a_source_and_benchmarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {
            "id": f"T-{n}",
            "question": text(n),
            "thread": "rain" if n < 3 else None,
            "answers": [
                {
                    "body": f"Grease the {PARTS['part'][n % 8]} number {n} and wait for a while until it has dried.",
                    "accepted": m == 1,
                }
                if m
                else f"Do not know about {n}, but have you looked into the manual of the machine?"
                for m in range(2)
            ],
        }
        for n in range(30)
    ]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["import", str(tmp_path / "t.jsonl"), "--as", "questions", "--out", str(tmp_path / "q")]) == 0
    out = split(tmp_path / "q", tmp_path / "split", "--shares", "4,1,1")
    hint = capsys.readouterr().err
    assert f"dumps={out}/train benchmarks={out} decontaminate=queries" in hint
    command = re.findall(r"next: interank (generate .*) --out", hint)[-1]
    assert main([*shlex.split(command), "--out", str(tmp_path / "votes")]) == 0
    tests = {name: load_benchmark(out, name) for name in ("dev", "test")}
    for task in tests.values():
        assert len(task.queries) == 5
        for qrel in task.qrels:
            assert qrel.relevance == (2 if task.documents()[qrel.doc_id].text.startswith("Grease") else 1)
    mined = ["generate", "generate/smollm2", f"dumps={out / 'train'}", "decontaminate=false", "--mine-only"]
    assert main([*mined, "--out", str(tmp_path / "pairs")]) == 0
    pairs = list(read_pairs(tmp_path / "pairs"))
    asked = {pair.query.query_id for pair in pairs}
    assert len(asked) == 20
    assert not asked & {name for task in tests.values() for name in task.queries}
    assert len({f"t/T-{n}" in asked for n in range(3)}) == 1, "a thread was parted"
    # A question reads the same in training and in the test.
    assert text(4) in {pair.query.text for pair in pairs} | {q.text for t in tests.values() for q in t.queries.values()}


def test_parts_are_evaluated_by_name(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = split(labels, tmp_path / "split")
    arguments = ["evaluate", "evaluate/benchmark", f"benchmark={out}", "split=dev", "--out", str(tmp_path / "dev")]
    assert main(arguments) == 0
    assert open_artifact(tmp_path / "dev").manifest["inputs"]["benchmark"]["kind"] == "splits"


def test_what_cannot_be_split_is_a_sentence(labels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    split(tmp_path / "none", tmp_path / "out", code=1)
    assert "does not exist" in capsys.readouterr().err
    done = split(labels, tmp_path / "done")
    split(done, tmp_path / "out", code=1)
    assert "holds splits, and only questions and judgments" in capsys.readouterr().err
    split(labels, tmp_path / "out", "--shares", "1,0,0", "--validation", "0")
    assert not list((tmp_path / "out").glob("qrels*"))
    for option, said in (("--shares=1,1", "three shares are expected"), ("--validation=1", "a share of at least 0")):
        with pytest.raises(SystemExit):
            main(["split", str(labels), "--out", str(tmp_path / "o"), option])
        assert said in capsys.readouterr().err
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".") and path.name.endswith(".partial")]


def test_what_was_imported_and_split_is_learned_and_evaluated(
    labels: Path, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = split(labels, tmp_path / "split")
    recipe = DistillJudge(
        stage="distill",
        judgments=out / "train",
        student=str(tiny_folder),
        quantisation="none",
        mixture=MixtureRecipe(score=1, explain=0, reason=0, queries=0),
        prompt=PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60),
        lora=LoraRecipe(rank=4, alpha=8),
        trainer={"max_steps": 2, "per_device_train_batch_size": 4, "save_strategy": "no"},
    )
    adapter = distill.run(recipe, tmp_path / "adapter")
    assert adapter.manifest["counts"]["examples"] == len(read_judgments(out / "train", "train"))
    assert adapter.manifest["counts"]["validation_pairs"] > 0
    arguments = ["evaluate", "evaluate/benchmark", f"benchmark={out}", "split=test", f"adapters={adapter.path}"]
    assert main([*arguments, "mode=score", "explain=0", "--out", str(tmp_path / "test")]) == 0
    told = " ".join(open_artifact(tmp_path / "test").manifest["notes"])
    assert "0 of 4 test queries" in told, told


def test_a_training_without_validation_says_what_holds_questions_back(
    labels: Path, tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = DistillJudge(
        stage="distill",
        judgments=labels,
        student=str(tiny_folder),
        quantisation="none",
        mixture=MixtureRecipe(score=1, explain=0, reason=0, queries=0),
        prompt=PromptSettings(max_length=300, max_query_tokens=60, max_document_tokens=60),
        lora=LoraRecipe(rank=4, alpha=8),
        trainer={"max_steps": 1, "per_device_train_batch_size": 2, "save_strategy": "no"},
    )
    distill.run(recipe, tmp_path / "adapter")
    assert "interank split holds questions back" in caplog.text
