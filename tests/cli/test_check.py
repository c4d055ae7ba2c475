"""What a command reads is opened before it begins; stages and `interank check` refuse the same in the same words."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from interank.cli.app import main
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder, write_jsonl

pytestmark = pytest.mark.own_rewards

Capture = pytest.CaptureFixture[str]
Place = Callable[[Path], Path]


def said(capsys: Capture, *words: str | Path) -> tuple[int, str]:
    """Exit code, and what stands on standard error behind the command's name."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    return code, capsys.readouterr().err.partition("interank: ")[2].rstrip("\n")


def nowhere(folder: Path) -> Path:
    return folder / "nowhere"


def a_file(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("hello there\n")
    return path


def an_empty_folder(folder: Path) -> Path:
    path = folder / "emptied"
    path.mkdir()
    return path


def an_empty_file(folder: Path) -> Path:
    path = folder / "empty.jsonl"
    path.touch()
    return path


def a_broken_table(folder: Path) -> Path:
    path = folder / "broken.parquet"
    path.write_bytes(b"PAR1 nothing PAR1")
    return path


def judgments_without_manifest(folder: Path) -> Path:
    path = judgments_artifact(folder / "hand", rule.examples(0, queries=1))
    (path / "manifest.json").unlink()
    return path


def unfinished(folder: Path) -> Path:
    work = folder / ".begun.partial" / "work"
    work.mkdir(parents=True)
    (work / "begun.json").write_text("{}")
    return folder / "begun"


PLACES = (
    *(nowhere, a_file, an_empty_folder, an_empty_file, a_broken_table, judgments_without_manifest),
    unfinished,
)


@pytest.fixture(scope="module")
def right(tiny_folder: Path, tiny_adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What is right in its own place, and wrong in others'."""
    folder = tmp_path_factory.mktemp("right")
    passages = [{"docid": "1", "title": "", "text": "red"}], [{"docid": "2", "title": "", "text": "blue"}]
    row = {"query_id": "q", "query": "red?", "positive_passages": passages[0], "negative_passages": passages[1]}
    answer = {"answer_id": 8, "body": "Because of it.", "score": 1, "accepted": True}
    posts = [{"question_id": 7, "title": "Why?", "body": "Why so?", "score": 1, "tags": [], "answers": [answer]}]
    return {
        "judgments": judgments_artifact(folder / "judgments", rule.examples(0, queries=2)),
        "adapter": tiny_adapter,
        "benchmark": benchmark_folder(folder / "benchmark"),
        "groups": write_jsonl(folder / "groups.jsonl", [row]),
        "table": write_jsonl(folder / "table.jsonl", posts),
        "model": tiny_folder,
    }


def judge(folder: Path) -> str:
    return "stage: distill\n"


def order(folder: Path) -> str:
    return "stage: distill\ntask: order\ndecontaminate: false\n"


def head(folder: Path) -> str:
    return "stage: distill\ntask: head\nobjective: listnet\n"


def rl(folder: Path) -> str:
    return "stage: rl\nrewards: [{use: ranking}]\n"


def generate(folder: Path) -> str:
    return "stage: generate\ndecontaminate: false\n"


def evaluate(folder: Path) -> str:
    return "stage: evaluate\n"


INPUTS: tuple[tuple[Callable[[Path], str], str, Sequence[str]], ...] = (
    (judge, "judgments", ["student={model}"]),
    (order, "judgments", ["student={model}"]),
    (order, "dear_cot", ["student={model}"]),
    (head, "judgments", ["student={model}"]),
    (head, "groups", ["student={model}"]),
    (head, "corpus", ["student={model}", "judgments={judgments}", "negatives=bm25"]),
    (head, "run", ["student={model}", "judgments={judgments}", "negatives=run"]),
    (head, "teacher_scores", ["student={model}", "judgments={judgments}"]),
    (head, "adapter", ["student={model}", "judgments={judgments}"]),
    (rl, "judgments", ["adapter={adapter}"]),
    (rl, "adapter", ["judgments={judgments}"]),
    (generate, "dumps", ["teacher.model={model}"]),
    (generate, "pairs", ["teacher.model={model}"]),
    (generate, "benchmarks", ["teacher.model={model}", "dumps={table}", "decontaminate=true"]),
    (evaluate, "qrels", ["benchmark={benchmark}"]),
    (evaluate, "fits", ["benchmark={benchmark}", "adapters={adapter}"]),
)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
@pytest.mark.parametrize(
    ("recipe", "key", "more"), INPUTS, ids=[f"{recipe.__name__}-{key}" for recipe, key, _ in INPUTS]
)
def test_check_and_the_stage_refuse_an_input_alike_and_leave_nothing(
    capsys: Capture,
    tmp_path: Path,
    right: dict[str, Path],
    recipe: Callable[[Path], str],
    key: str,
    more: Sequence[str],
    place: Place,
) -> None:
    if (key, place) == ("benchmarks", judgments_without_manifest):
        pytest.skip("rows of queries are a benchmark, whoever wrote them")
    wrong = place(tmp_path)
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe(tmp_path))
    stage = "rl" if recipe is rl else "distill" if recipe in (judge, order, head) else recipe.__name__
    settings = [f"{key}={wrong}", *(each.format(**right) for each in more)]
    before = sorted(tmp_path.rglob("*"))
    code, told = said(capsys, stage, file, *settings, "--out", tmp_path / "out")
    assert code == 1, told
    # What stands there is named, perhaps by a file in it.
    assert str(wrong) in told
    assert "unexpected error" not in told
    assert sorted(tmp_path.rglob("*")) == before
    assert said(capsys, "check", file, *settings) == (1, told)


@pytest.mark.parametrize(
    ("recipe", "key", "kind"),
    [
        (judge, "judgments", "adapter"),
        (head, "adapter", "judgments"),
        (rl, "judgments", "adapter"),
        (rl, "adapter", "judgments"),
        (generate, "pairs", "judgments"),
        (evaluate, "adapters", "judgments"),
    ],
)
def test_an_artifact_of_another_kind_is_refused_by_both(
    capsys: Capture, tmp_path: Path, right: dict[str, Path], recipe: Callable[[Path], str], key: str, kind: str
) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text(recipe(tmp_path))
    given = {"judgments": "judgments={judgments}", "adapter": "adapter={adapter}", "student": "student={model}"}
    needed = {"rl": ("judgments", "adapter"), "judge": ("student",), "head": ("student", "judgments")}
    settings = [given[name] for name in needed.get(recipe.__name__, ()) if name != key]
    settings += {"generate": ["teacher.model={model}"], "evaluate": ["benchmark={benchmark}"]}.get(recipe.__name__, [])
    stage = "rl" if recipe is rl else "distill" if recipe in (judge, head) else recipe.__name__
    words = [stage, file, f"{key}={right[kind]}", *(each.format(**right) for each in settings)]
    code, told = said(capsys, *words, "--out", tmp_path / "out")
    assert code == 1
    assert [fact for fact in (str(right[kind]), kind, key.rstrip("s")) if fact not in told] == []
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.yaml"]
    assert said(capsys, "check", *words[1:]) == (1, told)


def test_each_of_several_wrong_inputs_has_a_line(capsys: Capture, tmp_path: Path, right: dict[str, Path]) -> None:
    wrong = [f"judgments={tmp_path / 'a'}", f"adapter={tmp_path / 'b'}"]
    code, told = said(capsys, "check", "rl/smollm2", *wrong)
    assert code == 1
    assert [str(tmp_path / name) in line for name, line in zip("ab", told.splitlines(), strict=True)] == [True, True]


def test_a_pipeline_is_checked_whole_before_its_first_stage(
    capsys: Capture, tmp_path: Path, right: dict[str, Path]
) -> None:
    reward = tmp_path / "mine.py"
    reward.write_text("import nothing_of_that_name\n")
    models = [f"generate.teacher.model={right['model']}", f"distill.student={right['model']}"]
    words = ["demo", *models, f"rl.rewards=[{{use: {reward}}}]"]
    code, told = said(capsys, "run", *words, "--out", tmp_path / "out")
    assert (code, "nothing_of_that_name" in told) == (1, True)
    assert not (tmp_path / "out").exists()
    assert said(capsys, "check", *words) == (1, told)


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        ("import nothing_of_that_name\n", "nothing_of_that_name"),
        ("async def reward(*, completions, **_):\n    return []\n", "async"),
        ("def reward(*, completions, votes, **_):\n    return []\n", "votes"),
        ("x = 1\n", "reward"),
    ],
)
def test_check_loads_reward_files(
    capsys: Capture, tmp_path: Path, right: dict[str, Path], body: str, fact: str
) -> None:
    file = tmp_path / "mine.py"
    file.write_text(body)
    words = ["rl/smollm2", f"judgments={right['judgments']}", f"adapter={right['adapter']}"]
    code, told = said(capsys, "check", *words, f"rewards=[{{use: {file}}}]")
    assert code == 1
    assert fact in told
    assert str(file) in told


