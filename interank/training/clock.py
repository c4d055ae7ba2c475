"""Seconds of a GRPO step by part: rollout, reward, sync (the adapter to the sampler), and the rest, the update."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

Part = Literal["rollout", "reward", "update", "sync"]
PARTS: tuple[Part, ...] = ("rollout", "reward", "update", "sync")
_PREFIX = "seconds/"


class Clock(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Measures the steps of a trainer, which opens `part` around what is not the update."""

    def __init__(self, metrics: Mapping[str, list[float]]) -> None:
        """Every step, a figure for each part is appended to the trainer's metrics."""
        self.metrics = metrics
        self.began = 0.0
        self.spent: dict[Part, float] = {}

    @contextmanager
    def part(self, name: Part) -> Iterator[None]:
        """Count the seconds in here as this part's, but for those that a part within counts as its own."""
        began, before = time.perf_counter(), sum(self.spent.values())
        try:
            yield
        finally:
            within = sum(self.spent.values()) - before
            self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - began - within

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start a step."""
        self.began = time.perf_counter()
        self.spent = {}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Give the step's seconds to the trainer's log."""
        whole = time.perf_counter() - self.began
        self.spent["update"] = whole - sum(self.spent.get(name, 0.0) for name in PARTS if name != "update")
        for name in PARTS:
            self.metrics[_PREFIX + name].append(self.spent.get(name, 0.0))


def seconds_of(logs: Mapping[str, float]) -> dict[Part, float]:
    """The seconds a step of each part that a line of the trainer's log holds; empty where it holds none."""
    return {name: logs[_PREFIX + name] for name in PARTS if _PREFIX + name in logs}


def shares(seconds: Mapping[Part, float]) -> dict[str, float]:
    """What part of a step each takes."""
    whole = sum(seconds.values())
    return {name: round(value / whole, 3) for name, value in seconds.items()} if whole else {}


def summary(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Seconds a step, and each part's share of them, over a trainer's log, checkpoints' included."""
    lines = [seconds for logs in history if (seconds := seconds_of(logs))]
    if not lines:
        return {}
    mean: dict[Part, float] = {name: sum(line.get(name, 0.0) for line in lines) / len(lines) for name in PARTS}
    found = {"seconds_per_step": round(sum(mean.values()), 3)}
    return found | {f"{name}_share": share for name, share in shares(mean).items()}
