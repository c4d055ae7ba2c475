"""The families that people bring: whatever is shared, losses and gradients are those of each row on its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForCausalLM
from trl import GRPOTrainer

from interank.engines.tree.prefix_tree import plant
from interank.errors import TrainingError
from interank.settings import LoraRecipe
from interank.training.adapters import fresh_adapter
from interank.training.losses import ScoredRows, Totals, loss_of
from interank.training.policy import SharedPrefixTrainer
from interank.training.rows import Group
from interank.training.shared_prefix import let_score_trees
from tests.support import stored_completions, training_data
from tests.support.families import FAMILIES, WINDOW, family_folder, family_model

# Both sides compute in float32 and add in another order.
ERROR = 1e-5
# Layers whose tokens take up a state, and capped attention, allow no tree.
WHOLE = {"gemma2", "qwen3.5", "lfm2"}


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def adapted(model: Any) -> PeftModel:
    """With an adapter on all linear layers that changes what the model says: LoRA's B is not zero."""
    found = fresh_adapter(model, LoraRecipe(rank=4, alpha=8), seed=0)
    torch.manual_seed(0)
    for name, weight in found.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return found


def tokens_run(model: Any) -> list[int]:
    """The tokens that go through the model from now on, a pass at a time."""
    seen: list[int] = []
    model.get_input_embeddings().register_forward_hook(lambda _, given, __: seen.append(given[0].numel()))
    return seen


def plain(model: Any, prompt: Sequence[int], answer: Sequence[int], temperature: float = 1.0) -> torch.Tensor:
    """The log-probabilities at an answer's places, of shape (answer, vocabulary), by a pass over this text alone."""
    logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
    found: torch.Tensor = (logits / temperature).log_softmax(-1)
    return found


def plain_loss(model: Any, groups: Sequence[Group], labels: Sequence[int]) -> torch.Tensor:
    """The loss of groups of rows, each row on its own."""
    rows = [row for group in groups for row in group]
    answers = torch.zeros((len(rows), max(len(row.answer) for row in rows)))
    grades = torch.zeros((len(rows), len(labels)))
    for number, row in enumerate(rows):
        found = plain(model, row.prompt, row.answer)
        answers[number, : len(row.answer)] = found[torch.arange(len(row.answer)), list(row.answer)]
        if row.grade_at is not None:
            grades[number] = found[row.grade_at, list(labels)]
    return loss_of(groups, ScoredRows(answers, grades), Totals.of(groups), training_data.EVERY_PART)


def test_distillation_is_that_of_each_row_on_its_own(family: str, tmp_path: Path) -> None:
    distilled_as_plain(family, tmp_path, checkpointing=False)


@pytest.mark.parametrize("family_computed_again", ["smollm3", "gemma3", "qwen3.5"])
def test_so_it_is_where_activations_are_computed_again(family_computed_again: str, tmp_path: Path) -> None:
    distilled_as_plain(family_computed_again, tmp_path, checkpointing=True)


def distilled_as_plain(family: str, tmp_path: Path, *, checkpointing: bool) -> None:
    """One step's loss and gradients are those of plain passes."""
    folder = family_folder(tmp_path / "model", family)
    encoder = training_data.encoder_of(folder)
    groups = training_data.groups_of(encoder, training_data.examples(2))
    rows = [row for group in groups for row in group]
    assert min(len(row.prompt) for row in rows) > 2 * WINDOW
    reference = adapted(family_model(family, len(encoder.tokenizer))).train()
    expected = plain_loss(reference, groups, encoder.label_ids)
    expected.backward()
    model = adapted(family_model(family, len(encoder.tokenizer)))
    student = training_data.student_of(tmp_path / "ours", model, encoder, groups, gradient_checkpointing=checkpointing)
    assert student.shared_prefix is (family not in WHOLE)
    seen = tokens_run(model)
    batches, number = student.get_batch_samples(iter(student.get_train_dataloader()), 1, torch.device("cpu"))
    student.current_gradient_accumulation_steps = 1
    student.model.train()
    loss = student.training_step(student.model, batches[0], num_items_in_batch=number)
    assert float(loss) == pytest.approx(float(expected.detach()), rel=ERROR)
    assert relative(training_data.gradients(model), training_data.gradients(reference)) <= ERROR
    assert (sum(seen) < 0.6 * sum(len(row.input_ids) for row in rows)) is (family not in WHOLE)


class PlainTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL is untyped here
    """TRL's update with the log-probabilities of each row on its own."""

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, logits_to_keep: int, **_: Any
    ) -> Any:
        logps, entropies = torch.zeros(len(input_ids), logits_to_keep), torch.zeros(len(input_ids), logits_to_keep)
        for number, (ids, mask) in enumerate(zip(input_ids, attention_mask.bool(), strict=True)):
            prompt, answer = (
                ids[part][mask[part]].tolist() for part in (slice(-logits_to_keep), slice(-logits_to_keep, None))
            )
            found = plain(model, prompt, answer, self.temperature)
            logps[number, : len(answer)] = found[torch.arange(len(answer)), answer]
            entropies[number, : len(answer)] = -(found.exp() * found).sum(-1)
        return logps, entropies, None


def one_update(kind: type[GRPOTrainer], family: str, folder: Path, **settings: Any) -> tuple[float, torch.Tensor, int]:
    """The loss, the gradients and the tokens run of a step's microbatches, after generation."""
    model = adapted(family_model(family, stored_completions.VOCABULARY))
    trainer = stored_completions.trainer(kind, model, folder, **settings)
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer.model.train()
    seen = tokens_run(model)
    batches, loss = iter(trainer.get_train_dataloader()), 0.0
    for _ in range(trainer.args.gradient_accumulation_steps):
        part = trainer.compute_loss(trainer.model, trainer._prepare_inputs(next(batches)))
        part.backward()
        trainer._step += 1
        loss += part.item()
    return loss, training_data.gradients(model), sum(seen)


@pytest.mark.parametrize(
    "settings", [{}, {"beta": 0.2, "entropy_coef": 0.1, "gradient_accumulation_steps": 1}], ids=str
)
def test_a_policy_s_update_is_that_of_each_row_on_its_own(
    family: str, tmp_path: Path, settings: dict[str, Any]
) -> None:
    assert min(map(len, stored_completions.prompts())) > WINDOW
    expected = one_update(PlainTrainer, family, tmp_path / "plain", **settings)
    found = one_update(SharedPrefixTrainer, family, tmp_path / "ours", **settings)
    assert found[0] == pytest.approx(expected[0], abs=ERROR)
    assert relative(found[1], expected[1]) <= ERROR
    assert (found[2] < 0.7 * expected[2]) is (family not in WHOLE)


@pytest.mark.parametrize("family_without_tree", sorted(WHOLE))
def test_a_tree_is_refused_where_layers_allow_none(family_without_tree: str) -> None:
    with pytest.raises(TrainingError, match=r"shared_prefix: false"):
        let_score_trees(family_model(family_without_tree, 300), temperature=1.0, cast_lm_head_to_fp32=False)


def test_layers_that_do_not_hand_on_the_tree_are_refused() -> None:
    """StableLM's; they would attend to whatever stands before in the row."""
    config = AutoConfig.for_model("stablelm", vocab_size=300, hidden_size=64, intermediate_size=96, num_hidden_layers=2)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    let_score_trees(model, temperature=1.0, cast_lm_head_to_fp32=False)
    with pytest.raises(TrainingError, match=r"StableLmAttention .*shared_prefix: false"):
        model(prefix_tree=plant([((5, 6, 7), (8, 9))], 2, torch.device("cpu")))
