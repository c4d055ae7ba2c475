"""TRL's SFTTrainer on groups of rows: shared prefixes are computed once, with our own loss and trials by ranking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from trl import SFTTrainer

from interank import distributed
from interank.engines.tree.prefix_tree import PrefixTree, plant_sequences
from interank.errors import TrainingError
from interank.settings.student import LossRecipe
from interank.training.dealing import shared
from interank.training.losses import ScoredRows, Totals, loss_of
from interank.training.padded_rows import PaddedRows, let_score_rows, pad
from interank.training.rows import Group, Row
from interank.training.shared_prefix import let_score_trees, plants
from interank.training.trials import Trial, check_number, tried

# The row that a process computes in a microbatch without rows.
_NOTHING = Row("nothing", (0,), (0,))


def dataset_of(number: int) -> Dataset:
    """TRL's dataset: the groups' numbers, whose rows `Collator` looks up."""
    return Dataset.from_dict({"group": list(range(number))})


class Collator:
    """Makes a batch of the groups whose numbers it gets."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = groups

    def __call__(self, items: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        """The batch: its groups, and all their ids for counting tokens, shared ones once a row."""
        groups = [self.groups[item["group"]] for item in items]
        ids = [index for group in groups for row in group for index in row.input_ids]
        return {"input_ids": torch.tensor([ids], dtype=torch.long), "groups": groups}


class StudentTrainer(SFTTrainer):  # type: ignore[misc]  # TRL is untyped here
    """Trains on groups; `score` computes them, and `losses` has the loss."""

    def __init__(
        self,
        *,
        groups: Sequence[Group],
        label_ids: Sequence[int],
        weights: LossRecipe,
        shared_prefix: bool,
        trial: Trial | None,
        **given: Any,
    ) -> None:
        super().__init__(
            train_dataset=dataset_of(len(groups)),
            eval_dataset=dataset_of(1) if trial else None,
            data_collator=Collator(groups),
            **given,
        )
        if self.aux_loss_enabled:
            raise TrainingError(
                "trainer.router_aux_loss_coef balances a mixture of experts over all tokens, which this loss does not "
                "compute; set it to 0.0"
            )
        self.model_accepts_loss_kwargs = True
        self.label_ids = list(label_ids)
        self.weights = weights
        self.trial = trial
        model = self.accelerator.unwrap_model(self.model)
        base = model.get_base_model() if isinstance(model, PeftModel) else model
        self.shared_prefix = plants(base, wanted=shared_prefix)
        if self.shared_prefix:
            let_score_trees(base, temperature=1.0, cast_lm_head_to_fp32=False, exact=lambda: self.label_ids)
        else:
            let_score_rows(base, exact=lambda: self.label_ids)

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], torch.Tensor]:
        """A step's microbatches, each with the totals of the whole step."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        totals = Totals.of(group for batch in batches for group in batch["groups"])
        read = sum(batch["input_ids"].numel() for batch in batches if batch["groups"])
        *summed, read = distributed.added([totals.tokens, totals.grades, totals.lists, read])
        totals = Totals(*summed)
        self._total_train_tokens += read
        self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        return [{**batch, "totals": totals} for batch in batches], torch.tensor(max(1, totals.tokens), device=device)

    def get_train_dataloader(self) -> Any:
        """A loader of this process's rows."""
        return shared(super().get_train_dataloader())

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The microbatch's part of the step's loss.

        Raises:
            TrainingError: The loss is not a number; the weights are still those of the step before.
        """
        groups = inputs["groups"]
        if not groups:
            # The other processes wait for this one's gradients.
            return 0.0 * self.score(model, [(_NOTHING,)]).answers.sum()
        scored = self.score(model, groups)
        # Gradients are averaged over processes, while each loss is divided by the totals of all processes.
        loss = distributed.world() * loss_of(groups, scored, inputs["totals"], self.weights)
        check_number(loss, self.state.global_step + 1)
        return loss

    def score(self, model: Any, groups: Sequence[Group]) -> ScoredRows:
        """The rows' log-probabilities, computed as one unpadded row of tokens where prefixes are shared."""
        rows = [row for group in groups for row in group]
        batch = self._laid_out(rows)
        answers = len(batch.labels)
        graded = [number for number, row in enumerate(rows) if row.grade_at is not None]
        needs_grades = bool(graded) and bool(self.weights.grade or self.weights.listwise)
        if needs_grades:
            batch = self._with_grades(batch, rows, graded)
        with self.accelerator.autocast():
            logps = model(**{"prefix_tree" if self.shared_prefix else "padded_rows": batch}).log_probs[0]
        absent = batch.predictions < 0
        grades = logps.new_zeros((len(rows), len(self.label_ids)))
        if needs_grades:
            grades = grades.index_copy(
                0, torch.tensor(graded, device=logps.device), logps[answers:].view(-1, len(self.label_ids))
            )
        return ScoredRows(logps[batch.predictions.clamp(min=0)].masked_fill(absent, 0.0), grades)

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Try the model on the validation questions; the figures go to the trainer's log and callbacks."""
        return tried(self, self.trial)

    def _laid_out(self, rows: Sequence[Row]) -> PrefixTree | PaddedRows:
        pairs = [(row.prompt, row.answer) for row in rows]
        width = max(len(row.answer) for row in rows)
        device = self.accelerator.device
        return plant_sequences(pairs, width, device) if self.shared_prefix else pad(pairs, width, device)

    def _with_grades(
        self, batch: PrefixTree | PaddedRows, rows: Sequence[Row], graded: Sequence[int]
    ) -> PrefixTree | PaddedRows:
        """The batch with predictions of all three labels at each grade's position, appended at its end."""
        at = torch.tensor([rows[number].grade_at for number in graded], device=batch.scored.device)
        places = batch.scored[batch.predictions[torch.tensor(graded, device=at.device), at]]
        labels = torch.tensor(self.label_ids, device=at.device)
        return replace(
            batch,
            scored=torch.cat([batch.scored, places.repeat_interleave(len(labels))]),
            labels=torch.cat([batch.labels, labels.repeat(len(places))]),
        )
