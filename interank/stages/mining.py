"""The first half of generate: the pairs for the teacher, mined from dumps or read from an artifact."""

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
    """Pairs in order of their questions, the counts by site, and the overlap with benchmarks."""

    pairs: list[Pair]
    sites: Mapping[str, Mapping[str, int]]
    decontamination: Mapping[str, Any] | None
    """The summary of `decontamination.json`; None where nothing was compared."""
    labelled: Mapping[str, Any] = field(default_factory=dict)
    """The input judgments' facts about the source of their grades, where these grades are kept."""


def mine_only(recipe: GenerateRecipe, out: Path, *, inputs: Mapping[str, Any], existing: Existing) -> Artifact:
    """Mine the dumps and write the pairs, which `pairs=DIR` judges later."""
    # Pairs do not depend on these keys.
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
    """The recipe's pairs, or a shard of the `mined` pairs.

    Mined pairs are stored in the work folder, so that a resumed run does not mine again.
    """
    if mined is not None:
        _copy_report(mined.path, place.folder)
        pairs = list(read_pairs(mined.path, shard))
        return MinedPairs(pairs, mined.manifest["sites"], mined.manifest["decontamination"])
    if recipe.judgments:
        artifact = open_artifact(recipe.judgments, "judgments")
        _copy_report(artifact.path, place.folder)
        manifest = artifact.manifest
        labelled = {name: manifest[name] for name in ("grades", "labels") if name in manifest}
        pairs = read_judged_pairs(artifact.path)
        if recipe.teacher.grades_itself:
            pairs, labelled = [replace(pair, given=None) for pair in pairs], {}
        return MinedPairs(pairs, manifest.get("sites", {}), manifest.get("decontamination"), labelled)
    file = place.work / _MINED
    if not file.is_file():
        # Written last: it marks the rest as complete.
        write_whole(file, json.dumps(_mined(recipe, place, place.work)))
    _copy_report(place.work, place.folder)
    notes = json.loads(file.read_text("utf-8"))
    return MinedPairs(list(read_pairs(place.work)), notes["sites"], notes["decontamination"])


def _copy_report(source: Path, folder: Path) -> None:
    """Copy the report of the decontamination, if there is one."""
    if (source / FILE).is_file():
        shutil.copyfile(source / FILE, folder / FILE)


def _mined(recipe: GenerateRecipe, place: Workplace, folder: Path) -> dict[str, Any]:
    """Mine the dumps into the folder, with the report of the decontamination; returns both counts.

    Raises:
        InputError: No question is left. If decontamination removed some, its report stands beside the output.
    """
    gate = None
    if recipe.decontaminate:
        gate = Gate(recipe.benchmarks or (), queries_alone=recipe.decontaminate == "queries")
    else:
        log.warning("decontaminate is off: the pairs are not compared with any benchmark")
    rows = place.work / "mining"
    # It may hold what a killed run has read already.
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
