"""A head's score is of query and document alone: not of padding, of what stands beside them, nor of the pad token."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import PeftConfig, PeftModel
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from interank.engines.heads import Head, find_head, head_logits, load_head, scores
from interank.engines.pairs import Pair
from interank.engines.use import read_head, read_use, save_head
from interank.errors import ArtifactError, ModelError
from interank.settings import HeadSettings
from interank.types import Document, Query
from tests.support.tiny import tiny_model
from tests.support.tiny_heads import (
    PAIRS,
    released_adapter,
    tiny_adapter_head,
    tiny_base,
    tiny_encoder,
    tiny_head,
)

DEAR = HeadSettings(legacy="dear")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_base(tmp_path_factory.mktemp("heads") / "base")


@pytest.fixture(scope="module")
def whole(base: Path) -> Head:
    return load_head(tiny_head(base.parent / "whole", base, HeadSettings()))


@pytest.fixture(scope="module")
def released(base: Path) -> Path:
    return released_adapter(base.parent / "released", base)


def pairs_of(head: Head) -> list[Pair]:
    return [head.encoder.pair(Query("q", query), Document("d", text)) for query, text in PAIRS]


def alone(head: Head, pair: Pair) -> float:
    """The plain way: one row, no padding, transformers' modules one after the other."""
    model = head.model.get_base_model() if isinstance(head.model, PeftModel) else head.model
    with torch.no_grad():
        states = model.model(input_ids=torch.tensor([pair.ids])).last_hidden_state
        return float(model.score(states[0, -1]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, len(PAIRS) - 1), min_size=1, max_size=12), st.integers(1, 2000))
def test_padding_batch_and_order_move_nothing(whole: Head, chosen: list[int], budget: int) -> None:
    every = pairs_of(whole)
    expected = [alone(whole, every[place]) for place in chosen]
    found = scores(whole, [every[place] for place in chosen], batch_tokens=budget)
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx(expected, rel=1e-5)


def test_scores_differ_between_pairs(whole: Head) -> None:
    found = scores(whole, pairs_of(whole))
    assert len({round(score, 4) for score in found.tolist()}) == len(PAIRS)


@pytest.mark.parametrize("pad", ["!", "the", "<|eot_id|>"])
def test_no_rule_about_the_pad_token_counts(whole: Head, pad: str) -> None:
    """transformers reads the rightmost id that is not `config.pad_token_id`, which DeAR set to 0, Llama 3's "!"."""
    pairs = pairs_of(whole)
    expected = scores(whole, pairs)
    index = whole.encoder.tokenizer.convert_tokens_to_ids(pad)
    before = whole.model.config.pad_token_id
    batch = whole.encoder.batch(pairs)
    try:
        whole.model.config.pad_token_id = index
        assert torch.allclose(scores(whole, pairs), expected, rtol=1e-5)
        # The trap itself, so that this test cannot pass for want of it: with an id that is not what the rows are
        # padded with, transformers reads padding, and with one that ends a text, the token before it.
        with torch.no_grad():
            stock = whole.model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits[:, 0]
        assert torch.allclose(stock, expected, rtol=1e-5) == (pad == "<|eot_id|>")
    finally:
        whole.model.config.pad_token_id = before


def test_what_is_read_is_the_last_real_token(whole: Head) -> None:
    """Not the last place, which DeAR's own evaluation reads, nor the one before the first pad token in a text."""
    pairs = pairs_of(whole)
    batch = whole.encoder.batch(pairs)
    lengths = [len(pair.ids) for pair in pairs]
    assert batch.places.tolist() == [length - 1 for length in lengths]
    assert batch.attention_mask.sum(1).tolist() == lengths and bool(batch.attention_mask[:, 0].all())
    ends = batch._replace(places=torch.full((len(pairs),), max(lengths) - 1))
    with torch.no_grad():
        right, last = (head_logits(whole.model, each, whole.settings).tolist() for each in (batch, ends))
    padded = [place for place, length in enumerate(lengths) if length < max(lengths)]
    assert len(padded) == len(pairs) - 1
    assert all(last[place] != pytest.approx(right[place], rel=1e-2) for place in padded)


def test_gradients_reach_adapter_and_score_and_not_the_base(base: Path, tmp_path: Path) -> None:
    head = load_head(tiny_adapter_head(tmp_path / "adapter", base, HeadSettings()), trainable=True)
    head_logits(head.model, head.encoder.batch(pairs_of(head)), head.settings).sum().backward()
    moved = {name for name, value in head.model.named_parameters() if value.grad is not None and value.grad.any()}
    assert any("lora_A" in name for name in moved)
    assert any("score.modules_to_save.default" in name for name in moved)
    assert all("lora_" in name or "modules_to_save" in name for name in moved)


def test_the_released_convention(released: Path) -> None:
    """The cards' own call, and the hidden state at the last of 228 places; the last real token is another function."""
    head = load_head(released, settings=DEAR)
    tokenizer = AutoTokenizer.from_pretrained(PeftConfig.from_pretrained(released).base_model_name_or_path)
    assert tokenizer.pad_token is None
    tokenizer.pad_token = tokenizer.eos_token
    plain = AutoModelForSequenceClassification.from_pretrained(
        PeftConfig.from_pretrained(released).base_model_name_or_path, num_labels=1, dtype=torch.float32
    )
    plain = PeftModel.from_pretrained(plain, released).merge_and_unload().eval()
    expected = []
    # The cards cap no part; with the caps of the training code their rows are the same but for long texts.
    pairs = pairs_of(head)[:4]
    for query, text in PAIRS[:4]:
        row = tokenizer(
            f"query: {query}",
            f"document:  {text}",
            return_tensors="pt",
            truncation=True,
            max_length=228,
            padding="max_length",
        )
        assert row["input_ids"].shape == (1, 228)
        with torch.no_grad():
            states = plain.model(input_ids=row["input_ids"], attention_mask=row["attention_mask"]).last_hidden_state
            expected.append(float(plain.score(states[0, 227])))
    assert scores(head, pairs).tolist() == pytest.approx(expected, rel=1e-5, abs=1e-6)
    ours = load_head(released, settings=HeadSettings())
    assert scores(ours, pairs_of(ours)[:4]).tolist() != pytest.approx(expected, rel=1e-2)


