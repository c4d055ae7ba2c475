"""Tiny pointwise heads: whole ones, adapters, and stand-ins for models that others released, file for file."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import processors
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from interank.engines.use import save_head
from interank.settings import HeadSettings
from tests.support.tiny import Family, tiny_tokenizer

SEVEN = ["q_proj", "v_proj", "k_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# Texts of many lengths, one of them with Llama 3's token 0, "!", which sets a trap of its own.
PAIRS = [
    ("where is the red fox", "A red fox sits in the barn."),
    ("where is the red fox", "Wow! A fox! No, two!"),
    (
        "how do bridges stand up",
        "Arches carry weight sideways into their feet, so that those are heavy. " * 2,
    ),
    ("why", "Because."),
    ("what collapses bread dough when it stands for too long in a warm kitchen", "Yeast runs out of sugar."),
]


def tiny_base(folder: Path, *, family: Family = "llama3", seed: int = 0, hidden: int = 64) -> Path:
    """A language model without a token for padding, as Llama 3 comes, whose weights are large enough to matter."""
    tokenizer = tiny_tokenizer(family)
    if tokenizer.bos_token:
        # As Llama 3's tokenizer writes a pair.
        bos = (tokenizer.bos_token, tokenizer.bos_token_id)
        tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos[0]} $A", pair=f"{bos[0]} $A {bos[0]}:1 $B:1", special_tokens=[bos]
        )
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=hidden * 3,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=None,
        )
    )
    _shake(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def tiny_head(folder: Path, base: Path, settings: HeadSettings | None, *, seed: int = 1) -> Path:
    """A whole head on a base's weights; without settings it does not say how it reads a pair."""
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    model.save_pretrained(folder)
    PreTrainedTokenizerFast.from_pretrained(base).save_pretrained(folder)
    if settings:
        save_head(folder, settings)
    return folder


def released_adapter(folder: Path, base: Path, *, seed: int = 1, rank: int = 16, base_name: str = "") -> Path:
    """What DeAR's cards describe: rank 16, alpha 32, seven projections and the score layer; no word on its pairs."""
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1, dtype=torch.float32)
    lora = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=SEVEN, lora_dropout=0.05, bias="none", task_type="SEQ_CLS"
    )
    adapted = get_peft_model(model, lora)
    _shake(adapted, only="lora_B")
    _shake(adapted, only="score.modules_to_save")
    adapted.peft_config["default"].base_model_name_or_path = base_name or str(base)
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    return folder


def tiny_adapter_head(folder: Path, base: Path, settings: HeadSettings, *, seed: int = 1) -> Path:
    """An adapter that says how it reads a pair."""
    released_adapter(folder, base, seed=seed, rank=4)
    save_head(folder, settings)
    return folder


def tiny_encoder(folder: Path) -> Path:
    """A cross-encoder of BERT's kind, as they stand on the hub."""
    tokenizer = tiny_tokenizer("gemma")
    bos, eos = tokenizer.bos_token, tokenizer.eos_token
    tokenizer.chat_template = None
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}",
        pair=f"{bos} $A {eos} $B:1 {eos}:1",
        special_tokens=[(bos, tokenizer.bos_token_id), (eos, tokenizer.eos_token_id)],
    )
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=128,
            pad_token_id=tokenizer.pad_token_id,
            num_labels=1,
        )
    )
    _shake(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _shake(model: torch.nn.Module, only: str = "") -> None:
    """Larger weights: a fresh model's outputs hardly differ, so a mistake would not be seen."""
    for name, parameter in model.named_parameters():
        if only in name:
            parameter.data += torch.randn_like(parameter) * 0.1
