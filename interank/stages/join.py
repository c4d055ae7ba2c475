"""join: puts the shards of one recipe together into the output of a whole run: judgments, or an evaluation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Existing, Workplace, create
from interank.errors import InputError
from interank.mining.decontamination import FILE
from interank.recipe import EvaluateRecipe, GenerateRecipe
from interank.shards import Shard
from interank.stages import evaluate
from interank.stages.inputs import leaving_nothing_begun
from interank.stages.shard_inputs import inputs_of, opened, stage_of
from interank.stages.shards import FREE, describe
from interank.tasks.order.orderings import FILE as ORDERINGS
from interank.tasks.order.orderings import REJECTED_FILE
from interank.teacher.budget import dollars
from interank.teacher.joining import UNEXPLAINED, JoinCounts, Shards, join
from interank.wording import counted

# Keys of a manifest that describe the artifact itself rather than how it was made.
_OWN = frozenset({"kind", "format", "interank", "seed", "inputs", "counts", "files", "shard"})


@leaving_nothing_begun
def run(folders: Sequence[Path], out: Path, *, existing: Existing = "refuse") -> Artifact:
    """Check that the shards are complete and of one origin, and write the joined output.

    Raises:
        InterankError: A shard is missing, given twice, unfinished, or of another recipe or other pairs.
    """
    shards = opened(folders)
    first = shards[0]
    if stage_of(first) == "evaluate":
        return _evaluated(shards, out, existing)
    content = {name: value for name, value in first.recipe().items() if name != "shard"}
    recipe = GenerateRecipe.model_validate(content)
    place = create(out, "judgments", recipe=content, inputs=inputs_of(first, out), existing=existing, free=FREE)
    return place if isinstance(place, Artifact) else joined(recipe, place, shards)


def _evaluated(shards: Sequence[Artifact], out: Path, existing: Existing) -> Artifact:
    """The evaluation of the shards' rankings."""
    content = {name: value for name, value in shards[0].recipe().items() if name != "shard"}
    return evaluate.run(EvaluateRecipe.model_validate(content), out, existing=existing, shards=shards)


def joined(
    recipe: GenerateRecipe, place: Workplace, shards: Sequence[Artifact], whole: Shard | None = None
) -> Artifact:
    """Write and finish the joined output of all shards, or of the parts of `whole`, a shard that is joined later."""
    first = shards[0]
    rows = Shards([shard.path for shard in shards], search_queries=bool(recipe.teacher.query_pairs))
    share = None if whole else recipe.max_grade_share
    totals = join(rows, place.folder, max_grade_share=share, seed=recipe.seed)
    if not whole:
        _require_judgments(recipe, totals, next(rows.rows(UNEXPLAINED), None))
    for name in (ORDERINGS, REJECTED_FILE):
        if rows.have(name):
            rows.write(name, place.folder)
    if (first.path / FILE).is_file():
        shutil.copyfile(first.path / FILE, place.folder / FILE)
    place.write_json("cost.json", _costs(shards))
    counts = totals.tally.counts(rejected=totals.rejected, unanswered=0)
    counts |= _summed([shard.manifest["counts"] for shard in shards], first.manifest["counts"].keys() - counts.keys())
    notes = _notes(shards, recipe)
    if whole:
        notes |= {"shard": str(whole)}
    else:
        describe(place.folder, totals.tally, notes)
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)


def _notes(shards: Sequence[Artifact], recipe: GenerateRecipe) -> dict[str, Any]:
    """The manifest's notes, as a whole run writes them."""
    notes = {name: value for name, value in shards[0].manifest.items() if name not in _OWN}
    tokens = {name: sum(shard.manifest[name] for shard in shards) for name in _TOKENS if name in notes}
    if tokens:
        notes |= {**tokens, "dollars": dollars(tokens["tokens_read"], tokens["tokens_written"], recipe.teacher.price)}
    if "orderings" in notes:
        notes["orderings"] |= _summed([shard.manifest["orderings"] for shard in shards], _LISTS)
    return notes


_TOKENS = ("tokens_read", "tokens_written")
_LISTS = ("orderings", "rejected_orderings", "unanswered_orderings")


def _summed(counts: Sequence[Mapping[str, int]], names: Any) -> dict[str, int]:
    return {name: sum(each[name] for each in counts) for name in counts[0] if name in names}


def _costs(shards: Sequence[Artifact]) -> dict[str, Any]:
    """The shards' costs in sum; seconds are added up, though shards may have run at the same time."""
    costs = [json.loads((shard.path / "cost.json").read_text("utf-8")) for shard in shards]
    total = {name: sum(cost[name] for cost in costs) for name in ("seconds", *_TOKENS)}
    paid = [cost["dollars"] for cost in costs if cost["dollars"] is not None]
    devices = dict.fromkeys(cost["device"] for cost in costs)
    return {**total, "device": ", ".join(devices), "dollars": sum(paid) if paid else None, "shards": len(shards)}


def _require_judgments(recipe: GenerateRecipe, totals: JoinCounts, unexplained: Mapping[str, Any] | None) -> None:
    if not totals.tally.judgments:
        raise InputError(
            f"the shards hold no judgment; the first pair was rejected because: {totals.first_reason}; take another "
            f"teacher than {recipe.teacher.model}"
        )
    if unexplained and totals.tally.unexplained == totals.tally.judgments:
        raise InputError(
            f"the teacher {recipe.teacher.model} explained none of {counted(totals.tally.judgments, 'pair')}; the "
            f"first explanation was not used because: {unexplained['reason']}; take another teacher"
        )
