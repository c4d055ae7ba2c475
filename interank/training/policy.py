"""TRL's GRPOTrainer with a clock and a check of the rollouts, and one that computes what completions share once."""

from __future__ import annotations

from itertools import compress
from typing import Any, NamedTuple

import torch
from peft import PeftModel
from trl import GRPOTrainer
from trl.trainer.utils import split_tensor_dict

from interank.errors import TrainingError
from interank.training.clock import Clock
from interank.training.prefix_tree import plant
from interank.training.shared_prefix import let_score_trees

# How far the sampler's log-probabilities may lie from the trainer's, in nats, on average over a batch's tokens.
# Rounding in float32 stays far below; bfloat16 keeps 8 bits of logits that are around 10. Not measured on a GPU.
PARITY = {torch.float32: 1e-3, torch.bfloat16: 5e-2, torch.float16: 2e-2}


class PolicyTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL is untyped here
    """TRL's trainer and update as they are, timed, and stopped where its rollouts come from other weights."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.clock = Clock(self._metrics["train"])
        self.add_callback(self.clock)
        self._checked = False

    def _generate(self, prompts: list[Any]) -> Any:
        with self.clock.part("rollout"):
            return super()._generate(prompts)

    def _calculate_rewards(self, *args: Any) -> Any:
        with self.clock.part("reward"):
            return super()._calculate_rewards(*args)

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """TRL's loss; on the first batch the rollouts are checked before."""
        if not self._checked:
            self._check_parity(model, inputs)
            self._checked = True
        loss: torch.Tensor = super().compute_loss(model, inputs, *args, **kwargs)
        return loss

    def _check_parity(self, model: Any, inputs: dict[str, Any]) -> None:
        """Compare the sampler's log-probabilities with the trainer's, on the first batch.

        Raises:
            TrainingError: They differ by more than rounding, so that what is rewarded is not what is trained.
        """
        sampled = inputs.get("sampling_per_token_logps")
        if sampled is None:
            return
        completions = inputs["completion_ids"]
        was_training = model.training
        model.eval()
        with torch.no_grad():
            ours, _, _ = self._get_per_token_logps_and_entropies(
                model,
                torch.cat([inputs["prompt_ids"], completions], dim=1),
                torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
                completions.size(1),
            )
        model.train(was_training)
        # Tokens that were not sampled, or whose log-probability the sampler does not tell, hold NaN.
        known = inputs["completion_mask"].bool() & ~sampled.isnan()
        if not known.any():
            return
        difference = float((ours - sampled).abs()[known].mean())
        allowed = PARITY[self.accelerator.unwrap_model(model).dtype]
        # Written so that NaN is refused too.
        if not difference <= allowed:
            raise TrainingError(
                f"the rollouts' log-probabilities differ from the trainer's by {difference:.2g} on average, at most "
                f"{allowed:g} is expected: what sampled them has other weights, another prompt or another temperature "
                "than what is trained"
            )


class _Skipped(NamedTuple):
    """Rows that have no gradient, of shape (batch,), and their log-probabilities when sampled, if those are kept."""

    rows: torch.Tensor
    old_logps: torch.Tensor | None


