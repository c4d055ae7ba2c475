"""Training of a pointwise head by transformers' trainer, on whole groups of a query's documents.

TRL has no trainer of this kind: its RewardTrainer learns pairs of a chosen and a rejected text, one of each, and knows
neither groups of a query nor a teacher's scores.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MethodType
from typing import Any

import torch
from peft import PeftModel
from transformers import Trainer, TrainingArguments, set_seed

from interank import distributed
from interank.engines.heads import Head, head_logits, scores
from interank.engines.layers import refuse_read_otherwise
from interank.engines.models import ModelFiles, load_classifier
from interank.engines.pairs import Pair, PairBatch, PairEncoder
from interank.ir.measures import DEFAULT_MEASURE, score_run
from interank.judgments import JudgedList
from interank.settings import Quantisation
from interank.tasks.head.recipe import DistillHead
from interank.tasks.head.reward_model.recipe import RewardModelRecipe
from interank.training.adapters import fresh_adapter
from interank.training.dealing import shared
from interank.training.devices import configured, on_one_device, owned
from interank.training.ranking_losses import HeadLoss, Target
from interank.training.sft import DEFAULTS, SftSettings, TrainingOutcome, checkpoint_and_fields, run_training
from interank.training.stored_groups import Layout, Member
from interank.training.student import dataset_of
from interank.training.trials import Trial, check_number, tried
from interank.types import Qrel, Run, ScoredDoc

# DeAR's and RankLLaMA's: rate, decay and clipping.
_DEFAULTS = {
    **DEFAULTS,
    "learning_rate": 1.0e-4,
    "lr_scheduler_type": "linear",
    "warmup_steps": 0.1,
    "max_grad_norm": 1.0,
}


@dataclass(frozen=True, slots=True)
class HeadGroup:
    """A query's documents as pairs in ids, with their grades and the teacher's scores."""

    pairs: tuple[Pair, ...]
    grades: tuple[int, ...]
    teacher: tuple[float, ...] | None = None
    weights: tuple[float, ...] = ()
    """The weight of each document in the loss; empty where each has 1."""


# The group of a process that has none in a microbatch; it does not count.
_NOTHING = HeadGroup((Pair((0, 0), 1),), (0,))


def head_groups(
    encoder: PairEncoder,
    groups: Iterable[JudgedList],
    teacher: Callable[[JudgedList], tuple[float, ...]] | None = None,
) -> Iterator[HeadGroup]:
    """The groups as token ids, each document with the teacher's score of it.

    Raises:
        InputError: The teacher has not scored a document of a group.
    """
    for group in groups:
        yield HeadGroup(
            tuple(encoder.pair(group.query, document) for document in group.documents),
            group.grades,
            teacher(group) if teacher else None,
            group.weights,
        )


def _members(group: HeadGroup) -> Iterable[Member]:
    # NaN stands for no score, and for no weight.
    nothing = (math.nan,) * len(group.pairs)
    values = group.pairs, group.grades, group.teacher or nothing, group.weights or nothing
    for pair, grade, score, weight in zip(*values, strict=True):
        yield pair.ids, (pair.second, pair.cut, grade, score, weight)


def _group(members: Iterable[Member]) -> HeadGroup:
    ids, values = zip(*members, strict=True)
    second, cut, grades, scores, weights = zip(*values, strict=True)
    return HeadGroup(
        tuple(map(Pair, map(tuple, ids), second, cut)),
        grades,
        None if math.isnan(scores[0]) else scores,
        () if math.isnan(weights[0]) else weights,
    )


HEAD_GROUPS: Layout[HeadGroup] = Layout(
    (("second", "<i4"), ("cut", "<i4"), ("grade", "<i4"), ("score", "<f8"), ("weight", "<f8")), _members, _group
)
"""The layout of groups in files."""


def fresh_head(
    recipe: DistillHead | RewardModelRecipe, student: ModelFiles, quantisation: Quantisation, *, pad: int
) -> PeftModel:
    """The student with an untrained adapter and head, the same each time; `pad` is its tokenizer's padding."""
    # Transformers draws a head's weights for a language model, and PEFT draws the adapter's.
    set_seed(recipe.seed)
    base = load_classifier(
        student,
        quantisation=quantisation,
        double_quantisation=recipe.double_quantisation,
        precision=recipe.precision,
        headless=True,
    )
    base.config.pad_token_id = pad
    return fresh_adapter(base, recipe.lora, seed=recipe.seed, head=True)


def let_score_pairs(model: Any, encoder: PairEncoder) -> None:
    """Let a classifier compute logits by `model(pairs=batch)`; calls without pairs stay as they are.

    Training calls `forward`, where the wrappers of a model (autocast, several devices) act.
    """
    original = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, pairs: PairBatch | None = None, **kwargs: Any) -> Any:
        return original(*args, **kwargs) if pairs is None else head_logits(self, pairs, encoder.settings)

    model.forward = MethodType(forward, model)


class GroupCollator:
    """Looks up the groups that a batch names; a group is never cut, nor joined with another."""

    def __init__(self, groups: Sequence[HeadGroup]) -> None:
        self.groups = groups

    def __call__(self, items: Sequence[Mapping[str, int]]) -> dict[str, Any]:
        """The batch: its groups, and all their ids, by which the trainer counts tokens."""
        groups = [self.groups[item["group"]] for item in items]
        ids = [index for group in groups for pair in group.pairs for index in pair.ids]
        return {"input_ids": torch.tensor([ids], dtype=torch.long), "groups": groups}


