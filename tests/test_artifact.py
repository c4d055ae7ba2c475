"""Artifacts appear whole or not at all."""

from __future__ import annotations

import json
import shutil
import time
from itertools import count
from pathlib import Path

import pytest

from interank import digests
from interank.artifact import Artifact, Existing, Workplace, create, describe_input, open_artifact, reopen
from interank.errors import ArtifactError
from interank.ledger import Ledger
from interank.outputs import Partial
from tests.support.kills import Killed, watched


def begin(out: Path, *, recipe: dict[str, object] | None = None, existing: str = "refuse") -> Workplace:
    place = create(out, "judgments", recipe=recipe or {"a": 1}, inputs={}, existing=existing)  # type: ignore[arg-type]
    assert isinstance(place, Workplace)
    return place


def finished(out: Path) -> Artifact:
    place = begin(out)
    (place.folder / "x.jsonl").write_text("{}\n")
    place.write_json("cost.json", {"seconds": 1})
    return place.finish(seed=1, counts={"rows": 1})


def test_nothing_stands_at_out_before_the_end(tmp_path: Path) -> None:
    out = tmp_path / "out"
    place = begin(out)
    assert not out.exists()
    with pytest.raises(ArtifactError, match=r"unfinished"):
        open_artifact(out)
    place.finish(seed=1, counts={})
    assert open_artifact(out, "judgments").manifest["seed"] == 1
    assert list(tmp_path.iterdir()) == [out]


def test_the_manifest_lists_what_is_reproducible(tmp_path: Path) -> None:
    artifact = finished(tmp_path / "out")
    assert set(artifact.manifest["files"]) == {"recipe.json", "x.jsonl"}


def test_the_same_making_gives_the_same_manifest(tmp_path: Path) -> None:
    assert finished(tmp_path / "a").digest == finished(tmp_path / "b").digest


@pytest.mark.parametrize("ended", [True, False])
def test_an_output_in_the_way_is_refused_with_the_three_ways_out(tmp_path: Path, ended: bool) -> None:
    out = tmp_path / "out"
    finished(out) if ended else (begin(out).work / "ledger").touch()
    with pytest.raises(ArtifactError, match=r"--resume.*--overwrite.*--out"):
        begin(out)


