"""A reward model gives each chat what transformers gives it by itself, whatever is read beside it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForSequenceClassification,
    Qwen2Config,
    Qwen2ForSequenceClassification,
)

from interank.engines import reward_model
from interank.engines.protocol import Message
from interank.engines.reward_model import RewardModel
from interank.errors import ModelError

SHAPE: dict[str, Any] = {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 2048,
    "num_labels": 1,
}
FAMILIES: dict[str, Any] = {
    "llama": lambda v: LlamaForSequenceClassification(LlamaConfig(vocab_size=v, num_key_value_heads=2, **SHAPE)),
    "qwen2": lambda v: Qwen2ForSequenceClassification(Qwen2Config(vocab_size=v, num_key_value_heads=2, **SHAPE)),
    "sliding": lambda v: Qwen2ForSequenceClassification(
        Qwen2Config(
            vocab_size=v,
            num_key_value_heads=2,
            use_sliding_window=True,
            sliding_window=16,
            max_window_layers=1,
            **SHAPE,
        )
    ),
    "bert": lambda v: BertForSequenceClassification(BertConfig(vocab_size=v, **SHAPE)),
}
WORDS = ("a", "fox", "sleeps", "in", "the", "barn", "and", "it", "says", "so", "with", "red", "blue", "old", "grey")


def chats() -> list[list[Message]]:
    """Several questions, of different lengths, with different numbers of answers, in no order."""
    rng = random.Random(3)

    def words(number: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(number))

    found: list[list[Message]] = []
    for answers, length in ((5, 120), (1, 10), (3, 200), (1, 90), (2, 60)):
        question = words(length)
        found += [[("user", question), ("assistant", words(rng.randint(1, 40)))] for _ in range(answers)]
    rng.shuffle(found)
    return found


def saved(tiny_folder: Path, folder: Path, family: str, *, padded: bool) -> Path:
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    model = FAMILIES[family](len(tokenizer))
    # At their usual scale the weights of so small a model give every chat the same.
    for weight in model.parameters():
        weight.data.mul_(4 if weight.dim() > 1 else 1)
    model.config.pad_token_id = tokenizer.eos_token_id if padded else None
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
# Where padding is the token that ends a turn, transformers reads the one before it.
@pytest.mark.parametrize("padded", [False, True])
def test_outputs_are_those_of_each_chat_alone(tiny_folder: Path, tmp_path: Path, family: str, padded: bool) -> None:
    folder = saved(tiny_folder, tmp_path, family, padded=padded)
    plain = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = []
    for chat in chats():
        messages = [{"role": role, "content": text} for role, text in chat]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            expected.append(float(plain(input_ids=ids).logits[0, 0]))
    read: list[int] = []
    model = RewardModel(str(folder))
    model.model.get_input_embeddings().register_forward_hook(lambda _, given, out: read.append(given[0].numel()))
    found = model.outputs(chats())
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert len({round(value, 4) for value in found}) > 10
    whole = sum(len(ids) for ids in model._ids(chats()))
    if family in ("llama", "qwen2"):
        assert sum(read) < 0.6 * whole
    assert len(read) < len(found)


def test_a_batch_keeps_to_its_tokens(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = RewardModel(str(saved(tiny_folder, tmp_path, "llama", padded=False)))
    whole = model.outputs(chats())
    monkeypatch.setattr(reward_model, "_BATCH", {"cpu": 300})
    sizes: list[int] = []
    model.model.get_input_embeddings().register_forward_hook(lambda _, given, out: sizes.append(given[0].numel()))
    assert model.outputs(chats()) == pytest.approx(whole, rel=1e-4, abs=1e-5)
    longest = max(len(ids) for ids in model._ids(chats()))
    assert max(sizes) <= max(300, longest)


def test_a_model_without_a_trained_head_is_refused(tiny_folder: Path) -> None:
    with pytest.raises(ModelError, match="ForSequenceClassification"):
        RewardModel(str(tiny_folder))
