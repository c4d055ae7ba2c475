"""Attention along a tree by one call a layer and by one for each piece: dispatches; on a GPU seconds and gradients.

    python benchmarks/tree.py --json FILE
    python benchmarks/tree.py --device cuda --shape 3b --json FILE

Trees are those of a microbatch: distillation's, of questions with five documents in three tasks, and GRPO's, of queries
with four documents and eight completions each. Dispatches are counted on tensors without numbers, on any machine, of
one layer's attention forward and backward. FlexAttention has no gradients on CPUs, so that there its forward is
compared at the full shape of a head, and its mask's gradients through a dense mask.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import statistics
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from grpo import SHAPES, machine
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.attention import flex_attention as torch_flex
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_map_only

from interank.engines.tree import attention
from interank.engines.tree.attention import attend
from interank.engines.tree.flex import Heads, attend_at_once, why_not
from interank.engines.tree.intervals import block_mask
from interank.engines.tree.prefix_tree import Ids, PrefixTree, plant, plant_sequences

INSTRUCTION, QUERY, DOCUMENT, SUFFIX, ANSWERS = 90, 130, 260, 40, (2, 60, 90)
SIGMA = 0.63
COMPLETION = (90, 170)
# What moves no numbers; zeros are made where FlexAttention's results are laid out.
VIEWS = {
    "alias",
    "as_strided",
    "detach",
    "empty",
    "empty_like",
    "empty_strided",
    "expand",
    "new_zeros",
    "permute",
    "select",
}
VIEWS |= {
    "slice",
    "split",
    "split_with_sizes",
    "squeeze",
    "t",
    "transpose",
    "unbind",
    "unsqueeze",
    "view",
    "_unsafe_view",
}


class Dispatches(TorchDispatchMode):
    """Counts what torch calls, FlexAttention's forward and backward as one call each."""

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, called: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind, _, name = str(called).partition(".")
        if kind == "aten" or not name:
            self.names[name.partition(".")[0] or kind] += 1
        return called(*args, **(kwargs or {}))

    @property
    def counts(self) -> tuple[int, int]:
        """All, and those that are no mere views."""
        return sum(self.names.values()), sum(count for name, count in self.names.items() if name not in VIEWS)


def main() -> None:
    """Run the benchmark."""
    options = arguments()
    torch.set_num_threads(1)
    found: dict[str, Any] = {
        "machine": machine(options),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "shape": options.shape,
    }
    if options.device == "cuda":
        for name, tree in trees(options.shape, torch.device("cuda", 0)).items():
            found |= {f"{name}_{key}": value for key, value in on_gpu(options, tree).items()}
    for name, tree in trees(options.shape, torch.device("cpu")).items():
        found |= {f"{name}_{key}": value for key, value in counted(tree).items()}
    found |= compared(options) if options.device == "cpu" else {}
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", "utf-8")


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here too")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shape", choices=("tiny", "135m", "3b"), default="3b", help="whose heads")
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


def trees(shape: str, device: torch.device) -> dict[str, PrefixTree]:
    """The trees by name, of random ids."""
    draw = random.Random(0)

    def ids(number: int) -> Ids:
        return tuple(draw.randrange(10, 900) for _ in range(number))

    def length(median: int) -> int:
        return max(8, round(draw.lognormvariate(0, SIGMA) * median))

    def prompts(documents: int) -> list[Ids]:
        before = ids(INSTRUCTION) + ids(length(QUERY))
        return [before + ids(length(DOCUMENT)) for _ in range(documents)]

    tasks = [ids(SUFFIX) for _ in ANSWERS]

    def questions(number: int) -> PrefixTree:
        asked = [prompt + task for _ in range(number) for prompt in prompts(5) for task in tasks]
        rows = [(prompt, ids(ANSWERS[place % len(ANSWERS)])) for place, prompt in enumerate(asked)]
        return plant_sequences(rows, max(ANSWERS), device)

    if shape == "tiny":
        return {"distill_1": questions(1)}
    rollouts = [
        (prompt + tasks[0], ids(draw.randint(*COMPLETION))) for _ in range(2) for prompt in prompts(4) for _ in range(8)
    ]
    return {"distill_1": questions(1), "distill_4": questions(4), "rl_2": plant(rollouts, COMPLETION[1], device)}