def test_resume_returns_what_is_finished_and_goes_on_with_what_is_not(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (begin(out).work / "ledger").write_text("kept")
    assert (begin(out, existing="resume").work / "ledger").read_text() == "kept"
    begin(out, existing="resume").finish(seed=1, counts={})
    assert isinstance(create(out, "judgments", recipe={"a": 1}, inputs={}, existing="resume"), Artifact)
    assert not (out / "work").exists()


def test_a_failure_before_the_first_step_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    begin(tmp_path / "out")
    assert begin(tmp_path / "out", recipe={"a": 2}).folder.is_dir()


def test_resume_with_another_recipe_or_input_is_refused(tmp_path: Path) -> None:
    out, data = tmp_path / "out", tmp_path / "data"
    data.write_text("1")
    place = create(out, "judgments", recipe={"a": 1}, inputs={"data": describe_input(data, out)})
    assert isinstance(place, Workplace)
    (place.work / "ledger").touch()
    with pytest.raises(ArtifactError, match=r"a differ"):
        create(out, "judgments", recipe={"a": 2}, inputs={"data": describe_input(data, out)}, existing="resume")
    data.write_text("2")
    with pytest.raises(ArtifactError, match="data differ"):
        create(out, "judgments", recipe={"a": 1}, inputs={"data": describe_input(data, out)}, existing="resume")


def test_overwrite_keeps_the_old_output_until_the_new_one_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    finished(out)
    place = begin(out, recipe={"a": 2}, existing="overwrite")
    assert open_artifact(out).recipe() == {"a": 1}
    place.finish(seed=1, counts={})
    assert open_artifact(out).recipe() == {"a": 2}


def test_damage_is_noticed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    finished(out)
    (out / "x.jsonl").write_text("{} \n")
    with pytest.raises(ArtifactError, match=r"x\.jsonl was changed"):
        open_artifact(out)
    (out / "x.jsonl").unlink()
    with pytest.raises(ArtifactError, match=r"x\.jsonl is missing"):
        open_artifact(out)
    manifest = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    with pytest.raises(ArtifactError, match="format 99"):
        open_artifact(out)


def test_a_file_that_stays_as_it_is_is_hashed_once_and_a_changed_one_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    really = digests._hashed

    def counted(file: Path) -> str:
        hashed.append(file)
        return really(file)

    monkeypatch.setattr(digests, "_hashed", counted)
    file = tmp_path / "posts.jsonl"
    file.write_text("one", "utf-8")
    fresh = describe_input(file, tmp_path / "out")
    # Written a moment ago, it may change at the same time of the file system.
    assert describe_input(file, tmp_path / "out") == fresh
    assert len(hashed) == 2
    monkeypatch.setattr(digests, "_SETTLED", -3600.0)
    assert [describe_input(file, tmp_path / "out") for _ in range(3)] == [fresh] * 3
    assert len(hashed) == 3
    time.sleep(0.05)
    file.write_text("two", "utf-8")
    assert describe_input(file, tmp_path / "out") != fresh


def test_another_kind_is_refused(tmp_path: Path) -> None:
    finished(tmp_path / "out")
    with pytest.raises(ArtifactError, match=r"judgments.*adapter"):
        open_artifact(tmp_path / "out", "adapter")


def test_lineage_is_a_chain(tmp_path: Path) -> None:
    first = finished(tmp_path / "a")
    out = tmp_path / "b"
    place = create(out, "adapter", recipe={}, inputs={"judgments": describe_input(first.path, out)})
    assert isinstance(place, Workplace)
    second = place.finish(seed=1, counts={})
    last = tmp_path / "c"
    place = create(last, "adapter", recipe={}, inputs={"adapter": describe_input(second.path, last)})
    assert isinstance(place, Workplace)
    lineage = place.finish(seed=1, counts={}).lineage()
    assert [item["name"] for item in lineage] == ["adapter", "judgments"]
    assert [item["digest"] for item in lineage] == [second.digest, first.digest]


def made_of(out: Path, **inputs: Path) -> Artifact:
    given = {name: describe_input(path, out) for name, path in inputs.items()}
    place = create(out, "adapter", recipe={}, inputs=given)
    assert isinstance(place, Workplace)
    return place.finish(seed=1, counts={})


def test_ancestors_are_found_once_however_many_ways_lead_there(tmp_path: Path) -> None:
    judgments = finished(tmp_path / "a")
    student = made_of(tmp_path / "b", judgments=judgments.path)
    policy = made_of(tmp_path / "c", judgments=judgments.path, adapter=student.path)
    found, missing = policy.ancestors("judgments")
    assert [artifact.path for artifact in found] == [judgments.path.resolve()]
    assert missing == []


@pytest.mark.parametrize("change", ["gone", "another"])
def test_an_ancestor_that_is_not_the_one_that_was_used_is_missing(tmp_path: Path, change: str) -> None:
    judgments = finished(tmp_path / "a")
    policy = made_of(tmp_path / "b", judgments=judgments.path)
    judgments.path.rename(tmp_path / "moved")
    if change == "another":
        place = begin(tmp_path / "a", recipe={"a": 2})
        (place.folder / "x.jsonl").write_text("other")
        place.finish(seed=2, counts={})
    assert policy.ancestors("judgments") == ([], ["../a"])


def stage(out: Path, recipe: dict[str, object], existing: Existing = "refuse") -> Artifact:
    """A small stage: rows that take long, kept as they come; then what is made of them."""
    place = create(out, "judgments", recipe=recipe, inputs={}, existing=existing)
    if isinstance(place, Artifact):
        return place
    ledger = Ledger(place.work / "rows.jsonl")
    for number in range(len(ledger.rows()), 3):
        ledger.append([{"row": number, "of": recipe}])
    shutil.copyfile(ledger.path, place.folder / "rows.jsonl")
    (place.folder / "figures").mkdir()
    (place.folder / "figures" / "plot.svg").write_text("<svg/>")
    place.write_json("cost.json", {"seconds": 1})
    return place.finish(seed=1, counts={"rows": 3})


def intact(out: Path, recipe: dict[str, object]) -> bool:
    """Whether the output of a recipe stands in its place, or where it waits to be replaced."""
    place = out if out.exists() else Partial(out).replaced
    return place.exists() and open_artifact(place).recipe() == recipe


def gone_on(out: Path, recipe: dict[str, object], old: dict[str, object] | None) -> Artifact:
    """What a person does after a kill: --resume, and where the old output is found instead, --overwrite again."""
    try:
        return stage(out, recipe, "resume")
    except ArtifactError as error:
        assert old is not None
        assert "was begun with another recipe" in str(error)
        assert open_artifact(out).recipe() == old
        return stage(out, recipe, "overwrite")


@pytest.mark.parametrize("nested", [False, True])
def test_an_output_of_an_earlier_version_is_refused_with_the_name_of_the_key_now(tmp_path: Path, nested: bool) -> None:
    def recipe(key: str) -> dict[str, object]:
        return {"stages": {"rl": {key: {"patience": 2}}, "reward": None}} if nested else {key: {"patience": 2}}

    out = tmp_path / "out"
    stage(out, recipe("seatbelt"))
    with pytest.raises(ArtifactError, match="had `seatbelt`, which is now `collapse_detection`; --overwrite it"):
        stage(out, recipe("collapse_detection"), "resume")
    assert open_artifact(out).recipe() == recipe("seatbelt")


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("old", [None, {"a": 0}])
def test_a_kill_at_any_change_of_the_disk_loses_nothing(
    tmp_path: Path, old: dict[str, object] | None, torn: bool
) -> None:
    recipe: dict[str, object] = {"a": 1}
    whole = stage(tmp_path / "whole", recipe).digest
    for number in count(1):
        folder = tmp_path / f"{number}"
        out = folder / "out"
        folder.mkdir()
        if old is not None:
            stage(out, old)
        try:
            with watched(folder, kill_at=number, torn=torn):
                made = stage(out, recipe, "overwrite" if old else "refuse")
        except Killed:
            assert old is None or intact(out, old) or intact(out, recipe)
            rows = Partial(out).work / "rows.jsonl"
            kept = rows.read_bytes().count(b"\n") if rows.exists() else 0
            with watched(folder) as disk:
                made = gone_on(out, recipe, old)
            assert kept < 3 or disk.changes > 0
        else:
            assert number > 20
            break
        assert made.digest == open_artifact(out).digest == whole
        assert list(folder.iterdir()) == [out]


def test_two_kills_lose_no_more_than_one(tmp_path: Path) -> None:
    """Each try is killed one change later than the one before, on the same folder."""
    recipe: dict[str, object] = {"a": 1}
    whole = stage(tmp_path / "whole", recipe).digest
    folder = tmp_path / "broken"
    out = folder / "out"
    folder.mkdir()
    stage(out, {"a": 0})
    with pytest.raises(Killed), watched(folder, kill_at=12):
        stage(out, recipe, "overwrite")
    for number in count(1):
        try:
            with watched(folder, kill_at=number):
                stage(out, recipe, "resume")
            break
        except Killed:
            assert intact(out, {"a": 0}) or intact(out, recipe)
    assert open_artifact(out).digest == whole
    assert list(folder.iterdir()) == [out]


def test_an_old_output_that_waited_to_be_replaced_is_put_back_before_another_try(tmp_path: Path) -> None:
    out = tmp_path / "out"
    stage(out, {"a": 0})
    with pytest.raises(Killed), watched(tmp_path) as disk:
        place = begin(out, existing="overwrite")
        (place.work / "ledger").touch()
        disk.last = disk.changes + 4
        place.finish(seed=1, counts={})
    assert not out.exists()
    begin(out, existing="overwrite")
    assert open_artifact(out).recipe() == {"a": 0}


def test_a_twin_that_was_half_made_is_made_anew(tmp_path: Path) -> None:
    out = tmp_path / "out"
    artifact = stage(out, {"a": 1})
    for number in count(1):
        try:
            with watched(tmp_path, kill_at=number):
                reopen(artifact, {"rows.jsonl": out / "rows.jsonl"})
            break
        except Killed:
            assert open_artifact(out).digest == artifact.digest
    place = begin(out, existing="resume")
    assert len(Ledger(place.work / "rows.jsonl").rows()) == 3
    assert number > 4
