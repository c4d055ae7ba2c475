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
from interank.stages.list_lessons import list_lessons, list_notes
from interank.training.adapters import fresh_adapter, save_adapter
from interank.training.rows import Row, training_rows
from interank.training.sft import train

log = logging.getLogger(__name__)


def run(recipe: DistillRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Teach the student the training split of the judgments; go on from the last checkpoint on resume."""
    require_inputs(recipe)
    inputs = _inputs(recipe, out)
    place = create(out, "adapter", recipe=recipe.model_dump(mode="json"), inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    student = find_model(recipe.student)
    tokenizer = load_tokenizer(student)
    rows = list_lessons(recipe, recipe.lists, tokenizer, place) if recipe.lists else _lessons(recipe, tokenizer)
    quantisation = chosen_quantisation(recipe.quantisation)
    log.info("distilling %d rows into %s on %s, base weights %s", len(rows), student.name, device(), quantisation)
    model = fresh_adapter(load_model(student, quantisation=quantisation), recipe.lora, seed=recipe.seed)
    figures = train(model, tokenizer, rows, trainer=recipe.trainer, seed=recipe.seed, folder=place.work / "checkpoints")
    save_adapter(model, place.folder / "adapter", tokenizer=tokenizer, base=student.name)
    write_cost(place, figures, time.monotonic() - started)
    tokens = sum(len(row["input_ids"]) for row in rows)
    counts = {"examples": len(rows), "tokens": tokens, "steps": int(figures["steps"])}
    notes = adapter_notes(student, recipe.prompt, quantisation)
    notes |= list_notes(recipe.lists.prompt) if recipe.lists else {}
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)


def _inputs(recipe: DistillRecipe, out: Path) -> dict[str, Any]:
    """What a manifest says of judgments, of lists from elsewhere and of what those were held against."""
    inputs = {"judgments": describe_input(recipe.judgments, out)} if recipe.judgments else {}
    if recipe.lists:
        for name, paths in (("dear_cot", recipe.lists.dear_cot), ("benchmarks", recipe.lists.benchmarks)):
            inputs |= {f"{name}.{number}": describe_input(path, out) for number, path in enumerate(paths)}
    return inputs


def _lessons(recipe: DistillRecipe, tokenizer: Any) -> list[Row]:
    examples = read_judgments(Path(str(recipe.judgments)), "train")
    if not examples:
        raise InputError(f"{recipe.judgments} holds no judgments of the training split; lower mining.validation_share")
    return training_rows(PromptEncoder(tokenizer, recipe.prompt), examples)


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
