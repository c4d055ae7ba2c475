"""Training of heads: whole groups whatever the batch, each document's own teacher score, whole steps, learning."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from interank.engines.heads import Head, scores
from interank.engines.pairs import PairEncoder
from interank.errors import TrainingError
from interank.judgments import JudgedList
from interank.settings.heads import Objective
from interank.tasks.head.groups import ScoredPair, TeacherScores, digest
from interank.tasks.head.training import HeadGroup, HeadTrainer, HeadTrial, group_tokens
from interank.training.ranking_losses import HeadLoss, Target
from interank.types import Document
from tests.support import head_training_data


def loss_by_hand(model: PeftModel, encoder: PairEncoder, group: HeadGroup, loss: HeadLoss) -> float:
    """Each document scored alone, without anything beside it."""
    found = torch.cat([scores(Head(model, encoder), [pair]) for pair in group.pairs])
    teacher = None if group.teacher is None else torch.tensor(group.teacher)
    return float(loss(found, Target(torch.tensor(group.grades), teacher)))


class Watched(HeadTrainer):
    """Remembers what each microbatch held and added to the loss."""

    seen: list[tuple[list[int], float]]

    def compute_loss(self, model: Any, inputs: dict[str, Any], *more: Any, **others: Any) -> torch.Tensor:
        found = super().compute_loss(model, inputs, *more, **others)
        self.seen.append(([len(group.pairs) for group in inputs["groups"]], float(found.detach()) * inputs["total"]))
        return found


def test_groups_stay_whole_in_a_short_last_batch(tiny_folder: Path, tmp_path: Path) -> None:
    """DeAR reshapes a batch's scores by the recipe's batch size.

    Of a last batch of 1 query with 2 documents and a batch size of 2, that makes two groups of one document, whose
    loss is 0; of groups of two sizes it would be an error, or a mixture of queries.
    """
    encoder = head_training_data.encoder_of(tiny_folder)
    groups = head_training_data.groups_in_ids(encoder, head_training_data.lists_of(queries=5))
    model = head_training_data.head_of(tiny_folder)
    trainer = head_training_data.trainer_of(
        tmp_path, model, encoder, groups, num_train_epochs=2, learning_rate=0.0, gradient_accumulation_steps=1
    )
    trainer.__class__ = Watched
    trainer.seen = []
    trainer.train()
    loss = HeadLoss("cross_entropy")
    wanted = {len(group.pairs): [] for group in groups}  # type: ignore[var-annotated]
    for group in groups:
        wanted[len(group.pairs)].append(loss_by_hand(model, encoder, group, loss))
    assert [len(sizes) for sizes, _ in trainer.seen] == [2, 2, 1, 2, 2, 1]
    for start in (0, 3):
        epoch = trainer.seen[start : start + 3]
        assert sorted(size for sizes, _ in epoch for size in sizes) == [4, 4, 6, 6, 6]
        assert sum(found for _, found in epoch) == pytest.approx(sum(map(sum, wanted.values())), rel=1e-5)
        (size,), alone = epoch[-1]
        assert min(abs(alone - each) for each in wanted[size]) < 1e-5
        assert alone > 0.1


def one_update(trainer: HeadTrainer) -> tuple[float, torch.Tensor]:
    """The logged loss of a step, and the gradient that it came with."""
    trainer.train()
    return trainer.state.log_history[0]["loss"], torch.cat([w.flatten() for w in kept_gradients(trainer)])


def kept_gradients(trainer: Any) -> list[torch.Tensor]:
    return [gradient for gradient in trainer.gradients if gradient is not None]


class Keeping(HeadTrainer):
    """Keeps a step's gradients, which the optimizer's zero_grad would take away."""

    gradients: list[torch.Tensor | None]

    def training_step(self, *given: Any, **named: Any) -> torch.Tensor:
        found = super().training_step(*given, **named)
        self.gradients = [
            None if weight.grad is None else weight.grad.detach().clone()
            for weight in self.model.parameters()
            if weight.requires_grad
        ]
        return found


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_step_is_the_mean_of_its_groups_however_it_is_cut(
    tiny_folder: Path, tmp_path: Path, checkpointing: bool
) -> None:
    encoder = head_training_data.encoder_of(tiny_folder)
    groups = head_training_data.groups_in_ids(encoder, head_training_data.lists_of(queries=3))
    found = []
    # Three groups at once, or a microbatch of two and one of one.
    for together, accumulated, again in ((3, 1, False), (2, 2, checkpointing)):
        trainer = head_training_data.trainer_of(
            tmp_path,
            head_training_data.head_of(tiny_folder),
            encoder,
            groups,
            per_device_train_batch_size=together,
            gradient_accumulation_steps=accumulated,
            gradient_checkpointing=again,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            max_steps=1,
            logging_steps=1,
        )
        trainer.__class__ = Keeping
        found.append(one_update(trainer))
    wanted = [
        loss_by_hand(head_training_data.head_of(tiny_folder), encoder, group, HeadLoss("cross_entropy"))
        for group in groups
    ]
    assert found[0][0] == pytest.approx(sum(wanted) / 3, rel=1e-4)
    assert found[1][0] == pytest.approx(found[0][0], abs=1e-4)
    assert float((found[0][1] - found[1][1]).norm() / found[0][1].norm()) < 1e-5
    assert float(found[0][1].norm()) > 1e-3


def taught_score(document: Document, grade: int) -> float:
    """Of one who knows the grades, and tells documents of one grade apart by their length."""
    return 2.0 * grade + len(document.text) / 10


def teacher_of(lists: list[JudgedList]) -> TeacherScores:
    return TeacherScores(
        [
            ScoredPair(
                item.query.query_id,
                document.doc_id,
                taught_score(document, grade),
                digest(item.query, document),
            )
            for item in lists
            for document, grade in zip(item.documents, item.grades, strict=True)
        ],
        "teacher",
    )


def test_each_document_is_held_to_its_own_score(tiny_folder: Path, tmp_path: Path) -> None:
    encoder = head_training_data.encoder_of(tiny_folder)
    lists = head_training_data.lists_of(queries=4)
    teacher = teacher_of(lists)
    groups = head_training_data.groups_in_ids(encoder, lists, teacher)
    for item, group in zip(lists, groups, strict=True):
        own = (taught_score(document, grade) for document, grade in zip(item.documents, item.grades, strict=True))
        assert group.teacher == tuple(own)
        texts = [encoder.tokenizer.decode(pair.ids[pair.second :]) for pair in group.pairs]
        assert all(document.text in text for document, text in zip(item.documents, texts, strict=True))
    model = head_training_data.head_of(tiny_folder)
    trainer = head_training_data.trainer_of(
        tmp_path, model, encoder, groups, objective="ranknet", learning_rate=0.0, max_steps=1, logging_steps=1
    )
    trainer.train()
    loss = HeadLoss("ranknet")
    mean = sum(loss_by_hand(model, encoder, group, loss) for group in groups) / len(groups)
    chosen = trainer.state.log_history[0]["loss"]
    # A step of two of the four groups.
    pairs = [
        (loss_by_hand(model, encoder, one, loss) + loss_by_hand(model, encoder, other, loss)) / 2
        for one in groups
        for other in groups
        if one is not other
    ]
    assert min(abs(chosen - each) for each in pairs) < 1e-4
    assert mean > 0


@pytest.mark.parametrize("objective", ["cross_entropy", "binary_cross_entropy", "ranknet", "ranknet_hard", "lambda"])
def test_every_loss_teaches_the_rule(tiny_folder: Path, tmp_path: Path, objective: Objective) -> None:
    encoder = head_training_data.encoder_of(tiny_folder)
    lists = head_training_data.lists_of(queries=8)
    groups = head_training_data.groups_in_ids(encoder, lists, teacher_of(lists) if objective == "ranknet" else None)
    model = head_training_data.head_of(tiny_folder)
    trial = HeadTrial(encoder, lists)
    before = trial(model.eval())["nDCG@10"]
    trainer = head_training_data.trainer_of(
        tmp_path,
        model,
        encoder,
        groups,
        objective=objective,
        max_steps=80,
        learning_rate=5.0e-3,
        per_device_train_batch_size=8,
        max_grad_norm=1.0,
    )
    trainer.train()
    # Its own training queries: whether it learns, not what carries over.
    assert trial(model.eval())["nDCG@10"] > max(0.9, before + 0.05)


def test_only_the_adapter_and_the_head_are_trained(tiny_folder: Path, tmp_path: Path) -> None:
    encoder = head_training_data.encoder_of(tiny_folder)
    groups = head_training_data.groups_in_ids(encoder, head_training_data.lists_of(queries=2))
    model = head_training_data.head_of(tiny_folder)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    head_training_data.trainer_of(tmp_path, model, encoder, groups, max_steps=2, learning_rate=1.0e-2).train()
    moved = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert any("score.modules_to_save" in name for name in moved)
    assert all("lora_" in name or "score.modules_to_save" in name for name in moved)
    assert len([name for name in moved if "lora_" in name]) == 2 * 7 * 2


def test_no_backward_pass_goes_below_the_adapters(tiny_folder: Path, tmp_path: Path) -> None:
    encoder = head_training_data.encoder_of(tiny_folder)
    groups = head_training_data.groups_in_ids(encoder, head_training_data.lists_of(queries=2))
    model = head_training_data.head_of(tiny_folder, layers=1)
    states: list[torch.Tensor] = []
    for layer in model.get_base_model().model.layers:
        layer.register_forward_hook(lambda _module, _given, found: states.append(found))
    head_training_data.trainer_of(tmp_path, model, encoder, groups, max_steps=1).train()
    assert [state.requires_grad for state in states[:2]] == [False, True]
    assert len([name for name, _ in model.named_parameters() if "lora_" in name]) == 7 * 2


def test_a_loss_that_is_no_number_ends_the_training(tiny_folder: Path, tmp_path: Path) -> None:
    encoder = head_training_data.encoder_of(tiny_folder)
    groups = head_training_data.groups_in_ids(encoder, head_training_data.lists_of(queries=2))
    model = head_training_data.head_of(tiny_folder)
    next(weight for name, weight in model.named_parameters() if "lora_A" in name).data.view(-1)[0] = math.nan
    with pytest.raises(TrainingError, match=r"step 1: .*nan"):
        head_training_data.trainer_of(tmp_path, model, encoder, groups).train()


def test_scores_keep_all_their_bits_under_autocast(tiny_folder: Path, tmp_path: Path) -> None:
    """The last layer is not rounded to bfloat16 with the others: 8 bits would tie what the model tells apart."""
    encoder = head_training_data.encoder_of(tiny_folder)
    groups = head_training_data.groups_in_ids(encoder, head_training_data.lists_of(queries=2))
    model = head_training_data.head_of(tiny_folder)
    trainer = head_training_data.trainer_of(tmp_path, model, encoder, groups, bf16=True)
    batch = encoder.batch(groups[0].pairs)
    with trainer.accelerator.autocast():
        found = model(pairs=batch)
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())


def test_a_microbatch_is_estimated_with_its_padding(tiny_folder: Path) -> None:
    encoder = head_training_data.encoder_of(tiny_folder)
    groups = head_training_data.groups_in_ids(encoder, head_training_data.lists_of(queries=4))
    widest = max(len(pair.ids) for group in groups for pair in group.pairs)
    assert group_tokens(groups, {"per_device_train_batch_size": 2}) == 2 * 6 * widest
    assert group_tokens(groups, {"per_device_train_batch_size": 99}) == 4 * 6 * widest
