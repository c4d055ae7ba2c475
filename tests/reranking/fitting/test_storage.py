"""Fits beside a model's files: who finds them, whose they have to be, and what they leave as it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from interank.artifact import Artifact, Workplace, create, describe_input, model_digest, open_artifact
from interank.errors import ArtifactError, InputError
from interank.reranking.fitting import (
    Abstention,
    Fit,
    FittedOn,
    Fusion,
    Origin,
    Temperature,
    fit_file,
    fit_for,
    query_digest,
    read_fit,
    store_fit,
    stored_fit,
    stored_modes,
    stored_place,
)
from interank.types import Query


def made(out: Path, weights: str = "weights", **choices: object) -> Artifact:
    place = create(out, "adapter", recipe={"stage": "distill"}, inputs={}, **choices)  # type: ignore[arg-type]
    assert isinstance(place, Workplace)
    (place.folder / "adapter").mkdir()
    (place.folder / "adapter" / "weights").write_text(weights)
    return place.finish(seed=1, counts={})


def merged(folder: Path, adapter: Artifact) -> Path:
    folder.mkdir()
    (folder / "model.safetensors").write_text("whole")
    (folder / "merge.json").write_text(json.dumps({"adapter": adapter.digest}))
    return folder


def fit_of(model: str | None) -> Fit:
    origin = Origin(
        evaluation="e" * 64,
        system="rl",
        model=model,
        mode="score",
        benchmark="bread (dev)",
        benchmark_digest="b" * 64,
        measure="nDCG@10",
        relevant_from=1,
        tasks={"bread": FittedOn("bm25", 100, "c" * 64)},
        queries={query_digest(Query("1", "What is rye?")): "1"},
    )
    return Fit(
        Fusion("zscore", 0.35), Temperature(1.7, -2.25), Abstention(0.4, 0.5), origin, {}, unfused=Abstention(0.6, 0.5)
    )


@pytest.fixture
def adapter(tmp_path: Path) -> Artifact:
    return made(tmp_path / "rl")


def test_it_is_found_beside_the_model_whose_artifact_stays_what_it_was(adapter: Artifact, tmp_path: Path) -> None:
    before = describe_input(adapter.path, tmp_path / "out")
    fit = fit_of(adapter.digest)
    file = store_fit(fit, adapter.path)
    assert read_fit(file) == fit
    assert [path.name for path in file.parent.iterdir()] == ["score.json"]
    assert open_artifact(adapter.path, "adapter").digest == adapter.digest
    assert describe_input(adapter.path, tmp_path / "out") == before
    assert stored_modes(adapter.path) == ["score"]


def test_unasked_it_leaves_the_order_alone(adapter: Artifact) -> None:
    assert stored_fit(adapter.path, "score") is None
    fit = fit_of(adapter.digest)
    store_fit(fit, adapter.path)
    assert stored_fit(adapter.path, "score") == stored_fit(str(adapter.path), "explain") == fit.without_fusion()
    assert [stored_fit(adapter.path, mode) for mode in ("reason", "listwise", "adaptive")] == [None] * 3
    store_fit(replace(fit, calibrator=None, abstention=None, unfused=None), adapter.path)
    assert stored_fit(adapter.path, "score") is None


def test_asked_for_it_is_whole(adapter: Artifact) -> None:
    fit = fit_of(adapter.digest)
    file = store_fit(fit, adapter.path)
    assert fit_for(adapter.path, "explain", adapter.path) == fit_for(file, "score", adapter.path) == fit
    with pytest.raises(InputError, match=r"rl stores .*mode score.*mode reason"):
        fit_file(adapter.path, "reason")
    file.unlink()
    with pytest.raises(InputError, match=r"rl stores no fit.* --into .*rl"):
        fit_for(adapter.path, "score", adapter.path)


def _other_model(file: Path) -> None:
    other = made(file.parent.parent.parent / "other", "other weights")
    shutil.copytree(file.parent, other.path / "fits")
    shutil.rmtree(file.parent.parent)
    other.path.replace(file.parent.parent)


def _changed(file: Path) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | {"fusion": None}))


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-10])


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _other_mode(file: Path) -> None:
    file.rename(file.with_name("reason.json"))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_other_model, "was fitted to the scores of rl"),
        (_changed, "was changed after it was made"),
        (_cut, "cannot be read"),
        (_folder, "cannot be read"),
        (_other_mode, "was fitted in mode score, .*mode is reason"),
    ],
)
def test_what_is_stored_and_cannot_be_used_is_told(
    damage: Callable[[Path], None], said: str, adapter: Artifact
) -> None:
    damage(store_fit(fit_of(adapter.digest), adapter.path))
    mode = stored_modes(adapter.path)[0]
    with pytest.raises(InputError, match=rf"{mode}\.json.*{said}.*remove the file"):
        stored_fit(adapter.path, mode)


def test_another_model_s_is_not_stored(adapter: Artifact) -> None:
    for digest in ("a" * 64, None):
        with pytest.raises(InputError, match=r"fitted to .* rl"):
            store_fit(fit_of(digest), adapter.path)
    assert not (adapter.path / "fits").exists()


def test_a_folder_that_cannot_be_written_to_is_told(adapter: Artifact) -> None:
    (adapter.path / "fits").write_text("")
    with pytest.raises(ArtifactError, match=r"score\.json .*--out FILE"):
        store_fit(fit_of(adapter.digest), adapter.path)


def test_it_goes_with_the_adapter_and_not_with_what_takes_its_place(adapter: Artifact) -> None:
    store_fit(fit_of(adapter.digest), adapter.path)
    found = create(adapter.path, "adapter", recipe={"stage": "distill"}, inputs={}, existing="resume")
    assert isinstance(found, Artifact)
    assert stored_place(adapter.path, "score")
    made(adapter.path, "trained anew", existing="overwrite")
    assert stored_place(adapter.path, "score") is None


def test_what_was_merged_from_it_stores_it_and_stays_the_same_input(adapter: Artifact, tmp_path: Path) -> None:
    folder = merged(tmp_path / "merged", adapter)
    before = describe_input(folder, tmp_path / "out")
    store_fit(fit_of(adapter.digest), folder)
    assert stored_fit(folder, "score") == fit_of(adapter.digest).without_fusion()
    assert describe_input(folder, tmp_path / "out") == before
    assert before["merged_from"] == model_digest(folder) == adapter.digest
    (folder / "model.safetensors").write_text("other")
    assert describe_input(folder, tmp_path / "out")["digest"] != before["digest"]


@pytest.mark.parametrize("content", ["[1]", "{", '{"adapter": {"name": "x"}}'])
def test_other_folders_count_whole_and_are_no_merged_model(content: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "fits").mkdir(parents=True)
    (folder / "merge.json").write_text(content)
    before = describe_input(folder, tmp_path)
    assert model_digest(folder) is None
    assert "merged_from" not in before
    (folder / "fits" / "x.json").write_text("{}")
    assert describe_input(folder, tmp_path)["digest"] != before["digest"]
