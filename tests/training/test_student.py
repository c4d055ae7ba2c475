"""What a group shares is computed once, and nothing else changes: losses, gradients and whole trainings are TRL's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import SFTTrainer

from interank.errors import TrainingError
from interank.settings.student import LossRecipe, MixtureRecipe
from interank.training.losses import Totals, scores
from interank.training.rows import Group, Row
from interank.training.student import StudentTrainer
from tests.support import training_data

# Both sides compute in float32 and add in another order.
GRADIENT_ERROR = 1e-5
PLAIN = LossRecipe()


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


def one_update(student: StudentTrainer) -> tuple[float, torch.Tensor, int]:
    """The loss, the gradients and the tokens run of one optimizer step over all groups."""
    tokens: list[int] = []
    model = student.accelerator.unwrap_model(student.model)
    hook = model.get_input_embeddings().register_forward_hook(lambda m, given, output: tokens.append(given[0].numel()))
    student.model.train()
    student.current_gradient_accumulation_steps = student.args.gradient_accumulation_steps
    batches, number = student.get_batch_samples(
        iter(student.get_train_dataloader()), student.args.gradient_accumulation_steps, torch.device("cpu")
    )
    loss = sum(float(student.training_step(student.model, batch, num_items_in_batch=number)) for batch in batches)
    hook.remove()
    return loss, training_data.gradients(model), sum(tokens)


def trl_update(
    folder: Path, tiny_folder: Path, rows: Sequence[Row], batch: int, **settings: Any
) -> tuple[float, torch.Tensor]:
    """The same by stock TRL on padded rows that share nothing."""
    model = training_data.model_of(tiny_folder)
    data = Dataset.from_list([{"input_ids": row.input_ids, "labels": row.labels} for row in rows])
    trainer = SFTTrainer(
        model=model,
        args=training_data.config(
            folder, per_device_train_batch_size=batch, gradient_accumulation_steps=-(-len(rows) // batch), **settings
        ),
        train_dataset=data,
        processing_class=training_data.encoder_of(tiny_folder).tokenizer,
    )
    trainer.model.train()
    steps = trainer.args.gradient_accumulation_steps
    trainer.current_gradient_accumulation_steps = steps
    batches, number = trainer.get_batch_samples(iter(trainer.get_train_dataloader()), steps, torch.device("cpu"))
    loss = sum(float(trainer.training_step(trainer.model, each, num_items_in_batch=number)) for each in batches)
    return loss, training_data.gradients(model)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("together", [1, 2, 3])
def test_loss_and_gradients_are_trls_on_rows_that_share_nothing(
    tiny_folder: Path, tmp_path: Path, together: int, checkpointing: bool
) -> None:
    encoder = training_data.encoder_of(tiny_folder)
    groups = training_data.groups_of(encoder, training_data.examples())
    rows = [row for group in groups for row in group]
    assert {row.task for row in rows} == {"score", "explain", "reason", "queries"}
    student = training_data.student_of(
        tmp_path / "ours",
        training_data.model_of(tiny_folder),
        encoder,
        groups,
        weights=PLAIN,
        per_device_train_batch_size=together,
        gradient_accumulation_steps=-(-len(groups) // together),
        gradient_checkpointing=checkpointing,
    )
    found = one_update(student)
    expected = trl_update(tmp_path / "theirs", tiny_folder, rows, 5, gradient_checkpointing=checkpointing)
    assert found[0] == pytest.approx(expected[0], abs=1e-5)
    assert relative(found[1], expected[1]) <= GRADIENT_ERROR
    assert found[2] < 0.6 * sum(len(row.input_ids) for row in rows)


@pytest.mark.parametrize("weights", [training_data.EVERY_PART, LossRecipe(tokens=0.0, grade=1.0), PLAIN], ids=str)
def test_padded_rows_give_the_same_whatever_the_loss_is_made_of(
    tiny_folder: Path, tmp_path: Path, weights: LossRecipe
) -> None:
    encoder = training_data.encoder_of(tiny_folder)
    groups = training_data.groups_of(encoder, training_data.examples())
    found = []
    for shared in (True, False):
        model = training_data.model_of(tiny_folder)
        student = training_data.student_of(
            tmp_path / str(shared),
            model,
            encoder,
            groups,
            weights=weights,
            shared_prefix=shared,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=3,
        )
        found.append(one_update(student))
    (ours, gradient, fewer), (theirs, expected, tokens) = found
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert relative(gradient, expected) <= GRADIENT_ERROR
    assert fewer < 0.6 * tokens


@pytest.mark.parametrize("weighed", [False, True])
def test_the_parts_of_the_loss_are_what_they_are_said_to_be(tiny_folder: Path, tmp_path: Path, weighed: bool) -> None:
    """Each part computed anew, row by row, from a plain forward pass."""
    encoder = training_data.encoder_of(tiny_folder)
    given = training_data.examples(2)
    if weighed:
        given = [replace(item, weight=0.25 + number / 4) for number, item in enumerate(given)]
    groups = training_data.groups_of(encoder, given, MixtureRecipe(score=1.0, reason=1.0))
    model = training_data.model_of(tiny_folder)
    student = training_data.student_of(tmp_path, model, encoder, groups, gradient_accumulation_steps=1)
    loss, _, _ = one_update(student)
    tokens, grades, lists = [], [], []
    for group in groups:
        listed: list[tuple[torch.Tensor, float]] = []
        for row in group:
            logits = model(input_ids=torch.tensor([row.input_ids])).logits[0].detach().log_softmax(-1)
            start = len(row.prompt) - 1
            tokens += [
                -row.weight * float(logits[start + place, row.answer[place]])
                for place in range(row.trained_from, len(row.answer))
            ]
            assert row.grade_at is not None
            assert row.grades is not None
            three = logits[start + row.grade_at, list(encoder.label_ids)]
            grades.append(-row.weight * sum(p * float(q) for p, q in zip(row.grades, three, strict=True)))
            if row.task == "score":
                listed.append((scores(three), row.weight * (row.grades[1] + 3 * row.grades[2])))
        gains = torch.tensor([gain for _, gain in listed])
        lists.append(-float((gains / gains.sum() * torch.stack([s for s, _ in listed]).log_softmax(0)).sum()))
    expected = sum(tokens) / len(tokens) + 0.7 * sum(grades) / len(grades) + 0.4 * sum(lists) / len(lists)
    assert loss == pytest.approx(expected, abs=1e-5)


def test_no_row_sees_another(tiny_folder: Path, tmp_path: Path) -> None:
    """One document is changed; what the other rows lose, those of its own question included, stays as it was."""
    encoder = training_data.encoder_of(tiny_folder)
    given = training_data.examples()
    changed = list(given)
    changed[1] = replace(given[1], document=replace(given[1].document, text="Another pink pig sits in the house."))
    losses = []
    for items in (given, changed):
        groups, model = training_data.groups_of(encoder, items), training_data.model_of(tiny_folder)
        student = training_data.student_of(tmp_path, model, encoder, groups)
        with torch.no_grad():
            losses.append(-student.score(model, groups).answers.sum(1))
        rows = [row for group in groups for row in group]
    before, after = losses
    touched = [
        row.prompt
        in {r.prompt for g in training_data.groups_of(encoder, changed) for r in g}
        - {r.prompt for g in training_data.groups_of(encoder, given) for r in g}
        for row in rows
    ]
    assert sum(touched) == 3
    moved = (before - after).abs()
    assert float(moved[torch.tensor(touched)].min()) > 1e-3
    assert float(moved[~torch.tensor(touched)].max()) < 1e-5


def test_a_step_does_not_depend_on_how_it_is_cut_into_microbatches(tiny_folder: Path, tmp_path: Path) -> None:
    encoder = training_data.encoder_of(tiny_folder)
    groups = training_data.groups_of(encoder, training_data.examples(4))
    found = [
        one_update(
            training_data.student_of(
                tmp_path / str(together),
                training_data.model_of(tiny_folder),
                encoder,
                groups,
                per_device_train_batch_size=together,
                gradient_accumulation_steps=4 // together,
            )
        )
        for together in (1, 4)
    ]
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-5)
    assert relative(found[0][1], found[1][1]) <= GRADIENT_ERROR


def test_a_loss_that_is_no_number_ends_the_training_before_the_step(tiny_folder: Path, tmp_path: Path) -> None:
    encoder = training_data.encoder_of(tiny_folder)
    groups = training_data.groups_of(encoder, training_data.examples())
    model = training_data.model_of(tiny_folder)
    student = training_data.student_of(tmp_path, model, encoder, groups)
    broken = next(weight for name, weight in model.named_parameters() if "lora_A" in name)
    broken.data.view(-1)[0] = math.nan
    before = [weight.detach().clone() for weight in model.parameters() if weight.requires_grad][1:]
    with pytest.raises(TrainingError, match=r"step 1: .*nan.*learning_rate"):
        student.train()
    after = [weight for weight in model.parameters() if weight.requires_grad][1:]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_totals_count_what_the_parts_are_means_over(tiny_folder: Path) -> None:
    encoder = training_data.encoder_of(tiny_folder)
    groups: list[Group] = training_data.groups_of(
        encoder, training_data.examples(), MixtureRecipe(score=1.0, explain=1.0)
    )
    rows = [row for group in groups for row in group]
    totals = Totals.of(groups)
    assert totals.tokens == sum(label != -100 for row in rows for label in row.labels)
    assert (totals.grades, totals.lists) == (len(rows), 3)
    assert [row.listed for row in groups[0]] == [True, False] * (len(groups[0]) // 2)
