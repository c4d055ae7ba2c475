"""Tiny Llama-architecture models with trained tokenizers, saved as a hub would ship them."""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interank import judging
from tests.support import rule

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + "
    "'<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


# As Llama 3's: the template writes the beginning-of-sequence token itself, and a date; turns end with <|eot_id|>.
LLAMA3 = (
    "{{ bos_token }}{% if date_string is not defined %}{% set date_string = strftime_now('%d %b %Y') %}{% endif %}"
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% if loop.first %}{{ 'Today: ' + date_string + '\n' }}{% endif %}{{ message['content'] | trim + '<|eot_id|>' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
# As Gemma's: metaspace pieces, the tokenizer adds the beginning-of-sequence token, turns end with <end_of_turn>.
GEMMA = (
    "{% for message in messages %}{{ '<start_of_turn>' + message['role'] + '\n' + message['content'] + "
    "'<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
Family = Literal["chatml", "llama3", "gemma", "plain"]
_SPECIAL: dict[Family, list[str]] = {
    "chatml": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "llama3": ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
    "gemma": ["<pad>", "<bos>", "<eos>", "<unk>", "<start_of_turn>", "<end_of_turn>"],
    "plain": ["<s>", "</s>"],
}
_NAMED: dict[Family, dict[str, str | None]] = {
    "chatml": {
        "eos_token": "<|im_end|>",
        "pad_token": "<|im_end|>",
        "unk_token": "<|endoftext|>",
        "chat_template": CHATML,
    },
    "llama3": {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "chat_template": LLAMA3},
    "gemma": {
        "bos_token": "<bos>",
        "eos_token": "<eos>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "chat_template": GEMMA,
    },
    "plain": {"bos_token": "<s>", "eos_token": "</s>"},
}
FAMILIES: tuple[Family, ...] = ("chatml", "llama3", "gemma", "plain")


def tiny_tokenizer(family: Family = "chatml", texts: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A small BPE tokenizer in the manner of a family, trained on the prompt's and the rule's words, or other texts."""
    backend = Tokenizer(models.BPE(unk_token="<unk>" if family == "gemma" else None))
    digits = pre_tokenizers.Digits(individual_digits=True)
    if family == "gemma":
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.Metaspace(prepend_scheme="never")])
        backend.decoder = decoders.Metaspace(prepend_scheme="never")
    else:
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, pre_tokenizers.ByteLevel(add_prefix_space=False)])
        backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=_SPECIAL[family],
        initial_alphabet=list(string.printable) if family == "gemma" else pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    orders: tuple[judging.Order, ...] = ("grade_first", "reason_first")
    prompts = [judging.render("", "", order)[0]["content"] for order in orders]
    words = [*prompts, judging.LABEL_LEAD, *rule.all_texts()]
    backend.train_from_iterator([*(texts or words)] * 4, trainer)
    bos = _NAMED[family].get("bos_token")
    if bos is not None and family != "chatml":
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, backend.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(tokenizer_object=backend, **_NAMED[family])


def tiny_model(folder: Path, *, hidden: int = 64, layers: int = 2, seed: int = 0, texts: Sequence[str] = ()) -> Path:
    """A random model of the real architecture and its tokenizer, saved in `folder`."""
    tokenizer = tiny_tokenizer(texts=texts)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=hidden,
            intermediate_size=hidden * 3,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=2,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def strong_model(folder: Path, *, hidden: int = 64) -> Path:
    """A tiny model with larger weights: a fresh one's logits hardly differ, so a mistake would not be seen."""
    tiny_model(folder, hidden=hidden)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.2
    model.save_pretrained(folder)
    return folder


def strong_adapter(folder: Path) -> Path:
    """A PEFT adapter that moves every score, and beside it `base` and `merged`, the model with the adapter in it."""
    base = LlamaForCausalLM.from_pretrained(strong_model(folder / "base", hidden=128), dtype=torch.float32)
    adapted = get_peft_model(base, LoraConfig(r=5, lora_alpha=10, target_modules="all-linear"))
    torch.manual_seed(3)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.1)
    adapted.save_pretrained(folder / "adapter")
    config = folder / "adapter" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": str(folder / "base")}))
    adapted.merge_and_unload().save_pretrained(folder / "merged")
    tiny_tokenizer().save_pretrained(folder / "merged")
    return folder / "adapter"
