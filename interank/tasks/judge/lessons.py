"""What distill teaches of judgments: rows of whole questions in the mixture's ways, and what is tried."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from interank.artifact import Workplace, open_artifact
from interank.engines.models import ModelFiles, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.use import Use
from interank.errors import InputError
from interank.judgments import by_question, evenly_weighted, read_judgments, validation_sample
from interank.ledger import read_rows
from interank.settings.student import TASKS, MixtureRecipe, Task
from interank.tasks.judge.attacks import with_attacked
from interank.tasks.judge.card import card
from interank.tasks.judge.inputs import QUERIES
from interank.tasks.judge.recipe import DistillJudge
from interank.tasks.judge.rows import training_groups
from interank.tasks.judge.trial import GradeTrial
from interank.tasks.written import WrittenLessons, instructed_counts, perhaps_without
from interank.training.sft import SftSettings
from interank.types import Example

log = logging.getLogger(__name__)


def lessons(recipe: DistillJudge, student: ModelFiles, place: Workplace) -> WrittenLessons:
    """The training split of the judgments.

    Raises:
        InputError: The mixture draws none.
    """
    folder = Path(str(recipe.judgments))
    examples = read_judgments(folder, "train")
    prompt = recipe.prompt.learned_from(item.query for item in examples)
    encoder = PromptEncoder(load_tokenizer(student), prompt)
    mixture = recipe.practised
    _tell_of_unexplained(mixture, examples)
    asked = [
        replace(item, query=perhaps_without(item.query, recipe.without_instruction, recipe.seed)) for item in examples
    ]
    shown = with_attacked(evenly_weighted(asked), recipe.attacked_negatives, recipe.seed)
    groups = training_groups(
        encoder,
        shown,
        mixture,
        documents=recipe.documents_per_group,
        seed=recipe.seed,
        queries=_written_queries(folder) if mixture.queries else None,
    )
    if not groups:
        raise InputError("mixture: its shares are so small that no question was drawn; raise them")
    tried = _tried(recipe, folder)
    _warn_of_cut_lists(recipe, examples)
    rows = [row for group in groups for row in group]
    tasks = dict.fromkeys(task for task in TASKS if any(row.task == task for row in rows))
    modes = modes_of(tasks)
    source = open_artifact(folder, "judgments").manifest
    return WrittenLessons(
        recipe,
        student,
        encoder,
        groups,
        SftSettings(recipe.trainer, recipe.seed, recipe.validation, recipe.loss, recipe.shared_prefix, recipe.shorter),
        counts={
            "examples": len(examples),
            "questions": len(by_question(examples)),
            "rows": len(rows),
            **{f"rows_{task}": sum(row.task == task for row in rows) for task in {**mixture.shares, **tasks}},
            "tokens": sum(len(row.input_ids) for row in rows),
            "attacked": len(shown) - len(examples),
            "validation_pairs": len(tried),
            **instructed_counts(prompt, (item.query for item in asked)),
        },
        notes={
            "prompt": prompt.model_dump(mode="json"),
            "prompt_hash": prompt.wording,
            "modes": modes,
            "mixture": dict(mixture.shares),
        },
        card=lambda made: card(made, source, examples),
        trial=GradeTrial(encoder, tried) if tried else None,
        use=Use(prompt, tuple(modes)),
    )


def _tried(recipe: DistillJudge, folder: Path) -> list[Example]:
    """What the student is tried on while it trains."""
    tried = validation_sample(read_judgments(folder, "validation"), recipe.validation.questions, recipe.seed)
    if recipe.validation.questions and not tried:
        log.warning(
            "no validation question has documents of two grades, so nothing is tried and the last step is kept; "
            "interank split holds questions back for validation"
        )
    return tried


def modes_of(tasks: Collection[Task]) -> list[str]:
    """What an adapter that practised these tasks can be used for: who explains a grade has learned to give it."""
    return [task for task in TASKS if task in tasks or (task == "score" and "explain" in tasks)]


def _tell_of_unexplained(mixture: MixtureRecipe, examples: Sequence[Example]) -> None:
    unexplained = sum(not example.judgment.reasoning for example in examples)
    if unexplained and mixture.explain + mixture.reason:
        log.warning("%d of %d judgments have no explanation and teach the grade alone", unexplained, len(examples))


def _warn_of_cut_lists(recipe: DistillJudge, examples: Sequence[Example]) -> None:
    most = recipe.documents_per_group
    cut = sum(len(items) > most for items in by_question(examples))
    if cut and recipe.loss.listwise:
        log.warning(
            "loss.listwise compares documents within a group, and %d questions have more than documents_per_group, %d; "
            "raise it where memory allows",
            *(cut, most),
        )


def _written_queries(folder: Path) -> dict[str, list[str]]:
    """The search queries that the teacher wrote for the training questions."""
    rows = read_rows(folder / QUERIES)
    return {str(row["query_id"]): row["queries"] for row in rows if row["split"] == "train"}
