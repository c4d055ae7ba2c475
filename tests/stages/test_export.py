"""An exported head scores as it did: in sentence-transformers, in plain transformers, and here again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoTokenizer

from interank import Reranker
from interank.cli.app import main
from interank.engines.heads import load_head, scores
from interank.engines.use import read_head
from interank.engines.vllm_plugin import warn_of_rounding
from interank.errors import ArtifactError, InputError, ModelError
from interank.settings import HeadSettings
from interank.stages.export import export
from interank.stages.merge import merge
from interank.types import Document, Query
from tests.support.tiny import Family
from tests.support.tiny_heads import PAIRS, released_adapter, tiny_adapter_head, tiny_base, tiny_encoder, tiny_head

QUERY = Query("q", "where is the red fox")
# Words enough that the document is cut, and texts that tokenizers join with a prefix in their own ways.
TEXTS = [text for _, text in PAIRS] + ["fox " * 300, " two blanks", "7 owls", "<|eot_id|> no token", "!!!"]
DOCUMENTS = [Document(f"d{place}", text) for place, text in enumerate(TEXTS)]


def own(folder: Path, texts: list[str] = TEXTS) -> list[float]:
    head = load_head(folder)
    return scores(head, [head.encoder.pair(QUERY, Document("d", text)) for text in texts]).tolist()


def predicted(folder: Path, *, batch: int = 3) -> list[float]:
    cross_encoder = pytest.importorskip("sentence_transformers").CrossEncoder
    found = cross_encoder(str(folder), device="cpu").predict(
        [(QUERY.text, text) for text in TEXTS], batch_size=batch, show_progress_bar=False
    )
    return [float(score) for score in found]


@pytest.mark.parametrize("family", ["llama3", "chatml", "plain"])
@pytest.mark.parametrize("end", [False, True])
def test_a_cross_encoder_predicts_our_logits(tmp_path: Path, family: Family, end: bool) -> None:
    settings = HeadSettings(max_length=120, end_token=end)
    head = tiny_adapter_head(tmp_path / "head", tiny_base(tmp_path / "base", family=family), settings)
    found = export(head, tmp_path / "st")
    expected = own(head)
    assert found.largest < 1e-4 and found.pairs == 24
    assert max(expected) - min(expected) > 0.1
    assert predicted(tmp_path / "st") == pytest.approx(expected, abs=1e-4)
    assert predicted(tmp_path / "st", batch=1) == pytest.approx(expected, abs=1e-4)


def test_such_a_folder_is_a_head_here_too(tmp_path: Path) -> None:
    settings = HeadSettings(max_length=120, max_document_tokens=60)
    head = tiny_adapter_head(tmp_path / "head", tiny_base(tmp_path / "base"), settings)
    export(head, tmp_path / "st")
    told = read_head(tmp_path / "st")
    assert told is not None and told.template and told.query_prefix == ""
    assert own(tmp_path / "st") == pytest.approx(own(head), abs=1e-5)
    one, other = (
        {item.doc_id: item.score for item in Reranker(path).rank(QUERY, DOCUMENTS)} for path in (head, tmp_path / "st")
    )
    assert one == pytest.approx(other, abs=1e-5)


def test_one_that_sentence_transformers_saved_is_a_head_here(tmp_path: Path) -> None:
    cross_encoder = pytest.importorskip("sentence_transformers").CrossEncoder
    folder = tiny_encoder(tmp_path / "encoder")
    model = cross_encoder(str(folder), device="cpu", activation_fn=torch.nn.Identity())
    model.save_pretrained(str(tmp_path / "saved"))
    texts = [text for text in TEXTS if len(text) < 100]
    expected = model.predict([(QUERY.text, text) for text in texts], show_progress_bar=False)
    found = Reranker(tmp_path / "saved").rank(QUERY, [Document(str(n), text) for n, text in enumerate(texts)])
    scored = {int(item.doc_id): item.score for item in found}
    assert [scored[place] for place in range(len(texts))] == pytest.approx(expected.tolist(), abs=1e-4)


def test_the_plugin_warns_where_vllm_rounds(caplog: pytest.LogCaptureFixture) -> None:
    """What vLLM does by itself with float32: scores of a tiny judge moved by .013, ranks by luck did not."""
    warn_of_rounding(torch.bfloat16, torch.float32)
    assert "computes in bfloat16" in caplog.text and "--dtype float32" in caplog.text
    caplog.clear()
    for exact in (torch.float32, torch.bfloat16):
        warn_of_rounding(exact, exact)
    warn_of_rounding(torch.float32, torch.bfloat16)
    assert not caplog.text


def test_what_cannot_be_exported_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    released = released_adapter(tmp_path / "released", base)
    with pytest.raises(InputError, match="padding"):
        export(released, tmp_path / "out", settings=HeadSettings(legacy="dear"))
    with pytest.raises(InputError, match="vLLM serves as it is"):
        export(tiny_head(tmp_path / "whole", base, HeadSettings()), tmp_path / "out", to="vllm")
    head = tiny_adapter_head(tmp_path / "head", base, HeadSettings(max_length=120))
    # One prefix grows together with the text, and the other's blank with its first word.
    odd = tiny_adapter_head(
        tmp_path / "odd", base, HeadSettings(max_length=120, query_prefix="que", document_prefix="d ")
    )
    with pytest.raises(ModelError, match="prefixes and texts"):
        export(odd, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
    export(head, tmp_path / "out")
    with pytest.raises(ArtifactError, match="another --out"):
        export(head, tmp_path / "out")
    with pytest.raises(ArtifactError, match="interank export"):
        merge(head, tmp_path / "merged")


def test_the_verb_prints_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = tiny_adapter_head(tmp_path / "head", tiny_base(tmp_path / "base"), HeadSettings(max_length=120))
    out = tmp_path / "st"
    assert main(["export", str(head), "--to", "cross-encoder", "--out", str(out), "--quiet"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    config = json.loads((out / "config.json").read_text())
    tokenizer = AutoTokenizer.from_pretrained(out)
    assert config["pad_token_id"] == tokenizer.pad_token_id is not None
    assert np.isfinite(own(out)).all()
    card = ModelCard.load(out / "README.md")
    assert card.data.library_name == "sentence-transformers"
    assert "CrossEncoder" in card.text
