"""generate: StackExchange dumps to judgments, by mining pairs and letting a teacher judge them."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from interank import judging
from interank.artifact import Artifact, Existing, Workplace, create, describe_input
from interank.engines.models import ModelFiles, device, find_model, load_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.engines.transformers import TransformersEngine
from interank.errors import InputError
from interank.judgments import write_judgments
from interank.ledger import Ledger, write_rows
from interank.mining import mine
from interank.progress import track
from interank.recipe import GenerateRecipe
from interank.stages.inputs import require_inputs
from interank.teacher.annotate import Judged, Rejected, annotate
from interank.types import Example, Judgment, Pair, Relevance

log = logging.getLogger(__name__)


def run(recipe: GenerateRecipe, out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Mine the dumps, judge the pairs, write judgments and rejections.

    Replies are kept as they come, so a killed run goes on at its first unanswered pair with `existing="resume"`.
    """
    require_inputs(recipe)
    dumps = recipe.dumps or ()
    inputs = {f"dumps.{number}": describe_input(dump, out) for number, dump in enumerate(dumps)}
    place = create(out, "judgments", recipe=recipe.model_dump(mode="json"), inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    started = time.monotonic()
    mined = mine(dumps, recipe.mining, recipe.seed)
    log.info("%d pairs of %d questions", len(mined.pairs), len({pair.query.query_id for pair in mined.pairs}))
    teacher = find_model(recipe.teacher.model)
    ledger = Ledger(place.work / "replies.jsonl")
    _judge(recipe, mined.pairs, teacher, ledger)
    examples, rejected = _sorted_out(mined.pairs, ledger.rows())
    if not examples:
        raise InputError(
            f"the teacher {teacher.name} gave no usable judgment for {len(mined.pairs)} pairs; "
            f"the first was rejected because: {rejected[0]['reason']}"
        )
    return _written(recipe, place, examples, rejected, mined.counts, teacher, time.monotonic() - started)


def _judge(recipe: GenerateRecipe, pairs: Sequence[Pair], teacher: ModelFiles, ledger: Ledger) -> None:
    """Answer every pair that the ledger has no reply to; batches start at multiples of the batch size."""
    size = recipe.teacher.batch_size
    done = len(ledger.rows())
    if done >= len(pairs):
        return
    encoder = PromptEncoder(load_tokenizer(teacher), recipe.prompt)
    engine = TransformersEngine(load_model(teacher))
    # A batch torn by a kill is judged again whole, since what stands together in a batch moves the last digits.
    first = done - done % size
    starts = range(first, len(pairs), size)
    for start in track(starts, what="generate", unit="batches", total=-(-len(pairs) // size), done=first // size):
        outcomes = annotate(pairs[start : start + size], engine, encoder, recipe.teacher, seed=recipe.seed + start)
        ledger.append(_reply(start + place, outcome) for place, outcome in enumerate(outcomes) if start + place >= done)


def _reply(pair: int, outcome: Judged | Rejected) -> dict[str, Any]:
    if isinstance(outcome, Rejected):
        return {"pair": pair, "rejected": outcome.reason, "reply": outcome.reply}
    judgment = outcome.judgment
    return {
        "pair": pair,
        "reasoning": judgment.reasoning,
        "relevance": int(judgment.relevance),
        "probabilities": outcome.probabilities,
    }


def _sorted_out(pairs: Sequence[Pair], replies: Sequence[dict[str, Any]]) -> tuple[list[Example], list[dict[str, Any]]]:
    """Judged pairs, and the rejected ones with the reason."""
    examples, rejected = [], []
    for reply in replies:
        pair = pairs[reply["pair"]]
        if "rejected" in reply:
            rejected.append(
                {
                    "query_id": pair.query.query_id,
                    "doc_id": pair.document.doc_id,
                    "reason": reply["rejected"],
                    "reply": reply["reply"],
                }
            )
            continue
        judgment = Judgment(reply["reasoning"], Relevance(reply["relevance"]))
        given = reply["probabilities"]
        probabilities = (given[0], given[1], given[2]) if given else None
        examples.append(Example(pair.query, pair.document, judgment, probabilities, pair.split, pair.source))
    return examples, rejected


def _written(
    recipe: GenerateRecipe,
    place: Workplace,
    examples: Sequence[Example],
    rejected: Sequence[dict[str, Any]],
    sites: dict[str, dict[str, int]],
    teacher: ModelFiles,
    seconds: float,
) -> Artifact:
    write_judgments(examples, place.folder)
    write_rows(place.folder / "rejected.jsonl", rejected)
    place.write_json("cost.json", {"seconds": round(seconds, 3), "device": device()})
    grades = Counter(int(example.judgment.relevance) for example in examples)
    counts = {"judgments": len(examples), "rejected": len(rejected)}
    counts |= {"questions": len({example.query.query_id for example in examples})}
    counts |= {f"relevance_{grade}": grades[grade] for grade in (0, 1, 2)}
    notes = {
        "teacher": teacher.name,
        "teacher_origin": teacher.origin,
        "grades": recipe.teacher.grades,
        "prompt_hash": judging.prompt_hash(),
        "sites": sites,
    }
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)
