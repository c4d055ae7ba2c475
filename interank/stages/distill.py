"""distill: trains an adapter of a small student on judgments, lists or groups of documents."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from interank import distributed
from interank.artifact import Artifact, Existing, create
from interank.cards import save_card
from interank.engines.bases import base_facts, begun_from, find_student
from interank.engines.models import device
from interank.inputs import Input, check_inputs
from interank.stages.inputs import described, require_inputs, training_stage
from interank.stages.training import base_dtype, choice_of, draw, in_its_shape, write_cost
from interank.stages.training_page import training_page
from interank.stages.training_summary import Training
from interank.tasks.parts import part, task_named
from interank.tasks.protocol import CardFacts
from interank.tasks.recipes import DistillRecipe
from interank.training.adapters import save_adapter
from interank.training.planning import gib, peak_bytes, plan

log = logging.getLogger(__name__)


def check(recipe: DistillRecipe) -> Sequence[Input]:
    """Open the recipe's inputs before any model is loaded or output begun, and return them.

    Raises:
        InterankError: An input cannot be used.
    """
    inputs: Sequence[Input] = part(recipe.task, "inputs").inputs(recipe)
    check_inputs(inputs)
    return inputs


@training_stage
def run(recipe: DistillRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Train the student on the data of the recipe's task; a resumed run starts from the last checkpoint."""
    require_inputs(recipe)
    read = check(recipe)
    recipe = in_its_shape(recipe)
    task, content = task_named(recipe.task), recipe.model_dump(mode="json")
    inputs = described(read, out)
    place = create(out, "adapter", recipe=content, inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    student, start = find_student(recipe.student), begun_from(recipe.student)
    data = task.training_data(recipe, student, place)
    planned, quantisation = plan(student, choice_of(recipe, head=data.head), data.microbatch)
    log.info("%s", planned.told())
    model = data.model(quantisation)
    dtype = base_dtype(model, quantisation)
    log.info("distilling %s into %s, whose weights are in %s, on %s", data.told, student.name, dtype, device())
    folder = place.work / "checkpoints"
    trained = data.train(model, folder=folder, checkpointing=planned.checkpointing)
    if not distributed.first():
        return place.of_first()
    log.info("memory: %s at the peak; the estimate was about %s", gib(peak_bytes()), gib(planned.total))
    save_adapter(model, place.folder / "adapter", tokenizer=data.tokenizer, base=student.name)
    data.describe(place.folder / "adapter")
    memory = {"estimated_bytes": planned.total, "peak_bytes": peak_bytes(), "plan": asdict(planned)}
    write_cost(place, {**trained.figures, "memory": memory}, time.monotonic() - started)
    notes = {
        **base_facts(student, place.out),
        "task": recipe.task,
        **distributed.notes(),
        "quantisation": quantisation,
        "device": device(),
        "base_weights": dtype,
        "checkpointing": planned.checkpointing,
        **({"continued_from": {"digest": start.digest, "made_of": start.lineage()}} if start else {}),
        **data.notes,
    }
    counts = {**data.counts, "steps": int(trained.figures["steps"])}
    pictures = draw(place, trained.history)
    page = training_page(Training("distill", content, trained.history, notes, counts), place.folder)
    (place.folder / "report.html").write_text(page, "utf-8")
    save_card(data.card(CardFacts(student.name, notes, content, counts, trained.history, pictures)), place.folder)
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)
