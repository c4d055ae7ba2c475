"""The page of a training says what it did, shows what a part of an answer earned, and is read anew while it trains."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interank.errors import ArtifactError, InputError
from interank.outputs import Partial
from interank.stages.answer_history import changes, histories
from interank.stages.rollout_view import parts, steps
from interank.stages.training_page import read_training, training_page
from interank.stages.training_summary import Training, headline, sentences, trials
from interank.stages.watch import REFRESH, page, serve
from interank.tasks.judge.policy import shown

RECIPE = {"stage": "rl", "task": "judge", "rewards": [{"use": "ranking", "weight": 0.5}], "judgments": "runs/judged"}
# As the demo left it: grades are trained exactly, so `advantage` has 0 for the grade's token.
ROLLOUT: dict[str, Any] = {
    "step": 1,
    "query_id": "q",
    "doc_id": "d",
    "order": "grade_first",
    "relevance": 2,
    "probabilities": [0.2, 0.5, 0.3],
    "query": "Fingers go numb",
    "document": "Level the saddle first.",
    "completion": "Relevance Label: 2\n\nIt is about the saddle.",
    "rewards": {"ranking": 0.67, "<i>well</i>": None},
    "earns": [-0.9, -0.2, 0.9],
    "advantage": [0.0, -0.25],
}


def log_of(*values: float) -> list[dict[str, Any]]:
    """Steps of ten with a trial each."""
    return [
        row
        for number, value in enumerate(values)
        for row in (
            {"step": 10 * number, "validation/nDCG@10": value, "validation/grade_entropy": 0.9 - 0.1 * number},
            {"step": 10 * number + 1, "reward": value / 2, "kl": 0.01 * number, "seconds/rollout": 3.0, "entropy": 1.0},
        )
    ]


TRAINING = Training(
    "rl", RECIPE, log_of(0.5, 0.6, 0.55), {"base": "org/tiny"}, {"pairs": 40, "queries": 8, "steps": 30}
)


def test_the_headline_says_what_was_trained_on_what_from_where_to_where() -> None:
    told = "".join(text for text, _ in headline(TRAINING))
    assert told == (
        "tiny was refined on 40 pairs of 8 questions: nDCG@10 on questions held back from 0.500 to 0.600 (+0.100), at "
        "step 10."
    )
    assert [trial.step for trial in trials(TRAINING.log)] == [0, 10, 20]


def test_it_says_which_step_was_kept_and_that_chance_is_not_known() -> None:
    assert sentences(TRAINING) == [
        "Step 10 has the best nDCG@10 of 3 trials.",
        "The last trial, at step 20, had 0.550.",
        "Whether chance could have done it is not known from this training alone: interank rl ... control=shuffled is "
        "the control.",
    ]
    trial = {"step": 20, "nDCG@10": 0.55}
    kept = replace(TRAINING, notes={**TRAINING.notes, "validation": {"best": trial}})
    assert sentences(kept)[0] == "Step 20 was kept of 3 trials: those that ranked better were too far from calibrated."


@pytest.mark.parametrize(
    ("trainer", "kept", "why"),
    [
        ({}, 0.6, "Step 10 was kept of 3 trials, the best after the start, where"),
        ({"save_strategy": "no"}, 0.5, "Step 20 was kept of 3 trials, the last."),
    ],
)
def test_the_untrained_student_is_never_said_to_be_kept(trainer: dict[str, Any], kept: float, why: str) -> None:
    recipe = {"stage": "distill", "trainer": trainer}
    taught = replace(TRAINING, stage="distill", recipe=recipe, log=log_of(0.9, 0.6, kept if trainer else 0.6))
    assert f"from 0.900 to {kept:.3f} ({kept - 0.9:+.3f})" in "".join(text for text, _ in headline(taught))
    assert why in sentences(taught)[0]


@pytest.mark.parametrize(("best", "chance"), [(0.62, True), (0.52, False)])
def test_the_control_says_whether_chance_could_have_done_it(best: float, chance: bool) -> None:
    beside = replace(TRAINING, control=log_of(0.5, best))
    assert ("Chance could have done it." in sentences(beside)[-1]) is chance


def test_a_grade_that_is_trained_exactly_has_what_it_earned_over_the_expected_as_its_advantage() -> None:
    grade, explanation = parts(ROLLOUT)
    assert grade.text == "Relevance Label: 2"
    assert grade.advantage == pytest.approx(0.9 - (0.2 * -0.9 + 0.5 * -0.2 + 0.3 * 0.9))
    assert (grade.mark, explanation.mark, explanation.signed) == ("better", "worse", "-0.25")
    sampled = {**ROLLOUT, "earns": None, "advantage": [0.4, 0.0]}
    assert [(part.signed, part.mark) for part in parts(sampled)] == [("+0.40", "better"), ("+0.00", "same")]
    [whole] = parts({**ROLLOUT, "order": "reason_first", "advantage": [0.3, 0.3]})
    assert (whole.name, whole.advantage) == ("answer", 0.3)
    assert "".join(part.text for part in parts(ROLLOUT)) == ROLLOUT["completion"]
    assert [part.signed for part in parts({**sampled, "advantage": [-0.001, 0.001]})] == ["+0.00", "+0.00"]


def test_rollouts_stand_by_step_query_and_document() -> None:
    rows = [{**ROLLOUT, "step": step, "doc_id": doc} for step in (3, 1) for doc in ("a", "b", "a")]
    first, second = steps(rows, shown)
    assert (first.number, second.number) == (1, 3)
    [(query, documents)] = first.queries
    assert query == "Fingers go numb"
    assert [len(asked.answers) for asked in documents] == [2, 1]
    assert documents[0].answers[0].rewards == ["0.67", "—"]


def test_an_answer_is_followed_over_the_steps_in_which_it_changed() -> None:
    texts = {
        "a": ["Relevance Label: 1\n\nOf tyres."] * 2 + ["Relevance Label: 2\n\nOf tyres and air."],
        "b": ["", "1", "1"],
    }
    rows = [
        {**ROLLOUT, "step": 10 * place, "doc_id": doc, "completion": text}
        for doc, answers in texts.items()
        for place, text in enumerate(answers)
    ]
    one, other = histories(rows[::-1], shown)
    assert (other.query, other.shown.judged, other.told) == ("Fingers go numb", "2", "changed 1 time")
    first, second = other.versions
    assert (first.told, second.told) == ("Steps 0 to 10", "Step 20")
    assert [(part.change, part.text) for part in second.stretches] == [
        ("same", "Relevance Label:"),
        ("gone", " 1"),
        ("new", " 2"),
        ("same", "\n\nOf"),
        ("gone", " tyres."),
        ("new", " tyres and air."),
    ]
    assert [[part.text for part in version.stretches] for version in one.versions] == [[], ["1"]]


@given(st.text(" \nab.", max_size=12), st.text(" \nab.", max_size=12))
def test_what_stayed_and_what_came_is_the_later_answer(before: str, after: str) -> None:
    found = changes(before, after)
    assert "".join(part.text for part in found if part.change != "gone") == after
    assert [part.change for part in found] != ["new", "gone"]


def test_markup_is_shown_as_text(tmp_path: Path) -> None:
    hostile = {
        **ROLLOUT,
        "query": "<script>alert(1)</script>",
        "document": "</table><b>bold",
        "completion": 'Relevance Label: 2\n\n<img src=x onerror="x()">\u202e',
    }
    for name in ("rollouts.jsonl", "answers.jsonl"):
        (tmp_path / name).write_text(json.dumps(hostile) + "\n")
    trial = {"step": 0, "nDCG@10": 0.5}
    found = {"start": trial, "best": trial, "last": trial, "calibration_limit": None, "stopped": "<u>length</u>"}
    notes = {"base": "<s>", "validation": {**found, "questions": {"choosing": 3, "reporting": 0}}}
    made = training_page(replace(TRAINING, notes=notes), tmp_path, shown=shown)
    assert "fewer than the 4 that are halved" in made
    assert not any(mark in made for mark in ("<script", "<b>bold", "<img", "<i>well", "<u>", "<s>"))
    assert "[U+202E]" in made


def begun(folder: Path, log: list[dict[str, Any]]) -> Path:
    """What a training that goes on has written, with half a line at the end of each file."""
    out = folder / "rl"
    work = Partial(out).work
    work.mkdir(parents=True)
    (work / "begun.json").write_text(json.dumps({"recipe": RECIPE, "inputs": {}}))
    lines = "".join(json.dumps(row) + "\n" for row in log)
    (work / "log.jsonl").write_text(lines + '{"step": 31, "rew')
    for name in ("rollouts.jsonl", "answers.jsonl"):
        (work / name).write_text(json.dumps(ROLLOUT) + '\n{"step"')
    return out


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a running training's page, and the training's output."""
    out = begun(tmp_path, log_of(0.5, 0.6))
    with serve(out, port=0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", out
        server.shutdown()
        thread.join()


def test_a_running_training_is_shown_and_read_anew(running: tuple[str, Path]) -> None:
    address, out = running
    with urllib.request.urlopen(address) as reply:
        first = reply.read().decode()
    assert f'<meta http-equiv="refresh" content="{REFRESH}">' in first
    assert "is in training, at step 11" in first
    assert "+0.91" in first  # what the grade earned over the expected
    with (Partial(out).work / "log.jsonl").open("a") as file:
        file.write('ard": 1.0}\n')
    with urllib.request.urlopen(address) as reply:
        assert "is in training, at step 31" in reply.read().decode()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{address}etc/passwd")


def test_a_page_that_cannot_be_made_just_now_is_asked_for_again(running: tuple[str, Path]) -> None:
    address, out = running
    shutil.rmtree(Partial(out).folder)
    with pytest.raises(urllib.error.HTTPError, match="503") as caught:
        urllib.request.urlopen(address)
    assert caught.value.headers["Refresh"] == str(REFRESH)
    assert "nothing is trained there" in caught.value.read().decode()


def test_what_is_no_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="nothing is trained there"):
        page(tmp_path / "rl")
    out = begun(tmp_path, [])
    (Partial(out).work / "begun.json").write_text(json.dumps({"recipe": {"stage": "evaluate"}, "inputs": {}}))
    with pytest.raises(InputError, match="an output of evaluate, which has no such page"):
        page(out)


def test_a_taken_port_is_told(running: tuple[str, Path]) -> None:
    address, out = running
    with pytest.raises(InputError, match=r"port .* cannot be had"):
        serve(out, port=int(address.rstrip("/").rpartition(":")[2]))


def test_the_trial_before_the_first_step_is_read_of_the_trials(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json.dumps({"step": 3, "validation/nDCG@10": 0.7}) + "\n")
    tried = [{"step": 0, "nDCG@10": 0.5, "start": [[0.1]]}, {"step": 3, "nDCG@10": 0.6}]
    (tmp_path / "trials.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tried))
    assert [(trial.step, trial.value) for trial in trials(read_training(tmp_path))] == [(0, 0.5), (3, 0.7)]


def test_half_a_line_is_left_only_where_a_training_goes_on(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"st')
    assert read_training(tmp_path, running=True) == [{"step": 1}]
    with pytest.raises(InputError, match=r"log\.jsonl:2"):
        read_training(tmp_path)
