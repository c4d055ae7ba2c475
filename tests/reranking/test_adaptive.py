"""Adaptive reranking never exceeds what it may take, permutes the band alone, and is `reason` without limits."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from interank.cli.app import main
from interank.engines.judge import Verdict
from interank.engines.models import find_model, load_model, load_tokenizer
from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Ability, LabelLogits
from interank.engines.transformers import TransformersEngine
from interank.engines.work import Work
from interank.errors import InputError
from interank.recipe import EvaluateRecipe
from interank.reranking.adaptive import Adaptive, averaged, nearest_to_cut
from interank.reranking.compute_budget import ComputeBudget
from interank.settings import (
    AdaptiveRecipe,
    LinkRecipe,
    ListwiseRecipe,
    PromptSettings,
)
from interank.stages import evaluate
from interank.tasks.judge.asking import Judge
from interank.tasks.judge.ranker import GradeRanker
from interank.tasks.order import ordering
from interank.types import Document, Query
from tests.support import rule
from tests.support.benchmark import benchmark_folder, write_jsonl
from tests.support.oracle import OracleEngine
from tests.support.tiny import strong_model

QUERY = Query("q", "Where is the red fox?")
DOCUMENTS = [
    Document(f"d{n}", f"{rule.document_text('red', animal, place)} This is worth {n}.")
    for n, (animal, place) in enumerate((a, p) for p in rule.PLACES for a in rule.ANIMALS)
][:12]
PROMPT = PromptSettings(max_length=400, max_query_tokens=64, max_document_tokens=64)
WRITTEN = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return strong_model(tmp_path_factory.mktemp("models") / "strong")


@pytest.fixture(scope="module", params=["packed", "padded"])
def scorer(request: pytest.FixtureRequest, folder: Path) -> GradeRanker:
    """On our own forward pass, and on the model's modules, which read a prompt again to grade."""
    files = find_model(str(folder))
    model: Any = load_model(files)
    if request.param == "padded":
        model = model.to(torch.bfloat16)
    engine = TransformersEngine(model)
    assert engine.rereads == (request.param == "padded")
    return GradeRanker(Judge(engine, PromptEncoder(load_tokenizer(files), PROMPT), max_reasoning_tokens=WRITTEN))


def ids(ranking: Sequence[Any]) -> list[str]:
    return [item.doc_id for item in ranking]


def taken(adaptive: Adaptive) -> tuple[list[Any], int]:
    ranking, (cost,) = adaptive.ranked(QUERY, DOCUMENTS)
    return ranking, cost.tokens_read + cost.tokens_written


@pytest.mark.parametrize("tokens", [None, 10**9])
def test_without_limits_it_is_reason(scorer: GradeRanker, tokens: int | None) -> None:
    expected = scorer.in_mode("reason").rank(QUERY, DOCUMENTS)
    assert expected != scorer.rank(QUERY, DOCUMENTS)
    assert Adaptive(scorer, AdaptiveRecipe(band=None, tokens=tokens)).rank(QUERY, DOCUMENTS) == expected


@pytest.mark.parametrize("spend", ["reason", "samples", "none"])
def test_no_budget_is_exceeded_and_more_of_it_is_used(scorer: GradeRanker, spend: Any) -> None:
    reasoned = []
    for tokens in (0, 100, 500, 1000, 1500, 2000, 2500, 3000, 4000, 6000, 9000, 15000):
        settings = AdaptiveRecipe(spend=spend, band=None, tokens=tokens, samples=2)
        ranking, spent = taken(Adaptive(scorer, settings))
        assert spent <= tokens
        assert sorted(ids(ranking)) == sorted(ids(DOCUMENTS))
        assert [item.score for item in ranking] == sorted({item.score for item in ranking}, reverse=True)
        reasoned.append(sum(item.explanation is not None for item in ranking))
    assert reasoned == sorted(reasoned)
    assert reasoned[0] == 0
    assert (reasoned[-1] > 8) == (spend != "none")