class SharedPrefixTrainer(PolicyTrainer):
    """Computes what completions share once: the same loss and gradients, several times cheaper.

    TRL shuffles a generation batch before it cuts it into microbatches; here rows keep their order, so that a
    microbatch holds whole groups, and whole queries where it is large enough. Groups whose rewards are all equal have
    no gradient and are not computed.
    """

    _buffered_inputs: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.aux_loss_enabled:
            raise TrainingError(
                "a mixture of experts is balanced over all tokens, those computed once included; set shared_prefix: "
                "false, or trainer.router_aux_loss_coef: 0.0"
            )
        model = self.accelerator.unwrap_model(self.model)
        let_score_trees(
            model.get_base_model() if isinstance(model, PeftModel) else model,
            temperature=self.temperature,
            cast_lm_head_to_fp32=self.args.cast_lm_head_to_fp32,
        )
        self._rewards: torch.Tensor | None = None
        self._skipped: _Skipped | None = None

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, Any]:
        if not self.model.training:
            scored: dict[str, Any] = self._generate_and_score_completions(generation_batch)
            return scored
        steps = self.args.steps_per_generation
        if self._step % (steps * self.num_iterations) == 0 or self._buffered_inputs is None:
            whole = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = split_tensor_dict(whole, steps)
        inputs: dict[str, Any] = self._buffered_inputs[self._step % steps]
        return inputs

    def _calculate_rewards(self, *args: Any) -> Any:
        self._rewards = super()._calculate_rewards(*args)
        return self._rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        rewards = self._rewards
        if self.model.training and rewards is not None and self.multi_objective_aggregation == "sum_then_normalize":
            alike = _alike(rewards, self.num_generations)
            own = alike[self.accelerator.process_index * len(inputs) :][: len(inputs)]
            # A mean of equal numbers can be off in its last bit, which the scaling blows up.
            batch["advantages"] = batch["advantages"].masked_fill(own, 0.0)
            self._metrics["train"]["skipped_completions"].append(float(own.float().mean()))
        return batch

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        advantages_alone = self.beta == 0.0 and not self._entropy_bonus_enabled and self.top_entropy_quantile == 1.0
        if advantages_alone and self.model.training:
            self._skipped = _Skipped(inputs["advantages"] == 0, inputs.get("old_per_token_logps"))
        try:
            loss: torch.Tensor = super()._compute_loss(model, inputs)
        finally:
            self._skipped = None
        return loss

    def _get_per_token_logps_and_entropies(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """TRL's seam: of shape (batch, logits_to_keep), 0 where a completion has no token."""
        skipped = self._skipped
        mask = attention_mask if skipped is None else attention_mask.masked_fill(skipped.rows[:, None], 0)
        size = batch_size or len(input_ids)
        parts = [
            self._score(model, input_ids[start : start + size], mask[start : start + size], logits_to_keep)
            for start in range(0, len(input_ids), size)
        ]
        logps, entropies = (torch.cat(part) for part in zip(*parts, strict=True))
        if skipped is not None:
            # For the log's mean: the skipped have none. It is NaN, which is left out, where all are skipped.
            computed = mask[:, -logits_to_keep:].bool()
            entropies = entropies.masked_fill(skipped.rows[:, None], entropies[computed].detach().mean())
            if skipped.old_logps is not None:
                # A ratio of 1, where 0 would be taken for a probability of 1.
                logps = torch.where(skipped.rows[:, None], skipped.old_logps, logps)
        return logps, entropies if compute_entropy else None, None

    def _score(
        self, model: Any, input_ids: torch.Tensor, mask: torch.Tensor, width: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        rows = []
        for ids, real in zip(input_ids.tolist(), mask.bool().tolist(), strict=True):
            prompt, completion = (
                tuple(compress(ids[part], real[part])) for part in (slice(None, -width), slice(-width, None))
            )
            rows.append((prompt, completion))
        tree = plant(rows, width, input_ids.device)
        if not len(tree.labels):
            nothing = torch.zeros((len(rows), width), device=input_ids.device)
            # Connected to every weight, so that backward and the optimizer see gradients of zero.
            weights = [weight for weight in model.parameters() if weight.requires_grad]
            return nothing + sum(weight.flatten()[:0].sum() for weight in weights), nothing
        with self.accelerator.autocast():
            scored = model(prefix_tree=tree)
        absent = tree.predictions < 0
        logps, entropies = (
            found[0][tree.predictions.clamp(min=0)].masked_fill(absent, 0.0)
            for found in (scored.log_probs, scored.entropy)
        )
        return logps, entropies


def _alike(rewards: torch.Tensor, group: int) -> torch.Tensor:
    """Which completions belong to a group whose every reward is the same for all; `rewards` (completions, rewards)."""
    grouped = rewards.nan_to_num(nan=torch.inf).view(-1, group, rewards.shape[1])
    same: torch.Tensor = (grouped == grouped[:, :1]).all(2).all(1)
    return same.repeat_interleave(group)
