"""The first half of generate: from dumps, or an artifact of pairs, to the pairs that a teacher judges."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, Existing, Workplace, create, open_artifact
from interank.errors import InputError, InterankError
from interank.judgments import read_judged_pairs
from interank.mining import DecontaminatedError, mine_in
from interank.mining.decontamination import FILE, Gate
from interank.mining.sites import remove
from interank.outputs import write_whole
from interank.pairs import read_pairs, write_pairs
from interank.recipe import GenerateRecipe
from interank.shards import Shard
from interank.types import Pair

log = logging.getLogger(__name__)

_MINED = "mined.json"


@dataclass(frozen=True, slots=True)
class MinedPairs:
    """Pairs, those of a question together; what the dumps held, by site; what the benchmarks' overlap was."""

    pairs: list[Pair]
    sites: Mapping[str, Mapping[str, int]]
    decontamination: Mapping[str, Any] | None
    """Counts of what `decontamination.json` lists; None where nothing was compared."""
    labelled: Mapping[str, Any] = field(default_factory=dict)
    """What judgments say of where their grades come from, if those stay."""


def mine_only(recipe: GenerateRecipe, out: Path, *, inputs: Mapping[str, Any], existing: Existing) -> Artifact:
    """Mine the dumps and leave the pairs, to be judged with `pairs=DIR`."""
    # Pairs do not depend on who judges them.
    judging = {"teacher", "explanations", "prompt", "budget", "cache", "max_grade_share"}
    content = recipe.model_dump(mode="json", exclude=judging)
    place = create(out, "pairs", recipe=content, inputs=inputs, existing=existing)
    if isinstance(place, Artifact):
        return place
    notes = _mined(recipe, place, place.folder)
    sites = notes["sites"].values()
    counts = {
        "pairs": sum(site["pairs"] for site in sites),
        "questions": sum(site["chosen_questions"] for site in sites),
    }
    return place.finish(seed=recipe.seed, counts=counts, notes=notes)


def pairs_of(
    recipe: GenerateRecipe, place: Workplace, mined: Artifact | None = None, shard: Shard | None = None
) -> MinedPairs:
    """The recipe's pairs, or those of a shard of what was `mined` before.

    Once mined they are kept in the work folder, so that a resumed run does not mine anew.
    """
    if mined is not None:
        _copy_report(mined.path, place.folder)
        pairs = list(read_pairs(mined.path, shard))
        return MinedPairs(pairs, mined.manifest["sites"], mined.manifest["decontamination"])
    if recipe.judgments:
        artifact = open_artifact(recipe.judgments, "judgments")
        _copy_report(artifact.path, place.folder)
        told = artifact.manifest
        labelled = {name: told[name] for name in ("grades", "labels") if name in told}
        pairs = read_judged_pairs(artifact.path)
        if recipe.teacher.grades_itself:
            pairs, labelled = [replace(pair, given=None) for pair in pairs], {}
        return MinedPairs(pairs, told.get("sites", {}), told.get("decontamination"), labelled)
    kept = place.work / _MINED
    if not kept.is_file():
        # Written last, since it says that the rest is there.
        write_whole(kept, json.dumps(_mined(recipe, place, place.work)))
    _copy_report(place.work, place.folder)
    told = json.loads(kept.read_text("utf-8"))
    return MinedPairs(list(read_pairs(place.work)), told["sites"], told["decontamination"])


def _copy_report(source: Path, folder: Path) -> None:
    """What was compared with benchmarks, where anything was."""
    if (source / FILE).is_file():
        shutil.copyfile(source / FILE, folder / FILE)


def _mined(recipe: GenerateRecipe, place: Workplace, folder: Path) -> dict[str, Any]:
    """Mine the dumps into the folder, with what was compared with benchmarks; the counts by site and of that.

    Raises:
        InputError: No question is left. Where decontamination had a part in that, its report stands beside the output.
    """
    gate = None
    if recipe.decontaminate:
        gate = Gate(recipe.benchmarks or (), queries_alone=recipe.decontaminate == "queries")
    else:
        log.warning("decontaminate is off: the pairs are not compared with any benchmark")
    rows = place.work / "mining"
    # A mining that was killed left it, and goes on with what it had read.
    rows.mkdir(exist_ok=True)
    try:
        mined = mine_in(rows, recipe.dumps or (), recipe.mining, recipe.seed, contaminated=gate)
        write_pairs(mined.pairs, folder)
    except InterankError as error:
        remove(rows)
        if gate is None or not isinstance(error, DecontaminatedError):
            raise
        report = place.out.with_name(f"{place.out.name}.{FILE}")
        gate.write(report)
        shared = ", or decontaminate=queries (questions alone), where training and test share one knowledge base"
        if recipe.decontaminate == "queries":
            shared = ""
        raise InputError(f"{error} against {gate.against}; {report} lists them; take other dumps{shared}") from None
    remove(rows)
    if gate is not None:
        gate.write(folder / FILE)
    pairs, questions = (sum(site[what] for site in mined.counts.values()) for what in ("pairs", "chosen_questions"))
    log.info("%d pairs of %d questions", pairs, questions)
    return {"sites": mined.counts, "decontamination": gate.summary() if gate else None}