def test_scoring_needs_no_more_than_it_takes(scorer: GradeRanker) -> None:
    ranking, (cost,) = scorer.ranked(QUERY, DOCUMENTS)
    settings = AdaptiveRecipe(spend="none", tokens=cost.tokens_read)
    assert taken(Adaptive(scorer, settings)) == (ranking, cost.tokens_read)
    short = Adaptive(scorer, settings.model_copy(update={"tokens": cost.tokens_read - 1})).rank(QUERY, DOCUMENTS)
    assert [item.relevance is None for item in short] == [False] * 11 + [True]


def test_what_there_is_no_room_to_score_stays_below_in_the_order_given(scorer: GradeRanker) -> None:
    ranking = Adaptive(scorer, AdaptiveRecipe(tokens=700)).rank(QUERY, DOCUMENTS)
    graded = [item.relevance is not None for item in ranking]
    count = sum(graded)
    assert 1 <= count < 12
    assert graded == [True] * count + [False] * (12 - count)
    assert ids(ranking[count:]) == ids(DOCUMENTS[count:])
    assert ids(Adaptive(scorer, AdaptiveRecipe(tokens=0)).rank(QUERY, DOCUMENTS)) == ids(DOCUMENTS)


def test_the_band_alone_changes_places(scorer: GradeRanker) -> None:
    plain, reasoned = (ids(scorer.in_mode(mode).rank(QUERY, DOCUMENTS)) for mode in ("score", "reason"))
    moved = 0
    for cut in (2, 5, 8):
        ranking = Adaptive(scorer, AdaptiveRecipe(cut=cut, band=5)).rank(QUERY, DOCUMENTS)
        band = [place for place, item in enumerate(ranking) if item.explanation is not None]
        assert len(band) == 5
        assert band == list(range(band[0], band[0] + 5))
        assert band[0] < cut <= band[-1] + 1
        assert [name for place, name in enumerate(ids(ranking)) if place not in band] == [
            name for place, name in enumerate(plain) if place not in band
        ]
        inside = set(plain[band[0] : band[-1] + 1])
        assert ids(ranking)[band[0] : band[-1] + 1] == [name for name in reasoned if name in inside]
        moved += ids(ranking) != plain
    assert moved


def test_it_begins_with_plain_scores_and_explains_nothing_more(scorer: GradeRanker) -> None:
    with pytest.raises(InputError, match="mode reason with guard none"):
        Adaptive(scorer.in_mode("reason"), AdaptiveRecipe())
    with pytest.raises(InputError, match="mode adaptive orders documents"):
        Adaptive(scorer, AdaptiveRecipe()).graded(QUERY, DOCUMENTS)
    with pytest.raises(InputError, match="explain is 2"):
        Adaptive(scorer, AdaptiveRecipe()).rank(QUERY, DOCUMENTS, explain=2)
    assert Adaptive(scorer, AdaptiveRecipe()).rank(QUERY, []) == []


def test_samples_differ_and_a_seed_repeats_them(scorer: GradeRanker) -> None:
    def probabilities(seed: int) -> list[Any]:
        settings = AdaptiveRecipe(spend="samples", band=None, samples=3, temperature=2.0, seed=seed)
        return [item.probabilities for item in Adaptive(scorer, settings).rank(QUERY, DOCUMENTS[:4])]

    assert probabilities(1) == probabilities(1) != probabilities(2)


def test_the_mean_of_verdicts_is_that_of_their_probabilities_and_does_not_saturate() -> None:
    sure = Verdict(LabelLogits((0.0, 0.0, math.log(2)), 0.5), "why", True)
    other = Verdict(LabelLogits((math.log(2) + 7, 7.0, 7.0), 1.0), "", True)
    found = averaged([sure, other])
    assert [math.exp(logit) for logit in found.labels.logits] == pytest.approx([0.375, 0.25, 0.375])
    assert (found.labels.mass, found.reasoning) == (0.75, "why")
    far = [averaged([Verdict(LabelLogits((0.0, 0.0, top), 1.0), "", True)] * 2).labels.logits for top in (80.0, 90.0)]
    assert far[0][0] > far[1][0]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"cut": 2, "band": None}, [1, 2, 0, 3, 4]),
        ({"cut": 2, "band": 3}, [1, 2, 0]),
        ({"cut": 2, "width": 1.0}, [1, 2]),
        ({"cut": 9, "band": 2}, [4, 3]),
        ({"cut": 1, "band": 0}, []),
    ],
)
def test_the_band_by_hand(settings: dict[str, Any], expected: list[int]) -> None:
    # The cut at 2 lies between 5 and 4.
    assert nearest_to_cut([8.0, 5.0, 4.0, 0.0, -1.0], AdaptiveRecipe(**settings)) == expected
    assert nearest_to_cut([], AdaptiveRecipe(**settings)) == []


