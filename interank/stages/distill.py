"""distill: judgments to an adapter, by supervised fine-tuning of a small student."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from interank import judging
from interank.artifact import Artifact, Existing, Workplace, create, describe_input
from interank.engines.models import ModelFiles, chosen_quantisation, device, find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.errors import InputError
from interank.judgments import read_judgments
from interank.recipe import DistillRecipe, PromptSettings, Quantisation
from interank.stages.inputs import require_inputs
from interank.training.adapters import fresh_adapter, save_adapter
from interank.training.rows import training_rows
from interank.training.sft import train

log = logging.getLogger(__name__)


def run(recipe: DistillRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Teach the student the training split of the judgments; go on from the last checkpoint on resume."""
    require_inputs(recipe)
    judgments = Path(str(recipe.judgments))
    inputs = {"judgments": describe_input(judgments, out)}
    place = create(out, "adapter", recipe=recipe.model_dump(mode="json"), inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    examples = read_judgments(judgments, "train")
    if not examples:
        raise InputError(f"{judgments} holds no judgments of the training split; lower mining.validation_share")
    student = find_model(recipe.student)
    tokenizer = load_tokenizer(student)
    rows = training_rows(PromptEncoder(tokenizer, recipe.prompt), examples)
    quantisation = chosen_quantisation(recipe.quantisation)
    log.info("distilling %d judgments into %s on %s, base weights %s", len(rows), student.name, device(), quantisation)
    model = fresh_adapter(load_model(student, quantisation=quantisation), recipe.lora, seed=recipe.seed)
    figures = train(model, tokenizer, rows, trainer=recipe.trainer, seed=recipe.seed, folder=place.work / "checkpoints")
    save_adapter(model, place.folder / "adapter", tokenizer=tokenizer, base=student.name)
    write_cost(place, figures, time.monotonic() - started)
    tokens = sum(len(row["input_ids"]) for row in rows)
    counts = {"examples": len(rows), "tokens": tokens, "steps": int(figures["steps"])}
    return place.finish(seed=recipe.seed, counts=counts, notes=adapter_notes(student, recipe.prompt, quantisation))


def adapter_notes(base: ModelFiles, prompt: PromptSettings, quantisation: Quantisation) -> dict[str, Any]:
    """What an adapter's manifest says so that it can be used as it was trained."""
    return {
        "base": base.name,
        "base_origin": base.origin,
        "quantisation": quantisation,
        "device": device(),
        "prompt": prompt.model_dump(mode="json"),
        "prompt_hash": judging.prompt_hash(),
    }


def write_cost(place: Workplace, figures: Mapping[str, float], seconds: float) -> None:
    """Write what a training took, and its log beside it."""
    place.write_json("cost.json", {"seconds": round(seconds, 3), "device": device(), "trainer": dict(figures)})
    log_file = place.work / "log.jsonl"
    if log_file.exists():
        log_file.replace(place.folder / "log.jsonl")
