"""What distill teaches a judge: rows of whole questions for the mixture's tasks, and the validation trial."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from interank import distributed
from interank.artifact import Workplace, open_artifact
from interank.engines.bases import begun_from
from interank.engines.models import ModelFiles, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.use import Use
from interank.errors import InputError
from interank.judged_questions import JudgedQuestions, Summary, validation_sample
from interank.ledger import read_rows
from interank.settings.student import TASKS, MixtureRecipe, Task
from interank.tasks.judge.attacks import with_attacked
from interank.tasks.judge.card import card
from interank.tasks.judge.inputs import QUERIES
from interank.tasks.judge.recipe import DistillJudge
from interank.tasks.judge.rows import training_groups
from interank.tasks.judge.trial import GradeTrial
from interank.tasks.sft_data import SftTrainingData, instructed_counts, perhaps_without
from interank.training.rows import ROWS, Group, tasks_of
from interank.training.sft import SftSettings
from interank.training.stored_groups import StoredGroups, stored_together
from interank.types import Example

log = logging.getLogger(__name__)


def training_data(recipe: DistillJudge, student: ModelFiles, place: Workplace) -> SftTrainingData:
    """The training data from the judgments' training split.

    Raises:
        InputError: The mixture draws no question.
    """
    folder = Path(str(recipe.judgments))
    questions = JudgedQuestions(folder, "train")
    summary = questions.summary
    prompt = recipe.prompt.learned_from(item.query for item in chain.from_iterable(questions))
    encoder = PromptEncoder(load_tokenizer(student), prompt)
    mixture = recipe.practised
    _warn_of_unexplained(mixture, summary)
    groups, attacked = _stored(recipe, encoder, questions, place.work)
    if not groups:
        raise InputError("mixture: its shares are so small that no question was drawn; raise them")
    validation = _validation_examples(recipe, folder)
    _warn_of_cut_lists(recipe, summary)
    rows = tasks_of(groups)
    tasks = dict.fromkeys(task for task in TASKS if rows[task])
    start = begun_from(recipe.student)
    modes_before = (start.manifest.get("modes") or []) if start else []
    modes = [task for task in TASKS if task in {*modes_of(tasks), *modes_before}]
    source = open_artifact(folder, "judgments").manifest
    return SftTrainingData(
        recipe,
        student,
        encoder,
        groups,
        SftSettings(recipe.trainer, recipe.seed, recipe.validation, recipe.loss, recipe.shared_prefix, recipe.shorter),
        counts={
            "examples": summary.examples,
            "questions": summary.question_sizes.total(),
            "rows": rows.total(),
            **{f"rows_{task}": rows[task] for task in {**mixture.shares, **tasks}},
            "tokens": groups.tokens,
            "attacked": attacked,
            "validation_pairs": len(validation),
            **instructed_counts(prompt, (_as_shown(recipe, item).query for item in chain.from_iterable(questions))),
        },
        notes={
            "prompt": prompt.model_dump(mode="json"),
            "prompt_hash": prompt.wording,
            "modes": modes,
            "mixture": dict(mixture.shares),
        },
        card=lambda made: card(made, source, summary),
        trial=GradeTrial(encoder, validation) if validation else None,
        use=Use(prompt, tuple(modes)),
    )


def _stored(
    recipe: DistillJudge, encoder: PromptEncoder, questions: JudgedQuestions, work: Path
) -> tuple[StoredGroups[Group], int]:
    """The stored groups of all questions, and the number of attacked documents."""
    summary, mixture = questions.summary, recipe.practised
    search_queries = _written_queries(Path(str(recipe.judgments))) if mixture.queries else None
    attacked = 0

    def shown(questions: Iterator[list[Example]]) -> Iterator[list[Example]]:
        nonlocal attacked
        for items in questions:
            own = [replace(_as_shown(recipe, item), weight=summary.weight(item.weight)) for item in items]
            examples = list(with_attacked(own, recipe.attacked_negatives, recipe.seed))
            attacked += len(examples) - len(items)
            yield examples

    def groups_of(questions: Iterator[list[Example]]) -> Iterator[Group]:
        most = recipe.documents_per_group
        return training_groups(
            encoder, shown(questions), mixture, documents=most, seed=recipe.seed, queries=search_queries
        )

    groups = stored_together(ROWS, questions, summary.question_sizes.total(), groups_of, work)
    return groups, distributed.added([attacked])[0]


def _as_shown(recipe: DistillJudge, example: Example) -> Example:
    """The example as the student sees it, perhaps without its instruction."""
    return replace(example, query=perhaps_without(example.query, recipe.without_instruction, recipe.seed))


def _validation_examples(recipe: DistillJudge, folder: Path) -> list[Example]:
    """The validation examples that the student is tried on during training."""
    number = recipe.validation.questions
    examples = validation_sample(JudgedQuestions(folder, "validation"), number, recipe.seed) if number else []
    if recipe.validation.questions and not examples:
        log.warning(
            "no validation question has documents of two grades, so there is no validation and the last step is kept; "
            "interank split holds questions back for validation"
        )
    return examples


def modes_of(tasks: Collection[Task]) -> list[str]:
    """The modes of an adapter that practised these tasks; task `explain` also teaches mode `score`."""
    return [task for task in TASKS if task in tasks or (task == "score" and "explain" in tasks)]


def _warn_of_unexplained(mixture: MixtureRecipe, summary: Summary) -> None:
    if summary.unexplained and mixture.explain + mixture.reason:
        counts = summary.unexplained, summary.examples
        log.warning("%d of %d judgments have no explanation and teach the grade alone", *counts)


def _warn_of_cut_lists(recipe: DistillJudge, summary: Summary) -> None:
    most = recipe.documents_per_group
    cut = sum(number for size, number in summary.question_sizes.items() if size > most)
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
