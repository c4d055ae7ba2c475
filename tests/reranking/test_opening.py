"""One way to a reranker: what is said of it decides what ranks; guard and fit stand on it in any order."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest

from interank import Reranker
from interank.engines.models import find_model
from interank.errors import ArtifactError, InputError
from interank.modes import MODES, Mode, RankingMode
from interank.reranking.explanation_check import explains
from interank.reranking.fitted_reranker import FittedReranker
from interank.reranking.fitting import Fit, Fusion, Origin, Temperature
from interank.reranking.opening import open_reranker
from interank.settings import LinkRecipe, ListwiseRecipe
from interank.tasks import TASK_MODES
from interank.tasks.ranker_settings import RankerSettings
from interank.tasks.ranks import OneModel
from interank.tasks.sources import Source
from tests.support import rule

QUERY = "Where is the red fox?"
TEXTS = [rule.document_text("red", animal, "barn") for animal in rule.ANIMALS]
FIRST_STAGE = [float(place % 3) for place in range(len(TEXTS))]


@pytest.fixture(scope="module")
def plain(tiny_adapter: Path) -> OneModel:
    return open_reranker(RankerSettings(str(tiny_adapter)))


@pytest.fixture
def fit() -> Fit:
    origin = Origin("e", "adapter", None, "score", "b", None, "nDCG@10", 1, {}, {})
    return Fit(Fusion("zscore", 0.5), Temperature(0.5, 1.0), None, origin, {})


def told(ranks: OneModel) -> list[tuple[Any, ...]]:
    ranking = ranks.rank(QUERY, TEXTS, first_stage=FIRST_STAGE)
    return [(item.doc_id, item.score, item.probability) for item in ranking]


@pytest.mark.parametrize("guard", ["none", "fence", "contrast"])
def test_guard_and_a_stored_fit_give_the_same_in_either_order(plain: OneModel, fit: Fit, guard: Any) -> None:
    one = FittedReranker(plain, fit, stored=True).guarded(guard)
    other = FittedReranker(plain.guarded(guard), fit, stored=True)
    assert told(one) == told(other)
    # Scores with a guard are others than those that were fitted.
    assert (told(one) == told(plain.guarded(guard))) == (guard != "none")
    assert one.guard == other.guard == guard


@pytest.mark.parametrize("guard", ["fence", "contrast"])
def test_a_fit_that_was_asked_for_refuses_a_guard_in_either_order(plain: OneModel, fit: Fit, guard: Any) -> None:
    said = f"guard {guard} changes scores, and the fit was made for scores without a guard; leave one of them out"
    with pytest.raises(InputError, match=said):
        FittedReranker(plain, fit).guarded(guard)
    with pytest.raises(InputError, match=said):
        FittedReranker(plain.guarded(guard), fit)


def test_a_fit_fuses_and_calibrates_what_it_stands_on(plain: OneModel, fit: Fit) -> None:
    assert fit.calibrator and fit.fusion
    own = {item.doc_id: item.score for item in plain.graded(QUERY, TEXTS)}
    found = told(FittedReranker(plain, fit))
    expected = fit.fusion.fused(list(own.values()), FIRST_STAGE)
    # Fusing scales what batches move in the last digits.
    assert {name: score for name, score, _ in found} == pytest.approx(dict(zip(own, expected, strict=True)), rel=1e-5)
    assert {name: p for name, _, p in found} == pytest.approx(
        {name: fit.calibrator.probability(score) for name, score in own.items()}
    )


def test_a_link_of_a_recipe_opens_what_python_opens(tiny_adapter: Path, tiny_folder: Path) -> None:
    lists = ListwiseRecipe(window=3, step=1)
    for link in (
        LinkRecipe(model=str(tiny_adapter), max_reasoning_tokens=8),
        LinkRecipe(model=str(tiny_adapter), mode="reason", max_reasoning_tokens=8),
        LinkRecipe(model=str(tiny_adapter), mode="adaptive", max_reasoning_tokens=8),
        LinkRecipe(model=str(tiny_folder), mode="listwise", lists=lists, max_reasoning_tokens=8),
    ):
        same = Reranker(link.model, mode=link.mode, lists=link.lists, max_reasoning_tokens=8)
        ranks = open_reranker(RankerSettings.of_link(link))
        assert ranks.rank(QUERY, TEXTS) == same.rank(QUERY, TEXTS)
        (_, costs), (_, others) = ranks.ranked(QUERY, TEXTS), same.ranked(QUERY, TEXTS)
        assert [cost.tokens_read for cost in costs] == [cost.tokens_read for cost in others]
        assert costs[0].tokens_read > 0


def test_every_mode_has_a_task_that_reads_it() -> None:
    assert set(MODES) == {mode for modes in TASK_MODES.values() for mode in modes}
    assert set(get_args(RankingMode)) < set(get_args(Mode))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"adaptive": {"cut": 3}}, "settings of adaptive .*mode is score; take mode adaptive"),
        ({"mode": "adaptive", "lists": {"window": 3}}, "settings of lists .*mode is adaptive; take mode listwise"),
        ({"mode": "adaptive", "adaptive": {"cutt": 3}}, "adaptive: cutt"),
        ({"head": {"legacy": "dear"}}, "no pointwise head"),
    ],
)
def test_settings_of_another_mode_are_refused(tiny_folder: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Reranker(tiny_folder, **given)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"task": "head"}, "m was trained on pairs; use it in mode score"),
        ({}, "m was trained on pairs; use it in mode score"),
        ({"prompt": {"form": "reason"}}, "m was trained on lists; use it in mode listwise"),
        (
            {"prompt": {"order": "grade_first"}},
            "m was trained on single documents; use it in mode score, explain or reason",
        ),
    ],
)
def test_prompts_are_not_taken_from_another_task(tiny_folder: Path, manifest: dict[str, Any], said: str) -> None:
    files = find_model(str(tiny_folder))
    source = Source("m", files, None, files, manifest)
    other = "judge" if "single" not in said else "order"
    with pytest.raises(ArtifactError, match=said):
        source.trained_on(other)


def test_adaptive_takes_no_guard(tiny_adapter: Path) -> None:
    with pytest.raises(InputError, match=r"guard fence .*mode adaptive"):
        Reranker(tiny_adapter, mode="adaptive").guarded("fence")


@pytest.mark.parametrize(
    ("told", "taught"),
    [
        ({"task": "judge", "modes": ["score", "explain"]}, True),
        ({"task": "judge", "modes": ["score"]}, False),
        ({"task": "judge", "modes": []}, True),
        ({"task": "head", "modes": ["score"]}, False),
        ({"task": "duel", "modes": []}, False),
    ],
)
def test_a_task_without_a_mode_that_explains_has_no_words(
    tiny_adapter: Path, tmp_path: Path, told: dict[str, Any], taught: bool
) -> None:
    adapter = shutil.copytree(tiny_adapter, tmp_path / "adapter")
    manifest = json.loads((adapter / "manifest.json").read_text("utf-8"))
    (adapter / "manifest.json").write_text(json.dumps(manifest | told), "utf-8")
    assert explains(str(adapter)) is taught