class OracleOfGrades(OracleEngine):
    """Grades documents by what they are worth as well, the wrong way round."""

    def __init__(self, encoder: PromptEncoder) -> None:
        # Without a thought, which the budget of an answer would cut.
        super().__init__(encoder, lambda values: ordering.answer(sorted(range(len(values)), key=lambda n: -values[n])))
        self.abilities: frozenset[Ability] = frozenset({"token_ids", "label_logits"})

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        self.work += Work(tokens_read=sum(len(prompt.ids) for prompt in prompts))
        texts = [self.encoder.tokenizer.decode(list(prompt.ids)) for prompt in prompts]
        worth = [int(value) for text in texts for value in re.findall(r"worth (\d+)", text)]
        return [LabelLogits((float(value), 0.0, 0.0), 1.0) for value in worth]


@pytest.mark.parametrize(("tokens", "width"), [(None, 6), (10**6, 6), (0, 0), (1, 0)])
def test_a_window_of_the_band_is_ordered_within_the_budget(scorer: GradeRanker, tokens: int | None, width: int) -> None:
    encoder = scorer.judge.encoder
    plain = GradeRanker(Judge(OracleOfGrades(encoder), encoder, max_reasoning_tokens=WRITTEN))
    scoring = plain.ranked(QUERY, DOCUMENTS)[1][0].tokens_read
    budget = None if tokens is None else tokens + scoring
    adaptive = Adaptive(plain, AdaptiveRecipe(spend="listwise", cut=4, band=6, tokens=budget))
    ranking, spent = taken(adaptive)
    assert budget is None or spent <= budget
    values = [int(name[1:]) for name in ids(ranking)]
    assert values == ([0, 6, 5, 4, 3, 2, 1, *range(7, 12)] if width else list(range(12)))
    assert adaptive.counts.answers == bool(width)


def test_a_window_shrinks_to_what_there_is_room_for(scorer: GradeRanker) -> None:
    encoder = scorer.judge.encoder
    plain = GradeRanker(Judge(OracleOfGrades(encoder), encoder, max_reasoning_tokens=WRITTEN))
    widths = []
    scoring = plain.ranked(QUERY, DOCUMENTS)[1][0].tokens_read
    for tokens in range(scoring, scoring + 2000, 100):
        ranking, spent = taken(Adaptive(plain, AdaptiveRecipe(spend="listwise", cut=6, band=None, tokens=tokens)))
        assert spent <= tokens
        widths.append(sum(name != f"d{place}" for place, name in enumerate(ids(ranking))))
    assert widths == sorted(widths)
    assert len(set(widths)) > 3


