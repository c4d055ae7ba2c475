"""TRL's GRPOTrainer with a clock and a check of the rollouts, and one that computes what completions share once."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import compress
from typing import Any, NamedTuple
from zlib import crc32

import torch
from peft import PeftModel
from trl import GRPOTrainer
from trl.trainer.utils import split_tensor_dict

from interank.engines.transformers import reading
from interank.errors import InputError, ModelError, PromptError, TrainingError
from interank.rewards import Equipped
from interank.settings import RolloutsRecipe
from interank.training.advantages import Scheme, advantages, by_token, neutral, without_grade
from interank.training.agreement import CHECKED, Agreement
from interank.training.asked_grades import (
    Asked,
    among_grades,
    distinct_prompts,
    divergence,
    reference_labels,
    token_weights,
)
from interank.training.checkpoints import keep
from interank.training.clock import Clock
from interank.training.importance import difference, weigh
from interank.training.objective import Objective, Row, graded_rows
from interank.training.padded_rows import let_score_rows, pad
from interank.training.prefix_tree import plant
from interank.training.recorder import Recorder, Told
from interank.training.refill import replace_rows, replacements, without_signal
from interank.training.shared_prefix import let_score_trees, plants


class PolicyTrainer(GRPOTrainer):  # type: ignore[misc]  # TRL is untyped here
    """TRL's trainer and update, timed, held to its sampler (see `Agreement`), kept where sampler or reward fails."""

    def __init__(
        self, *args: Any, rollouts: RolloutsRecipe | None = None, objective: Objective | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        weights = self.reward_weights.tolist()
        self.objective = objective or Objective(list(map(Equipped, self.reward_funcs, weights)))
        self.recorder: Recorder | None = None
        self._rewards: torch.Tensor | None = None
        self._texts: Sequence[str] = ()
        self._asked: Asked | None = None
        self.clock = Clock(self._metrics["train"])
        self.add_callback(self.clock)
        self._rollouts = rollouts or RolloutsRecipe()
        self._agreement, self._unseen = Agreement(self._rollouts), False
        self._weighed: dict[str, Any] | None = None

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Before anything of a step has reached the weights: what ends the training here leaves a checkpoint."""
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
        policy = self.accelerator.unwrap_model(self.model)
        if "ref" in policy.peft_config:
            # With the reference's adapter beside the policy's, transformers loads the reference's only.
            policy.load_adapter(resume_from_checkpoint, "default", is_trainable=True)

    def _generate(self, prompts: list[Any]) -> Any:
        self._unseen = True
        with self._kept(), self.clock.part("rollout"):
            return super()._generate(prompts)

    def _calculate_rewards(self, inputs: Any, prompts: Any, completions: Any, ids: Any) -> Any:
        self._texts = completions
        with self._kept(), self.clock.part("reward"):
            found = super()._calculate_rewards(inputs, prompts, completions, ids)
        self._rewards = neutral(found, self.num_generations if self.model.training else self.num_generations_eval)
        return self._rewards

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """TRL's batch, with our advantages, and without queries from which nothing is to be learned."""
        if not self.model.training:
            whole: dict[str, Any] = super()._generate_and_score_completions(inputs)
            return whole
        batch = self._credited(inputs)
        if self.recorder is not None and self._rewards is not None:
            told = Told(self._texts, self.reward_func_names, self._rewards)
            self.recorder(self.state.global_step + 1, inputs, batch, told)
        objective = self.objective
        rows, refilled = objective.documents * self.num_generations, 0
        rng = random.Random(f"{self.args.seed} {self.state.global_step}")
        present = {str(row["query_id"]) for row in inputs} if objective.refills else set()
        for _ in range(objective.refills if self.accelerator.num_processes == 1 else 0):
            idle = without_signal(batch, rows, supervised=objective.grade.supervises)
            others = replacements(objective, present, len(idle), rng)
            if not others:
                break
            present |= {str(query[0]["query_id"]) for query in others}
            fresh = [dict(row) for query in others for row in query for _ in range(self.num_generations)]
            places = [place for query in idle[: len(others)] for place in range(query * rows, (query + 1) * rows)]
            batch = replace_rows(batch, self._credited(fresh), places)
            refilled += len(others)
        if objective.refills:
            self._metrics["train"]["refilled_queries"].append(float(refilled))
        if "grade_at" in batch:
            batch["graded_items"] = self.accelerator.gather((batch["grade_at"] >= 0).sum()).sum()
        self._metrics["train"]["skipped_completions"].append(float(self._idle(batch).float().mean()))
        return batch

    def _idle(self, batch: dict[str, Any]) -> torch.Tensor:
        """Which completions are not computed, of shape (completions,): here none."""
        return torch.zeros(len(batch["completion_ids"]), dtype=torch.bool, device=batch["completion_ids"].device)

    def _credited(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        """Completions of these rows with the advantages of their tokens, and what each grade would earn."""
        batch: dict[str, Any] = super()._generate_and_score_completions(inputs)
        objective, rewards = self.objective, self._rewards
        if rewards is None:
            return batch
        scheme = Scheme(objective.rewards, self.num_generations, self.scale_rewards, self.multi_objective_aggregation)
        grade_at = objective.grade_at(inputs).to(rewards.device)
        own = slice(self.accelerator.process_index * len(inputs), (self.accelerator.process_index + 1) * len(inputs))
        if objective.splits:
            width = batch["completion_ids"].shape[1]
            batch["advantages"] = by_token(rewards, scheme, self.accelerator.gather(grade_at), width)[own]
        else:
            batch["advantages"] = advantages(rewards, scheme, ("grade", "explanation", "answer"))[own]
        held = self.beta != 0.0 and objective.grade.instead
        if objective.grade.counts or held:
            batch |= self._grade_targets(inputs, grade_at)
        if held:
            batch["reference_grades"] = reference_labels(self, batch)
        if objective.grade.instead and "tool_mask" in batch:
            # What is summed over the three grades is not sampled besides.
            rows = (grade_at >= 0).nonzero()[:, 0]
            batch["tool_mask"][rows, grade_at[rows]] = 0
            batch["advantages"] = without_grade(batch["advantages"], grade_at, objective.rewards)
            items = (batch["completion_mask"] * batch["tool_mask"]).sum()
            batch["num_items_in_batch"] = self.accelerator.gather(items).sum()
        return batch

    def _grade_targets(self, inputs: Sequence[Row], grade_at: torch.Tensor) -> dict[str, torch.Tensor]:
        # The same number for a query in whatever batch it is generated, since some take others' places.
        queries = [crc32(str(row["query_id"]).encode()) for row in inputs]
        return {
            "grade_at": grade_at,
            "grade_values": self.objective.grade.values(inputs).to(grade_at.device),
            "judged": torch.tensor([row["relevance"] for row in inputs], device=grade_at.device),
            "query": torch.tensor(queries, device=grade_at.device),
        }

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> torch.Tensor:
        """TRL's loss; the rollouts that are due are checked before, while the weights are those that sampled."""
        if self._unseen:
            self._unseen, first = False, not self._agreement.begun
            if self._agreement.due():
                with self._kept():
                    # One prompt's completions will do to see whether the adapter is the present one.
                    self._check_agreement(model, inputs if first else _rows(inputs, self.num_generations))
        loss: torch.Tensor = super().compute_loss(model, inputs, *args, **kwargs)
        return loss

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        # TRL reads the advantages after the log-probabilities, by which they are weighed.
        self._weighed = {**inputs}
        if "grade_at" in inputs:
            self._asked = Asked(distinct_prompts(inputs["prompt_ids"], inputs["grade_at"] >= 0))
        try:
            loss: torch.Tensor = super()._compute_loss(model, self._weighed)
            if self._asked is not None:
                loss = loss + self._grade_loss(self._asked, inputs)
        finally:
            self._weighed = self._asked = None
        return loss

    def _grade_loss(self, asked: Asked, inputs: dict[str, Any]) -> torch.Tensor:
        loss = torch.zeros((), device=inputs["judged"].device)
        if asked.labels is None:
            return loss
        mode = "train" if self.model.training else "eval"
        if self.objective.grade.counts:
            batch = {name: inputs[name][asked.firsts] for name in ("grade_values", "judged", "query")}
            # The grade is read at temperature 1. What it earns among three says nothing of other tokens, and without
            # the probability of writing any of them these would take its place.
            grades = among_grades(asked.labels, self.temperature)
            loss = self.objective.grade(grades, batch) - asked.labels.logsumexp(-1).mean()
            self._metrics[mode]["grade_loss"].append(float(loss.detach()))
            loss = loss / (self.current_gradient_accumulation_steps if mode == "train" else 1.0)
        if "reference_grades" in inputs:
            away = divergence(asked.labels, inputs["reference_grades"][asked.firsts])
            self._metrics[mode]["kl/grade"].append(float(away.detach().mean()))
            weights = token_weights(inputs, self)
            loss = loss + self.beta * (away * torch.stack([weights[own].sum() for own in asked.rows.values()])).sum()
        return loss

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        # Without a gradient the policy, or its reference, is read: as it samples, without dropout.
        with nullcontext() if torch.is_grad_enabled() else reading(model):
            return self._with_grades(model, *args, **kwargs)

    def _with_grades(
        self, model: Any, input_ids: torch.Tensor, attention_mask: torch.Tensor, logits_to_keep: int, **kwargs: Any
    ) -> Any:
        asked, rows = self._asked, len(input_ids)
        if asked is not None and asked.rows:
            more, mask = graded_rows(input_ids, attention_mask, logits_to_keep, asked.firsts, self.objective)
            input_ids, attention_mask = torch.cat([input_ids, more]), torch.cat([attention_mask, mask])
        found = self._log_probabilities(model, input_ids, attention_mask, logits_to_keep, **kwargs)
        if asked is not None and asked.rows:
            asked.labels = found[0][rows:, len(self.objective.lead)].view(-1, len(self.objective.labels))
            found = tuple(part[:rows] if torch.is_tensor(part) and part.dim() else part for part in found)
        if self._weighed is not None:
            figures = weigh(self._weighed, found[0].detach(), self._rollouts.importance_clip, self.loss_type)
            for name, figure in figures.items():
                self._metrics["train" if self.model.training else "eval"][name].append(figure)
        return found

    def _log_probabilities(self, *args: Any, **kwargs: Any) -> Any:
        """What TRL computes for its loss; a seam."""
        return super()._get_per_token_logps_and_entropies(*args, **kwargs)

    def _check_agreement(self, model: Any, inputs: dict[str, Any]) -> None:
        """Compare the sampler's log-probabilities with the trainer's.

        Raises:
            TrainingError: They differ by more than rounding, so that what is rewarded is not what is trained.
        """
        sampled = inputs.get("sampling_per_token_logps")
        if sampled is None:
            return
        completions = inputs["completion_ids"]
        with torch.no_grad():
            ours, _, _ = self._get_per_token_logps_and_entropies(
                model,
                torch.cat([inputs["prompt_ids"], completions], dim=1),
                torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1),
                completions.size(1),
            )
        found = difference(inputs, ours)
        if found is None:
            return
        self._metrics["train"][CHECKED].append(found)
        self._agreement.judge(found, self.accelerator.unwrap_model(model).dtype, self.state.log_history)


class _Skipped(NamedTuple):
    """Rows that have no gradient, of shape (batch,), and their log-probabilities when sampled, if those are kept."""

    rows: torch.Tensor
    old_logps: torch.Tensor | None

    def with_rows(self, number: int) -> _Skipped:
        """The same in a batch to which rows were added, which are not skipped."""
        missing = number - len(self.rows)
        old = self.old_logps
        if old is not None:
            old = torch.cat([old, old.new_zeros((missing, old.shape[1]))])
        return _Skipped(torch.cat([self.rows, self.rows.new_zeros(missing)]), old)


class SharedPrefixTrainer(PolicyTrainer):
    """Computes what completions share once: the same loss and gradients, several times cheaper.

    TRL shuffles a generation batch before it cuts it into microbatches; here rows keep their order, so that a
    microbatch holds whole groups, and whole queries where it is large enough. Groups whose rewards are all equal are
    not computed where they have no gradient. Where a model's layers allow no tree, rows are computed whole.
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
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        self._planted = plants(base, asked=True)
        (let_score_trees if self._planted else let_score_rows)(
            base, temperature=self.temperature, cast_lm_head_to_fp32=self.args.cast_lm_head_to_fp32
        )
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

    @property
    def _advantages_alone(self) -> bool:
        """Whether a completion without an advantage has no gradient: `beta` and an entropy bonus give it one."""
        return self.beta == 0.0 and not self._entropy_bonus_enabled and self.top_entropy_quantile == 1.0

    def _idle(self, batch: dict[str, Any]) -> torch.Tensor:
        """Those without any advantage, where nothing else gives them a gradient."""
        if not self._advantages_alone:
            return super()._idle(batch)
        given = batch["advantages"]
        idle: torch.Tensor = (given.view(len(given), -1) == 0).all(1)
        return idle

    def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> torch.Tensor:
        if self.model.training and self._advantages_alone:
            self._skipped = _Skipped(self._idle(inputs), inputs.get("old_per_token_logps"))
        try:
            loss: torch.Tensor = super()._compute_loss(model, inputs)
        finally:
            self._skipped = None
        return loss

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
        """TRL's seam: of shape (batch, logits_to_keep), 0 where a completion has no token."""
        skipped = self._skipped.with_rows(len(input_ids)) if self._skipped else None
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
        if not any(completion for _, completion in rows):
            nothing = torch.zeros((len(rows), width), device=input_ids.device)
            # Connected to every weight, so that backward and the optimizer see gradients of zero.
            weights = [weight for weight in model.parameters() if weight.requires_grad]
            return nothing + sum(weight.flatten()[:0].sum() for weight in weights), nothing
        batch = (plant if self._planted else pad)(rows, width, input_ids.device)
        with self.accelerator.autocast():
            scored = model(**{"prefix_tree" if self._planted else "padded_rows": batch})
        absent = batch.predictions < 0
        logps, entropies = (
            found[0][batch.predictions.clamp(min=0)].masked_fill(absent, 0.0)
            for found in (scored.log_probs, scored.entropy)
        )
        return logps, entropies


def _rows(inputs: dict[str, Any], number: int) -> dict[str, Any]:
    """The first rows of what is told row by row."""
    rows = len(inputs["completion_ids"])
    return {
        name: value[:number] if torch.is_tensor(value) and value.dim() and len(value) == rows else value
        for name, value in inputs.items()
    }
