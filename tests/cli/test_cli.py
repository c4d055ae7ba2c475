"""The command line: results on standard output, all else on standard error, and an exit code that tells which."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from interank.cli.app import main
from interank.ir.trec import read_run
from interank.recipe import GET_BENCHMARKS, load_recipe, recipe_files
from interank.resources import resource_dir
from interank.settings.links import LinkRecipe
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder, write_jsonl

Capture = pytest.CaptureFixture[str]

QRELS = "q1 0 d1 2\nq1 0 d2 0\nq2 0 d3 1\n"
RUN = "q1 Q0 d1 1 2.0 x\nq1 Q0 d2 2 1.0 x\nq2 Q0 d1 1 3.0 x\nq2 Q0 d3 2 2.0 x\n"
# Of q1 the relevant document is first, of q2 second: (1 + 1 / log2(3)) / 2.
NDCG = 0.8154648767857287
QUESTION = "Where is the red fox?"


def called(capsys: Capture, *arguments: str | Path) -> tuple[int, str, str]:
    """Run the command in this process: exit code, standard output, standard error."""
    capsys.readouterr()
    code = main([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def misused(capsys: Capture, *arguments: str | Path) -> str:
    """Run a command that is no use of it; what it says."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, told = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    return told


def refused(capsys: Capture, *arguments: str | Path) -> str:
    """Run a command that cannot be done; the sentence that says why."""
    code, out, told = called(capsys, *arguments)
    assert (code, out) == (1, "")
    assert "Traceback" not in told
    # Progress of a model that was loaded before may stand in front.
    _, lead, sentence = told.partition("interank: ")
    assert lead
    return sentence.rstrip("\n")


def process(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    line = [sys.executable, "-m", "interank.cli.app", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def scored(tmp_path: Path) -> tuple[Path, Path]:
    """Qrels and a run."""
    qrels, run = tmp_path / "qrels.txt", tmp_path / "run.trec"
    qrels.write_text(QRELS)
    run.write_text(RUN)
    return qrels, run


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    """A recipe that evaluates the first stage of a small benchmark."""
    benchmark = benchmark_folder(tmp_path / "benchmark", queries=2)
    path = tmp_path / "evaluate.yaml"
    path.write_text(f"stage: evaluate\nbenchmark: {benchmark}\ndepth: 4\nmax_reasoning_tokens: 8\n")
    return path


# --- the command as a whole


@pytest.mark.parametrize("group", [[], ["recipes"]], ids=["interank", "recipes"])
def test_bare_it_shows_its_help(capsys: Capture, group: list[str]) -> None:
    for arguments in (group, [*group, "--help"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 0
    out, told = capsys.readouterr()
    half = len(out) // 2
    assert out[:half] == out[half:]
    assert out.startswith(" ".join(["usage: interank", *group]))
    assert told == ""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("evalute", "there is no verb 'evalute'; did you mean evaluate?"),
        ("recipes shw", "there is no action 'shw'; did you mean show?"),
        ("distill r --ouy o", "there is no option --ouy; did you mean --out?"),
        ("score a b --jsno", "there is no option --jsno; did you mean --json?"),
        ("rerank m --mode lists", "there is no --mode lists; did you mean listwise?"),
        ("evaluate r --out o --depth=3", "settings of the recipe are written without dashes, as depth=3"),
        ("evaluate r --out o depth", "found 'depth'; settings of the recipe are written key=value"),
        ("rerank m --top-k few", "--top-k: found 'few', where a whole number from 1 on is needed"),
        ("trigonometry", ", distill, reward, rl, evaluate, "),
    ],
)
def test_the_nearest_word_is_named_in_one_line(capsys: Capture, typed: str, meant: str) -> None:
    told = misused(capsys, *typed.split())
    assert meant in told
    assert told.count("\n") == 1


def test_it_runs_as_a_module() -> None:
    line = [sys.executable, "-m", "interank", "-V"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, process("--version").stdout, "")


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["dis"], ["distill"]),
        (["distill", "distill/smol"], ["distill/smollm2", "distill/smollm2-group", "distill/smollm3-3b"]),
        (["recipes", "show", "rl/smollm2-"], ["rl/smollm2-group", "rl/smollm2-stackexchange"]),
        (["rerank", "m", "--mode", "li"], ["listwise"]),
        (["rerank", "m", "--top"], ["--top-k"]),
    ],
    ids=" ".join,
)
def test_bash_completes_verbs_options_and_recipes(
    capsys: Capture, tmp_path: Path, words: list[str], completed: list[str]
) -> None:
    code, script, _ = called(capsys, "completion", "bash")
    assert code == 0
    (tmp_path / "interank").write_text(script)
    typed = f"source {tmp_path}/interank; COMP_WORDS=(interank {' '.join(words)}); COMP_CWORD={len(words)}"
    line = ["bash", "-c", f'{typed}; _shtab_interank; printf "%s\\n" "${{COMPREPLY[@]}}"']
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True, cwd=tmp_path)
    assert sorted(set(done.stdout.split())) == completed


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_scripts_with_every_recipe(capsys: Capture, shell: str) -> None:
    script = called(capsys, "completion", shell)[1]
    assert all(name in script for name, _ in recipe_files())
    assert all(verb in script for verb in ("distill", "check-parity", "--max-reasoning-tokens"))