def heads_of(options: argparse.Namespace, dtype: torch.dtype) -> Heads:
    """Those of the shape."""
    shape = SHAPES[options.shape]
    queries = shape["num_attention_heads"]
    return Heads(queries, shape["num_key_value_heads"], shape.get("head_dim", shape["hidden_size"] // queries), dtype)


def states_of(heads: Heads, tokens: int, device: str) -> list[torch.Tensor]:
    """Random queries, keys and values."""
    torch.manual_seed(0)
    shapes = [(1, number, tokens, heads.size) for number in (heads.queries, heads.keys, heads.keys)]
    return [torch.randn(shape, dtype=heads.dtype, device=device, requires_grad=True) for shape in shapes]


def counted(tree: PrefixTree) -> dict[str, Any]:
    """Dispatches of both ways, which depend on no head's size; without masks, which a GPU's kernels do not lay out."""
    heads, tokens = Heads(4, 2, 16, torch.float32), tree.ids.shape[1]
    mask = tree_map_only(torch.Tensor, lambda found: torch.empty(found.shape, dtype=found.dtype), block_mask(tree))
    figures: dict[str, Any] = {"tokens": tokens, "pieces": len(tree.trunks) + len(tree.leaves)}
    with uncounted_masks():
        figures |= calls_of("by_piece", lambda *states: attend(*states, tree), states_of(heads, tokens, "cpu"))
    # Its gradients are not computed on a CPU, so nothing is.
    with FakeTensorMode(allow_non_fake_inputs=True), uncompiled():
        states = states_of(heads, tokens, "cpu")
        return figures | calls_of("at_once", lambda *states: attend_at_once(*states, mask, None), states)


def calls_of(name: str, way: Callable[..., torch.Tensor], states: list[torch.Tensor]) -> dict[str, int]:
    """What a way calls forward and backward, and how much of it is no mere view."""
    with Dispatches() as calls:
        attended = way(*states)
        torch.autograd.grad(attended, states, torch.empty_like(attended))
    every, moving = calls.counts
    return {f"{name}_dispatches": every, f"{name}_kernels": moving}


@contextmanager
def uncounted_masks() -> Iterator[None]:
    """Plain masks in place of torch's own kind of tensor, which cannot be made while calls are counted."""

    def lower_right(queries: int, keys: int) -> torch.Tensor:
        with _disable_current_modes():
            return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)

    kept = attention.causal_lower_right
    attention.causal_lower_right = lower_right
    try:
        yield
    finally:
        attention.causal_lower_right = kept


@contextmanager
def uncompiled() -> Iterator[None]:
    """FlexAttention as it is called, on a CPU too: nothing is computed on tensors without numbers."""
    kept = torch_flex._validate_device
    torch_flex._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG, torch_flex._validate_device = True, lambda *states: None
    try:
        yield
    finally:
        torch_flex._FLEX_ATTENTION_DISABLE_COMPILE_DEBUG, torch_flex._validate_device = False, kept


def on_gpu(options: argparse.Namespace, tree: PrefixTree) -> dict[str, Any]:
    """Seconds of both ways, forward and backward, how far results and gradients lie apart, or why there is one way."""
    figures: dict[str, Any] = {}
    for kind in ("bfloat16", "float32"):
        heads = heads_of(options, getattr(torch, kind))
        if why := why_not(tree.ids.device, heads):
            figures[f"{kind}_why_not"] = why
            continue
        states = states_of(heads, tree.ids.shape[1], "cuda")
        mask = block_mask(tree)
        ways: dict[str, Callable[[], torch.Tensor]] = {
            "at_once": lambda states=states, mask=mask: attend_at_once(*states, mask, None),
            "by_piece": lambda states=states: attend(*states, tree),
        }
        seconds = {name: timed(way, states) for name, way in ways.items()}
        figures |= {f"{kind}_{name}_seconds": value for name, value in seconds.items()}
        figures[f"{kind}_speedup"] = round(seconds["by_piece"] / seconds["at_once"], 2)
        found, expected = (results(way(), states) for way in ways.values())
        figures[f"{kind}_error"] = relative(found[0], expected[0])
        figures[f"{kind}_gradient_error"] = max(map(relative, found[1:], expected[1:]))
    return figures


def timed(way: Callable[[], torch.Tensor], states: list[torch.Tensor]) -> float:
    """The median of seconds, compiling aside."""
    seconds = []
    for number in range(6):
        torch.cuda.synchronize()
        began = time.perf_counter()
        results(way(), states)
        torch.cuda.synchronize()
        if number:
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def results(attended: torch.Tensor, states: list[torch.Tensor]) -> list[torch.Tensor]:
    """What is attended, and the gradients by the states of a loss that weighs it at random."""
    generator = torch.Generator(attended.device).manual_seed(1)
    weights = torch.randn(attended.shape, device=attended.device, generator=generator).to(attended.dtype)
    return [attended.detach(), *torch.autograd.grad(attended, states, weights)]


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """By how much they differ, in parts of what is expected."""
    return float((found.float() - expected.float()).norm() / expected.float().norm())


def compared(options: argparse.Namespace) -> dict[str, float]:
    """What a CPU can tell, in float32: FlexAttention's forward, and gradients through a dense mask."""
    tree = trees("tiny", torch.device("cpu"))["distill_1"]
    states = states_of(heads_of(options, torch.float32), tree.ids.shape[1], "cpu")
    mask, places = block_mask(tree), torch.arange(tree.ids.shape[1])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        flex = attend_at_once(*(item.detach() for item in states), mask, None)
    sees = mask.mask_mod(places, places, places[:, None], places)
    dense = scaled_dot_product_attention(*states, attn_mask=sees, enable_gqa=True).transpose(1, 2)
    expected, found = results(attend(*states, tree), states), results(dense, states)
    return {
        "forward_error": relative(flex, expected[0]),
        "gradient_error": max(map(relative, found[1:], expected[1:])),
    }


if __name__ == "__main__":
    main()
