"""A training in sentences: model, data, change of the validation measure, and the kept step with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from interank.ir.measures import DEFAULT_MEASURE
from interank.wording import counted

Log = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Training:
    """A training so far: its recipe and log, and its manifest's notes once it is finished."""

    stage: str
    recipe: Mapping[str, Any]
    log: Log
    notes: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    running: bool = False
    control: Log | None = None
    """The log of the same training on shuffled grades."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The value of the choosing questions at a step."""

    step: int
    value: float


def trials(log: Log) -> list[Trial]:
    """The nDCG of the validation questions by step; the last row of a step counts."""
    by_step = {
        int(row.get("step", 0)): float(value)
        for row in log
        for key, value in row.items()
        if key.endswith(DEFAULT_MEASURE) and "reported/" not in key and isinstance(value, int | float)
    }
    return [Trial(step, value) for step, value in sorted(by_step.items())]


def headline(training: Training) -> list[tuple[str, bool]]:
    """The page's headline in pieces, each with True where it is printed bold."""
    name = str(training.notes.get("base") or training.recipe.get("student") or training.recipe.get("base") or "A model")
    verb = {"distill": "learned from", "reward": "learned to mark explanations from", "rl": "was refined on"}[
        training.stage
    ]
    done = [(name.rsplit("/", 1)[-1], True), (f" {verb} {_data(training)}", False)]
    all_trials = trials(training.log)
    if training.running:
        step = max((int(row.get("step", 0)) for row in training.log), default=0)
        done = [(done[0][0], True), (f" is in training, at step {step}", False)]
    if training.stage == "reward":
        return [*done, *_marks(training)]
    if len(all_trials) < 2:
        return [*done, ("; it was not tried twice on questions held back, so nothing says what that was worth.", False)]
    start, best = all_trials[0].value, _kept(training, all_trials)
    change = best.value - start
    return [
        *done,
        (f": {DEFAULT_MEASURE} on questions held back from ", False),
        (f"{start:.3f} to {best.value:.3f}", True),
        (f" ({change:+.3f}), at step {best.step}.", False),
    ]


def sentences(training: Training) -> list[str]:
    """The kept step and the reason, and whether chance could explain the change."""
    if training.stage == "reward":
        return _beside(training)
    all_trials = trials(training.log)
    if not all_trials:
        return ["No questions were held back, so the last step was kept."]
    best = _kept(training, all_trials)
    lines = [_why(training, all_trials, best)]
    if len(all_trials) > 1 and all_trials[-1].value < best.value:
        lines.append(f"The last trial, at step {all_trials[-1].step}, had {all_trials[-1].value:.3f}.")
    return [*lines, _chance(training, best.value - all_trials[0].value)]


def _why(training: Training, all_trials: Sequence[Trial], best: Trial) -> str:
    tried = counted(len(all_trials), "trial")
    if best.value >= max(each.value for each in all_trials):
        return f"Step {best.step} has the best {DEFAULT_MEASURE} of {tried}" + (" so far." if training.running else ".")
    if training.stage != "distill":
        return f"Step {best.step} was kept of {tried}: those that ranked better were too far from calibrated."
    why = "the last" if _keeps_last(training) else "the best after the start, where the student stands as it was"
    return f"Step {best.step} was kept of {tried}, {why}."


def _keeps_last(training: Training) -> bool:
    return bool(training.recipe.get("trainer", {}).get("save_strategy") == "no")


def _marks(training: Training) -> list[tuple[str, bool]]:
    accuracy = training.notes.get("accuracy") or {}
    if accuracy.get("trained") is None:
        return [(".", False)]
    return [
        (": of two explanations of a document it prefers the one with the better mark in ", False),
        (f"{accuracy['trained']['mean']:.3f}", True),
        (" of the pairs held back.", False),
    ]


def _beside(training: Training) -> list[str]:
    """The accuracy of other systems on the same pairs; the control on shuffled marks shows what chance does."""
    accuracy = training.notes.get("accuracy") or {}
    others = [f"{name} {each['mean']:.3f}" for name, each in accuracy.items() if name != "trained" and each]
    if not others:
        return ["Nothing is told of pairs held back yet." if training.running else "No pairs were held back."]
    return [f"On the same pairs: {', '.join(others)}. Chance is 0.500.", "The last step was kept."]


def _chance(training: Training, gain: float) -> str:
    if training.control is None:
        control = "interank rl ... control=shuffled" if training.stage == "rl" else "one on shuffled judgments"
        return f"Whether chance could have done it is not known from this training alone: {control} is the control."
    beside = trials(training.control)
    if len(beside) < 2:
        return "The control was not tried twice, so it says nothing."
    highest = max(each.value for each in beside) - beside[0].value
    sentence = f"With shuffled grades the best trial is {highest:+.3f} from its start, here it is {gain:+.3f}."
    return sentence + (" Chance could have done it." if highest >= gain else "")


def _kept(training: Training, all_trials: Sequence[Trial]) -> Trial:
    validation = training.notes.get("validation")
    if validation:
        return Trial(int(validation["best"]["step"]), float(validation["best"][DEFAULT_MEASURE]))
    if training.stage == "distill":
        # The untrained student is tried for comparison and never kept; of equal steps the first is kept.
        after = [each for each in all_trials if each.step] or all_trials
        return after[-1] if _keeps_last(training) else max(after, key=lambda each: (each.value, -each.step))
    return max(all_trials, key=lambda each: (each.value, each.step))


def _data(training: Training) -> str:
    counts = training.counts
    for key, noun in (("examples", "judgment"), ("pairs", "pair"), ("lists", "list"), ("groups", "group")):
        if key in counts:
            of = counts.get("questions") or counts.get("queries")
            return counted(counts[key], noun) + (f" of {counted(of, 'question')}" if of else "")
    return "its judgments"