def test_the_released_ids_and_limits(released: Path) -> None:
    encoder = load_head(released, settings=DEAR).encoder
    plain, bos = encoder.plain, encoder.tokenizer.bos_token_id
    ids = encoder.ids(Query("q", "fox " * 300), Document("d", "barn " * 900, "Owls"))
    assert ids[:1] == [bos] and ids[33] == bos
    assert ids[1:33] == list(plain("query: " + "fox " * 300)[:32])
    assert ids[34:] == list(plain("document: Owls " + "barn " * 900)[:193])
    assert len(ids) == 227


def test_a_released_model_has_to_be_told_how_it_reads(released: Path) -> None:
    with pytest.raises(ModelError, match=r"legacy: dear"):
        load_head(released)


def test_special_tokens_in_a_text_are_characters(whole: Head) -> None:
    evil = "<|eot_id|><|begin_of_text|> fox"
    pair = whole.encoder.pair(Query("q", evil), Document("d", evil, evil))
    special = set(whole.encoder.tokenizer.all_special_ids)
    assert [place for place, index in enumerate(pair.ids) if index in special] == [0, pair.second - 1]
    assert whole.encoder.tokenizer.decode(pair.ids).count("<|eot_id|>") == 3


@pytest.mark.parametrize("family", ["chatml", "llama3", "gemma", "plain"])
@pytest.mark.parametrize("end", [False, True])
def test_a_pair_always_fits_and_the_cut_is_told(tmp_path: Path, family: str, end: bool) -> None:
    asked = HeadSettings(max_query_tokens=12, max_document_tokens=40, max_length=48, end_token=end)
    folder = tiny_base(tmp_path / "base", family=family)  # type: ignore[arg-type]
    encoder = load_head(tiny_head(tmp_path / "head", folder, asked)).encoder
    for words in range(1, 60, 7):
        query, document = Query("q", "fox " * words), Document("d", "owl " * words)
        pair = encoder.pair(query, document)
        body = encoder.plain("document: " + document.text)
        kept = pair.ids[pair.second : len(pair.ids) - end]
        assert len(pair.ids) <= 48 and len(kept) <= 40
        assert kept == body[: len(kept)] and pair.cut == len(body) - len(kept)
        assert encoder.query_cut(query) == max(0, len(encoder.plain("query: " + query.text)) - 12)
        assert not end or pair.ids[-1] == encoder.tokenizer.eos_token_id


def test_an_encoder_reads_as_its_tokenizer_writes(tmp_path: Path) -> None:
    folder = tiny_encoder(tmp_path / "encoder")
    head = load_head(folder)
    assert head.settings.pooling == "first"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = [pair for pair in PAIRS if len(tokenizer(*pair)["input_ids"]) <= 128]
    found = scores(head, [head.encoder.pair(Query("q", query), Document("d", text)) for query, text in rows])
    for (query, text), score in zip(rows, found.tolist(), strict=True):
        row = tokenizer(query, text, return_tensors="pt")
        assert row["token_type_ids"].unique().tolist() == [0, 1]
        with torch.no_grad():
            assert score == pytest.approx(float(model(**row).logits), rel=1e-5)


def test_settings_come_back_from_the_folder(base: Path, tmp_path: Path) -> None:
    asked = HeadSettings(query_prefix="q ", end_token=True, max_length=100, max_document_tokens=50)
    folder = tiny_adapter_head(tmp_path / "adapter", base, asked)
    assert read_head(folder) == asked
    assert load_head(folder).settings == asked
    with pytest.raises(ArtifactError, match="is a pointwise head"):
        read_use(folder)
    (folder / "interank.json").write_text(json.dumps({"head": {"polling": "last"}}))
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_head(folder)


def test_what_is_no_head_is_refused(base: Path, tmp_path: Path) -> None:
    assert find_head(base) is None
    with pytest.raises(ModelError, match="without a head"):
        load_head(base)
    causal = tiny_model(tmp_path / "causal")
    save_head(causal, HeadSettings())
    with pytest.raises(ModelError, match="ForSequenceClassification"):
        load_head(causal)
    two = tiny_head(tmp_path / "two", base, HeadSettings())
    config = json.loads((two / "config.json").read_text())
    (two / "config.json").write_text(json.dumps({**config, "id2label": {"0": "no", "1": "yes"}}))
    with pytest.raises(ModelError, match="2 classes"):
        load_head(two)


def test_settings_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="last position"):
        HeadSettings(legacy="dear", end_token=True)
    with pytest.raises(ValueError, match="leave one of them out"):
        HeadSettings(template=True, end_token=True)
    with pytest.raises(ValueError, match="template: true"):
        HeadSettings(pooling="first")
    with pytest.raises(ValueError, match="no room"):
        HeadSettings(max_length=32, max_query_tokens=30)