class HeadTrainer(Trainer):  # type: ignore[misc]  # transformers is untyped here
    """Minimises the mean of the groups' losses over a whole optimizer step, however that is cut into microbatches.

    DeAR's code takes a batch's scores and cuts them into groups by the batch size of the recipe, so that of a short
    last batch documents of different queries are compared, or none at all. Here a batch is of groups.
    """

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        *,
        encoder: PairEncoder,
        groups: Sequence[HeadGroup],
        loss: HeadLoss,
        trial: Trial | None,
        **trainer_options: Any,
    ) -> None:
        super().__init__(
            train_dataset=dataset_of(len(groups)),
            eval_dataset=dataset_of(1) if trial else None,
            data_collator=GroupCollator(groups),
            processing_class=encoder.tokenizer,
            **trainer_options,
        )
        self.encoder = encoder
        self.loss = loss
        self.trial = trial
        model = self.accelerator.unwrap_model(self.model)
        let_score_pairs(model.get_base_model() if isinstance(model, PeftModel) else model, encoder)

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], torch.Tensor]:
        """A step's microbatches, each with the number of groups in the whole step."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        [total] = distributed.added([sum(len(batch["groups"]) for batch in batches)])
        return [{**batch, "total": total} for batch in batches], torch.tensor(max(1, total), device=device)

    def get_train_dataloader(self) -> Any:
        """Each process's groups."""
        return shared(super().get_train_dataloader())

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """The microbatch's part of the step's loss.

        Raises:
            TrainingError: The loss is not a number; the weights are still those of the step before.
        """
        groups: Sequence[HeadGroup] = inputs["groups"] or [_NOTHING]
        batch = self.encoder.batch([pair for group in groups for pair in group.pairs], self.accelerator.device)
        with self.accelerator.autocast():
            logits = model(pairs=batch)
        each = logits.float().split([len(group.pairs) for group in groups])
        if not inputs["groups"]:
            # All processes have to compute gradients, for which the others wait.
            nothing: torch.Tensor = 0.0 * logits.sum()
            return nothing
        losses = [self.loss(own, _target(group, own)) for group, own in zip(groups, each, strict=True)]
        # The processes' gradients are averaged, while the total counts the groups of all.
        loss: torch.Tensor = distributed.world() * torch.stack(losses).sum() / inputs["total"]
        check_number(loss, self.state.global_step + 1)
        return loss

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Try the model on the held-out queries; the figures are logged as the trainer's own."""
        return tried(self, self.trial)


def _target(group: HeadGroup, scored: torch.Tensor) -> Target:
    teacher = torch.tensor(group.teacher).to(scored) if group.teacher is not None else None
    weights = torch.tensor(group.weights).to(scored) if group.weights else None
    return Target(torch.tensor(group.grades, device=scored.device), teacher, weights)


class HeadTrial:
    """A head's trial: ranks the same queries' documents each time, as a reranker would."""

    def __init__(self, encoder: PairEncoder, lists: Sequence[JudgedList]) -> None:
        self.encoder = encoder
        self.qrels = [
            Qrel(item.query.query_id, document.doc_id, grade)
            for item in lists
            for document, grade in zip(item.documents, item.grades, strict=True)
        ]
        self.pairs = [encoder.pair(item.query, document) for item in lists for document in item.documents]

    def __call__(self, model: Any) -> Mapping[str, float]:
        """nDCG@10 against the grades."""
        values = distributed.dealt(self.pairs, lambda pairs: scores(Head(model, self.encoder), pairs).tolist())
        scored = (ScoredDoc(qrel.query_id, qrel.doc_id, score) for qrel, score in zip(self.qrels, values, strict=True))
        return {DEFAULT_MEASURE: score_run(self.qrels, Run.from_scores(scored, tag="validation")).mean[DEFAULT_MEASURE]}


def train(
    model: PeftModel,
    encoder: PairEncoder,
    groups: Sequence[HeadGroup],
    settings: SftSettings,
    *,
    loss: HeadLoss,
    folder: Path,
    trial: Trial | None = None,
) -> TrainingOutcome:
    """Train the adapter and its head in place, from the last complete checkpoint in `folder` if there is one.

    With a trial the best tried adapter is kept, else the last one.

    Raises:
        TrainingError: A pair is too long for the model, the loss is not a number, or disk or memory do not suffice; the
            last checkpoint is kept.
    """
    refuse_read_otherwise(model.config, max(len(pair.ids) for group in groups for pair in group.pairs))
    checkpoint, arguments = checkpoint_and_fields(folder, settings, _DEFAULTS, tried=trial is not None)
    arguments.setdefault("gradient_checkpointing_kwargs", {"use_reentrant": False})
    config = configured(TrainingArguments, {**arguments, **owned(model, folder=folder, seed=settings.seed)})
    trainer = HeadTrainer(
        model=model,
        args=on_one_device(config),
        encoder=encoder,
        groups=groups,
        loss=loss,
        trial=trial,
    )
    return run_training(trainer, checkpoint, settings, tried=trial is not None)


def group_tokens(groups: Sequence[HeadGroup], trainer: Mapping[str, Any]) -> int:
    """The most tokens of a microbatch, its padding included."""
    together = min(len(groups), trainer.get("per_device_train_batch_size", _DEFAULTS["per_device_train_batch_size"]))
    most = longest = 0
    for group in groups:
        most = max(most, len(group.pairs))
        longest = max(longest, *(len(pair.ids) for pair in group.pairs))
    return int(together * most * longest)
