"""GRPO trainers on a tiny model with stored completions: the same rows, whoever trains on them."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM
from trl import GRPOConfig, GRPOTrainer

from tests.support import tiny

VOCABULARY = 600
# The tiny tokenizer's end of turn.
END = 2
QUERIES, DOCUMENTS, GROUP = 3, 2, 4


def model(seed: int = 0, *, dtype: torch.dtype = torch.float32, spread: float = 0.02) -> PeftModel:
    """A Llama with grouped key heads and an adapter that changes what it says: LoRA's B is not zero."""
    torch.manual_seed(seed)
    base = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=64,
            intermediate_size=160,
            num_hidden_layers=3,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            attn_implementation="sdpa",
        )
    )
    # At their usual scale the weights of so small a model give every token the same probability.
    for parameter in base.parameters():
        parameter.data.mul_(3 if parameter.dim() > 1 else 1)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    adapted = get_peft_model(base, LoraConfig(r=8, lora_alpha=16, lora_dropout=0.0, target_modules=targets))
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=spread)
    return adapted.to(dtype)


def prompts(seed: int = 0) -> list[list[int]]:
    """Whole queries, one after the other: their prompts begin alike, some with less in common than is shared."""
    rng = random.Random(seed)
    frame = _ids(rng, 40)
    found = []
    for _ in range(QUERIES):
        query = _ids(rng, rng.randint(34, 60))
        found += [frame + query + _ids(rng, rng.randint(8, 70)) for _ in range(DOCUMENTS)]
    return found


def _ids(rng: random.Random, number: int) -> list[int]:
    return [rng.randrange(10, VOCABULARY) for _ in range(number)]


class Stored:
    """A rollout function that has its completions from the seed, the prompt, the place in the group and the step."""

    def __init__(self, *, longest: int = 24, seed: int = 0) -> None:
        self.prompts = prompts(seed)
        self.longest = longest

    def __call__(self, numbers: list[str], trainer: Any) -> dict[str, Any]:
        seen: dict[str, int] = {}
        ids = []
        for number in numbers:
            place = seen[number] = seen.get(number, -1) + 1
            rng = random.Random(f"{number} {place} {trainer.state.global_step}")
            ended = [END] if rng.random() < 0.7 else []
            ids.append(_ids(rng, rng.randint(1, self.longest)) + ended)
        return {
            "prompt_ids": [self.prompts[int(number)] for number in numbers],
            "completion_ids": ids,
            "logprobs": None,
            # The first token is forced, as the words before the grade are.
            "env_mask": [[0, *[1] * (len(row) - 1)] if len(row) > 1 else [1] for row in ids],
        }


def reward(*, completion_ids: list[list[int]], **_: Any) -> list[float | None]:
    """Something that differs within a group."""
    return [sum(ids) % 7 / 7 + len(ids) / 100 for ids in completion_ids]


def trainer(
    kind: type[GRPOTrainer], adapted: PeftModel, folder: Path, judge: Callable[..., Any] = reward, **settings: Any
) -> GRPOTrainer:
    """A trainer of this kind on the stored completions; two queries a step unless told otherwise."""
    config = GRPOConfig(
        **{
            "output_dir": str(folder),
            "use_cpu": True,
            "bf16": False,
            "num_generations": GROUP,
            "per_device_train_batch_size": DOCUMENTS * GROUP,
            "gradient_accumulation_steps": 2,
            "max_completion_length": 24,
            "temperature": 0.7,
            "gradient_checkpointing": False,
            "shuffle_dataset": False,
            "report_to": "none",
            "save_strategy": "no",
            "logging_steps": 1,
            "lr_scheduler_type": "constant",
            "learning_rate": 1e-3,
            "disable_tqdm": True,
            "seed": 3,
            **settings,
        }
    )
    rollouts = Stored()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using 'rollout_func'")
        return kind(
            model=adapted,
            args=config,
            reward_funcs=[judge],
            train_dataset=Dataset.from_list([{"prompt": str(number)} for number in range(len(rollouts.prompts))]),
            processing_class=tiny.tiny_tokenizer(),
            rollout_func=rollouts,
        )