class Clock:
    """A second for every token, as the engine works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_seconds_are_kept_by_the_pace_so_far() -> None:
    clock = Clock()
    engine: Any = OracleEngine.__new__(OracleEngine)
    engine.work = Work()
    budget = ComputeBudget(engine, None, 100.0, clock)
    bounds, done, rounds = [10] * 50, 0, []
    while count := budget.admits("write", bounds[done:]):
        budget.take("write", bounds[done : done + count], _passing(clock, 8.0 * count))
        done += count
        rounds.append(count)
    # One tells the pace; then twice as many each time, as far as they fit.
    assert rounds == [1, 2, 4, 5]
    assert clock.now <= 100
    assert ComputeBudget(engine, None, 0.0, clock).admits("write", bounds) == 0


def _passing(clock: Clock, seconds: float) -> Callable[[], None]:
    def work() -> None:
        clock.now += seconds

    return work


def test_settings_stand_with_their_mode(tmp_path: Path) -> None:
    for wrong in (
        lambda: EvaluateRecipe(stage="evaluate", adaptive=AdaptiveRecipe()),
        lambda: EvaluateRecipe(stage="evaluate", chain=(LinkRecipe(model="m", adaptive=AdaptiveRecipe()),)),
        lambda: AdaptiveRecipe(lists=ListwiseRecipe()),
    ):
        with pytest.raises(ValueError, match=r"set (that mode|mode|spend)"):
            wrong()


def test_an_evaluation_tells_what_each_query_took(tiny_adapter: Path, tmp_path: Path) -> None:
    recipe = EvaluateRecipe(
        stage="evaluate",
        benchmark=benchmark_folder(tmp_path / "benchmark", queries=3, documents=5),
        adapters=(tiny_adapter,),
        depth=6,
        mode="adaptive",
        adaptive=AdaptiveRecipe(cut=2, band=None, tokens=2500),
        chain=(LinkRecipe(model=str(tiny_adapter), mode="adaptive", adaptive=AdaptiveRecipe(tokens=0)),),
        max_reasoning_tokens=8,
    )
    out = evaluate.run(recipe, tmp_path / "out").path
    rows = [json.loads(line) for line in (out / "cost.jsonl").read_text().splitlines()]
    by_system = {name: [row for row in rows if row["system"] == name] for name in ("adapter", "chain")}
    assert [0 < row["tokens_read"] + row["tokens_written"] <= 2500 for row in by_system["adapter"]] == [True] * 3
    assert [row["tokens_read"] for row in by_system["chain"]] == [0] * 3
    assert all(row["tokens_written"] for row in by_system["adapter"])
    first, chained = (Path(out, "runs", f"{name}.trec").read_text() for name in ("first_stage", "chain"))
    assert [line.split()[2] for line in first.splitlines()] == [line.split()[2] for line in chained.splitlines()]


def test_the_command_goes_on_where_it_was_and_tells_what_it_spent(
    tiny_adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [rule.document_text("red", animal, "barn") for animal in rule.ANIMALS]
    asked = [{"query_id": f"q{n}", "query": f"Where is the red fox {n}?", "documents": texts} for n in range(4)]
    requests = write_jsonl(tmp_path / "asked.jsonl", asked)
    command = ["rerank", str(tiny_adapter), "--requests", str(requests), "--max-reasoning-tokens", "8", "--json"]
    command += ["--mode", "adaptive", "--adaptive", "cut=2,band=4", "--budget-tokens", "2600"]
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert main([*command, "--jsonl", str(whole)]) == 0
    rows = [json.loads(line) for line in whole.read_text().splitlines()]
    assert all(0 < row["spent"]["tokens_read"] + row["spent"]["tokens_written"] <= 2600 for row in rows)
    # A token for each of the band at least, and as many as were allowed at the most.
    assert all(4 <= row["spent"]["tokens_written"] <= 4 * 8 for row in rows)
    ordered, calls = Adaptive.ordered, []

    def interrupted(self: Adaptive, *arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return ordered(self, *arguments, **named)

    monkeypatch.setattr(Adaptive, "ordered", interrupted)
    assert main([*command, "--jsonl", str(out)]) == 130
    capsys.readouterr()
    assert main([*command, "--jsonl", str(out)]) == 0
    said = capsys.readouterr().err
    assert "2 queries were ranked by an earlier try" in said
    assert re.search(r"q3: \d+ tokens read, \d+ written, [\d.]+ GFLOP, [\d.]+ s", said)
    assert out.read_bytes() == whole.read_bytes()
    assert len(calls) == 5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--budget-tokens", "0"], "belong to mode adaptive"),
        (["--mode", "adaptive", "--explain", "2"], "--fit and --explain do not work with mode adaptive"),
        (["--mode", "adaptive", "--adaptive", "bnd=3"], "bnd"),
        (["--mode", "adaptive", "--adaptive", "spend=all"], "spend"),
    ],
)
def test_what_does_not_go_together_is_refused(
    tiny_folder: Path, options: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = write_jsonl(tmp_path / "asked.jsonl", [{"query": "q", "documents": ["a"]}])
    assert main(["rerank", str(tiny_folder), "--requests", str(asked), *options]) == 1
    assert said in capsys.readouterr().err
