"""reward: explanations with marks to an adapter and a head on the student's base that mark explanations."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interank import distributed
from interank.artifact import Artifact, Existing, Workplace, create, open_artifact
from interank.cards import save_card
from interank.engines.bases import base_facts
from interank.engines.models import device, find_model
from interank.explanations import MADE_MARKS, ExplanationRow
from interank.inputs import Input, check_inputs
from interank.settings import Quantisation
from interank.stages.inputs import described, require_inputs, training_stage
from interank.stages.training import base_dtype, choice_of, draw, write_cost
from interank.stages.training_page import training_page
from interank.stages.training_summary import Training
from interank.tasks.head.reward_model.card import compared, reward_card
from interank.tasks.head.reward_model.comparisons import comparisons
from interank.tasks.head.reward_model.figures import HeldOutScores, longer_is_better
from interank.tasks.head.reward_model.inputs import compared_rows, named
from interank.tasks.head.reward_model.recipe import RewardModelRecipe
from interank.tasks.head.reward_model.training_data import RewardTrainingData
from interank.tasks.protocol import CardFacts
from interank.training.planning import gib, peak_bytes, plan

log = logging.getLogger(__name__)

_TWIN = "shuffled.json"
Scores = Mapping[str, float]


def check(recipe: RewardModelRecipe) -> Sequence[Input]:
    """Open the recipe's inputs before any model is loaded or output begun, and return them.

    Raises:
        InterankError: An input cannot be used.
    """
    inputs = named(recipe)
    check_inputs(inputs)
    return inputs


@training_stage
def run(recipe: RewardModelRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Train the student to mark explanations; a resumed run starts from the last checkpoint."""
    require_inputs(recipe)
    inputs = described(check(recipe), out)
    judgments = Path(str(recipe.judgments))
    content = recipe.model_dump(mode="json")
    place = create(out, "reward", recipe=content, inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    train, held_out = compared_rows(recipe, judgments)
    if next(comparisons(held_out, least=recipe.least_difference), None) is None:
        log.warning(
            "%s has no two explanations to compare in its validation split, so nothing will be known of how well the "
            "reward model marks",
            judgments,
        )
    student = find_model(recipe.student)
    data = RewardTrainingData(recipe, student, train)
    planned, quantisation = plan(student, choice_of(recipe, head=True), data.microbatch)
    log.info("%s", planned.told())
    systems = _twin(data, held_out, quantisation, place, checkpointing=planned.checkpointing)
    model = data.model(quantisation)
    dtype = base_dtype(model, quantisation)
    systems["untrained"] = data.scores(model, held_out)
    pairs = len(data.preferences)
    log.info("learning %d pairs of explanations; %s in %s, on %s", pairs, student.name, dtype, device())
    trained = data.train(model, folder=place.work / "checkpoints", checkpointing=planned.checkpointing)
    if not distributed.first():
        return place.of_first()
    log.info("memory: %s at the peak; the estimate was about %s", gib(peak_bytes()), gib(planned.total))
    systems = {"trained": data.scores(model, held_out), **systems}
    report = _report(recipe, train, held_out, systems)
    place.write_json("report.json", report)
    data.save(model, place.folder)
    write_cost(place, trained.figures, time.monotonic() - started)
    notes: dict[str, Any] = {
        **base_facts(student, place.out),
        **distributed.notes(),
        "quantisation": quantisation,
        "device": device(),
        "base_weights": dtype,
        "head": recipe.encoding.model_dump(mode="json"),
        "prompt_hash": open_artifact(judgments, "judgments").manifest.get("prompt_hash"),
        "marked_by": sorted({row.marked_by for row in train}),
        "made_marks_alone": {row.marked_by for row in train} == {MADE_MARKS},
        "left_out": list(recipe.left_out),
    }
    counts = {"pairs": pairs, "explanations": len(train), "held_out": len(held_out)}
    counts |= {"questions": len({row.query_id for row in train}), "steps": int(trained.figures["steps"])}
    training = Training("reward", content, trained.history, {**notes, "accuracy": report["accuracy"]}, counts)
    page = training_page(training, place.folder, compared=compared(report) if report["pairs"] else ())
    (place.folder / "report.html").write_text(page, "utf-8")
    made = CardFacts(recipe.student, notes, content, counts, trained.history, draw(place, trained.history))
    save_card(reward_card(made, report, judgments.name), place.folder)
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)


def _twin(
    data: RewardTrainingData,
    held_out: Sequence[ExplanationRow],
    quantisation: Quantisation,
    place: Workplace,
    *,
    checkpointing: bool,
) -> dict[str, Scores]:
    """The scores of a control that is trained on shuffled marks; empty where the recipe asks for none."""
    if not data.recipe.controls or not held_out:
        return {}
    file = place.work / _TWIN
    if not distributed.from_first(file.is_file):
        log.info("first a control on shuffled marks, to compare with")
        model, folder = data.model(quantisation), place.work / "shuffled" / "checkpoints"
        data.train(model, folder=folder, checkpointing=checkpointing, shuffled=True)
        if distributed.first():
            partly = file.with_suffix(".partial")
            partly.write_text(json.dumps(data.scores(model, held_out)), "utf-8")
            partly.replace(file)
        distributed.barrier()
    return {"shuffled marks": json.loads(file.read_text("utf-8"))}


def _report(
    recipe: RewardModelRecipe,
    train: Sequence[ExplanationRow],
    held_out: Sequence[ExplanationRow],
    systems: Mapping[str, Scores],
) -> dict[str, Any]:
    """Figures on the held-out questions; none where nothing of them can be compared."""
    longer = longer_is_better(comparisons(train, least=recipe.least_difference))
    scores = HeldOutScores(held_out, least=recipe.least_difference, longer=longer, seed=recipe.seed)
    return scores.report(systems, recipe.left_out)
