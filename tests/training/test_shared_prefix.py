"""What completions share is computed once: log-probabilities, gradients and whole trainings equal TRL's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    TrainerCallback,
)
from trl import GRPOTrainer

from interank.engines.tree.prefix_tree import Ids, plant
from interank.errors import TrainingError
from interank.training.policy import SharedPrefixTrainer
from interank.training.shared_prefix import let_score_trees
from tests.support import stored_completions

# Both sides compute in float32 and add in another order; on the models here 7e-7 was seen.
GRADIENT_ERROR = 1e-5
# Of 20 steps: Adam divides by the gradient's size, so that rounding of small gradients comes back in the weights.
LOSS_ERROR, WEIGHT_ERROR = 1e-5, 1e-4


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def trained(adapted: PeftModel) -> list[torch.nn.Parameter]:
    return [weight for weight in adapted.parameters() if weight.requires_grad]


def one_update(
    kind: type[GRPOTrainer], folder: Path, reward: Callable[..., Any] = stored_completions.reward, **settings: Any
) -> tuple[float, torch.Tensor, dict[str, list[float]], int]:
    """Loss, gradients, metrics and tokens run of one optimizer step's microbatches, after generation."""
    adapted = stored_completions.model()
    trainer = stored_completions.trainer(kind, adapted, folder, reward, **settings)
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer.model.train()
    batches = iter(trainer.get_train_dataloader())
    tokens: list[int] = []
    embedding = adapted.get_input_embeddings()
    embedding.register_forward_hook(lambda module, given, output: tokens.append(given[0].numel()))
    loss = 0.0
    for _ in range(trainer.args.gradient_accumulation_steps):
        inputs = trainer._prepare_inputs(next(batches))
        part = trainer.compute_loss(trainer.model, inputs)
        part.backward()
        trainer._step += 1
        loss += part.item()
    gradients = torch.cat([weight.grad.flatten() for weight in trained(adapted) if weight.grad is not None])
    assert float(gradients.norm()) > 0
    return loss, gradients, trainer._metrics["train"], sum(tokens)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.7},
        # Microbatches of one group, of half a group, and all in one.
        {"temperature": 1.3, "per_device_train_batch_size": stored_completions.GROUP, "gradient_accumulation_steps": 6},
        {"per_device_train_batch_size": stored_completions.GROUP // 2, "gradient_accumulation_steps": 4},
        {"per_device_train_batch_size": 24, "gradient_accumulation_steps": 1, "loss_type": "dr_grpo"},
        # These need log-probabilities from before the update, of the distilled adapter, and the entropy.
        {"num_iterations": 2, "epsilon": 1e-3, "loss_type": "grpo"},
        {"beta": 0.2, "loss_type": "cispo", "epsilon_high": 5.0},
        {
            "gradient_accumulation_steps": 1,
            "entropy_coef": 0.1,
            "importance_sampling_level": "sequence",
            "loss_type": "grpo",
        },
        {"mask_truncated_completions": True, "scale_rewards": "none"},
        {"gradient_checkpointing": True},
    ],
    ids=str,
)
def test_gradients_are_trls(tmp_path: Path, settings: dict[str, Any]) -> None:
    expected = one_update(GRPOTrainer, tmp_path / "theirs", **settings)
    found = one_update(SharedPrefixTrainer, tmp_path / "ours", **settings)
    assert found[0] == pytest.approx(expected[0], abs=1e-6)
    assert relative(found[1], expected[1]) <= GRADIENT_ERROR
    # Two microbatches that share a group run its prompt twice.
    assert found[3] < expected[3] * 0.6
    mean = {name: sum(values) / len(values) for name, values in expected[2].items() if name.startswith("completions")}
    assert {name: sum(found[2][name]) / len(found[2][name]) for name in mean} == pytest.approx(mean)


