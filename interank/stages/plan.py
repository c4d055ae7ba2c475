"""generate --dry-run: counts questions, answers and pairs, and estimates tokens, time and cost; loads no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interank.artifact import open_artifact
from interank.engines.protocol import CHARACTERS_PER_TOKEN
from interank.errors import InputError
from interank.judgments import by_question, read_judged_pairs
from interank.mining import mine
from interank.pairs import read_pairs
from interank.recipe import GenerateRecipe
from interank.settings import OrderingsRecipe
from interank.shards import Shard
from interank.teacher.budget import dollars
from interank.teacher.marking import LINE_TOKENS, RUBRIC_TOKENS
from interank.types import Pair
from interank.wording import counted

# Tokens of the instruction with its frame; and the share of an explanation's limit that is usually written.
_INSTRUCTION_TOKENS = 130
_SHARE_OF_BUDGET_WRITTEN = 0.5
# Orders in which each set of explanations is marked.
_ORDERS = 2


def plan(recipe: GenerateRecipe, shard: Shard | None = None) -> dict[str, Any]:
    """Sites with their counts, tokens, seconds and dollars; the last two are None where the recipe has no figures.

    With a shard, tokens, seconds and dollars are the shard's.
    """
    if recipe.pairs:
        artifact = open_artifact(recipe.pairs, "pairs")
        pairs, by_site = list(read_pairs(artifact.path, shard)), artifact.manifest["sites"]
    elif recipe.judgments:
        artifact = open_artifact(recipe.judgments, "judgments")
        pairs, by_site = read_judged_pairs(artifact.path), {}
    elif recipe.dumps:
        mined = mine(recipe.dumps, recipe.mining, recipe.seed)
        pairs, by_site = mined.pairs, mined.counts
    else:
        raise InputError("generate needs dumps; add dumps=PATH to the command")
    sites = {
        name: {"questions": counts["questions"], "answers": counts["answers"], "pairs": counts["pairs"]}
        for name, counts in by_site.items()
    }
    read, written, judged = _tokens(recipe, _asked(recipe, pairs))
    explanations = _explanations(recipe, pairs) if recipe.explanations else None
    if explanations:
        read, written = read + explanations["read"], written + explanations["written"]
    speed, price = recipe.teacher.speed, recipe.teacher.price
    seconds = None
    if speed is not None and speed.read and speed.written:
        seconds = round(read / speed.read + written / speed.written, 1)
    paid = dollars(read, written, price)
    return {
        "sites": sites,
        "pairs": judged,
        "tokens": {"read": read, "written": written},
        **({"explanations": explanations} if explanations else {}),
        "seconds": seconds,
        "dollars": None if paid is None else round(paid, 4),
    }


def explanations_told(planned: Mapping[str, Any]) -> list[str]:
    """The part of the plan that several explanations of each pair take, in words; empty where none are planned."""
    if "explanations" not in planned:
        return []
    part = planned["explanations"]
    return [
        f"explanations: of {counted(part['pairs'], 'pair')}, with {counted(part['calls'], 'call')} of the teacher, and "
        f"about {part['read']} of these tokens read and {part['written']} written"
    ]


def _asked(recipe: GenerateRecipe, pairs: list[Pair]) -> list[Pair]:
    """The pairs for which a model is asked."""
    if not recipe.teacher.is_asked:
        return []
    if recipe.teacher.grades != "given":
        return pairs
    return [pair for pair in pairs if pair.given is None or not pair.given.judgment.reasoning]


def _tokens(recipe: GenerateRecipe, pairs: list[Pair]) -> tuple[int, int, int]:
    """Tokens read and written, and pairs judged, pairs of search queries included; tokens are guessed from characters.

    Search queries do not exist yet; each is counted with the length of its question.
    """
    teacher, prompt = recipe.teacher, recipe.prompt
    times = teacher.samples * (1 + teacher.query_pairs)
    read = written = 0
    for pair in pairs:
        query = min(len(pair.query.text) // CHARACTERS_PER_TOKEN, prompt.max_query_tokens)
        document = min(len(pair.document.full_text) // CHARACTERS_PER_TOKEN, prompt.max_document_tokens)
        read += times * (_INSTRUCTION_TOKENS + query + document)
        written += round(times * teacher.max_reasoning_tokens * _SHARE_OF_BUDGET_WRITTEN)
    if teacher.queries:
        questions = {pair.query.query_id: pair.query.text for pair in pairs}
        lengths = [min(len(text) // CHARACTERS_PER_TOKEN, prompt.max_query_tokens) for text in questions.values()]
        read += sum(lengths) + _INSTRUCTION_TOKENS * len(questions)
        written += round(len(questions) * teacher.max_query_tokens * _SHARE_OF_BUDGET_WRITTEN)
    if teacher.orderings:
        more_read, more_written = _list_tokens(teacher.orderings, pairs)
        read, written = read + more_read * (1 + teacher.query_pairs), written + more_written * (1 + teacher.query_pairs)
    return read, written, len(pairs) * (1 + teacher.query_pairs)


def _explanations(recipe: GenerateRecipe, pairs: Sequence[Pair]) -> dict[str, int]:
    """The pairs whose explanations are collected, with the teacher's calls and tokens.

    All faults are counted as if each could be made; a student's own explanations are not counted.
    """
    settings, prompt = recipe.explanations, recipe.prompt
    assert settings is not None
    taken = min(settings.pairs or len(pairs), len(pairs))
    marks = _ORDERS * (settings.marks == "teacher")
    in_set = settings.samples + settings.student_samples * (settings.student is not None) + len(settings.faults)
    length = round(settings.max_tokens * _SHARE_OF_BUDGET_WRITTEN)
    calls = read = written = 0
    for pair in pairs:
        has_one = pair.given.judgment.reasoning if pair.given else recipe.teacher.max_reasoning_tokens
        more = max(0, settings.samples - bool(has_one)) if settings.samples > 1 else 0
        texts = min(len(pair.query.text) // CHARACTERS_PER_TOKEN, prompt.max_query_tokens)
        texts += min(len(pair.document.full_text) // CHARACTERS_PER_TOKEN, prompt.max_document_tokens)
        calls += more + marks
        read += more * (_INSTRUCTION_TOKENS + texts)
        read += marks * min(settings.max_length, RUBRIC_TOKENS + texts + in_set * length)
        written += more * length + marks * in_set * round(LINE_TOKENS * _SHARE_OF_BUDGET_WRITTEN)
    share = taken / len(pairs) if pairs else 0.0
    counts = {"calls": calls, "read": read, "written": written}
    return {"pairs": taken, **{name: round(share * number) for name, number in counts.items()}}


def _list_tokens(settings: OrderingsRecipe, pairs: Sequence[Pair]) -> tuple[int, int]:
    """Tokens for ordering each question's documents, all of which are counted as judged."""
    questions = by_question(pairs)
    read = 0
    for items in questions:
        lengths = [len(pair.document.full_text) // CHARACTERS_PER_TOKEN for pair in items[: settings.window]]
        shown = sum(min(length, settings.prompt.max_document_tokens) for length in lengths)
        query = min(len(items[0].query.text) // CHARACTERS_PER_TOKEN, settings.prompt.max_query_tokens)
        # The prompt has the question before and after the documents.
        read += min(settings.prompt.max_length, _INSTRUCTION_TOKENS + 2 * query + shown)
    return read, round(len(questions) * settings.max_reasoning_tokens * _SHARE_OF_BUDGET_WRITTEN)