def test_every_verb_has_help_with_an_example(capsys: Capture) -> None:
    for verb in ("generate", "distill", "rl", "evaluate", "run", "rerank", "score", "recipes", "check"):
        with pytest.raises(SystemExit) as ended:
            main([verb, "--help"])
        assert ended.value.code == 0
        assert f"  interank {verb} " in capsys.readouterr().out


def test_the_version_goes_to_standard_output() -> None:
    done = process("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("interank ")


# --- score


def test_score_prints_ndcg_unless_told_otherwise(capsys: Capture, scored: tuple[Path, Path]) -> None:
    code, out, told = called(capsys, "score", *scored)
    assert (code, out) == (0, "nDCG@10  0.8155\n")
    assert told.startswith(
        f"next: interank evaluate evaluate/benchmark benchmark=DIR first_stage=null run={scored[1]} "
    )
    assert called(capsys, "score", *scored, "--quiet")[2] == ""


def test_score_aligns_several_measures(capsys: Capture, scored: tuple[Path, Path]) -> None:
    assert called(capsys, "score", *scored, "RR", "nDCG@10", "R@1")[1] == (
        "RR       0.7500\nnDCG@10  0.8155\nR@1      0.5000\n"
    )


def test_score_prints_json_with_full_precision(capsys: Capture, scored: tuple[Path, Path]) -> None:
    code, out, told = called(capsys, "score", *scored, "--json")
    assert (code, told) == (0, "")
    assert json.loads(out) == {"nDCG@10": pytest.approx(NDCG, abs=1e-12)}


def test_score_takes_measures_after_an_option_too(capsys: Capture, scored: tuple[Path, Path]) -> None:
    assert json.loads(called(capsys, "score", *scored, "--json", "RR")[1]) == {"RR": 0.75}


def test_score_reads_gzip(capsys: Capture, scored: tuple[Path, Path], tmp_path: Path) -> None:
    packed = []
    for path in scored:
        packed.append(tmp_path / f"{path.name}.gz")
        packed[-1].write_bytes(gzip.compress(path.read_bytes()))
    assert called(capsys, "score", *packed)[:2] == called(capsys, "score", *scored)[:2]


@pytest.mark.parametrize("place", [0, 1])
def test_score_says_in_a_sentence_that_a_file_is_missing(
    capsys: Capture, scored: tuple[Path, Path], place: int, tmp_path: Path
) -> None:
    files = list(scored)
    files[place] = tmp_path / "lost.txt"
    told = refused(capsys, "score", *files)
    assert "\n" not in told
    assert told.startswith(f"{files[place]}: cannot be read")


def test_score_names_the_line_that_is_wrong(capsys: Capture, scored: tuple[Path, Path]) -> None:
    scored[1].write_text(RUN + "q2 Q0 d4 3 high x\n")
    assert re.search(rf"{re.escape(str(scored[1]))}:5: .*'high'", refused(capsys, "score", *scored))


def test_score_refuses_a_measure_it_does_not_know(capsys: Capture, scored: tuple[Path, Path]) -> None:
    told = refused(capsys, "score", *scored, "nDGC@10")
    assert "'nDGC@10'" in told
    assert "nDCG@10" in told


def test_score_in_a_process_of_its_own(scored: tuple[Path, Path]) -> None:
    done = process("score", *scored, "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "nDCG@10  0.8155\n", "")
    lost = process("score", scored[0], f"{scored[1]}.lost")
    assert (lost.returncode, lost.stdout) == (1, "")
    assert lost.stderr.count("\n") == 1
    assert "Traceback" not in lost.stderr


# --- recipes


def test_recipes_are_listed_with_what_they_take(capsys: Capture) -> None:
    listed = json.loads(called(capsys, "recipes", "ls", "--json")[1])
    assert list(listed) == [name for name, _ in recipe_files()]
    for name, path in recipe_files():
        found = listed[name]
        takes = f"# Takes {found['hardware']} | {found['time']} | {found['cost']}"
        assert path.read_text("utf-8").startswith(f"# {found['what']}\n{takes}\n")
    code, out, told = called(capsys, "recipes", "ls")
    head, *lines = out.splitlines()
    assert code == 0
    assert "docs/recipes.md" in told
    assert max(map(len, [head, *lines])) <= 100
    # Columns are two spaces apart.
    assert [line.split("  ")[0] for line in lines] == list(listed)
    for line, found in zip(lines, listed.values(), strict=True):
        assert [cell.strip() for cell in line.split("  ") if cell.strip()][1:] == [
            found[column] for column in ("hardware", "time", "cost", "what")
        ]


def test_a_recipe_is_shown_as_it_is(capsys: Capture) -> None:
    assert called(capsys, "recipes", "show", "demo") == (
        0,
        (resource_dir("recipes") / "demo.yaml").read_text("utf-8"),
        "next: interank recipes cp demo mine.yaml copies it to edit\n",
    )


def test_an_unknown_recipe_is_refused_with_the_nearest_name(capsys: Capture) -> None:
    assert "'distill/smollm2'" in refused(capsys, "recipes", "show", "distill/smolm2")


@pytest.mark.parametrize("name", ["smollm2", "smolm2"])
def test_a_name_without_its_stage_is_told_with_all_its_stages(capsys: Capture, name: str) -> None:
    told = refused(capsys, "recipes", "show", name)
    assert all(full in told for full in ("distill/smollm2", "generate/smollm2", "rl/smollm2"))


def test_a_recipe_is_copied_to_a_file_or_into_a_folder(capsys: Capture, tmp_path: Path) -> None:
    assert called(capsys, "recipes", "cp", "distill/smollm2", tmp_path / "mine.yaml")[1] == f"{tmp_path}/mine.yaml\n"
    assert called(capsys, "recipes", "cp", "distill/smollm2", tmp_path)[1] == f"{tmp_path}/smollm2.yaml\n"
    original = (resource_dir("recipes") / "distill" / "smollm2.yaml").read_bytes()
    assert (tmp_path / "mine.yaml").read_bytes() == (tmp_path / "smollm2.yaml").read_bytes() == original


def test_a_copy_overwrites_nothing(capsys: Capture, tmp_path: Path) -> None:
    mine = tmp_path / "demo.yaml"
    mine.write_text("mine")
    for target in (mine, tmp_path):
        assert f"{mine} exists" in refused(capsys, "recipes", "cp", "demo", target)
    assert mine.read_text() == "mine"


def test_a_copy_into_a_folder_that_is_not_there_is_refused(capsys: Capture, tmp_path: Path) -> None:
    assert "nowhere" in refused(capsys, "recipes", "cp", "demo", tmp_path / "nowhere" / "demo.yaml")


# --- check


def test_check_prints_the_resolved_recipe_and_what_is_still_missing(capsys: Capture) -> None:
    code, out, told = called(capsys, "check", "rl/smollm2", "seed=7")
    resolved = yaml.safe_load(out)
    assert code == 0
    assert resolved["seed"] == 7
    assert resolved == load_recipe("rl/smollm2", ["seed=7"]).model_dump(mode="json")
    missing, *_, following = told.splitlines()
    assert missing.endswith(": judgments, adapter")
    assert following == "next: interank rl rl/smollm2 seed=7 judgments=PATH adapter=PATH --out runs/NAME"


def test_check_says_what_a_run_reads_and_takes_and_nothing_when_quiet(capsys: Capture) -> None:
    assert called(capsys, "check", "rl/smollm2", "--quiet")[2] == ""
    *lines, following = called(capsys, "check", "demo")[2].splitlines()
    # The starter's base says where it is from.
    lines = [line for line in lines if not line.startswith("HuggingFaceTB/")]
    assert {line.partition(":")[0] for line in lines} == {"reads", "writes", "takes", "time", "money"}
    assert following == "next: interank run demo --out runs/NAME"


def test_check_prints_json_that_is_the_yaml(capsys: Capture) -> None:
    as_json = json.loads(called(capsys, "check", "demo", "--json")[1])
    assert as_json == yaml.safe_load(called(capsys, "check", "demo")[1])
    assert as_json["stages"]["evaluate"]["depth"] == 10


def test_what_check_prints_is_a_recipe_again(capsys: Capture, tmp_path: Path) -> None:
    for name, _ in recipe_files():
        again = tmp_path / "again.yaml"
        again.write_text(called(capsys, "check", name)[1])
        assert called(capsys, "check", again)[1] == again.read_text()


def test_check_tells_all_faults_at_once(capsys: Capture, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("stage: evaluate\ndeph: 3\nmode: guess\nqueries: 0\n")
    told = refused(capsys, "check", path, "explain=-1")
    assert len(told.splitlines()) == 4
    for part in ("deph: .*'depth'", "mode: 'guess'", "queries: 0", "explain: -1"):
        assert re.search(part, told)
    assert all(str(path) in line for line in told.splitlines())


# --- the stages


@pytest.mark.parametrize("verb", ["generate", "distill", "rl", "evaluate", "run"])
def test_a_recipe_of_another_stage_is_refused(capsys: Capture, tmp_path: Path, verb: str) -> None:
    other, stage = ("distill/smollm2", "distill") if verb != "distill" else ("demo", "run")
    told = refused(capsys, verb, other, "--out", tmp_path / "out")
    assert re.search(f"`interank {stage}`.*`interank {verb}`", told)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        (
            ["generate", "generate/smollm2", "decontaminate=false"],
            ["dumps"],
        ),
        (
            ["generate", "generate/smollm2"],
            ["dumps", "benchmarks"],
        ),
        (["distill", "distill/smollm2"], ["judgments"]),
        (
            ["rl", "rl/smollm2"],
            ["judgments", "adapter"],
        ),
        (["rl", "rl/smollm2", "judgments=a"], ["adapter"]),
        (["evaluate", "evaluate/benchmark"], ["benchmark"]),
        (
            ["run", "demo", "evaluate.benchmark=null"],
            ["evaluate.benchmark"],
        ),
    ],
    ids=" ".join,
)
def test_missing_inputs_are_named(capsys: Capture, tmp_path: Path, arguments: list[str], missing: list[str]) -> None:
    told = refused(capsys, *arguments, "--out", tmp_path / "out")
    assert re.findall(r"(\S+)=PATH", told) == missing
    assert (GET_BENCHMARKS in told) == ("benchmarks" in missing)
    assert list(tmp_path.iterdir()) == []


def test_an_output_has_to_be_given(capsys: Capture) -> None:
    assert "--out" in misused(capsys, "evaluate", "evaluate/benchmark")


def test_an_existing_output_has_three_ways_out(capsys: Capture, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, first, _ = called(capsys, "evaluate", recipe, "--out", out)
    assert code == 0
    before = (out / "manifest.json").read_bytes()
    told = refused(capsys, "evaluate", recipe, "--out", out)
    assert told.startswith(f"{out} exists")
    for way in ("--resume", "--overwrite", "another --out"):
        assert way in told
    assert called(capsys, "evaluate", recipe, "--out", out, "--resume")[:2] == (0, first)
    assert "depth differ" in refused(capsys, "evaluate", recipe, "--out", out, "--resume", "depth=2")
    assert (out / "manifest.json").read_bytes() == before
    assert called(capsys, "evaluate", recipe, "--out", out, "--overwrite", "depth=2")[0] == 0
    assert (out / "manifest.json").read_bytes() != before
    assert "not allowed with" in misused(capsys, "evaluate", recipe, "--out", out, "--resume", "--overwrite")


def test_settings_are_taken_before_and_after_the_options(capsys: Capture, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["evaluate", recipe, "depth=3", "--out", out, "queries=1", "--json", "seed=5", "measures=RR,nDCG@10"]
    code, printed, _ = called(capsys, *arguments)
    assert code == 0
    resolved = json.loads((out / "recipe.json").read_text())
    assert [resolved[key] for key in ("depth", "queries", "seed")] == [3, 1, 5]
    assert json.loads(printed) == json.loads((out / "metrics.json").read_text())
    assert set(json.loads(printed)["first stage"]) == {"queries", "tasks", "RR", "nDCG@10"}


def test_faults_of_the_recipe_are_told_before_anything_is_made(capsys: Capture, recipe: Path, tmp_path: Path) -> None:
    told = refused(capsys, "evaluate", recipe, "deph=3", "--out", tmp_path / "out", "sede=1")
    assert re.search("deph: .*'depth'", told)
    assert re.search("sede: .*'seed'", told)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("wrong", ["--fast", "--depth", "depth", "-x"])
def test_an_unknown_option_is_a_misuse(capsys: Capture, recipe: Path, tmp_path: Path, wrong: str) -> None:
    assert wrong in misused(capsys, "evaluate", recipe, "--out", tmp_path / "out", wrong)
    assert not (tmp_path / "out").exists()


def test_evaluate_prints_a_table_and_where_the_report_is(capsys: Capture, recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, printed, _ = called(capsys, "evaluate", recipe, "--out", out)
    assert code == 0
    lines = printed.splitlines()
    assert lines[0].split()[:2] == ["system", "nDCG@10"]
    metrics = json.loads((out / "metrics.json").read_text())
    for name, line in zip(metrics, lines[1:], strict=False):
        assert line.startswith(name)
        assert f"{metrics[name]['nDCG@10']['mean']:.4f}" in line
    assert lines[-2:] == [f"report: {out / 'report.md'}", f"page:   {out / 'report.html'}"]


@pytest.mark.parametrize("loudness", [[], ["--quiet"]], ids=["as it is", "quiet"])
def test_only_results_are_on_standard_output(
    recipe: Path, tmp_path: Path, tiny_adapter: Path, loudness: list[str]
) -> None:
    arguments = [f"adapters={tiny_adapter}", "queries=1", "--json", *loudness]
    done = process("evaluate", recipe, "--out", tmp_path / "out", *arguments)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert "adapter" in printed
    if loudness:
        assert done.stderr == ""
    else:
        assert "evaluate adapter" in done.stderr
        assert "Warning" not in done.stderr


def test_an_output_that_cannot_be_made_is_told_in_a_sentence(capsys: Capture, recipe: Path, tmp_path: Path) -> None:
    assert str(recipe) in refused(capsys, "evaluate", recipe, "--out", recipe / "out")


# --- rerank


@pytest.fixture
def documents(tmp_path: Path) -> list[Path]:
    """A text file, and JSONL of both spellings."""
    text = tmp_path / "note.txt"
    text.write_text(rule.document_text("red", "fox", "barn"))
    beir = write_jsonl(
        tmp_path / "beir.jsonl", [{"_id": "b1", "title": "Farm", "text": rule.document_text("blue", "fox", "wood")}]
    )
    bright = write_jsonl(
        tmp_path / "bright.jsonl",
        [
            {"id": f"r{n}", "content": rule.document_text("red", animal, "wood")}
            for n, animal in enumerate(("owl", "hen"))
        ],
    )
    return [text, beir, bright]


def test_rerank_prints_the_documents_of_all_files(capsys: Capture, tiny_adapter: Path, documents: list[Path]) -> None:
    code, out, _ = called(capsys, "rerank", tiny_adapter, "--query", QUESTION, *documents, "--explain", "0")
    assert code == 0
    first, *lines = out.splitlines()
    assert first == f"Query: {QUESTION}"
    assert sorted(line.split()[1] for line in lines) == sorted([str(documents[0]), "b1", "r0", "r1"])
    assert [line.split()[0] for line in lines] == ["1.", "2.", "3.", "4."]
    assert any("A red fox sits in the barn." in line for line in lines)


def test_rerank_explains_the_first_three_unless_told_otherwise(
    capsys: Capture, tiny_adapter: Path, documents: list[Path]
) -> None:
    asked = ["rerank", tiny_adapter, *documents, "--query", QUESTION, "--max-reasoning-tokens", "4"]
    assert called(capsys, *asked)[1].count("     why: ") == 3


def test_rerank_takes_files_before_and_after_the_query(
    capsys: Capture, tiny_adapter: Path, documents: list[Path]
) -> None:
    whole = called(capsys, "rerank", tiny_adapter, *documents, "--query", QUESTION)[1]
    parted = called(capsys, "rerank", tiny_adapter, documents[0], "--query", QUESTION, *documents[1:])[1]
    assert whole == parted


def test_rerank_prints_json_with_explanations(capsys: Capture, tiny_adapter: Path, documents: list[Path]) -> None:
    options = ["--json", "--explain", "2", "--max-reasoning-tokens", "8"]
    code, out, _ = called(capsys, "rerank", tiny_adapter, *documents, "--query", QUESTION, *options)
    assert code == 0
    (line,) = out.splitlines()
    found = json.loads(line)
    assert set(found) == {"query_id", "ranking"}
    ranking = found["ranking"]
    assert {item["doc_id"] for item in ranking} == {str(documents[0]), "b1", "r0", "r1"}
    assert [item["explanation"] is not None for item in ranking] == [True, True, False, False]
    assert [item["score"] for item in ranking] == sorted((item["score"] for item in ranking), reverse=True)
    for item in ranking:
        assert sum(item["probabilities"]) == pytest.approx(1)
        assert item["relevance"] in (0, 1, 2)


def test_rerank_works_with_a_model_that_is_no_artifact(
    capsys: Capture, tiny_folder: Path, documents: list[Path]
) -> None:
    assert (
        called(capsys, "rerank", tiny_folder, documents[2], "--query", QUESTION, "--explain", "0")[1].count("\n") == 3
    )


def test_rerank_a_benchmark_into_a_run_that_score_reads(capsys: Capture, tiny_adapter: Path, tmp_path: Path) -> None:
    benchmark, run = benchmark_folder(tmp_path / "benchmark", queries=3), tmp_path / "ours.trec"
    arguments = ["--corpus", benchmark, "--top-k", "4", "--trec", run, "--json"]
    code, out, _ = called(capsys, "rerank", tiny_adapter, *arguments)
    assert code == 0
    printed = {row["query_id"]: row["ranking"] for row in map(json.loads, out.splitlines())}
    assert len(printed) == 3
    ranked = read_run(run)
    assert {name: ranked.doc_ids(name) for name in ranked} == {
        name: [item["doc_id"] for item in ranking] for name, ranking in printed.items()
    }
    assert all(len(ranking) <= 4 for ranking in printed.values())
    code, out, _ = called(capsys, "score", benchmark / "qrels.tsv", run, "--json")
    assert code == 0
    assert 0 <= json.loads(out)["nDCG@10"] <= 1


def test_rerank_takes_the_candidates_of_a_run(capsys: Capture, tiny_adapter: Path, tmp_path: Path) -> None:
    benchmark = benchmark_folder(tmp_path / "benchmark", queries=2)
    (name, doc_id), *_ = [line.split("\t")[:2] for line in (benchmark / "qrels.tsv").read_text().splitlines()[1:]]
    (tmp_path / "one.trec").write_text(f"{name} Q0 {doc_id} 1 1.0 x\n")
    out = called(capsys, "rerank", tiny_adapter, "--corpus", benchmark, "--run", tmp_path / "one.trec", "--json")[1]
    rankings = {
        row["query_id"]: [item["doc_id"] for item in row["ranking"]] for row in map(json.loads, out.splitlines())
    }
    assert rankings[name] == [doc_id]
    assert [ids for query_id, ids in rankings.items() if query_id != name] == [[]]


@pytest.mark.parametrize("given", [[], ["--query", QUESTION, "--corpus", "data/benchmark"]], ids=["neither", "both"])
def test_rerank_needs_a_query_or_a_corpus(capsys: Capture, tmp_path: Path, given: list[str]) -> None:
    assert re.search("--query TEXT.*--corpus DIR", refused(capsys, "rerank", tmp_path, *given))


def test_rerank_refuses_what_cannot_be_ranked(capsys: Capture, tmp_path: Path, documents: list[Path]) -> None:
    query = ["--query", QUESTION]
    assert "--query" in refused(capsys, "rerank", tmp_path, *query)
    assert "--query" in refused(capsys, "rerank", tmp_path, documents[0], "--query", " ")
    assert "lost.txt" in refused(capsys, "rerank", tmp_path, tmp_path / "lost.txt", *query)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    assert "image.png" in refused(capsys, "rerank", tmp_path, tmp_path / "image.png", *query)
    bad = write_jsonl(tmp_path / "bad.jsonl", [{"text": "no id"}])
    assert f"{bad}:1" in refused(capsys, "rerank", tmp_path, bad, *query)
    assert "nowhere" in refused(capsys, "rerank", tmp_path, "--corpus", tmp_path / "nowhere")


def test_rerank_refuses_a_document_given_twice(capsys: Capture, tiny_adapter: Path, documents: list[Path]) -> None:
    twice = [documents[1], documents[1]]
    assert "b1" in refused(capsys, "rerank", tiny_adapter, *twice, "--query", QUESTION)


def test_rerank_refuses_what_is_no_model(capsys: Capture, tmp_path: Path, documents: list[Path]) -> None:
    query = [documents[0], "--query", QUESTION]
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=1))
    assert re.search("judgments.*adapter", refused(capsys, "rerank", judgments, *query))
    assert "nothing-here" in refused(capsys, "rerank", tmp_path / "nothing-here", *query)


def test_who_asks_for_8_bits_is_told_what_to_use(capsys: Capture, tmp_path: Path, documents: list[Path]) -> None:
    said = refused(capsys, "rerank", tmp_path, documents[0], "--query", QUESTION, "--precision", "int8")
    assert "precision int8" in said
    assert re.search("exact, bfloat16 .*nf4", said)
    with pytest.raises(ValidationError, match="precision int8"):
        LinkRecipe(model="written", precision="int8")  # type: ignore[arg-type]


@pytest.mark.parametrize("option", [["--top-k", "0"], ["--top-k", "few"], ["--mode", "guess"]])
def test_rerank_checks_its_options(capsys: Capture, tmp_path: Path, option: list[str]) -> None:
    assert option[0] in misused(capsys, "rerank", tmp_path, "--query", QUESTION, *option)


def test_rerank_explains_no_negative_number(capsys: Capture, tmp_path: Path) -> None:
    assert "--explain" in misused(capsys, "rerank", tmp_path, "--query", QUESTION, "--explain", "-1")


def test_rerank_ranks_no_more_than_asked_for(capsys: Capture, tiny_adapter: Path, documents: list[Path]) -> None:
    out = called(capsys, "rerank", tiny_adapter, *documents, "--query", QUESTION, "--top-k", "2", "--explain", "0")[1]
    assert len(out.splitlines()) == 3


def test_rerank_refuses_files_beside_a_corpus(capsys: Capture, tmp_path: Path, documents: list[Path]) -> None:
    benchmark = benchmark_folder(tmp_path / "benchmark", queries=1)
    assert "note.txt" in refused(capsys, "rerank", tmp_path / "m", documents[0], "--corpus", benchmark)


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    line = [sys.executable, "-m", "interank.cli.app", "recipes", "show", "demo"]
    # Small output stays in the buffer until the end, unless this is set.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as started:
        assert started.stdout is not None
        assert started.stderr is not None
        started.stdout.close()
        assert started.stderr.read() == ""
        assert started.wait(timeout=60) == 0


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["table", "JSON"])
def test_an_id_that_utf8_cannot_write_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, tiny_adapter: Path, tmp_path: Path, form: list[str]
) -> None:
    odd = write_jsonl(tmp_path / "odd.jsonl", [{"_id": "a\ud800", "text": "A red fox."}])
    # As strict as a terminal or a file; pytest's own takes anything.
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert main(["rerank", str(tiny_adapter), str(odd), "--query", QUESTION, *form]) in (0, 1)


def test_rerank_knows_before_it_ranks_that_it_cannot_write(
    capsys: Capture, tiny_adapter: Path, documents: list[Path], tmp_path: Path
) -> None:
    lost = tmp_path / "nowhere" / "ours.trec"
    told = refused(capsys, "rerank", tiny_adapter, *documents, "--query", QUESTION, "--trec", lost)
    assert str(lost) in told