def test_losses_and_weights_are_trls_over_twenty_steps(tmp_path: Path) -> None:
    class Weights(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.steps: list[torch.Tensor] = []

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            self.steps.append(torch.cat([weight.detach().flatten() for weight in trained(others["model"])]))

    runs = {}
    for kind in (GRPOTrainer, SharedPrefixTrainer):
        trainer = stored_completions.trainer(
            kind, stored_completions.model(), tmp_path / kind.__name__, max_steps=20, max_grad_norm=0.3
        )
        weights = Weights()
        trainer.add_callback(weights)
        trainer.train()
        losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
        assert len(losses) == len(weights.steps) == 20
        runs[kind] = (losses, weights.steps)
    (theirs, their_weights), (ours, our_weights) = runs[GRPOTrainer], runs[SharedPrefixTrainer]
    assert ours == pytest.approx(theirs, abs=LOSS_ERROR)
    assert len({round(loss, 4) for loss in theirs}) > 10
    errors = [relative(found, expected) for found, expected in zip(our_weights, their_weights, strict=True)]
    assert max(errors) <= WEIGHT_ERROR
    assert relative(their_weights[-1], their_weights[0]) > 100 * WEIGHT_ERROR


def test_microbatches_hold_whole_groups_and_whole_queries(tmp_path: Path) -> None:
    def rows_of(kind: type[GRPOTrainer]) -> list[list[tuple[int, ...]]]:
        trainer = stored_completions.trainer(
            kind, stored_completions.model(), tmp_path / kind.__name__, gradient_accumulation_steps=3
        )
        trainer.model.train()
        batches = iter(trainer.get_train_dataloader())
        found = []
        for _ in range(3):
            inputs = trainer._prepare_inputs(next(batches))
            trainer._step += 1
            pairs = zip(inputs["prompt_ids"], inputs["prompt_mask"], strict=True)
            found.append([tuple(ids[mask.bool()].tolist()) for ids, mask in pairs])
        return found

    prompts = [tuple(ids) for ids in stored_completions.prompts()]
    queries = [
        prompts[start : start + stored_completions.DOCUMENTS]
        for start in range(0, len(prompts), stored_completions.DOCUMENTS)
    ]
    whole = [[prompt for prompt in query for _ in range(stored_completions.GROUP)] for query in queries]
    assert rows_of(SharedPrefixTrainer) == whole
    # Else there is nothing here to be kept.
    assert any(len(set(rows)) > stored_completions.DOCUMENTS for rows in rows_of(GRPOTrainer))


def partly_equal(*, prompts: list[str], completion_ids: list[list[int]], **_: Any) -> list[float | None]:
    """The same reward, one that is no sum of powers of two, for every second prompt."""
    return [0.7 if int(n) % 2 else sum(ids) % 7 / 7 for n, ids in zip(prompts, completion_ids, strict=True)]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        # So cold that an old log-probability of a token is below -88, whose ratio to 1 is infinite in float32.
        {"num_iterations": 2, "temperature": 0.01},
        # In float32 the mean of eight times 0.7 is not 0.7, which scaling makes an advantage of 6e-4.
        {"num_generations": 8, "per_device_train_batch_size": 16},
    ],
    ids=str,
)
def test_groups_of_equal_rewards_are_counted_and_not_computed(tmp_path: Path, settings: dict[str, Any]) -> None:
    settings = {"gradient_accumulation_steps": 2, **settings}
    their_loss, expected, _, _ = one_update(GRPOTrainer, tmp_path / "theirs", partly_equal, **settings)
    loss, found, metrics, tokens = one_update(SharedPrefixTrainer, tmp_path / "ours", partly_equal, **settings)
    assert loss == pytest.approx(their_loss, abs=1e-3)
    assert relative(found, expected) <= 5e-3
    assert metrics["skipped_completions"] == [0.5]
    _, _, _, every = one_update(SharedPrefixTrainer, tmp_path / "every", **settings)
    assert tokens < every * (0.9 if "num_iterations" in settings else 0.75)
    # With a pull towards the reference, every completion has a gradient, is computed, and counts as such.
    pulled = one_update(SharedPrefixTrainer, tmp_path / "pulled", partly_equal, beta=0.1, **settings)
    assert pulled[2]["skipped_completions"] == [0.0]
    reference = one_update(GRPOTrainer, tmp_path / "reference", partly_equal, beta=0.1, **settings)
    assert relative(pulled[1], reference[1]) <= 5e-3


def test_with_beta_groups_of_equal_rewards_are_pulled_towards_the_reference(tmp_path: Path) -> None:
    """Nothing is earned anywhere, and yet TRL's loss has a gradient once the policy has moved."""

    def gradients(kind: type[GRPOTrainer], beta: float) -> torch.Tensor:
        def moved(**columns: Any) -> list[float | None]:
            for weight in trained(adapted):
                weight.data.add_(0.01 * weight.sign())
            return [0.5] * len(columns["completion_ids"])

        adapted = stored_completions.model()
        trainer = stored_completions.trainer(
            kind, adapted, tmp_path / f"{kind.__name__}{beta}", moved, beta=beta, gradient_accumulation_steps=1
        )
        trainer.current_gradient_accumulation_steps = 1
        trainer.model.train()
        trainer.compute_loss(
            trainer.model, trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
        ).backward()
        return torch.cat([weight.grad.flatten() for weight in trained(adapted) if weight.grad is not None])

    pulled = gradients(SharedPrefixTrainer, 0.1)
    assert float(pulled.norm()) > 1e-3
    assert relative(pulled, gradients(GRPOTrainer, 0.1)) <= GRADIENT_ERROR
    assert float(gradients(SharedPrefixTrainer, 0.0).norm()) == 0


