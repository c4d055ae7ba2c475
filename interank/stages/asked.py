"""The second half of generate: the teacher that a recipe names, and what it says of the pairs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.artifact import Workplace
from interank.engines.local import LocalTeacher
from interank.engines.models import ModelFiles, device, find_model, load_model, load_tokenizer
from interank.engines.openai import OpenAiTeacher
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Teacher
from interank.engines.transformers import TransformersEngine
from interank.engines.vllm import SPARE, VllmEngine, VllmOptions
from interank.errors import InputError, ModelError
from interank.judgments import JudgedList
from interank.progress import track
from interank.recipe import GenerateRecipe
from interank.settings import PromptSettings, TeacherRecipe
from interank.teacher.annotate import Annotator, Outcome
from interank.teacher.budget import Meter, dollars
from interank.teacher.lists import ListOutcome, order_lists
from interank.teacher.queries import Written, query_pairs, write_queries
from interank.teacher.replies import Asker, ReplyStore
from interank.types import Pair, Query

log = logging.getLogger(__name__)

REPLIES = "replies.sqlite"
# Waves of requests to servers between two looks at the clock; within a wave, room is filled as it comes free.
_WAVES = 8


Listed = Callable[[Sequence[Pair], Sequence[Outcome]], list[JudgedList]]


@dataclass(frozen=True, slots=True)
class Answers:
    """What the teacher said: of the pairs (search queries' among them), and its search queries by question."""

    pairs: list[Pair]
    outcomes: list[Outcome]
    queries: dict[str, Written]
    lists: list[tuple[JudgedList, ListOutcome]]
    """Those that the teacher was asked to order."""
    stopped: str
    """Which limit of the budget was reached; empty if none was."""
    teacher: dict[str, Any]
    cost: dict[str, Any]


def ask(recipe: GenerateRecipe, pairs: Sequence[Pair], place: Workplace, listed: Listed) -> Answers:
    """Ask for search queries, then for judgments, then for orders of what is judged.

    What the work folder or the cache holds is not asked again. `listed` makes lists of what was judged.
    """
    teacher, encoder, notes = open_teacher(recipe.teacher, recipe.prompt, recipe.seed)
    if encoder is None and recipe.teacher.grades == "votes":
        raise InputError(
            "teacher.grades: votes puts the grade into the teacher's mouth, which takes token ids, and these servers "
            "take messages only; set grades: teacher, or another engine"
        )
    shared_folder = recipe.cache or default_cache()
    with closing(ReplyStore(place.work / REPLIES)) as own:
        shared = ReplyStore(shared_folder / REPLIES) if shared_folder else None
        meter = Meter(recipe.budget, recipe.teacher.price, own.spent())
        asker = Asker(teacher, own, shared, meter)
        annotator = Annotator(asker, recipe.teacher, recipe.prompt, encoder, recipe.seed)
        try:
            size = _chunk(recipe)
            queries = _queries(annotator, pairs, size)
            texts = {name: written for name, written in queries.items() if isinstance(written, tuple)}
            every = [*pairs, *query_pairs(pairs, texts, recipe.teacher.query_pairs)]
            outcomes = _outcomes(annotator, every, size)
            lists = _lists(annotator, [] if meter.stopped else listed(every, outcomes), size)
        finally:
            if shared is not None:
                shared.close()
        spent, held = own.spent(), own.held()
    if meter.stopped:
        log.warning("stopped at the budget: %s; a larger one and --resume go on", meter.stopped)
    asked = asker.asked
    cost = {
        "seconds": round(meter.spent.seconds, 3),
        "device": device() if recipe.teacher.engine != "openai" else "servers",
        "tokens_read": spent.read,
        "tokens_written": spent.written,
        "dollars": dollars(spent.read, spent.written, recipe.teacher.price),
        "last_run": {"sent": asked.sent, "replayed": asked.replayed, "failed": asked.failed},
    }
    price = dollars(held.read, held.written, recipe.teacher.price)
    notes |= {"tokens_read": held.read, "tokens_written": held.written, "dollars": price}
    return Answers(every, outcomes, queries, lists, meter.stopped, notes, cost)


def _queries(annotator: Annotator, pairs: Sequence[Pair], size: int) -> dict[str, Written]:
    if not annotator.settings.queries:
        return {}
    questions = list({pair.query.query_id: pair.query for pair in pairs}.values())
    results: dict[str, Written] = {}
    starts = range(0, len(questions), size)
    for start in track(starts, what="search queries", unit="batches", total=len(starts)):
        chunk: list[Query] = questions[start : start + size]
        for question, written in zip(chunk, write_queries(annotator, chunk), strict=True):
            results[question.query_id] = written
    return results


def _outcomes(annotator: Annotator, pairs: Sequence[Pair], size: int) -> list[Outcome]:
    outcomes: list[Outcome] = []
    starts = range(0, len(pairs), size)
    for start in track(starts, what="generate", unit="batches", total=len(starts)):
        outcomes += annotator.annotate(pairs[start : start + size])
    return outcomes


def _lists(annotator: Annotator, lists: Sequence[JudgedList], size: int) -> list[tuple[JudgedList, ListOutcome]]:
    settings = annotator.settings.orderings
    if settings is None:
        return []
    results: list[tuple[JudgedList, ListOutcome]] = []
    starts = range(0, len(lists), size)
    for start in track(starts, what="orderings", unit="batches", total=len(starts)):
        chunk = lists[start : start + size]
        results += zip(chunk, order_lists(annotator, chunk, settings), strict=True)
    return results


def _chunk(recipe: GenerateRecipe) -> int:
    """Pairs that go through the teacher's steps together."""
    teacher = recipe.teacher
    if teacher.engine == "transformers":
        return teacher.batch_size
    return teacher.vllm.together if teacher.engine == "vllm" else teacher.server.in_flight * _WAVES


def default_cache() -> Path | None:
    """Replies are kept over all outputs where somebody said where."""
    folder = os.environ.get("INTERANK_CACHE")
    return Path(folder) / "replies" if folder else None


def open_teacher(
    settings: TeacherRecipe, prompt: PromptSettings, seed: int
) -> tuple[Teacher, PromptEncoder | None, dict[str, Any]]:
    """Who is asked, how texts become token ids (None for messages), and what the manifest says of it."""
    if settings.engine == "openai":
        return _on_servers(settings, prompt)
    files = find_model(settings.model)
    encoder = PromptEncoder(load_tokenizer(files), prompt)
    notes = {"teacher": files.name, "teacher_origin": files.origin, "engine": settings.engine}
    if settings.engine == "transformers":
        engine = TransformersEngine(load_model(files))
        identity = f"transformers {files.name} {device()}"
        return LocalTeacher(engine, identity, unit_size=settings.batch_size), encoder, notes
    options = settings.vllm
    longest = max(prompt.max_length, settings.orderings.prompt.max_length if settings.orderings else 0)
    given = VllmOptions(
        max_length=longest + SPARE,
        tensor_parallel=options.tensor_parallel,
        quantisation=options.quantisation,
        dtype=options.dtype,
        gpu_memory=options.gpu_memory,
        seed=seed,
    )
    identity = f"vllm {files.name} {options.quantisation} {options.dtype}"
    return LocalTeacher(VllmEngine(files.folder, given), identity, together=options.together), encoder, notes


def _on_servers(
    settings: TeacherRecipe, prompt: PromptSettings
) -> tuple[Teacher, PromptEncoder | None, dict[str, Any]]:
    files: ModelFiles | None = None
    try:
        files = find_model(settings.model) if settings.server.api != "chat" else None
    except ModelError as error:
        if settings.server.api == "tokens":
            raise ModelError(
                f"server.api: tokens needs the teacher's tokenizer here: {error}; or set api: chat"
            ) from None
        log.info("the teacher's tokenizer is not here, so its servers are asked in messages (%s)", error)
    known = {"tokens": True, "chat": False}.get(settings.server.api, None if files else False)
    teacher = OpenAiTeacher(settings.server.model or settings.model, settings.server, token_ids=known)
    takes_ids = "token_ids" in teacher.abilities
    notes = {"teacher": settings.model, "teacher_origin": "servers", "engine": "openai"}
    notes["api"] = "tokens" if takes_ids else "chat"
    log.info("%d servers are asked in %s", len(settings.server.urls), "token ids" if takes_ids else "messages")
    if takes_ids and files is not None:
        encoder = PromptEncoder(load_tokenizer(files), prompt)
        teacher.vocabulary = encoder.vocabulary
        return teacher, encoder, notes
    return teacher, None, notes
