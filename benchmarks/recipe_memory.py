"""What training by each recipe of distill takes on its GPU, by the plan of `interank check` at the longest texts.

    python benchmarks/recipe_memory.py

Models are made of their published shapes, without memory. A judge's microbatch is a question with its
documents, all as long as the recipe lets through; a head's and a list's have every row
full. What the plan chooses (form of the weights, activations kept or computed again) is for the recipe's hardware.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from transformers import LlamaConfig, PretrainedConfig, Qwen3Config, SmolLM3Config

from interank.engines.models import ModelFiles
from interank.recipe import recipe_files, summary
from interank.recipe.loading import load_recipe
from interank.tasks.judge.recipe import DistillJudge
from interank.training import planning
from interank.training.memory import Microbatch
from interank.training.planning import Choice, gib, plan
from interank.training.sft import largest_microbatch
from tests.support.paper_steps import encoder_of, groups_of, judged


def shape(hidden: int, inner: int, layers: int, heads: int, keys: int) -> dict[str, int]:
    """A decoder's numbers by the names of its configuration."""
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": keys,
    }


def qwen3(**numbers: int) -> PretrainedConfig:
    """A Qwen3 of these numbers."""
    return Qwen3Config(**numbers, head_dim=128, vocab_size=151936, tie_word_embeddings=True)


_3B = LlamaConfig(**shape(3072, 8192, 28, 24, 8), vocab_size=128256, tie_word_embeddings=True)
SHAPES: dict[str, PretrainedConfig] = {
    "meta-llama/Llama-3.2-3B": _3B,
    "meta-llama/Llama-3.2-3B-Instruct": _3B,
    "meta-llama/Llama-3.1-8B-Instruct": LlamaConfig(**shape(4096, 14336, 32, 32, 8), vocab_size=128256),
    "meta-llama/Llama-2-13b-hf": LlamaConfig(**shape(5120, 13824, 40, 40, 40), vocab_size=32000),
    "Qwen/Qwen3-0.6B": qwen3(**shape(1024, 3072, 28, 16, 8)),
    "Qwen/Qwen3-1.7B": qwen3(**shape(2048, 6144, 28, 16, 8)),
    "Qwen/Qwen3-4B": qwen3(**shape(2560, 9728, 36, 32, 8)),
    "HuggingFaceTB/SmolLM3-3B": SmolLM3Config(**shape(2048, 11008, 36, 16, 4), tie_word_embeddings=True),
}
# Letters of each text, beyond any recipe's limits but the explanation, which is never cut.
LONG = {"query": 8000, "document": 20000, "explanation": 300}
GIGABYTES = {"16 GB GPU": 16, "24 GB GPU": 24, "80 GB GPU": 80}


def main() -> None:
    """Print a row a recipe."""
    for name, path in recipe_files():
        if name.startswith("distill/") and (limit := GIGABYTES.get(summary(path).hardware)):
            recipe = load_recipe(name, ["judgments=written"] if "judgments" in path.read_text("utf-8") else [])
            config = SHAPES.get(recipe.student)
            print(
                f"| `{name}` | {told(recipe, config, limit * 10**9) if config else 'shape not at hand'} |", flush=True
            )


def told(recipe: object, config: PretrainedConfig, limit: int) -> str:
    """The plan in words."""
    planning.device, planning.device_bytes = lambda: "cuda", lambda _: limit
    largest = largest_of(recipe)
    given = recipe.trainer.get("gradient_checkpointing")
    head = recipe.task == "head"
    choice = Choice(recipe.lora, recipe.quantisation, recipe.double_quantisation, "bfloat16", given, head=head)
    with tempfile.TemporaryDirectory() as folder:
        config.save_pretrained(folder)
        planned, form = plan(ModelFiles(recipe.student, Path(folder), "folder"), choice, largest)
    weights = "NF4" if form == "nf4" else "bfloat16"
    again = "computed again" if planned.checkpointing else "kept"
    return f"{weights}, activations {again}, {largest.tokens} tokens | {gib(planned.total)}"


def largest_of(recipe: object) -> Microbatch:
    """The largest that the recipe lets through."""
    if isinstance(recipe, DistillJudge):
        groups = groups_of(recipe, encoder_of(recipe), judged(LONG, queries=2, documents=5))
        return largest_microbatch(groups, recipe.trainer, shared_prefix=recipe.shared_prefix)
    rows = recipe.trainer["per_device_train_batch_size"]
    if recipe.task == "head":
        tokens = rows * recipe.documents * recipe.encoding.max_length
        return Microbatch(tokens, tokens)
    tokens = rows * (recipe.prompt.max_length + recipe.max_reasoning_tokens)
    return Microbatch(tokens, tokens, rows * recipe.max_reasoning_tokens)


if __name__ == "__main__":
    main()
