"""Manifests that others wrote or damaged: without keys, of other types, made from themselves, nested without end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interank.artifact import FORMAT, MANIFEST, Artifact, open_artifact
from interank.engines.bases import base_here
from interank.engines.use import FILE, read_use
from interank.errors import ArtifactError, InputError
from interank.settings import ListPromptSettings, PromptSettings, WindowPromptSettings
from interank.stages.pushed_files import collected
from interank.tasks import group
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.order.policy import prompts as order_prompts
from interank.tasks.sources import find_source

SOUND: dict[str, Any] = {"format": FORMAT, "kind": "pairs", "inputs": {}, "files": {}}
DAMAGED = {
    "no kind": {key: value for key, value in SOUND.items() if key != "kind"},
    "no files": {key: value for key, value in SOUND.items() if key != "files"},
    "a number as kind": SOUND | {"kind": 7},
    "a list as kind": SOUND | {"kind": [1]},
    "another kind": SOUND | {"kind": "rootkit"},
    "a list as files": SOUND | {"files": ["a"]},
    "numbers as digests": SOUND | {"files": {"a": 1}},
    "a file elsewhere": SOUND | {"files": {"../../etc/passwd": "0"}},
    "a file without a name": SOUND | {"files": {"": "0"}},
    "a file whose name is too long": SOUND | {"files": {"a" * 5000: "0"}},
    "a file with a NUL": SOUND | {"files": {"a\0b": "0"}},
    "an input with a NUL": SOUND | {"inputs": {"a": {"kind": "pairs", "path": "a\0b", "digest": "0"}}},
    "an input whose name is too long": SOUND | {"inputs": {"a": {"kind": "pairs", "path": "a" * 5000, "digest": "0"}}},
    "a whole path": SOUND | {"files": {"/etc/passwd": "0"}},
    "a text as modes": SOUND | {"modes": "score"},
    "a number as modes": SOUND | {"modes": 7},
    "numbers as modes": SOUND | {"modes": [1]},
    "a number as prompt": SOUND | {"prompt": 7},
    "a list as task": SOUND | {"task": ["judge"]},
    "a number as wording": SOUND | {"prompt_hash": 7},
    "a list as counts": SOUND | {"counts": [1]},
    "a list as inputs": SOUND | {"inputs": [1]},
    "a text as input": SOUND | {"inputs": {"a": "b"}},
    "an input without path": SOUND | {"inputs": {"a": {"kind": "pairs", "digest": "0"}}},
    "a list": [1],
    "nothing": None,
}


def made(folder: Path, manifest: object) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / MANIFEST).write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))
    return folder


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_manifest_is_told_in_a_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json") as told:
        open_artifact(made(tmp_path / "x", DAMAGED[name]))
    assert "make the artifact anew" in str(told.value) or "another program's" in str(told.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": ' + "9" * 5000 + "}", "{", "\ufeff", '{"a": 1e999999'])
def test_what_is_no_manifest_is_told(tmp_path: Path, text: str) -> None:
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        open_artifact(made(tmp_path / "x", text))


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "{" + '"a":{' * 100_000,
        '{"modes": "score", "prompt": {}, "prompt_hash": "0"}',
        '{"modes": [[1]], "prompt": {}, "prompt_hash": "0"}',
        '{"modes": [], "prompt": {}, "prompt_hash": 7}',
        '{"modes": [], "prompt": {"max_length": "long"}, "prompt_hash": "0"}',
        "[1]",
        "\x00",
    ],
)
def test_what_stands_beside_weights_is_read_or_told(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ArtifactError, match=r"interank\.json cannot be read .*; make the adapter or model anew"):
        read_use(tmp_path)


@pytest.mark.parametrize("kind", ["adapter", "export", "judgments", "evaluation"])
@pytest.mark.parametrize("place", ["a file elsewhere", "a folder elsewhere", "itself", "a pipe"])
def test_what_is_pushed_stands_in_the_output(tmp_path: Path, kind: str, place: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "key.bin").write_text("a secret")
    folder = made(tmp_path / "x", SOUND | {"kind": kind})
    inside = folder / ("adapter" if kind == "adapter" else "runs")
    inside.mkdir()
    if kind == "export":
        (folder / "export.json").write_text("{}")
    if place == "a pipe":
        os.mkfifo(inside / "odd")
    else:
        (inside / "odd").symlink_to(
            {"itself": "odd", "a file elsewhere": "../../elsewhere/key.bin"}.get(place, "../..")
        )
    with pytest.raises(InputError, match=rf"{inside.name}/odd of .* is a link that leads out of it, or no file"):
        collected(folder, tmp_path / "pushed", "owner/base")
    assert not (tmp_path / "pushed").exists()


def test_a_link_within_an_output_is_a_file_of_it(tmp_path: Path) -> None:
    folder = made(tmp_path / "x", SOUND)
    (folder / "export.json").write_text("{}")
    (folder / "again.json").symlink_to("export.json")
    assert collected(folder, tmp_path / "pushed", None) == "model"
    assert (tmp_path / "pushed" / "again.json").read_text() == "{}"


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    folder = made(tmp_path / "x", "{}")
    (folder / MANIFEST).write_bytes(b"\xff\xfe{")
    with pytest.raises(ArtifactError, match="cannot be read"):
        open_artifact(folder)


def test_an_artifact_made_from_itself_has_no_lineage(tmp_path: Path) -> None:
    itself = {"kind": "pairs", "path": ".", "digest": "0"}
    folder = made(tmp_path / "x", SOUND | {"inputs": {"pairs": itself}})
    with pytest.raises(ArtifactError, match="made from itself"):
        open_artifact(folder).lineage()


def test_two_artifacts_made_from_each_other_have_no_lineage(tmp_path: Path) -> None:
    for one, other in (("x", "y"), ("y", "x")):
        given = {"kind": "pairs", "path": f"../{other}", "digest": "0"}
        made(tmp_path / one, SOUND | {"inputs": {"pairs": given}})
    with pytest.raises(ArtifactError, match="made from itself"):
        open_artifact(tmp_path / "x").ancestors("pairs")


@pytest.mark.parametrize("prompt", [{"max_length": "x"}, {"max_length": -1}, {"nope": 1}])
@pytest.mark.parametrize("kind", [PromptSettings, WindowPromptSettings, ListPromptSettings])
def test_a_prompt_that_no_training_wrote_is_told(prompt: dict[str, Any], kind: Any) -> None:
    class Files:
        path, name, manifest = Path("x"), "x", {"prompt": prompt, "task": "judge"}

        def trained_on(self, task: str) -> Any:
            return prompt

    reads: dict[Any, Callable[[Any], object]] = {
        PromptSettings: judge_encoder,
        WindowPromptSettings: lambda files: group.policy(files, files, files, Path()),
        ListPromptSettings: lambda files: order_prompts(files, None),
    }
    with pytest.raises(InputError, match=r"x: prompt: (max_length|nope): "):
        reads[kind](Files())


def test_an_input_that_is_used_twice_is_no_loop(tmp_path: Path) -> None:
    made(tmp_path / "z", SOUND)
    shared = {"kind": "pairs", "path": "../z", "digest": "0"}
    for name in ("x", "y"):
        made(tmp_path / name, SOUND | {"inputs": {"pairs": shared}})
    both = {name: {"kind": "pairs", "path": f"../{name}", "digest": "0"} for name in ("x", "y")}
    top = open_artifact(made(tmp_path / "top", SOUND | {"inputs": both}))
    assert isinstance(top, Artifact)
    assert len(top.lineage()) == 4


def test_an_adapter_without_what_its_manifest_tells_of_its_base_is_told(tmp_path: Path) -> None:
    adapter = made(tmp_path / "adapter", SOUND | {"kind": "adapter", "prompt": {}})
    for read in (base_here, lambda path: find_source(path), lambda path: open_artifact(path).manifest["prompt_hash"]):
        with pytest.raises(ArtifactError, match=r"manifest\.json lacks (base|prompt_hash); make the artifact anew"):
            read(adapter)
    manifest = open_artifact(adapter).manifest
    assert manifest.get("base") is None
    assert {**manifest} == SOUND | {"kind": "adapter", "prompt": {}}
