"""Exports that others wrote or damaged: graphs of another form, that reach out of their folder, tokenizers cut down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interank.engines.export_engine import ExportEngine
from interank.engines.pairs import Frame
from interank.engines.sealed_tokenizer import save_sealed
from interank.engines.weights import ONNX
from interank.errors import ModelError
from tests.support.tiny import tiny_tokenizer

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
_Nodes = list[tuple[str, list[str], str, dict[str, Any]]]
# The mean of a text's ids, as one number for each text.
MEAN: _Nodes = [
    ("Cast", ["input_ids"], "ids", {"to": 1}),
    ("ReduceMean", ["ids"], "logits", {"axes": [1], "keepdims": 1}),
]


def graph(
    nodes: _Nodes = MEAN, *, gives: str = "logits", kind: int = 1, ids: int = 7, more: tuple[str, ...] = ()
) -> bytes:
    make = onnx.helper
    inputs = {"input_ids": ids, "attention_mask": 7, **dict.fromkeys(more, 7)}
    made = make.make_graph(
        [make.make_node(name, given, [made], **options) for name, given, made, options in nodes],
        "g",
        [make.make_tensor_value_info(name, kind, ["pairs", "tokens"]) for name, kind in inputs.items()],
        [make.make_tensor_value_info(gives, kind, None)],
    )
    model = make.make_model(made, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def outside() -> bytes:
    """A graph whose weights are said to be a file elsewhere."""
    model = onnx.load_from_string(graph([("Gather", ["weights", "input_ids"], "logits", {})]))
    weights = model.graph.initializer.add(name="weights", data_type=1, dims=[8, 1], data_location=1)
    for key, value in {"location": "../" * 9 + "etc/passwd", "offset": "0", "length": "32"}.items():
        weights.external_data.add(key=key, value=value)
    return bytes(model.SerializeToString())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_sealed(tiny_tokenizer(), Frame((5,), (6,), (7,)), tmp_path, length=40)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    (tmp_path / ONNX).write_bytes(graph())
    return tmp_path


def test_a_sound_one_gives_a_number_for_each_text(folder: Path) -> None:
    engine = ExportEngine(folder, ONNX)
    pair = engine.pair("fox", "an owl and a hen")
    assert pair.ids[0] == 5 and len(pair.ids) > 5
    assert engine.read([pair]) == [(pytest.approx(sum(pair.ids) / len(pair.ids)),)]


GRAPHS: dict[str, Callable[[], bytes]] = {
    "numbers without an axis for them": lambda: graph([MEAN[0], (*MEAN[1][:3], {"axes": [1], "keepdims": 0})]),
    "one number for all": lambda: graph([MEAN[0], (*MEAN[1][:3], {"keepdims": 0})]),
    "a number for each token": lambda: graph([("Cast", ["input_ids"], "logits", {"to": 1})]),
    "grades": lambda: graph(
        [*MEAN[:1], ("ReduceMean", ["ids"], "m", MEAN[1][3]), ("Concat", ["m"] * 3, "logits", {"axis": 1})]
    ),
    "texts": lambda: graph([("Cast", ["input_ids"], "logits", {"to": 8})], kind=8),
    "another name": lambda: graph([MEAN[0], ("ReduceMean", ["ids"], "score", MEAN[1][3])], gives="score"),
    "another input": lambda: graph(more=("token_type_ids",)),
    "ids of another kind": lambda: graph(ids=6),
    "ids beyond its table": lambda: graph(
        [("Gather", ["input_ids", "input_ids"], "m", {}), ("Cast", ["m"], "logits", {"to": 1})]
    ),
    "weights elsewhere": outside,
    "no graph": lambda: b"",
    "no ONNX": lambda: b"garbage",
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_is_no_judges_is_told(folder: Path, name: str) -> None:
    (folder / ONNX).write_bytes(GRAPHS[name]())
    with pytest.raises(ModelError, match=r"cannot be read as an export: .*; export the judge anew"):
        engine = ExportEngine(folder, ONNX)
        engine.read([engine.pair("fox", "a hen"), engine.pair("fox", "an owl")])


def changed(file: str, **facts: Any) -> Callable[[Path], object]:
    def change(folder: Path) -> None:
        found = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**found, **facts}))

    return change


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no graph": lambda folder: (folder / ONNX).unlink(),
    "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
    "an empty tokenizer": lambda folder: (folder / "tokenizer.json").write_text("{}"),
    "no length": changed("tokenizer.json", truncation=None),
    "no padding": changed("tokenizer_config.json", pad_token=None),
    "another model": changed("config.json", model_type="nope"),
    "no configuration": lambda folder: (folder / "config.json").write_text("[1]"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_what_stands_beside_a_graph_is_read_or_told(folder: Path, name: str) -> None:
    DAMAGES[name](folder)
    with pytest.raises(ModelError, match=r"cannot be read as an export: .*; export the judge anew"):
        ExportEngine(folder, ONNX)
