"""The lists that distill teaches: where they come from, which are left out, and the manifest's notes on them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from interank import distributed
from interank.artifact import Workplace
from interank.engines.models import ModelFiles, load_tokenizer
from interank.errors import InputError
from interank.ir.overlap import BenchmarkIndex, Checkable, contaminated, read_texts
from interank.judged_questions import Reiterable
from interank.ledger import write_rows
from interank.settings import ListPromptSettings
from interank.tasks.order import ordering
from interank.tasks.order.card import card
from interank.tasks.order.dear_cot import read_dear_cot
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.lists import ListExample
from interank.tasks.order.orderings import Orderings
from interank.tasks.order.recipe import DistillOrder
from interank.tasks.order.rows import LeftOut, ListRows
from interank.tasks.sft_data import SftTrainingData, instructed_counts, perhaps_without
from interank.training.rows import ROWS, Group
from interank.training.sft import SftSettings
from interank.training.stored_groups import StoredGroups, stored_together
from interank.wording import counted

log = logging.getLogger(__name__)

_SITE = "lists"
_LEFT_OUT = "left_out.jsonl"


def training_data(recipe: DistillOrder, student: ModelFiles, place: Workplace) -> SftTrainingData:
    """The lists that the recipe names, one row each; those of `dear_cot` are held, those of judgments are not.

    Raises:
        InputError: There are no lists, or none of them can be learned.
    """
    examples, left_out = _examples(recipe)
    prompt = recipe.prompt.learned_from(item.query for item in examples)
    shown = Reiterable(
        lambda: (
            replace(item, query=perhaps_without(item.query, recipe.without_instruction, recipe.seed))
            for item in examples
        )
    )
    encoder = ListEncoder.of(load_tokenizer(student), prompt)
    groups = _list_groups(recipe, encoder, shown, left_out, place)
    return SftTrainingData(
        recipe,
        student,
        encoder.encoder,
        groups,
        SftSettings(recipe.trainer, recipe.seed, shared_prefix=recipe.shared_prefix, shorter=recipe.shorter),
        counts={
            "examples": len(groups),
            "questions": len(groups),
            "rows": len(groups),
            "tokens": groups.tokens,
            **instructed_counts(prompt, (item.query for item in shown)),
        },
        notes=list_notes(prompt),
        card=card,
    )


def _list_groups(
    recipe: DistillOrder,
    encoder: ListEncoder,
    examples: Iterable[ListExample],
    left_out: Sequence[LeftOut],
    place: Workplace,
) -> StoredGroups[Group]:
    """The rows of lists, one a group; lists that are left out are written to a file with the reason.

    Raises:
        InputError: None of them can be learned.
    """
    rows = ListRows(
        encoder,
        window=recipe.window,
        shuffles=recipe.shuffles,
        max_reasoning_tokens=recipe.max_reasoning_tokens,
        seed=recipe.seed,
    )
    number = sum(1 for _ in examples)

    def groups_of(lists: Iterator[tuple[int, ListExample]]) -> Iterator[Group]:
        return ((row,) for row in rows.of(lists))

    groups = stored_together(ROWS, enumerate(examples), number, groups_of, place.work)
    left_out = [*left_out, *chain.from_iterable(distributed.gathered(rows.left_out))]
    [unshuffled] = distributed.added([rows.unshuffled])
    distributed.from_first(lambda: write_rows(place.folder / _LEFT_OUT, map(asdict, left_out)))
    if not groups:
        first = f"; the first, because {left_out[0].reason}" if left_out else ""
        raise InputError(
            f"none of {counted(number, 'list')} can be learned{first}; see window, max_reasoning_tokens and prompt"
        )
    log.info(
        "%d rows of %d lists, %d left out (%s), %d in their own order",
        *(len(groups), number, len(left_out), _LEFT_OUT, unshuffled),
    )
    return groups


def _examples(recipe: DistillOrder) -> tuple[Iterable[ListExample], list[LeftOut]]:
    if not recipe.dear_cot:
        return Orderings(Path(str(recipe.judgments)), "train"), []
    examples: list[ListExample] = []
    left_out: list[LeftOut] = []
    for path in recipe.dear_cot:
        lists, unusable = read_dear_cot(path)
        examples += lists
        left_out += [LeftOut(item.where, item.reason) for item in unusable]
    if not recipe.decontaminate:
        log.warning("decontaminate is off: the lists are not compared with any benchmark")
        return examples, left_out
    known = _in_benchmarks(examples, recipe.benchmarks)
    left_out += [LeftOut(name, "a benchmark holds its query") for name in sorted(known)]
    return [item for item in examples if item.query.query_id not in known], left_out


def _in_benchmarks(examples: Iterable[ListExample], benchmarks: Sequence[Path]) -> set[str]:
    """The ids of the queries that a benchmark contains.

    Documents are not compared: training and test queries of MS MARCO share a collection, as BEIR's do with theirs.
    """
    index = BenchmarkIndex(texts.queries_alone() for path in benchmarks for texts in read_texts(path))
    queries = {item.query.query_id: item.query.text for item in examples}
    overlap = contaminated((Checkable(_SITE, name, "question", text, name) for name, text in queries.items()), index)
    return {name for name in queries if overlap.is_removed(_SITE, name, name)}


def list_notes(settings: ListPromptSettings) -> dict[str, Any]:
    """The manifest's notes on the lists that an adapter was trained on."""
    wording = ordering.prompt_hash(settings.form, settings.shown_instruction)
    return {"prompt": settings.model_dump(mode="json"), "prompt_hash": wording}
