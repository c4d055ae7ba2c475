"""A fit in the adapter's folder: who has it unasked, who has to ask, and that nothing else of the adapter changes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from interank.artifact import open_artifact
from interank.cli.app import main
from interank.errors import ArtifactError, InputError
from interank.evaluation.fitting import FitSettings
from interank.reranking.adaptive import Adaptive
from interank.reranking.fitted_reranker import FittedReranker
from interank.reranking.fitting import Fit, read_fit
from interank.reranking.reranker import Reranker
from interank.settings import AdaptiveRecipe
from interank.stages import rl
from interank.stages.fit import fit, fit_into
from interank.stages.merge import merge
from interank.tasks.judge.recipe import RlJudge
from interank.types import RankedDocument
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import write_jsonl
from tests.support.splits import QUERIES, evaluated, rows, two_splits

Capture = pytest.CaptureFixture[str]

# The fused order differs from the model's, and half of the queries are answered.
SETTINGS = FitSettings(fusion="minmax", coverage=0.5, label_mass=0.0)
DOCUMENTS = [rule.document_text("red", animal, "barn") for animal in rule.ANIMALS]
ASKED = "Where is the red fox?"
FIRST_STAGE = [9.0 - place for place in range(len(DOCUMENTS))]


def copied(adapter: Path, place: Path, *, other: bool = False) -> Path:
    """The adapter in another folder; or one that differs in what its manifest says."""
    folder = Path(shutil.copytree(adapter, place))
    if other:
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"seed": 77}))
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    two_splits(folder / "benchmark")
    return folder


@pytest.fixture(scope="module")
def dev(place: Path, tiny_adapter: Path) -> Path:
    return evaluated(place, "dev", split="dev", adapters=(tiny_adapter,))


@pytest.fixture(scope="module")
def stored(place: Path, dev: Path, tiny_adapter: Path) -> Path:
    """An adapter that stores a fit."""
    folder = copied(tiny_adapter, place / "rl")
    fit_into(dev, folder, SETTINGS)
    return folder


@pytest.fixture(scope="module")
def found(stored: Path) -> Fit:
    return read_fit(stored / "fits" / "score.json")


def order(ranking: Sequence[RankedDocument]) -> list[tuple[str, float]]:
    return [(item.doc_id, item.score) for item in ranking]


def test_it_is_what_lies_apart_otherwise_and_the_adapter_is_the_same(
    place: Path, dev: Path, stored: Path, found: Fit, tiny_adapter: Path
) -> None:
    assert found == fit(dev, place / "apart.json", SETTINGS)
    assert (found.fusion, found.calibrator, found.abstention, found.unfused).count(None) == 0
    assert open_artifact(stored, "adapter").digest == open_artifact(tiny_adapter).digest
    files = [{path.relative_to(folder) for path in folder.rglob("*")} for folder in (stored, tiny_adapter)]
    assert {str(path) for path in files[0] - files[1]} == {"fits", "fits/score.json"}


def test_the_model_s_own_order_is_answered_with_as_often_as_the_fused_one(dev: Path, found: Fit) -> None:
    assert found.calibrator and found.abstention and found.unfused
    ranked = rows(dev / "rankings" / "adapter.jsonl").values()
    own = [found.calibrator.probability(row["ranking"][0]["score"]) for row in ranked]
    assert sum(probability >= found.unfused.probability for probability in own) == QUERIES / 2
    # The first document of the model's own order is the likeliest, which that of a mixture need not be.
    assert sum(probability >= found.abstention.probability for probability in own) > QUERIES / 2


@pytest.mark.parametrize("mode", ["score", "explain"])
def test_whoever_opens_the_adapter_has_probabilities_and_its_own_order(
    mode: str, stored: Path, found: Fit, tiny_adapter: Path
) -> None:
    assert found.calibrator and found.unfused
    plain = Reranker(tiny_adapter, max_reasoning_tokens=4).rank(ASKED, DOCUMENTS)
    reranker = Reranker(stored, mode=mode, max_reasoning_tokens=4)  # type: ignore[arg-type]
    # First-stage scores are there to be fused, and are not.
    ranking = reranker.rank(ASKED, DOCUMENTS, first_stage=FIRST_STAGE)
    assert order(ranking) == order(plain)
    assert [i.probability for i in ranking] == pytest.approx([found.calibrator.probability(i.score) for i in plain])
    assert reranker.fit
    assert reranker.fit.abstains(ranking) == (ranking[0].probability < found.unfused.probability)  # type: ignore[operator]
    bare = reranker.without_fit().rank(ASKED, DOCUMENTS)
    assert order(bare) == order(plain)
    assert {item.probability for item in bare} == {None}


def test_asked_for_by_the_folder_it_fuses_as_its_file_does(place: Path, stored: Path, found: Fit) -> None:
    assert found.fusion
    reranker = Reranker(stored)
    fused, same = (
        reranker.with_fit(given).rank(ASKED, DOCUMENTS, first_stage=FIRST_STAGE)
        for given in (stored, stored / "fits" / "score.json")
    )
    assert fused == same
    plain = {item.doc_id: item.score for item in reranker.rank(ASKED, DOCUMENTS)}
    scores = found.fusion.fused([plain[str(place)] for place in range(len(DOCUMENTS))], FIRST_STAGE)
    assert {item.doc_id: item.score for item in fused} == pytest.approx({str(n): s for n, s in enumerate(scores)})
    with pytest.raises(InputError, match=r"benchmark stores no fit.*mode score"):
        reranker.with_fit(place / "benchmark")


def test_it_is_of_one_mode(stored: Path, found: Fit) -> None:
    scoring, reasoning = Reranker(stored), Reranker(stored, mode="reason")
    assert scoring.fit == Reranker(stored, mode="explain").fit == found.without_fusion()
    assert reasoning.fit is None
    with pytest.raises(InputError, match=r"rl stores .*mode score.*mode reason"):
        reasoning.with_fit(stored)


def test_it_gives_way_where_scores_are_others(stored: Path) -> None:
    reranker = Reranker(stored, max_reasoning_tokens=4)
    guarded = reranker.guarded("contrast")
    assert {item.probability for item in guarded.rank(ASKED, DOCUMENTS[:2])} == {None}
    assert guarded.fit is None
    assert reranker.guarded("none").fit == reranker.fit
    adaptive = Reranker(stored, mode="adaptive", adaptive={"band": 1}, max_reasoning_tokens=4)
    ranking = adaptive.rank(ASKED, DOCUMENTS[:3])
    assert {item.probability for item in ranking} == {None}
    # One that was asked for does not.
    fitted = reranker.with_fit(stored)
    with pytest.raises(InputError, match="without a guard; leave one of them out"):
        fitted.guarded("contrast")
    with pytest.raises(InputError, match=r"mode score.*adaptive"):
        adaptive.with_fit(stored / "fits" / "score.json")
    with pytest.raises(InputError, match=r"Reranker\(SOURCE, mode=.adaptive"):
        Adaptive(fitted, AdaptiveRecipe())


def test_evaluate_measures_it_where_it_is_asked_to(place: Path, stored: Path, tiny_adapter: Path) -> None:
    shutil.copy(stored / "fits" / "score.json", place / "copy.json")
    plain = evaluated(place, "plain", split="test", adapters=(stored,))
    told = rows(plain / "rankings" / "rl.jsonl").values()
    assert not [item for row in told for item in row["ranking"] if "probability" in item]
    assert list(json.loads((plain / "metrics.json").read_text()))[:2] == ["first stage", "rl"]
    assert "rl, fused" not in (plain / "metrics.json").read_text()
    asked = evaluated(place, "asked", split="test", adapters=(stored,), fits=(stored,))
    by_file = evaluated(place, "by-file", split="test", adapters=(stored,), fits=(place / "copy.json",))
    assert rows(asked / "rankings" / "rl, fused.jsonl") == rows(by_file / "rankings" / "rl, fused.jsonl")
    assert {*rows(asked / "rankings" / "rl.jsonl")} == {*rows(asked / "rankings" / "rl, fused.jsonl")}
    assert not [i for r in rows(asked / "rankings" / "rl.jsonl").values() for i in r["ranking"] if "probability" in i]
    with pytest.raises(InputError, match=r"adapter stores no fit.* --into"):
        evaluated(place, "refused", split="test", adapters=(tiny_adapter,), fits=(tiny_adapter,))
    assert not (place / "refused").exists()


def test_two_of_one_model_each_take_their_own(place: Path, stored: Path) -> None:
    twin = copied(stored, place / "twin")
    both = evaluated(place, "both", split="test", adapters=(stored, twin), fits=(twin, stored))
    assert {"rl, fused", "twin, fused"} <= set(json.loads((both / "metrics.json").read_text()))
    given = open_artifact(both).manifest["inputs"]
    assert [given[f"fit.{n}"]["path"] for n in (1, 2)] == ["../twin/fits/score.json", "../rl/fits/score.json"]


def test_what_it_was_fitted_on_is_not_measured_with_it(place: Path, stored: Path) -> None:
    with pytest.raises(InputError, match=rf"score\.json .*fitted on {QUERIES} of the {QUERIES} queries"):
        evaluated(place, "refused", split="dev", adapters=(stored,), fits=(stored,))
    assert not (place / "refused").exists()


def test_storing_changes_nothing_that_was_made_before_it(place: Path, dev: Path, tiny_adapter: Path) -> None:
    adapter = copied(tiny_adapter, place / "later")
    before = evaluated(place, "before", split="test", adapters=(adapter,))
    fit_into(dev, adapter, FitSettings(fusion="none"))
    again = evaluated(place, "before", split="test", adapters=(adapter,), existing="resume")
    assert open_artifact(again).digest == open_artifact(before).digest
    # What was measured with a fit is of that fit.
    evaluated(place, "with", split="test", adapters=(adapter,), fits=(adapter,))
    fit_into(dev, adapter, FitSettings(fusion="rrf"), overwrite=True)
    with pytest.raises(ArtifactError, match=r"fit.1 differ"):
        evaluated(place, "with", split="test", adapters=(adapter,), fits=(adapter,), existing="resume")


def test_of_several_rerankers_it_is_the_adapter_s_own(place: Path, tiny_adapter: Path) -> None:
    one = copied(tiny_adapter, place / "one")
    other = copied(tiny_adapter, place / "other", other=True)
    both = evaluated(place, "of-both", split="dev", adapters=(one, other))
    made, file = fit_into(both, other, SETTINGS)
    assert (made.origin.system, made.origin.model) == ("other", open_artifact(other).digest)
    assert file == other / "fits" / "score.json"
    with pytest.raises(InputError, match=r"of-both .*none .*other"):
        fit_into(both, other, FitSettings(system="one"), overwrite=True)
    assert read_fit(file) == made


def test_where_it_cannot_be_stored_it_is_not(
    place: Path, dev: Path, stored: Path, tiny_adapter: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    other = copied(tiny_adapter, tmp_path / "other", other=True)
    with pytest.raises(InputError, match=r"adapter \(\w{12}\), .*other \(\w{12}\)"):
        fit_into(dev, other, SETTINGS)
    before = (stored / "fits" / "score.json").read_bytes()
    with pytest.raises(ArtifactError, match=r"score\.json .*--overwrite.*--out"):
        fit_into(dev, stored, SETTINGS)
    assert (stored / "fits" / "score.json").read_bytes() == before
    with pytest.raises(ArtifactError, match="no model that interank made"):
        fit_into(dev, tiny_folder, SETTINGS)
    with pytest.raises(ArtifactError, match=r"dev .*evaluation.*adapter"):
        fit_into(dev, dev, SETTINGS)
    assert not any((folder / "fits").exists() for folder in (other, tiny_folder, dev))


def test_one_that_went_to_another_adapter_is_told(place: Path, stored: Path, tiny_adapter: Path) -> None:
    other = copied(tiny_adapter, place / "taken", other=True)
    shutil.copytree(stored / "fits", other / "fits")
    with pytest.raises(InputError, match=r"fitted to .*adapter .*taken.*remove the file"):
        Reranker(other)
    with pytest.raises(InputError, match=r"adapter.*\(taken\).* 0 of them"):
        evaluated(place, "refused", split="test", adapters=(other,), fits=(other,))
    with pytest.raises(InputError, match=r"fitted to .*adapter"):
        merge(other, place / "not-merged")
    assert not (place / "not-merged").exists()
    shutil.rmtree(other / "fits")
    assert Reranker(other).fit is None


def test_what_is_trained_further_has_none(stored: Path, tmp_path: Path) -> None:
    examples = [
        *rule.examples(0, queries=2, documents=4),
        *rule.examples(1, queries=1, documents=4, split="validation"),
    ]
    recipe = {
        "stage": "rl",
        "judgments": judgments_artifact(tmp_path / "judgments", examples),
        "adapter": stored,
        "max_completion_tokens": 10,
        "documents_per_query": 4,
        "validation": {"every": 1, "questions": 1, "explained": 1},
        "rewards": [{"use": "grade_agreement"}],
        "trainer": {"max_steps": 1, "num_generations": 2, "per_device_train_batch_size": 8},
        "collapse_detection": {"enabled": False},
    }
    trained = rl.run(RlJudge.model_validate(recipe), tmp_path / "rl")
    assert trained.manifest["inputs"]["adapter"]["digest"] == open_artifact(stored).digest
    assert not (trained.path / "fits").exists()
    assert Reranker(trained.path).fit is None


def test_what_is_merged_takes_it_along(place: Path, stored: Path, found: Fit) -> None:
    merged = merge(stored, place / "merged").folder
    assert read_fit(merged / "fits" / "score.json") == found
    ranking = Reranker(merged).rank(ASKED, DOCUMENTS)
    assert found.calibrator
    assert [i.probability for i in ranking] == pytest.approx([found.calibrator.probability(i.score) for i in ranking])
    measured = evaluated(place, "of-merged", split="test", adapters=(merged,), fits=(stored,))
    assert "merged, fused" in json.loads((measured / "metrics.json").read_text())
    # What is fitted to the merged model is of the adapter too.
    on_merged = evaluated(place, "dev-merged", split="dev", adapters=(merged,))
    with pytest.raises(ArtifactError, match="--overwrite"):
        fit_into(on_merged, merged, SETTINGS)
    made, _ = fit_into(on_merged, merged, SETTINGS, overwrite=True)
    assert made.origin.model == open_artifact(stored).digest
    assert Reranker(merged).with_fit(merged).fit == made
    again = evaluated(place, "dev-merged", split="dev", adapters=(merged,), existing="resume")
    assert open_artifact(again).digest == made.origin.evaluation


def test_the_command_stores_and_ranks_with_it(place: Path, dev: Path, tiny_adapter: Path, capsys: Capture) -> None:
    adapter = copied(tiny_adapter, place / "told")
    assert main(["fit", str(dev), "--into", str(adapter), "--coverage", "1", "--label-mass", "1.1"]) == 0
    said = capsys.readouterr().out
    assert "; unfused below 0." in said
    assert said.endswith(f"{adapter / 'fits' / 'score.json'}\n")
    command = ["rerank", str(adapter), "--corpus", str(place / "benchmark"), "--split", "test", "--json"]
    assert main(command) == 0
    printed, warned = capsys.readouterr()
    assert "was fitted on" not in warned
    found = {row["query_id"]: row for row in map(json.loads, printed.splitlines())}
    # No label mass is 1.1.
    assert [row["abstain"] for row in found.values()] == [True] * QUERIES
    assert all(0 < item["probability"] < 1 for row in found.values() for item in row["ranking"])
    assert main([command[0], str(tiny_adapter), *command[2:]]) == 0
    for row in map(json.loads, capsys.readouterr().out.splitlines()):
        assert "abstain" not in row
        assert row["ranking"] == [
            {name: value for name, value in item.items() if name != "probability"}
            for item in found[row["query_id"]]["ranking"]
        ]
    assert main([*command[:-2], "dev", "--json", "--top-k", "2"]) == 0
    assert f"score.json was fitted on {QUERIES} of" in capsys.readouterr().err
    fused = []
    for given in (adapter, adapter / "fits" / "score.json"):
        assert main([*command, "--fit", str(given)]) == 0
        fused.append(capsys.readouterr().out)
    assert fused[0] == fused[1] != printed


@pytest.mark.parametrize("options", [["--guard", "contrast"], ["--then", "SAME"], ["--mode", "adaptive"]])
def test_the_command_leaves_it_out_where_scores_are_others(
    stored: Path, options: list[str], tmp_path: Path, capsys: Capture
) -> None:
    asked = write_jsonl(tmp_path / "asked.jsonl", [{"query": ASKED, "documents": DOCUMENTS[:3]}])
    options = [str(stored) if part == "SAME" else part for part in options]
    options += ["--then-mode", "score"] if "--then" in options else []
    command = ["rerank", str(stored), "--requests", str(asked), "--json", "--max-reasoning-tokens", "4", *options]
    assert main(command) == 0
    row = json.loads(capsys.readouterr().out)
    assert "abstain" not in row
    assert not [item for item in row["ranking"] if "probability" in item]


def test_a_killed_command_goes_on_with_the_same_fit_only(
    dev: Path, tiny_adapter: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = copied(tiny_adapter, tmp_path / "rl")
    asked = [{"query": f"{ASKED} {n}", "query_id": str(n), "documents": DOCUMENTS[:2]} for n in range(3)]
    out = tmp_path / "rows.jsonl"
    command = ["rerank", str(adapter), "--requests", str(write_jsonl(tmp_path / "asked.jsonl", asked))]
    command += ["--jsonl", str(out)]
    ordered = FittedReranker.ordered

    def killed(self: FittedReranker, query: object, *given: object, **named: object) -> list[RankedDocument]:
        if getattr(query, "query_id", "") == "2":
            raise KeyboardInterrupt
        return ordered(self, query, *given, **named)  # type: ignore[arg-type]

    def tried(settings: FitSettings) -> str:
        fit_into(dev, adapter, settings, overwrite=True)
        with monkeypatch.context() as patch:
            patch.setattr(FittedReranker, "ordered", killed)
            assert main(command) == 130
        capsys.readouterr()
        return (tmp_path / ".rows.jsonl.partial.jsonl").read_text()

    tried(FitSettings(calibrator="temperature"))
    tried(FitSettings(calibrator="isotonic"))
    assert main(command) == 0
    assert "2 queries were ranked" in capsys.readouterr().err
    calibrator = read_fit(adapter / "fits" / "score.json").calibrator
    assert calibrator
    assert all(
        item["probability"] == pytest.approx(calibrator.probability(item["score"]))
        for row in rows(out).values()
        for item in row["ranking"]
    )


def test_a_damaged_one_ends_the_command_in_a_sentence(dev: Path, stored: Path, tmp_path: Path, capsys: Capture) -> None:
    adapter = copied(stored, tmp_path / "rl")
    file = adapter / "fits" / "score.json"
    file.write_text(file.read_text().replace("minmax", "zscore", 1))
    asked = write_jsonl(tmp_path / "asked.jsonl", [{"query": ASKED, "documents": DOCUMENTS[:1]}])
    command = ["rerank", str(adapter), "--requests", str(asked), "--json"]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert f"{file} was changed" in said
    assert len(said.strip().splitlines()) == 1
    assert main(["fit", str(dev), "--into", str(adapter), "--overwrite"]) == 0
    capsys.readouterr()
    assert main(command) == 0


@pytest.mark.parametrize("places", [[], ["--out", "x.json", "--into", "rl"]])
def test_one_place_has_to_be_given(dev: Path, places: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["fit", str(dev), *places])
    assert ended.value.code == 2
    assert "--into" in capsys.readouterr().err


def test_check_tells_of_a_fit_that_is_not_asked_for(place: Path, stored: Path, capsys: Capture) -> None:
    command = ["check", "evaluate/benchmark", f"benchmark={place / 'benchmark'}", "split=test", f"adapters={stored}"]
    for options, told in (
        ([], True),
        (["--quiet"], False),
        (["mode=reason"], False),
        ([f"fits={stored}"], False),
    ):
        assert main([*command, *options]) == 0
        assert (f"{stored} stores a fit" in capsys.readouterr().err) is told
