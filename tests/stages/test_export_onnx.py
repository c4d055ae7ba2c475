"""A head exported to ONNX scores in onnxruntime as it does here, whatever the batch and wherever padding stands."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub import ModelCard
from transformers import AutoTokenizer

from interank.cli.app import main
from interank.engines import onnx_graph
from interank.engines.heads import load_head, scores
from interank.engines.use import read_head
from interank.errors import InputError
from interank.settings import HeadSettings
from interank.stages.export import export
from interank.types import Document, Query
from tests.support.tiny import Family
from tests.support.tiny_heads import PAIRS, released_adapter, tiny_adapter_head, tiny_base, tiny_encoder

# Rows of 1 to some 100 tokens of document.
TEXTS = [*PAIRS, ("red fox", "fox " * 90), ("a", "b")]


def own(folder: Path) -> list[float]:
    head = load_head(folder)
    return scores(head, [head.encoder.pair(Query("q", query), Document("d", text)) for query, text in TEXTS]).tolist()


def session(folder: Path) -> Any:
    runtime = pytest.importorskip("onnxruntime")
    return runtime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])


def rows(folder: Path, pairs: Sequence[tuple[str, str]], *, padding: Any = True, side: str = "right") -> Any:
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side=side)
    queries, texts = [query for query, _ in pairs], [text for _, text in pairs]
    return tokenizer(queries, texts, padding=padding, max_length=150, truncation=True, return_tensors="np")


def asked(session: Any, rows: Any) -> list[float]:
    found: list[float] = session.run(["logits"], {each.name: rows[each.name] for each in session.get_inputs()})[
        0
    ].tolist()
    return found


@pytest.mark.parametrize("family", ["llama3", "plain"])
def test_the_graph_gives_the_heads_logits(tmp_path: Path, family: Family) -> None:
    pytest.importorskip("onnx")
    settings = HeadSettings(max_query_tokens=60, max_length=150, end_token=family == "plain")
    head = tiny_adapter_head(tmp_path / "head", tiny_base(tmp_path / "base", family=family), settings)
    out = tmp_path / "onnx"
    assert export(head, out, to="onnx").largest < 1e-5
    expected = own(head)
    assert max(expected) - min(expected) > 0.1
    graph = session(out)
    assert [each.name for each in graph.get_inputs()] == ["input_ids", "attention_mask"]
    # Alone, two at a time, all together; and all padded beyond the longest, on either side.
    for size in (1, 2, len(TEXTS)):
        parts = [rows(out, TEXTS[begin : begin + size]) for begin in range(0, len(TEXTS), size)]
        assert [score for part in parts for score in asked(graph, part)] == pytest.approx(expected, abs=1e-5)
    for side in ("left", "right"):
        padded = rows(out, TEXTS, padding="max_length", side=side)
        assert padded["input_ids"].shape == (len(TEXTS), 150)
        assert padded["attention_mask"].min() == 0
        assert asked(graph, padded) == pytest.approx(expected, abs=1e-5)
        # What the padding consists of tells nothing.
        padded["input_ids"] = np.where(padded["attention_mask"] == 0, 5, padded["input_ids"])
        assert asked(graph, padded) == pytest.approx(expected, abs=1e-5)


def test_the_folder_says_how_a_pair_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnx")
    head = tiny_adapter_head(tmp_path / "head", tiny_base(tmp_path / "base"), HeadSettings(max_length=150))
    out = tmp_path / "onnx"
    assert main(["export", str(head), "--to", "onnx", "--out", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    told = read_head(out)
    assert told is not None and told.pooling == "last" and told.max_length == 150
    assert {file.name for file in out.iterdir()} == {
        "README.md",
        "interank.json",
        "model.onnx",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert json.loads((out / "tokenizer_config.json").read_text())["model_max_length"] == 150
    card = ModelCard.load(out / "README.md")
    assert card.data.library_name == "onnx"
    assert "attention_mask` holds" in card.text


def test_an_encoder_keeps_its_own_pooling_and_its_parts(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    encoder = tiny_encoder(tmp_path / "encoder")
    out = tmp_path / "onnx"
    export(encoder, out, to="onnx")
    graph = session(out)
    assert [each.name for each in graph.get_inputs()] == ["input_ids", "attention_mask", "token_type_ids"]
    given = rows(out, TEXTS[:3])
    assert asked(graph, given) == pytest.approx(own(encoder)[:3], abs=1e-5)
    given["token_type_ids"] = 1 - given["token_type_ids"]
    assert asked(graph, given) != pytest.approx(own(encoder)[:3], abs=1e-3)


def test_what_cannot_be_written_is_refused_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tiny_base(tmp_path / "base")
    released = released_adapter(tmp_path / "released", base)
    with pytest.raises(InputError, match="padding"):
        export(released, tmp_path / "out", to="onnx", settings=HeadSettings(legacy="dear"))
    for package, works, said in (
        ("onnx_that_is_not_there", "1", r"onnx_that_is_not_there is not installed; pip install 'interank\[onnx\]'"),
        ("torch", "99", r"found torch .*, but interank needs 99 or later; pip install 'torch>=99'"),
    ):
        monkeypatch.setattr(onnx_graph, "_PACKAGES", {package: works})
        with pytest.raises(InputError, match=said):
            export(released, tmp_path / "out", to="onnx")
    assert not list(tmp_path.glob("*out*"))


def test_the_versions_asked_for_are_those_of_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    asked = {f"{name}>={works}" for name, works in onnx_graph._PACKAGES.items()}
    assert asked == set(project["optional-dependencies"]["onnx"])
