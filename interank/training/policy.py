"""The policy's trainer, the only module that overrides parts of TRL's GRPOTrainer; other modules do the computing.

docs/rl.md lists every part of TRL that is used here, and `tests/contracts` hold TRL to it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from peft import PeftModel
from trl import GRPOTrainer
from trl.trainer.utils import split_tensor_dict

from interank import distributed
from interank.engines.transformers import reading
from interank.errors import InputError, ModelError, PromptError, TrainingError
from interank.rewards import WeightedReward
from interank.settings import RolloutsRecipe
from interank.training.advantages import Scheme, advantages, by_token, fill_missing, without_grade
from interank.training.agreement import CHECKED, Agreement
from interank.training.checkpoints import keep, load_trained
from interank.training.clock import Clock
from interank.training.completions import ScoredCompletions, idle, prompts_and_completions, score
from interank.training.fused_head import let_read_exactly
from interank.training.grade_probabilities import Update, distinct_prompts, loss_of_grades
from interank.training.importance import difference, weighed
from interank.training.objective import Objective, grade_targets, graded_rows
from interank.training.padded_rows import let_score_rows
from interank.training.recorder import EARNED, Recorder, RewardedCompletion
from interank.training.reference import by_reference
from interank.training.refill import refilled
from interank.training.shared_prefix import let_score_trees, plants

Batch = dict[str, Any]


class PolicyTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL is untyped here
    """TRL's trainer and update, timed, compared with its sampler (`Agreement`), with a checkpoint when a step fails.

    TRL's methods pass data to each other in the values that TRL hands on: a row of the dataset holds the rewards of its
    completion (`EARNED`), a batch holds its grades, and the loss gets a `ScoredCompletions` in the model's place.
    """

    skips_idle = False
    """Whether completions without an advantage are not computed."""

    def __init__(
        self,
        *args: Any,
        rollout_settings: RolloutsRecipe | None = None,
        objective: Objective | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        weights = self.reward_weights.tolist()
        self.objective = objective or Objective(list(map(WeightedReward, self.reward_funcs, weights)))
        self.rollout_settings = rollout_settings or RolloutsRecipe()
        self.agreement = Agreement(self.rollout_settings)
        self.shared_rows: tuple[int, int] | None = None
        """The number of completions of earlier processes and of all processes, where several sample together."""
        self.recorder: Recorder | None = None
        self.recorded: tuple[str, ...] = ()
        """The columns with which a completion is recorded."""
        self.clock = Clock(self.step_figures)
        self.add_callback(self.clock)
        if not self.args.cast_lm_head_to_fp32:
            let_read_exactly(self._base, temperature=self.temperature, exact=lambda: self.objective.labels)

    @property
    def _base(self) -> Any:
        """The model without its adapter."""
        model = self.accelerator.unwrap_model(self.model)
        return model.get_base_model() if isinstance(model, PeftModel) else model

    @property
    def step_figures(self) -> dict[str, list[float]]:
        """The figures of the steps since the last line of the log; the next line gets their means."""
        figures: dict[str, list[float]] = self._metrics["train"]
        return figures

    def note(self, figures: Mapping[str, float]) -> None:
        """Add figures of the present batch to the log."""
        for name, figure in figures.items():
            self._metrics["train" if self.model.training else "eval"][name].append(figure)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Write TRL's line of the log with the figures of all processes, which all call this at the same steps."""
        if distributed.world() > 1:
            figures = self._metrics["train" if self.model.training else "eval"]
            # Gathered here and not where a figure is noted, since some are of microbatches that only one process has.
            parts = distributed.gathered({name: list(values) for name, values in figures.items()})
            for name in dict.fromkeys(name for part in parts for name in part):
                figures[name] = [value for part in parts for value in part.get(name, ())]
        super().log(logs, start_time)

    @contextmanager
    def _checkpoint_on_failure(self) -> Iterator[None]:
        """A context, before a step changes the weights, in which an error or signal leaves a checkpoint."""
        whole, done = False, self.state.global_step
        try:
            yield
            whole = True
        except (InputError, ModelError, TrainingError) as error:
            at = keep(self)
            kept = f"the adapter after step {at} is kept" if at else "nothing was trained yet"
            if isinstance(error, PromptError):
                error = ModelError(f"{error}; where weights are no longer numbers, lower trainer.learning_rate")
            raise type(error)(f"step {done + 1}: {error}; {kept}") from None
        finally:
            if not whole:
                keep(self)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        load_trained(self, resume_from_checkpoint)

    def _generate(self, prompts: list[Any]) -> Any:
        self.agreement.sampled()
        with self._checkpoint_on_failure(), self.clock.part("rollout"):
            return super()._generate(prompts)

    def _calculate_rewards(self, inputs: list[dict[str, Any]], prompts: Any, completions: Any, ids: Any) -> Any:
        with self._checkpoint_on_failure(), self.clock.part("reward"):
            values = super()._calculate_rewards(inputs, prompts, completions, ids)
        rewards = fill_missing(values, self.num_generations if self.model.training else self.num_generations_eval)
        # TRL gathers the rewards of all processes.
        before = distributed.rank() * len(inputs)
        own = rewards[before : before + len(inputs)]
        for row, completion, earned in zip(inputs, completions, own.tolist(), strict=True):
            row[EARNED] = RewardedCompletion(completion, earned)
        return rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Batch:
        """TRL's batch with our advantages, and with other queries in place of those without a gradient."""
        if not self.model.training:
            whole: Batch = super()._generate_and_score_completions(inputs)
            return whole
        objective, step = self.objective, self.state.global_step
        size = len(inputs)
        self.shared_rows = (distributed.rank() * size, distributed.world() * size) if distributed.world() > 1 else None
        batch = self._credited(inputs)
        if self.recorder is not None and distributed.first():
            self.recorder(step + 1, inputs, batch, self.reward_func_names)
        if objective.refills:
            rng = random.Random(f"{self.args.seed} {step}")
            present = {name for own in distributed.gathered({str(row["query_id"]) for row in inputs}) for name in own}
            batch, number = refilled(batch, present, objective, self.num_generations, rng, self._fresh)
            batch["num_items_in_batch"] = (
                self._of_all(batch["num_items_in_batch"]) if number else batch["num_items_in_batch"]
            )
            self.note({"refilled_queries": float(number)})
        if "grade_at" in batch:
            batch["graded_items"] = self._of_all((batch["grade_at"] >= 0).sum())
        self.note({"skipped_completions": float(idle(batch).float().mean()) if self.skips_idle else 0.0})
        return batch

    def _fresh(self, rows: list[dict[str, Any]], before: int, among: int) -> Batch:
        """`_credited` for replacement rows; `before` and `among` are the rows of earlier and of all processes."""
        self.shared_rows = (before, among) if distributed.world() > 1 else None
        return self._credited(rows)

    @staticmethod
    def _of_all(number: torch.Tensor) -> torch.Tensor:
        """The sum over the processes."""
        if distributed.world() == 1:
            return number
        return torch.tensor(distributed.added([int(number)])[0], device=number.device)

    def _credited(self, inputs: list[dict[str, Any]]) -> Batch:
        """A batch of completions of these rows, with the advantages of their tokens and the value of each grade."""
        batch: Batch = super()._generate_and_score_completions(inputs)
        objective, device = self.objective, batch["advantages"].device
        rewards = torch.tensor([row[EARNED].rewards for row in inputs], device=device)
        scheme = Scheme(objective.rewards, self.num_generations, self.scale_rewards, self.multi_objective_aggregation)
        grade_at = objective.grade_at(inputs).to(device)
        if objective.splits:
            batch["advantages"] = by_token(rewards, scheme, grade_at, batch["completion_ids"].shape[1])
        else:
            batch["advantages"] = advantages(rewards, scheme, ("grade", "explanation", "answer"))
        held = self.beta != 0.0 and objective.grade.instead
        if objective.grade.counts or held:
            batch |= grade_targets(objective, inputs, grade_at)
        if held:
            batch["reference_grades"] = self.reference_grades(batch)
        if objective.grade.instead and "tool_mask" in batch:
            # A grade that the loss sums over must not count as sampled too.
            rows = (grade_at >= 0).nonzero()[:, 0]
            batch["tool_mask"][rows, grade_at[rows]] = 0
            batch["advantages"] = without_grade(batch["advantages"], grade_at, objective.rewards)
            batch["num_items_in_batch"] = self._of_all((batch["completion_mask"] * batch["tool_mask"]).sum())
        return batch

    def reference_grades(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The grades' log-probabilities by the reference policy, (rows, 3); 0 for rows without a grade."""
        objective = self.objective
        prompts = distinct_prompts(batch["prompt_ids"], batch["grade_at"] >= 0)
        grades = torch.zeros((len(batch["prompt_ids"]), len(objective.labels)), device=batch["prompt_ids"].device)
        if not prompts:
            return grades
        ids, mask, width = prompts_and_completions(batch)
        ids, mask = graded_rows(ids, mask, width, list(prompts), objective)
        # As many prompts at a time as in the loss.
        size = len(objective.labels) * max(1, self.args.per_device_train_batch_size // self.num_generations)
        policy = self.accelerator.unwrap_model(self.model)
        # TRL's reference policy: the start's adapter, kept beside the trained one.
        with torch.no_grad(), by_reference(policy):
            read = self._get_per_token_logps_and_entropies(self.model, ids, mask, width, batch_size=size)[0]
        for three, own in zip(read[:, len(objective.lead)].view(len(prompts), -1), prompts.values(), strict=True):
            grades[own] = three
        return grades

    def compute_loss(self, model: Any, inputs: Batch, *args: Any, **kwargs: Any) -> torch.Tensor:
        """TRL's loss; rollouts that are due are checked first, while the weights are still those that sampled."""
        first = not self.agreement.begun
        if self.agreement.due():
            with self._checkpoint_on_failure():
                # One prompt's completions suffice to see whether the sampler has the present adapter.
                self._check_agreement(model, inputs if first else _first_rows(inputs, self.num_generations))
        loss: torch.Tensor = super().compute_loss(model, inputs, *args, **kwargs)
        return loss

    def _compute_loss(self, model: Any, inputs: Batch) -> torch.Tensor:
        prompts = distinct_prompts(inputs["prompt_ids"], inputs["grade_at"] >= 0) if "grade_at" in inputs else {}
        read = self._read(model, inputs, list(prompts))
        batch, figures = weighed(inputs, read.logps.detach(), self.rollout_settings.importance_clip, self.loss_type)
        self.note(figures)
        loss: torch.Tensor = super()._compute_loss(read, batch)
        if read.labels is not None:
            more, figures = loss_of_grades(read.labels, prompts, inputs, self.objective.grade, self._update_settings())
            self.note(figures)
            loss = loss + more
        return loss

    def _update_settings(self) -> Update:
        return Update(
            self.loss_type,
            self.beta,
            self.temperature,
            self.max_completion_length,
            self.current_gradient_accumulation_steps if self.model.training else 1,
            self.args.steps_per_generation,
            distributed.world(),
        )

    def _read(self, model: Any, inputs: Batch, graded: Sequence[int]) -> ScoredCompletions:
        """The model's scores of a microbatch, and of the grades after the prompts of the rows `graded`."""
        ids, mask, width = prompts_and_completions(inputs)
        rows, objective = len(ids), self.objective
        skipped = idle(inputs) if self.skips_idle and self.model.training else None
        computed = mask if skipped is None else mask.masked_fill(skipped[:, None], 0)
        if graded:
            # The prompt of a skipped completion may still need its grade.
            more, real = graded_rows(ids, mask, width, graded, objective)
            ids, computed = torch.cat([ids, more]), torch.cat([computed, real])
        aux = self.aux_loss_enabled
        scored = self._get_per_token_logps_and_entropies(
            model, ids, computed, width, compute_entropy=True, compute_aux_loss=aux
        )
        read = ScoredCompletions(*scored).with_labels_apart(rows, len(objective.lead), len(objective.labels))
        if skipped is None:
            return read
        # Skipped completions get the mean entropy, so that the log's mean stays; NaN, which is omitted, if all are.
        mean = self._mean_of_all(scored[1][computed[:, -width:].bool()].detach())
        return read.with_idle_filled(skipped, mean, inputs.get("old_per_token_logps"))

    def _mean_of_all(self, values: torch.Tensor) -> torch.Tensor:
        """The mean over all processes, since that of a process without values would be NaN, which TRL would sum up."""
        total = torch.stack([values.sum(), values.new_tensor(float(len(values)))])
        total = self.accelerator.reduce(total, reduction="sum") if distributed.world() > 1 else total
        return total[0] / total[1]

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(model, ScoredCompletions):
            return model.logps, model.entropies, model.aux_loss
        # Without gradients, dropout is off as in sampling.
        with nullcontext() if torch.is_grad_enabled() else reading(model):
            return self._log_probabilities(model, *args, **kwargs)

    def _log_probabilities(self, *args: Any, **kwargs: Any) -> Any:
        """TRL's log-probabilities and entropies; `SharedPrefixTrainer` overrides this."""
        return super()._get_per_token_logps_and_entropies(*args, **kwargs)

    def _check_agreement(self, model: Any, inputs: Batch) -> None:
        """Compare the sampler's log-probabilities with the trainer's.

        Raises:
            TrainingError: They differ by more than rounding; see `Agreement.judge`.
        """
        if inputs.get("sampling_per_token_logps") is None:
            return
        with torch.no_grad():
            ours, _, _ = self._get_per_token_logps_and_entropies(model, *prompts_and_completions(inputs))
        gap = difference(inputs, ours)
        if gap is None:
            return
        self.step_figures[CHECKED].append(gap)
        self.agreement.judge(gap, self.accelerator.unwrap_model(model).dtype, self.state.log_history)


class SharedPrefixTrainer(PolicyTrainer):
    """Computes shared prefixes of completions once: the same loss and gradients at a fraction of the cost.

    TRL shuffles a generation batch before it cuts it into microbatches; here rows keep their order, so that a
    microbatch holds whole groups, and whole queries where it is large enough. Groups of equal rewards are not computed
    where they have no gradient. Where a model's layers allow no tree, rows are computed whole.
    """

    _buffered_inputs: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.aux_loss_enabled:
            raise TrainingError(
                "trainer.router_aux_loss_coef balances a mixture of experts over all tokens, which shared prefixes "
                "would count once; set shared_prefix: false, or trainer.router_aux_loss_coef: 0.0"
            )
        # A completion without an advantage has no gradient, unless `beta` or an entropy bonus gives it one.
        self.skips_idle = self.beta == 0.0 and not self._entropy_bonus_enabled and self.top_entropy_quantile == 1.0
        self.planted = plants(self._base, wanted=True)
        (let_score_trees if self.planted else let_score_rows)(
            self._base,
            temperature=self.temperature,
            cast_lm_head_to_fp32=self.args.cast_lm_head_to_fp32,
            exact=lambda: self.objective.labels,
        )

    def _prepare_inputs(self, generation_batch: Any) -> Batch:
        if not self.model.training:
            return self._generate_and_score_completions(generation_batch)
        steps = self.args.steps_per_generation
        if self._step % (steps * self.num_iterations) == 0 or self._buffered_inputs is None:
            whole = self._generate_and_score_completions(generation_batch)
            self._buffered_inputs = split_tensor_dict(whole, steps)
        inputs: Batch = self._buffered_inputs[self._step % steps]
        return inputs

    def _log_probabilities(
        self,
        model: Any,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        logits_to_keep: int,
        batch_size: int | None = None,
        compute_entropy: bool = False,
        **_: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """Log-probabilities and entropies of shape (batch, logits_to_keep), 0 where a completion has no token."""
        size = batch_size or len(input_ids)
        with self.accelerator.autocast():
            parts = [
                score(model, ids, mask, logits_to_keep, planted=self.planted)
                for ids, mask in zip(torch.split(input_ids, size), torch.split(attention_mask, size), strict=True)
            ]
        logps, entropies = (torch.cat(part) for part in zip(*parts, strict=True))
        return logps, entropies if compute_entropy else None, None


def _first_rows(inputs: Batch, number: int) -> Batch:
    """The batch with the first rows of all tensors that have one entry a row."""
    rows = len(inputs["completion_ids"])
    return {
        name: value[:number] if torch.is_tensor(value) and value.dim() and len(value) == rows else value
        for name, value in inputs.items()
    }
