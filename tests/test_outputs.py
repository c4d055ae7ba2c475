"""Nothing is replaced that interank did not make, and what cannot be an output is refused before work begins."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest

from interank.artifact import Artifact, Workplace, create, describe_input, open_artifact
from interank.cli.app import main
from interank.errors import ArtifactError, InputError
from interank.ledger import Ledger, write_rows
from interank.outputs import Partial, check_file, holds_json, write_whole
from tests.support.benchmark import benchmark_folder
from tests.support.kills import Killed, watched

EVALUATE = ["evaluate", "evaluate/benchmark"]


def everything(folder: Path) -> dict[str, str]:
    """What a folder holds, files with their text."""
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a benchmark, somebody's work, and a recipe."""
    here = tmp_path / "above" / "here"
    here.mkdir(parents=True)
    benchmark_folder(here / "benchmark")
    (here / "thesis").mkdir()
    (here / "thesis" / "thesis.txt").write_text("years of work")
    (here / "recipes").mkdir()
    (here / "recipes" / "mine.yaml").write_text("stage: evaluate\n")
    (here / "note").write_text("a file")
    (here / "empty").mkdir()
    monkeypatch.chdir(here)
    return here


@pytest.mark.parametrize("flag", ["--overwrite", "--resume", "--quiet"])
@pytest.mark.parametrize(
    ("out", "said"),
    [
        (".", "is the working directory"),
        ("..", "holds the working directory"),
        ("../here", "is the working directory"),
        ("/", "holds the working directory"),
        ("benchmark/..", "is the working directory"),
        ("benchmark", "is an input and would be lost"),
        ("recipes", "holds recipes/mine.yaml, which is an input"),
        ("thesis", "manifest.json"),
        ("note", "is a file"),
        ("note/out", "cannot be made in"),
        ("loop", "cannot be an output|Symlink loop|Too many levels"),
        ("to_note", "is a file"),
        ("to_thesis", "manifest.json"),
    ],
)
def test_what_is_not_ours_is_refused_before_work_begins(
    here: Path, out: str, said: str, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "loop").symlink_to("loop")
    (here / "to_note").symlink_to("note")
    (here / "to_thesis").symlink_to("thesis")
    before = everything(here.parent)
    recipe = "recipes/mine.yaml" if out == "recipes" else "evaluate/benchmark"
    assert main(["evaluate", recipe, "benchmark=benchmark", "--out", out, flag]) == 1
    told = capsys.readouterr().err
    assert any(part in told for part in said.split("|")), told
    assert told.count("\n") == 1
    assert everything(here.parent) == before
    assert not [path for path in here.parent.rglob(".*") if path.name != ".gitignore"]


@pytest.mark.parametrize("flag", ["--overwrite", "--resume", "--quiet"])
@pytest.mark.parametrize(("out", "place"), [("link", "disk"), ("dangling", "nowhere"), ("empty", "empty")])
def test_a_link_is_followed_and_an_empty_folder_is_no_output(here: Path, out: str, place: str, flag: str) -> None:
    (here / "disk").mkdir()
    (here / "link").symlink_to("disk")
    (here / "dangling").symlink_to("nowhere")
    command = [*EVALUATE, "benchmark=benchmark", "--out", out]
    assert main([*command, flag]) == 0
    assert (here / out).is_symlink() == (out != "empty")
    digest = open_artifact(here / place).digest
    assert open_artifact(here / out).digest == digest
    assert main([*command, "--quiet"]) == 1
    assert main([*command, "--overwrite", "--quiet"]) == 0
    assert (here / out).is_symlink() == (out != "empty")
    assert open_artifact(here / place).digest == digest
    assert not [path for path in here.iterdir() if path.name.startswith(".")]


def artifact(out: Path, existing: str = "refuse", **inputs: Path) -> Artifact:
    described = {name: describe_input(path, out) for name, path in inputs.items()}
    place = create(out, "evaluation", recipe={"a": 1}, inputs=described, existing=existing)  # type: ignore[arg-type]
    assert isinstance(place, Workplace)
    place.write_json("cost.json", {})
    place.write_json("figures.json", {})
    return place.finish(seed=1, counts={})


def test_a_file_of_somebodys_in_an_output_keeps_it_from_being_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    artifact(out)
    (out / "fits").mkdir()
    (out / "fits" / "score.json").write_text("{}")
    artifact(out, "overwrite")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match=r"notes\.txt.* interank did not make"):
        artifact(out, "overwrite")
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("content", ["{}", "[]", "not JSON", '{"name": "a web page", "icons": []}'])
def test_another_programs_manifest_is_none_of_ours(tmp_path: Path, content: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match="not made by interank"):
        artifact(out, "overwrite")
    assert (out / "manifest.json").read_text() == content


def test_an_unfinished_output_that_is_not_ours_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    partial = Partial(out).folder
    partial.mkdir()
    (partial / "recipe.json").write_text("{}")
    for existing in ("refuse", "resume", "overwrite"):
        with pytest.raises(ArtifactError, match=r"recipe\.json"):
            artifact(out, existing)
    assert (partial / "recipe.json").exists()


def test_inputs_and_what_the_recipe_names_are_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    artifact(out)
    with pytest.raises(ArtifactError, match=r"figures\.json.* is an input"):
        artifact(out, "overwrite", run=out / "figures.json")
    with pytest.raises(ArtifactError, match=r"figures\.json.* is an input"):
        nested = {"teacher": {"files": [str(out / "figures.json")]}}
        create(out, "evaluation", recipe=nested, inputs={}, existing="overwrite")
    assert open_artifact(out).recipe() == {"a": 1}


