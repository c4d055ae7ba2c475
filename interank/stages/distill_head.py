"""distill, of a head: groups of a query's documents to an adapter that gives one number, perhaps with a teacher's."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from transformers import set_seed

from interank.artifact import Artifact, Workplace, open_artifact
from interank.cards import save_card
from interank.engines.bases import base_facts, stands_on
from interank.engines.heads import Head, load_head
from interank.engines.models import ModelFiles, device, find_model, load_classifier, load_tokenizer
from interank.engines.pairs import PairEncoder
from interank.engines.use import read_head, save_head
from interank.errors import InputError
from interank.plots import training_curves
from interank.settings import HeadSettings, Quantisation
from interank.stages.trained import base_weights, write_cost
from interank.tasks.head.card import HeadFacts, head_card
from interank.tasks.head.lessons import HeadLessons, head_lessons, teacher_scores
from interank.tasks.head.recipe import DistillHead
from interank.tasks.head.training import HeadValidation, group_tokens, head_groups, train
from interank.training.adapters import fresh_adapter, save_adapter
from interank.training.memory import Microbatch
from interank.training.planning import Choice, Plan, gib, peak_bytes, plan
from interank.training.sft import Trained

log = logging.getLogger(__name__)


def distill_head(recipe: DistillHead, place: Workplace) -> Artifact:
    """Teach the student a head; go on from the last checkpoint on resume."""
    started = time.monotonic()
    student = find_model(recipe.student)
    settings = _settings(recipe, student)
    encoder = PairEncoder(load_tokenizer(student), settings)
    lessons = head_lessons(recipe)
    teacher = teacher_scores(recipe, lessons.groups, place)
    groups = head_groups(encoder, lessons.groups, teacher)
    tokens = group_tokens(groups, recipe.trainer)
    planned, quantisation = plan(student, _choice(recipe), Microbatch(tokens, keys=tokens))
    log.info("%s", planned.told())
    head = _student(recipe, student, encoder, quantisation)
    log.info(
        "distilling %d groups of %d queries into a head on %s (%s) on %s, base weights %s",
        *(len(groups), lessons.counts["questions"], student.name, recipe.objective, device()),
        base_weights(head.model, quantisation),
    )
    trained = train(
        head.model,
        encoder,
        groups,
        recipe,
        folder=place.work / "checkpoints",
        checkpointing=planned.checkpointing,
        trial=HeadValidation(encoder, lessons.tried) if lessons.tried else None,
    )
    save_adapter(head.model, place.folder / "adapter", tokenizer=encoder.tokenizer, base=student.name)
    save_head(place.folder / "adapter", settings)
    _write_costs(place, planned, trained, started)
    notes = base_facts(student, place.out) | _notes(recipe, settings, head.model, (planned, quantisation))
    _write_card(place, recipe, notes, lessons, trained)
    tokens = sum(group.tokens for group in groups)
    counts = {**lessons.counts, "tokens": tokens, "steps": int(trained.figures["steps"])}
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)


def _settings(recipe: DistillHead, student: ModelFiles) -> HeadSettings:
    """How pairs are read: as a head that is trained further reads them, else as the recipe says.

    Raises:
        InputError: What is to be trained further is no head, or one on another base.
    """
    if recipe.adapter is None:
        return recipe.encoding or read_head(student.folder) or HeadSettings()
    adapter = open_artifact(recipe.adapter, "adapter")
    found = read_head(adapter.path / "adapter")
    if found is None:
        raise InputError(f"{adapter.path} was taught to write answers and has no head; give a head's output, or none")
    if not stands_on(adapter, student):
        raise InputError(
            f"{adapter.path} stands on {adapter.manifest['base']}, and the recipe's student is {recipe.student}; give "
            "the same model as student"
        )
    return found


def _choice(recipe: DistillHead) -> Choice:
    return Choice(
        recipe.lora,
        recipe.quantisation,
        recipe.double_quantisation,
        recipe.precision,
        recipe.trainer.get("gradient_checkpointing"),
        head=True,
    )


def _student(recipe: DistillHead, student: ModelFiles, encoder: PairEncoder, quantisation: Quantisation) -> Head:
    """The model with a head to be trained: a fresh one, or the one of the adapter that is trained further."""
    adapter = recipe.adapter
    # A language model has no head, so that a random one is made; and PEFT draws the adapter's weights.
    set_seed(recipe.seed)
    if adapter is not None:
        return load_head(
            adapter, quantisation=quantisation, precision=recipe.precision, base=recipe.student, trainable=True
        )
    base = load_classifier(
        student,
        quantisation=quantisation,
        double_quantisation=recipe.double_quantisation,
        precision=recipe.precision,
        headless=True,
    )
    base.config.pad_token_id = encoder.tokenizer.pad_token_id
    return Head(fresh_adapter(base, recipe.lora, seed=recipe.seed, head=True), encoder)


def _notes(
    recipe: DistillHead, settings: HeadSettings, model: Any, chosen: tuple[Plan, Quantisation]
) -> dict[str, Any]:
    """What the manifest says beyond recipe and counts."""
    planned, quantisation = chosen
    teacher = recipe.teacher or (str(recipe.teacher_scores) if recipe.teacher_scores else None)
    return {
        "quantisation": quantisation,
        "device": device(),
        "objective": recipe.objective,
        "head": settings.model_dump(mode="json"),
        "modes": ["score"],
        "teacher": teacher,
        "base_weights": base_weights(model, quantisation),
        "checkpointing": planned.checkpointing,
    }


def _write_costs(place: Workplace, planned: Plan, trained: Trained, started: float) -> None:
    log.info("memory: %s at the peak, about %s were estimated", gib(peak_bytes()), gib(planned.total))
    memory = {"estimated_bytes": planned.total, "peak_bytes": peak_bytes(), "plan": asdict(planned)}
    write_cost(place, {**trained.figures, "memory": memory}, time.monotonic() - started)


def _write_card(
    place: Workplace, recipe: DistillHead, notes: Mapping[str, Any], lessons: HeadLessons, trained: Trained
) -> None:
    """The model card, with the training's curves."""
    pictures = []
    for plot in training_curves(trained.history):
        pictures.append(f"{plot.name}.svg")
        (place.folder / pictures[-1]).write_text(plot.svg, "utf-8")
    source = Path(str(recipe.groups or recipe.judgments)).name
    facts = HeadFacts(
        recipe.student, notes, recipe.model_dump(mode="json"), source, lessons.counts, trained.history, pictures
    )
    save_card(head_card(facts), place.folder)