def test_a_step_without_any_gradient_moves_as_trls(tmp_path: Path) -> None:
    """Adam's momentum goes on where a step's gradient is zero."""
    runs = []
    for kind in (GRPOTrainer, SharedPrefixTrainer):
        calls: list[int] = []

        def reward(*, completion_ids: list[list[int]], calls: list[int] = calls, **_: Any) -> list[float | None]:
            calls.append(1)
            return [0.5 if len(calls) % 2 == 0 else sum(ids) % 7 / 7 for ids in completion_ids]

        adapted = stored_completions.model()
        trainer = stored_completions.trainer(kind, adapted, tmp_path / kind.__name__, reward, max_steps=4)
        trainer.train()
        runs.append(torch.cat([weight.detach().flatten() for weight in trained(adapted)]))
    assert relative(runs[1], runs[0]) <= WEIGHT_ERROR


FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig, {}),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 16}),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": 4096}),
    "narrow": (MistralForCausalLM, MistralConfig, {"sliding_window": 32}),
}


def base(family: str) -> Any:
    kind, config, settings = FAMILIES[family]
    torch.manual_seed(1)
    model = kind._from_config(
        config(
            vocab_size=stored_completions.VOCABULARY,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            **settings,
        ),
        attn_implementation="sdpa",
    )
    for parameter in model.parameters():
        parameter.data.mul_(8 if parameter.dim() > 1 else 1)
    return model.eval()


def branching() -> list[tuple[Ids, Ids]]:
    """Rows that share much, little and nothing, one twice, one prompt that begins another, one empty completion."""
    long = tuple(range(10, 110))
    prompts = [long, (*long, 5, 6, 7), long[:60] + tuple(range(200, 240)), (*long[:20], 3, 4), (9,), (8, 7)]
    rows = [(prompt, tuple(range(300 + n, 300 + n + 2 + n % 3))) for n, prompt in enumerate(prompts)]
    rows += [(prompt, (400, 401, 402, 403, 404)) for prompt in prompts]
    return [*rows, rows[0], (long, ())]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_row_of_a_tree_has_its_own_log_probabilities(family: str) -> None:
    model, rows = base(family), branching()
    expected = torch.zeros(len(rows), 6)
    with torch.no_grad():
        for number, (prompt, completion) in enumerate(rows):
            logits = model(input_ids=torch.tensor([[*prompt, *completion]])).logits[0] / 0.7
            for place, token in enumerate(completion):
                expected[number, place] = logits[len(prompt) - 1 + place].log_softmax(-1)[token]
        let_score_trees(model, temperature=0.7, cast_lm_head_to_fp32=False)
        tree = plant(rows, 6, torch.device("cpu"))
        scored = model(prefix_tree=tree).log_probs[0]
        again = model(input_ids=torch.tensor([[1, 2, 3]])).logits
    found = scored[tree.predictions.clamp(min=0)].masked_fill(tree.predictions < 0, 0.0)
    assert torch.allclose(found, expected, atol=2e-5)
    assert expected[0, 0] != expected[1, 0]
    assert again.shape == (1, 3, stored_completions.VOCABULARY)


def test_a_tree_runs_each_shared_token_once() -> None:
    tree = plant(branching(), 6, torch.device("cpu"))
    # The last token of a prompt is run with each of its completions; less than 32 tokens are not shared.
    trunks = 99 + (100 + 2 - 99) + (39 + 39 - 39) + 21 + 0 + 1
    first, second = 2 + 3 + 4 + 2 + 3 + 4, 6 * 5
    assert sum(trunk.end - trunk.start for trunk in tree.trunks) == trunks - 39 + (100 - 60 - 1)
    assert len(tree.labels) == len(tree.scored) == first + second
    assert tree.ids.shape == tree.positions.shape == (1, len(tree.labels) + trunks)


def _later(model: Any) -> None:
    model.model.layers[1].self_attn.is_causal = False


def _untold(model: Any) -> None:
    model.config.layer_types = ["full_attention", "sliding_attention"]


@pytest.mark.parametrize(("change", "said"), [(_later, "later tokens"), (_untold, "a window that it does not pass on")])
def test_other_kinds_of_attention_are_refused(change: Callable[[Any], None], said: str) -> None:
    model = base("llama")
    let_score_trees(model, temperature=1.0, cast_lm_head_to_fp32=False)
    change(model)
    with pytest.raises(TrainingError, match=f"{said}.*shared_prefix: false"):
        model(prefix_tree=plant(branching(), 6, torch.device("cpu")))


def test_other_implementations_of_attention_are_refused(tmp_path: Path) -> None:
    eager = stored_completions.model()
    eager.get_base_model().set_attn_implementation("eager")
    with pytest.raises(TrainingError, match=r"eager attention.*shared_prefix: false"):
        stored_completions.trainer(SharedPrefixTrainer, eager, tmp_path)
