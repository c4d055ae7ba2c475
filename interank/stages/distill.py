"""distill: judgments to an adapter, by supervised fine-tuning of a small student; heads have a story of their own."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from interank import judging
from interank.artifact import Artifact, Existing, Workplace, create, describe_input, open_artifact
from interank.cards import save_card
from interank.engines.bases import base_facts
from interank.engines.layers import allowed_of
from interank.engines.models import ModelFiles, device, find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.use import Use, save_use
from interank.errors import InputError
from interank.judgments import by_question, read_judgments
from interank.launched import refuse_several_processes
from interank.ledger import read_rows
from interank.plots import training_curves
from interank.settings import PromptSettings, Quantisation
from interank.settings.student import TASKS
from interank.stages.distill_head import distill_head
from interank.stages.inputs import require_inputs
from interank.stages.trained import base_weights, write_cost
from interank.tasks.head.recipe import JUDGMENTS_AS_TEACHER, DistillHead
from interank.tasks.judge.attacks import with_attacked
from interank.tasks.judge.card import Facts, card
from interank.tasks.judge.recipe import DistillJudge
from interank.tasks.judge.rows import training_groups
from interank.tasks.judge.validation import Validation, validation_sample
from interank.tasks.order.lessons import list_lessons, list_notes
from interank.tasks.order.recipe import DistillOrder
from interank.tasks.recipes import DistillRecipe
from interank.training.adapters import fresh_adapter, save_adapter
from interank.training.planning import Choice, gib, peak_bytes, plan
from interank.training.rows import Group
from interank.training.sft import SftSettings, Trained, largest_microbatch, train
from interank.types import Example

log = logging.getLogger(__name__)


def run(recipe: DistillRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Teach the student the training split of the judgments; go on from the last checkpoint on resume."""
    refuse_several_processes()
    require_inputs(recipe)
    inputs = _inputs(recipe, out)
    place = create(out, "adapter", recipe=recipe.model_dump(mode="json"), inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    if isinstance(recipe, DistillHead):
        return distill_head(recipe, place)
    assert isinstance(recipe, DistillJudge | DistillOrder)
    return _answers(recipe, place)


def _answers(recipe: DistillJudge | DistillOrder, place: Workplace) -> Artifact:
    started = time.monotonic()
    student = find_model(recipe.student)
    prompt = recipe.prompt if isinstance(recipe, DistillJudge) else PromptSettings()
    planted = recipe.shared_prefix and allowed_of(student.name, student.folder).tree
    encoder = PromptEncoder(load_tokenizer(student), prompt)
    lessons = _list_lessons(recipe, encoder, place) if isinstance(recipe, DistillOrder) else _lessons(recipe, encoder)
    settings = SftSettings(recipe.trainer, recipe.seed, shared_prefix=recipe.shared_prefix)
    if isinstance(recipe, DistillJudge):
        settings = replace(settings, validation=recipe.validation, loss=recipe.loss)
    planned, quantisation = plan(
        student, _choice(recipe), largest_microbatch(lessons.groups, recipe.trainer, shared_prefix=planted)
    )
    log.info("%s", planned.told())
    model = load_model(
        student,
        quantisation=quantisation,
        double_quantisation=recipe.double_quantisation,
        precision=recipe.precision,
    )
    model = fresh_adapter(model, recipe.lora, seed=recipe.seed)
    log.info(
        "distilling %d rows of %d questions into %s on %s, base weights %s",
        *(lessons.counts["rows"], lessons.counts["questions"], student.name, device()),
        base_weights(model, quantisation),
    )
    trained = train(
        model,
        encoder,
        lessons.groups,
        settings,
        folder=place.work / "checkpoints",
        checkpointing=planned.checkpointing,
        trial=lessons.trial,
    )
    log.info("memory: %s at the peak, about %s were estimated", gib(peak_bytes()), gib(planned.total))
    save_adapter(model, place.folder / "adapter", tokenizer=encoder.tokenizer, base=student.name)
    memory = {"estimated_bytes": planned.total, "peak_bytes": peak_bytes(), "plan": asdict(planned)}
    write_cost(place, {**trained.figures, "memory": memory}, time.monotonic() - started)
    notes = adapter_notes(student, prompt, quantisation, place.out)
    notes |= {"base_weights": base_weights(model, quantisation), "checkpointing": planned.checkpointing}
    if isinstance(recipe, DistillOrder):
        notes |= list_notes(recipe.prompt)
    else:
        notes |= {"modes": modes_of(recipe), "mixture": dict(recipe.practised.shares)}
        save_use(place.folder / "adapter", Use(recipe.prompt, tuple(modes_of(recipe))))
        _write_card(place, recipe, notes, lessons.examples, trained)
    return place.finish(
        seed=recipe.seed, counts={**lessons.counts, "steps": int(trained.figures["steps"])}, notes=notes
    )


def _inputs(recipe: DistillRecipe, out: Path) -> dict[str, Any]:
    """What a manifest says of judgments, of lists and groups from elsewhere and of what those were held against."""
    inputs = {"judgments": describe_input(recipe.judgments, out)} if recipe.judgments else {}
    inputs |= {name: describe_input(path, out) for name, path in _head_inputs(recipe).items()}
    if isinstance(recipe, DistillOrder):
        for name, paths in (("dear_cot", recipe.dear_cot), ("benchmarks", recipe.benchmarks)):
            inputs |= {f"{name}.{number}": describe_input(path, out) for number, path in enumerate(paths)}
    return inputs


def _head_inputs(taught: DistillRecipe) -> dict[str, Path]:
    if not isinstance(taught, DistillHead):
        return {}
    given = {name: getattr(taught, name) for name in ("groups", "run", "corpus", "teacher_scores", "adapter")}
    if taught.teacher and taught.teacher != JUDGMENTS_AS_TEACHER:
        path = Path(taught.teacher).expanduser()
        given["teacher"] = path if path.exists() else None
    return {name: path for name, path in given.items() if path}


def _choice(recipe: DistillRecipe) -> Choice:
    return Choice(
        recipe.lora,
        recipe.quantisation,
        recipe.double_quantisation,
        recipe.precision,
        recipe.trainer.get("gradient_checkpointing"),
    )


def _write_card(
    place: Workplace,
    recipe: DistillJudge,
    notes: Mapping[str, Any],
    examples: Sequence[Example],
    trained: Trained,
) -> None:
    """The model card, with the training's curves."""
    pictures = []
    for plot in training_curves(trained.history):
        pictures.append(f"{plot.name}.svg")
        (place.folder / pictures[-1]).write_text(plot.svg, "utf-8")
    facts = Facts(
        recipe.student,
        notes,
        recipe.model_dump(mode="json"),
        open_artifact(Path(str(recipe.judgments)), "judgments").manifest,
        examples,
        trained.history,
        pictures,
    )
    save_card(card(facts), place.folder)


@dataclass(frozen=True, slots=True)
class _Lessons:
    """What the student is taught, and what it is tried on."""

    examples: list[Example]
    groups: list[Group]
    trial: Validation | None
    counts: dict[str, int]


def _list_lessons(recipe: DistillOrder, encoder: PromptEncoder, place: Workplace) -> _Lessons:
    groups = list_lessons(recipe, encoder.tokenizer, place)
    tokens = sum(len(row.input_ids) for group in groups for row in group)
    counts = {"examples": len(groups), "questions": len(groups), "rows": len(groups), "tokens": tokens}
    return _Lessons([], groups, None, counts)


def _lessons(recipe: DistillJudge, encoder: PromptEncoder) -> _Lessons:
    judgments = Path(str(recipe.judgments))
    examples = read_judgments(judgments, "train")
    if not examples:
        raise InputError(f"{judgments} holds no judgments of the training split; lower mining.validation_share")
    mixture = recipe.practised
    shown = with_attacked(examples, recipe.attacked_negatives, recipe.seed)
    groups = training_groups(
        encoder,
        shown,
        mixture,
        documents=recipe.documents_per_group,
        seed=recipe.seed,
        queries=_written_queries(judgments) if mixture.queries else None,
    )
    if not groups:
        raise InputError("mixture: its shares are so small that no question was drawn; raise them")
    tried = validation_sample(read_judgments(judgments, "validation"), recipe.validation.questions, recipe.seed)
    if recipe.validation.questions and not tried:
        log.warning("no validation question has documents of two grades, so nothing is tried and the last step is kept")
    _warn_of_cut_lists(recipe, examples)
    rows = [row for group in groups for row in group]
    counts = {
        "examples": len(examples),
        "questions": len(by_question(examples)),
        "rows": len(rows),
        **{f"rows_{task}": sum(row.task == task for row in rows) for task in mixture.shares},
        "tokens": sum(len(row.input_ids) for row in rows),
        "attacked": len(shown) - len(examples),
        "validation_pairs": len(tried),
    }
    return _Lessons(examples, groups, Validation(encoder, tried) if tried else None, counts)


def _warn_of_cut_lists(recipe: DistillJudge, examples: Sequence[Example]) -> None:
    most = recipe.documents_per_group
    cut = sum(len(items) > most for items in by_question(examples))
    if cut and recipe.loss.listwise:
        log.warning(
            "loss.listwise compares documents within a group, and %d questions have more than documents_per_group, %d; "
            "raise it where memory allows",
            *(cut, most),
        )


def _written_queries(judgments: Path) -> dict[str, list[str]]:
    """The search queries that the teacher wrote for the training questions."""
    file = judgments / "queries.jsonl"
    if not file.is_file():
        raise InputError(
            f"{file} is missing, so there are no search queries to learn; generate the judgments with "
            "teacher.queries, or set mixture.queries: 0"
        )
    return {str(row["query_id"]): row["queries"] for row in read_rows(file) if row["split"] == "train"}


def modes_of(recipe: DistillJudge) -> list[str]:
    """What the adapter can be used for: who explains a grade has learned to give it."""
    tasks = set(recipe.practised.shares)
    return [task for task in TASKS if task in tasks or (task == "score" and "explain" in tasks)]


def adapter_notes(base: ModelFiles, prompt: PromptSettings, quantisation: Quantisation, out: Path) -> dict[str, Any]:
    """What the manifest of an adapter at `out` says so that it can be used as it was trained."""
    return {
        **base_facts(base, out),
        "quantisation": quantisation,
        "device": device(),
        "prompt": prompt.model_dump(mode="json"),
        "prompt_hash": judging.prompt_hash(fence=prompt.fence),
    }
