"""A fit and its file: the fitted parts, the model, and the queries it was fitted on, which must not be measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from interank.errors import InputError
from interank.modes import FittedMode, graded_mode
from interank.reranking.fitting.abstention import Abstention
from interank.reranking.fitting.calibrator import Calibrator, calibrator_of, calibrator_row
from interank.reranking.fitting.fusion import Fusion
from interank.types import Query, RankedDocument
from interank.wording import counted

FITTED = "fit"
FORMAT = 2
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class FittedOn:
    """The candidates of a task that a fit was made on."""

    first_stage: str
    depth: int
    candidates: str
    """The digest of their order."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The evaluation, the model and the queries that a fit was made from."""

    evaluation: str
    """The digest of the evaluation's manifest."""
    system: str
    model: str | None
    """The digest of the adapter's manifest; None if the model is no artifact."""
    mode: FittedMode
    benchmark: str
    """The folder's name and split."""
    benchmark_digest: str | None
    measure: str
    relevant_from: int
    tasks: Mapping[str, FittedOn]
    queries: Mapping[str, str]
    """The queries' ids by the digests of their texts."""

    @property
    def predicts(self) -> str:
        """The event that the fitted probability predicts, in words."""
        return (
            f"that {self.benchmark}'s qrels grade the document {self.relevant_from} or higher, among candidates of "
            f"{', '.join(sorted({task.first_stage for task in self.tasks.values()}))}; unjudged documents count as not"
        )


@dataclass(frozen=True, slots=True)
class Fit:
    """Fitted fusion, calibrator and abstention rule of a reranker; each of them may be missing."""

    fusion: Fusion | None
    calibrator: Calibrator | None
    abstention: Abstention | None
    origin: Origin
    tried: Mapping[str, Any]
    """By part, the alternatives that were tried and their values."""
    unfused: Abstention | None = None
    """With a fusion: the abstention rule for the model's own order, whose top document may be another."""

    def without_fusion(self) -> Fit:
        """The fit without its fusion, which keeps the model's own order."""
        return replace(self, fusion=None, abstention=self.unfused, unfused=None) if self.fusion else self

    def calibrated(self, item: RankedDocument, score: float) -> RankedDocument:
        """The document with the calibrated probability of its model's score."""
        return replace(item, probability=self.calibrator.probability(score)) if self.calibrator else item

    def abstains(self, ranking: Sequence[RankedDocument]) -> bool | None:
        """True if the query should not be answered; None without an abstention rule."""
        return self.abstention.abstains(ranking) if self.abstention else None

    def known(self, queries: Iterable[Query]) -> list[str]:
        """The ids of those queries that the fit was made on."""
        return [query.query_id for query in queries if query_digest(query) in self.origin.queries]

    def check_unseen(self, source: Path, queries: Sequence[Query]) -> None:
        """Raise if any of the queries is one that the fit was made on.

        Raises:
            InputError: The message gives their number and one of their ids.
        """
        if known := self.known(queries):
            raise InputError(
                f"{source} was fitted on {len(known)} of the {counted(len(queries), 'query', 'queries')} to be "
                f"measured, {known[0]!r} for one, and a fit looks too good on its own queries; measure another split, "
                "or fit on another"
            )

    def check_model(self, source: Path, digest: str | None, name: str) -> None:
        """Raise if the fit belongs to another model.

        Raises:
            InputError: The message names both models.
        """
        if self.origin.model != digest:
            raise InputError(
                f"{source} was fitted to the scores of {self.origin.system} ({_short(self.origin.model)}), "
                f"and this is {name} ({_short(digest)}); fit this model's own evaluation"
            )

    def check_mode(self, source: Path, mode: str) -> None:
        """Raise if the fit belongs to another mode; a fit of `score` is also one of `explain`.

        Raises:
            InputError: The message names both modes.
        """
        if self.origin.mode != graded_mode(mode):
            raise InputError(
                f"{source} was fitted in mode {self.origin.mode}, and the mode is {mode}; take that mode, or "
                "fit an evaluation in this one"
            )


def query_digest(query: Query) -> str:
    """A digest of a query's text, independent of id, case and whitespace."""
    return hashlib.sha256(" ".join(query.text.split()).casefold().encode()).hexdigest()[:_DIGITS]


def write_fit(fit: Fit, path: Path) -> None:
    """Write a fit as JSON with a digest of its content."""
    from interank import __version__

    content = {
        "kind": FITTED,
        "format": FORMAT,
        "interank": __version__,
        "fusion": asdict(fit.fusion) if fit.fusion else None,
        "calibrator": calibrator_row(fit.calibrator) if fit.calibrator else None,
        "probability": fit.origin.predicts,
        "abstention": asdict(fit.abstention) if fit.abstention else None,
        "unfused": asdict(fit.unfused) if fit.unfused else None,
        "origin": asdict(fit.origin),
        "tried": dict(fit.tried),
    }
    whole = {**content, "digest": _digest(content)}
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(whole, indent=2, ensure_ascii=False) + "\n", "utf-8")
    partial.replace(path)


def read_fit(path: Path) -> Fit:
    """Read a fit.

    Raises:
        InputError: The file is missing, has another format, or was changed.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); give an output of interank fit") from None
    if not isinstance(content, dict) or (content.get("kind"), content.get("format")) != (FITTED, FORMAT):
        raise InputError(f"{path} is no fit of format {FORMAT}; give an output of interank fit, or fit again")
    if content.pop("digest", None) != _digest(content):
        raise InputError(f"{path} was changed after it was made; fit again")
    origin = content["origin"]
    tasks = {name: FittedOn(**task) for name, task in origin["tasks"].items()}
    return Fit(
        Fusion(**content["fusion"]) if content["fusion"] else None,
        calibrator_of(content["calibrator"]) if content["calibrator"] else None,
        Abstention(**content["abstention"]) if content["abstention"] else None,
        Origin(**{**origin, "tasks": tasks}),
        content["tried"],
        Abstention(**content["unfused"]) if content["unfused"] else None,
    )


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _short(digest: str | None) -> str:
    return digest[:12] if digest else "no artifact"
