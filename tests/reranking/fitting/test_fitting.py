"""A fit's file, whose model and queries it is of, and when it abstains."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from interank.errors import InputError
from interank.reranking.fitting import (
    Abstention,
    Fit,
    FittedOn,
    Fusion,
    Isotonic,
    Origin,
    Temperature,
    fit_abstention,
    query_digest,
    read_fit,
    write_fit,
)
from interank.types import Query, RankedDocument, Relevance

ASKED = [Query("1", "Why does bread collapse?"), Query("2", "What is rye?")]
ORIGIN = Origin(
    evaluation="e" * 64,
    system="rl",
    model="a" * 64,
    mode="score",
    benchmark="bread (dev)",
    benchmark_digest="b" * 64,
    measure="nDCG@10",
    relevant_from=1,
    tasks={"bread": FittedOn("bm25", 100, "c" * 64)},
    queries={query_digest(query): query.query_id for query in ASKED},
)
FIT = Fit(Fusion("zscore", 0.35), Temperature(1.7, -2.25), Abstention(0.4, 0.5), ORIGIN, {"fusion": {"zscore": [0.1]}})


@pytest.mark.parametrize(
    "fit",
    [
        FIT,
        replace(FIT, unfused=Abstention(0.6, 0.5)),
        replace(FIT, calibrator=Isotonic((0.1, 0.7), (0.2, 1 / 3))),
        replace(FIT, fusion=None, abstention=None),
    ],
)
def test_what_is_written_is_read(fit: Fit, tmp_path: Path) -> None:
    write_fit(fit, tmp_path / "fit.json")
    assert read_fit(tmp_path / "fit.json") == fit
    assert {file.name for file in tmp_path.iterdir()} == {"fit.json"}


@pytest.mark.parametrize("change", [{"fusion": {"method": "zscore", "weight": 0.9}}, {"digest": "0"}])
def test_a_changed_file_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    write_fit(FIT, tmp_path / "fit.json")
    content = json.loads((tmp_path / "fit.json").read_text())
    (tmp_path / "fit.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match="was changed"):
        read_fit(tmp_path / "fit.json")


@pytest.mark.parametrize(
    ("text", "said"), [("{", "cannot be read"), ("[]", "is no fit"), ('{"kind": "fit", "format": 1}', "is no fit")]
)
def test_other_files_are_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "fit.json").write_text(text)
    with pytest.raises(InputError, match=said):
        read_fit(tmp_path / "fit.json")


def test_the_queries_it_was_fitted_on_are_known_by_their_texts() -> None:
    FIT.check_unseen(Path("fit.json"), [Query("1", "Another question with the same id")])
    seen = [Query("x", "  what is RYE?\n"), Query("y", "New")]
    assert FIT.known(seen) == ["x"]
    with pytest.raises(InputError, match=r"1 of the 2 queries.*'x'"):
        FIT.check_unseen(Path("fit.json"), seen)


def test_without_fusion_it_abstains_as_was_fitted_to_the_model_s_own_order() -> None:
    alone = Abstention(0.6, 0.5)
    plain = replace(FIT, unfused=alone).without_fusion()
    assert (plain.fusion, plain.abstention, plain.calibrator) == (None, alone, FIT.calibrator)
    assert plain.without_fusion() == plain
    assert FIT.without_fusion().abstention is None


def test_it_belongs_to_one_model() -> None:
    FIT.check_model(Path("fit.json"), "a" * 64, "runs/rl")
    for other in ("d" * 64, None):
        with pytest.raises(InputError, match=r"rl \(aaaaaaaaaaaa\).*runs/other"):
            FIT.check_model(Path("fit.json"), other, "runs/other")


def ranked(probability: float | None, mass: float | None = 0.9) -> list[RankedDocument]:
    return [RankedDocument("d", 1.0, Relevance.RELEVANT, (0.1, 0.2, 0.7), mass, probability=probability)]


def test_it_abstains_where_the_evidence_is_thin() -> None:
    assert FIT.abstains(ranked(0.4)) is False
    assert FIT.abstains(ranked(0.39)) is True
    assert FIT.abstains(ranked(0.9, 0.49)) is True
    assert FIT.abstains(ranked(None)) is True
    assert FIT.abstains([]) is True
    assert replace(FIT, abstention=None).abstains(ranked(0.1)) is None


def test_the_threshold_answers_the_share_that_was_asked_for() -> None:
    sure = [0.9, 0.1, 0.5, 0.7, 0.3]
    values = [1.0, 0.0, 0.5, 0.8, 0.2]
    for coverage, expected in ((0.2, 0.9), (0.4, 0.7), (0.8, 0.3), (1.0, 0.1)):
        found, tried = fit_abstention(sure, values, coverage)
        assert found.probability == expected
    assert [row["coverage"] for row in tried] == [1.0, 1.0, 0.8, 0.8, 0.6, 0.6, 0.4, 0.4, 0.2, 0.2]
    assert tried[-1]["value"] == 1.0
    assert tried[0]["value"] == pytest.approx(0.5)


def test_equal_confidences_are_answered_together() -> None:
    found, tried = fit_abstention([0.5, 0.5, 0.5, 0.1], [1.0, 0.0, 0.5, 0.0], 0.25)
    assert found.probability == 0.5
    assert tried[-1]["coverage"] == 0.75
