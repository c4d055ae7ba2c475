"""Checks that a model computes prompts in a tree as it does alone; unknown families are tried on a few tokens."""

from __future__ import annotations

import logging
from typing import Any

import torch

from interank.engines.budget import Budget
from interank.engines.layers import allowed
from interank.engines.prompts import Prompt
from interank.engines.tree.attention import follows
from interank.engines.tree.prefix_tree import SHORTEST_SHARED
from interank.engines.tree.runner import TreeRunner
from interank.errors import TrainingError

log = logging.getLogger(__name__)

# Tests compare these families with plain forward passes at every size. A head of one number stands on the same layers.
_FAMILIES = ("Llama", "Mistral", "Qwen2", "Qwen3", "SmolLM3", "Gemma3")
_KNOWN = frozenset(f"{name}For{what}" for name in _FAMILIES for what in ("CausalLM", "SequenceClassification"))
# Tolerances as shares of the largest logit; a fault is as large as the logits themselves.
_NEAR = {torch.float32: 1e-3}
_NEAR_ROUNDED = 0.1


def tree_runner(model: Any) -> TreeRunner | None:
    """A runner that reads prompts as a tree; None if the model's layers would compute them wrongly."""
    if not follows(model):
        return None
    runner = TreeRunner(model)
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if type(base).__name__ in _KNOWN:
        return runner
    why = _fault(runner) if base.get_output_embeddings() is not None else "it has no logits of tokens to be tried by"
    if why:
        log.info("%s reads prompts without a tree, which is slower: %s", type(base).__name__, why)
        return None
    return runner


def _fault(runner: TreeRunner) -> str:
    """What is wrong with two texts of one prefix that are read in pieces and continued, in words; empty if nothing."""
    model = runner.model
    shared = tuple(range(3, 3 + SHORTEST_SHARED))
    prompts = [Prompt(shared, own, ()) for own in ((4, 5), (6, 7))]
    # Half of their tokens, so that there are two pieces.
    budget, more = Budget(len(shared) // 2 + 2, 2**40), torch.tensor([8, 9])
    try:
        with torch.inference_mode():
            whole = torch.tensor([(*prompt.ids, int(token)) for prompt, token in zip(prompts, more, strict=True)])
            plain = model(whole.to(model.device), use_cache=False).logits[:, -2:].float()
            rows = [torch.empty_like(plain[0, 0])] * len(prompts)
            for places, logits in runner.logits(prompts, budget, ()):
                for place, row in zip(places, logits.float(), strict=True):
                    rows[place] = row
            read = [(torch.stack(rows), plain[:, 0])]
            if allowed(model.config).padding:
                batch = runner.start(prompts, budget, 1)
                read.append((batch.logits, plain[:, 0]))
                batch.step(more)
                read.append((batch.logits, plain[:, 1]))
    except torch.OutOfMemoryError:
        raise
    except (TrainingError, RuntimeError, TypeError, ValueError, IndexError) as error:
        return str(error).strip().splitlines()[0]
    off = max(float((own.float() - right).abs().max() / right.abs().max()) for own, right in read)
    near = _NEAR.get(model.dtype, _NEAR_ROUNDED)
    # NaN is refused too.
    return "" if off < near else f"the logits of a few tokens were off by {off:.2g} of the largest"