def test_a_foreign_reward_file_needs_to_be_allowed(
    capsys: Capture, tmp_path: Path, right: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INTERANK_ALLOW_CODE")
    file = tmp_path / "mine.py"
    file.write_text("raise ValueError('it ran')\n")
    words = ["check", "rl/smollm2", f"judgments={right['judgments']}", f"adapter={right['adapter']}"]
    words.append(f"rewards=[{{use: {file}}}]")
    code, told = said(capsys, *words)
    assert (code, "--allow-code" in told, "it ran" in told) == (1, True, False)
    code, told = said(capsys, *words, "--allow-code")
    assert (code, "--allow-code" in told, "it ran" in told) == (1, False, True)


def pointer(folder: Path, name: str) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n")


def template(folder: Path, text: str) -> None:
    (folder / "chat_template.jinja").write_text(text)


def configured(folder: Path, **keys: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | keys))


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "weights are a pointer": (lambda folder: pointer(folder, "model.safetensors"), "git lfs pull"),
    "tokenizer is a pointer": (lambda folder: pointer(folder, "tokenizer.json"), "git lfs pull"),
    "configuration is a pointer": (lambda folder: pointer(folder, "config.json"), "git lfs pull"),
    "weights are cut": (
        lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:999]),
        "model.safetensors",
    ),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
    "tokenizer of another form": (lambda folder: (folder / "tokenizer.json").write_text("{}"), "tokenizer"),
    "unknown kind": (lambda folder: configured(folder, model_type="nothing"), "nothing"),
    "a width in words": (lambda folder: configured(folder, hidden_size="wide"), "hidden_size"),
    "template raises": (lambda folder: template(folder, "{{ raise_exception('No such role') }}"), "No such role"),
    "template is cut": (lambda folder: template(folder, "{% for m in messages %}"), "endfor"),
    "template wants parts": (
        lambda folder: template(folder, "{% for m in messages %}{{ m['content'][0]['text'] + 'x' }}{% endfor %}"),
        "template",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_model_is_told_by_its_file_before_anything_is_made(
    capsys: Capture, tmp_path: Path, right: dict[str, Path], fault: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(right["model"], model)
    breaks, fact = BROKEN[fault]
    breaks(model)
    for stage, words in {
        "distill": ["distill/smollm2", f"student={model}", f"judgments={right['judgments']}"],
        "generate": ["generate/smollm2", f"teacher.model={model}", f"dumps={right['table']}", "decontaminate=false"],
    }.items():
        code, told = said(capsys, stage, *words, "--out", tmp_path / "out")
        assert code == 1
        assert [each for each in (str(model), fact) if each not in told] == []
        assert "unexpected error" not in told
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        assert said(capsys, "check", *words) == (1, told)


@pytest.mark.parametrize("fault", ["tokenizer is a pointer", "no tokenizer", "unknown kind", "template raises"])
def test_a_broken_model_is_told_by_whoever_ranks_with_it(
    capsys: Capture, tmp_path: Path, right: dict[str, Path], fault: str
) -> None:
    model = tmp_path / "model"
    shutil.copytree(right["model"], model)
    BROKEN[fault][0](model)
    document = a_file(tmp_path)
    for words in (["rerank", model, "--query", "q", document], ["merge", right["adapter"], "--base", model]):
        code, told = said(capsys, *words, *(["--out", tmp_path / "out"] if words[0] == "merge" else []), "--quiet")
        assert code == 1
        assert str(model) in told
        assert "unexpected error" not in told


def test_an_output_that_fails_where_nothing_is_to_go_on_with_leaves_nothing(
    capsys: Capture, tmp_path: Path, right: dict[str, Path]
) -> None:
    # Judgments of one grade only: that there is nothing to learn for a head is seen when groups are drawn.
    alike = [each for each in rule.examples(0, queries=2) if each.judgment.relevance == 0]
    judgments = judgments_artifact(tmp_path / "judgments", alike)
    file = tmp_path / "recipe.yaml"
    file.write_text(head(tmp_path))
    words = [file, f"judgments={judgments}", f"student={right['model']}", "--out", tmp_path / "out"]
    code, told = said(capsys, "distill", *words)
    assert (code, str(judgments) in told) == (1, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["judgments", "recipe.yaml"]
