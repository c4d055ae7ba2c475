"""The seconds of a GRPO step by part: rollout, reward, sync (of the adapter to the sampler), and update (the rest)."""

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
    """Measures the steps of a trainer, which opens `part` around all parts but the update."""

    def __init__(self, metrics: Mapping[str, list[float]]) -> None:
        """Take the trainer's metrics, to which each step appends the seconds of each part."""
        self.metrics = metrics
        self.began = 0.0
        self.spent: dict[Part, float] = {}

    @contextmanager
    def part(self, name: Part) -> Iterator[None]:
        """Count the context's seconds as this part's, less those of parts that are opened in it."""
        began, before = time.perf_counter(), sum(self.spent.values())
        try:
            yield
        finally:
            nested = sum(self.spent.values()) - before
            self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - began - nested

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start a step."""
        self.began = time.perf_counter()
        self.spent = {}

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Append the step's seconds to the trainer's metrics."""
        whole = time.perf_counter() - self.began
        self.spent["update"] = whole - sum(self.spent.get(name, 0.0) for name in PARTS if name != "update")
        for name in PARTS:
            self.metrics[_PREFIX + name].append(self.spent.get(name, 0.0))


def seconds_of(logs: Mapping[str, float]) -> dict[Part, float]:
    """The seconds of each part in a line of the trainer's log; empty where it has none."""
    return {name: logs[_PREFIX + name] for name in PARTS if _PREFIX + name in logs}


def shares(seconds: Mapping[Part, float]) -> dict[str, float]:
    """Each part's share of a step."""
    whole = sum(seconds.values())
    return {name: round(value / whole, 3) for name, value in seconds.items()} if whole else {}


def summary(history: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean seconds a step and each part's share, over a trainer's log, earlier runs of it included."""
    lines = [seconds for logs in history if (seconds := seconds_of(logs))]
    if not lines:
        return {}
    mean: dict[Part, float] = {name: sum(line.get(name, 0.0) for line in lines) / len(lines) for name in PARTS}
    per_step = {"seconds_per_step": round(sum(mean.values()), 3)}
    return per_step | {f"{name}_share": share for name, share in shares(mean).items()}
