"""What is pushed to a hub, here a local one that speaks its API: the files, the card, and nothing of this machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard

from interank.errors import ArtifactError, InputError
from interank.stages.export import export
from interank.stages.push import PushSettings, push
from interank.types import Source
from tests.support.adapters import tiny_adapter
from tests.support.families import family_folder
from tests.support.hub import TOKEN, Hub, hub_here
from tests.support.tiny import tiny_model


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_here() as found:
        yield found


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    posts = Source("fox.stackexchange.com", "1", "https://fox.stackexchange.com/q/1", "a fox", "CC BY-SA 4.0")
    return tiny_adapter(tiny_model(folder / "model"), folder, posts)


def command(hub: Hub, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0"}
    return subprocess.run(
        [sys.executable, "-m", "interank", "push", *arguments, "--quiet"],
        env=environment | {"HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_adapter_is_pushed_with_its_card_and_no_path(adapter: Path, hub: Hub) -> None:
    found = command(
        hub, str(adapter), "you/reranker", "--base-name", "HuggingFaceTB/SmolLM2-135M", "--license", "apache-2.0",
        "--dataset", "you/posts", "--private",
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert found.stdout.strip() == f"{hub.url}/you/reranker/commit/1"
    created = json.loads(next(body for path, body in hub.asked if path == "/api/repos/create"))
    assert created["name"] == "reranker"
    assert created.get("private") is True or created.get("visibility") == "private"
    assert {"adapter_config.json", "adapter_model.safetensors", "interank.json", "README.md"} <= set(hub.files)
    assert "manifest.json" not in hub.files and "recipe.json" not in hub.files
    card = ModelCard(hub.files["README.md"].decode())
    assert card.data.pipeline_tag == "text-ranking" and card.data.base_model == "HuggingFaceTB/SmolLM2-135M"
    assert card.data.license == "apache-2.0" and card.data.datasets == ["you/posts"]
    config = json.loads(hub.files["adapter_config.json"])
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M"
    for name, content in hub.files.items():
        assert str(adapter.parent).encode() not in content and TOKEN.encode() not in content, name


def test_an_export_is_proposed_with_its_bases_licence(tmp_path: Path, hub: Hub) -> None:
    model = family_folder(tmp_path / "model", "llama 3")
    (model / "README.md").write_text(
        "---\nlicense: other\nlicense_name: fox-1\nlicense_link: https://fox\n---\n# A fox\n"
    )
    export(model, tmp_path / "st")
    found = command(hub, str(tmp_path / "st"), "you/reranker", "--create-pr")
    assert found.returncode == 0, found.stderr
    card = ModelCard(hub.files["README.md"].decode())
    assert (card.data.license, card.data.license_name, card.data.license_link) == ("other", "fox-1", "https://fox")
    assert "| the base model | other fox-1 https://fox |" in card.text
    assert found.stdout.strip() == f"{hub.url}/you/reranker/discussions/1"
    assert {"modules.json", "2_Dense/model.safetensors", "export.json"} <= set(hub.files)
    assert not any(str(tmp_path).encode() in content for content in hub.files.values())


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: llama3.2\n---\n", "llama3.2"),
        ("---\nlicense: [a\n---\n", None),
        (f"---\nlicense: {'[' * 2000}\n---\n", None),
        ("# No metadata\n", None),
    ],
    ids=["named", "broken", "nested", "without"],
)
def test_licences_come_from_what_is_known_here(
    adapter: Path, card: str, licence: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    file = adapter.parent / "model" / "README.md"
    file.write_text(card)
    found = ModelCard(push(adapter, PushSettings("you/reranker", base="you/base"), dry_run=True).card)
    file.unlink()
    assert found.data.license == licence
    assert f"| the base model you/base | {licence or 'not known'} |" in found.text
    assert "| 24 judgments of texts of fox.stackexchange.com | CC BY-SA 4.0 (24) |" in found.text
    assert ("give it with --license" in caplog.text) == (licence is None)
    assert "give it with --dataset" in caplog.text
    told = PushSettings("you/reranker", base="you/base", license="mit", datasets=("you/posts",))
    caplog.clear()
    assert ModelCard(push(adapter, told, dry_run=True).card).data.license == "mit"
    assert not caplog.text


def test_judgments_that_stand_here_no_more_are_told_as_unknown(adapter: Path, tmp_path: Path) -> None:
    moved = shutil.copytree(adapter, tmp_path / "elsewhere" / "adapter")
    card = push(moved, PushSettings("you/reranker", base="you/base"), dry_run=True).card
    assert "| the base model you/base | not known |" in card
    assert "| 1 set of judgments that are no longer here | not known |" in card


def test_a_dry_run_shows_and_sends_nothing(adapter: Path, hub: Hub) -> None:
    found = command(hub, str(adapter), "you/reranker", "--base-name", "you/base", "--dry-run")
    assert found.returncode == 0 and "adapter_model.safetensors" in found.stdout and "text-ranking" in found.stdout
    assert not hub.asked


def test_a_refusal_of_the_hub_is_told(adapter: Path, hub: Hub) -> None:
    hub.token = TOKEN[::-1]
    found = command(hub, str(adapter), "you/reranker", "--base-name", "you/base")
    assert found.returncode == 1
    assert "did not take you/reranker" in found.stderr and "HF_TOKEN" in found.stderr and TOKEN not in found.stderr
    assert not hub.files


def test_what_tells_of_this_machine_is_refused(adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--base-name"):
        push(adapter, PushSettings("you/reranker"), dry_run=True)
    with pytest.raises(InputError, match="no repository's name"):
        push(adapter, PushSettings("you/too/many", base="you/base"), dry_run=True)
    with pytest.raises(ArtifactError, match="no output of interank"):
        push(tmp_path, PushSettings("you/reranker"), dry_run=True)
    out = tmp_path / "st"
    export(family_folder(tmp_path / "model", "llama 3"), out)
    (out / "notes.txt").write_text(f"made at {out}")
    with pytest.raises(InputError, match=r"notes.txt names a path of this machine"):
        push(out, PushSettings("you/reranker"), dry_run=True)
    (out / "notes.txt").write_text(f"with {TOKEN}")
    with pytest.raises(InputError, match=r"notes.txt holds what looks like a key"):
        push(out, PushSettings("you/reranker"), dry_run=True)


def test_measures_go_along_in_both_forms(adapter: Path, tmp_path: Path) -> None:
    from interank.cli.app import main
    from tests.support.benchmark import benchmark_folder

    sample, out = benchmark_folder(tmp_path / "bench"), tmp_path / "evaluated"
    asked = ["evaluate", "recipes/evaluate/benchmark.yaml", f"benchmark={sample}", f"adapters={adapter}", "explain=0"]
    assert main([*asked, "depth=3", "--out", str(out), "--quiet"]) == 0
    found = push(adapter, PushSettings("you/reranker", base="you/base", results=out), dry_run=True)
    (row,) = [item for item in ModelCard(found.card).data.eval_results if item.metric_type == "nDCG@10"]
    measured = json.loads((out / "metrics.json").read_text())[adapter.name]["nDCG@10"]["mean"]
    assert row.metric_value == pytest.approx(measured, abs=1e-4)
    assert "first stage bm25" in row.metric_name and "depth 3" in row.metric_name
    assert ".eval_results/interank.yaml" in found.files
    assert yaml.safe_load(found.card.split("---")[1])["model-index"]
    # The rankings themselves, as a data set.
    with hub_here() as here:
        sent = command(here, str(out), "you/rankings", "--license", "mit")
        assert sent.returncode == 0, sent.stderr
        assert json.loads(here.asked[0][1])["type"] == "dataset"
        runs = [name for name in here.files if name.startswith("runs/")]
        assert runs and f"rankings/{adapter.name}.jsonl" in here.files
        assert "report.html" not in here.files and "manifest.json" not in here.files
        card = here.files["README.md"].decode()
        about = yaml.safe_load(card.split("---")[1])
        assert about["license"] == "mit" and about["task_categories"] == ["text-ranking"]
        assert f"{measured:.4f}" in card and "first stage bm25, depth 3" in card
        assert not any(str(tmp_path).encode() in content for content in here.files.values())