def test_what_comes_into_the_place_meanwhile_is_not_replaced_and_the_output_waits(tmp_path: Path) -> None:
    out = tmp_path / "out"
    place = create(out, "evaluation", recipe={"a": 1}, inputs={})
    assert isinstance(place, Workplace)
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="not made by interank"):
        place.finish(seed=1, counts={})
    assert (out / "thesis.txt").exists()
    (out / "thesis.txt").unlink()
    assert isinstance(create(out, "evaluation", recipe={"a": 1}, inputs={}, existing="resume"), Artifact)
    del place
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("before")
    link.symlink_to("file")
    for number in count(1):
        try:
            with watched(tmp_path, kill_at=number, torn=True):
                write_rows(link, [{"a": 1}])
            break
        except Killed:
            assert file.read_text() == "before"
    assert file.read_text() == '{"a": 1}\n'
    assert link.is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]
    with pytest.raises(TypeError), watched(tmp_path):
        write_rows(file, [{"a": object()}])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]
    write_whole(Path("/dev/null"), "nothing is lost there")


def test_a_file_that_is_read_or_somebodys_is_not_written(tmp_path: Path) -> None:
    read, note, own = tmp_path / "read", tmp_path / "note", tmp_path / "own"
    for path, text in ((read, "{}"), (note, "a note"), (own, '{\n "kind": 1\n}')):
        path.write_text(text)

    def check(path: Path) -> None:
        check_file("--json", path, ours=lambda found: holds_json(found, "kind"), read=[read])

    check(own)
    check(tmp_path / "new")
    check(Path("/dev/stdout"))
    for path, said in (
        (read, "is an input and would be lost"),
        (note, "did not write"),
        (tmp_path, "is a folder"),
        (tmp_path / "none" / "new", "its folder does not exist"),
    ):
        with pytest.raises(InputError, match=said):
            check(path)


@pytest.mark.parametrize(
    "command",
    [
        ["rerank", "no-model", "--query", "why?", "text.txt", "--jsonl", "OUT"],
        ["rerank", "no-model", "--query", "why?", "text.txt", "--trec", "OUT"],
        ["rerank", "no-model", "--query", "why?", "text.txt", "--rank-llm", "OUT"],
        ["queries", "no-model", "--corpus", "benchmark", "--out", "OUT"],
        ["fit", "no-evaluation", "--out", "OUT", "--overwrite"],
        ["attack", "no-model", "--benchmark", "benchmark", "--json", "OUT"],
        ["check-parity", "no-model", "--json", "OUT"],
        ["merge", "no-adapter", "--out", "OUT"],
        ["export", "no-head", "--to", "onnx", "--out", "OUT"],
    ],
)
@pytest.mark.parametrize("content", [b"a note", b"a note\n", b"\x00\xff\x00\n", b'{"_id": "d1", "text": "a text"}\n'])
def test_no_verb_touches_a_file_of_somebodys(
    here: Path, command: list[str], content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "text.txt").write_text("Steam softens the crumb.")
    (here / "out").write_bytes(content)
    assert main([part.replace("OUT", "out") for part in command]) == 1
    told = capsys.readouterr().err
    assert "out" in told
    assert "name another" in told or "choose another" in told, told
    assert (here / "out").read_bytes() == content


def test_two_outputs_of_rerank_are_two_files_and_none_that_is_read(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "text.txt").write_text("Steam softens the crumb.")
    ranked = ["rerank", "no-model", "--query", "why?", "text.txt"]
    assert main([*ranked, "--jsonl", "a", "--trec", "./a"]) == 1
    assert "are one file" in capsys.readouterr().err
    assert main([*ranked, "--jsonl", "text.txt"]) == 1
    assert "is an input and would be lost" in capsys.readouterr().err


def test_a_page_replaces_a_page_only(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*EVALUATE, "benchmark=benchmark", "--out", "eval", "--quiet"]) == 0
    page = ["compare", "eval", "--out", "page.html", "--overwrite", "--quiet"]
    (here / "page.html").write_text("<html>my page</html>")
    assert main(page) == 1
    assert "did not write" in capsys.readouterr().err
    (here / "page.html").unlink()
    assert main(page) == 0
    assert main(page) == 0
    assert main(["compare", "eval", "--out", "eval", "--overwrite", "--quiet"]) == 1
    assert "eval is an input and would be lost" in capsys.readouterr().err
    open_artifact(here / "eval")


def test_rows_of_a_ledger_are_still_rows_after_it_was_replaced(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l.jsonl")
    ledger.append([{"a": 1}, {"a": 2}])
    for number in count(1):
        try:
            with watched(tmp_path, kill_at=number, torn=True):
                ledger.replace([{"a": 1}])
            break
        except Killed:
            assert ledger.rows() == [{"a": 1}, {"a": 2}]
    assert ledger.rows() == [{"a": 1}]
    assert json.loads(ledger.path.read_text()) == {"a": 1}


def test_what_each_try_makes_anew_is_nothing_to_go_on_with(tmp_path: Path) -> None:
    partial = Partial(tmp_path / "out")
    partial.begin({})
    (partial.work / ".rows").mkdir()
    assert not partial.is_unfinished
    (partial.work / "log.jsonl").touch()
    assert partial.is_unfinished
