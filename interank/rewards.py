"""Rewards that a recipe names: Python files of the rewards folder, or of a path; each is loaded when first used."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, cast

from interank import distributed, machine, plain_data
from interank.errors import InputError, InterankError
from interank.resources import expanded, resource_dir
from interank.settings import RewardRecipe
from interank.wording import counted

Subject = str
"""The kind of a task's completions, such as `judgments` of a document, or `lists` of documents in an order."""

Credit = Literal["grade", "explanation", "answer"]
"""The tokens of a grade-first answer that get a reward: the grade's, those after it, or all."""

ALLOWING = "INTERANK_ALLOW_CODE"
"""The environment variable that lets reward files outside the package run."""

TRL_COLUMNS = ("prompts", "completion_ids", "trainer_state", "log_extra", "log_metric")
"""The arguments that TRL passes to every reward of GRPO beside the completions and their rows' columns."""


def reward_file(use: str) -> Path:
    """The Python file that a recipe's `use` names.

    Raises:
        InputError: There is no such file.
    """
    path = expanded(use) if use.endswith(".py") else resource_dir("rewards") / f"{use}.py"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in resource_dir("rewards").glob("*.py")))
        raise InputError(f"there is no reward {use!r}; name one of {known}, or the path of a Python file")
    return path.resolve()


def allow_code() -> None:
    """Let recipes name the user's Python files, in this process and in those that it starts."""
    os.environ[ALLOWING] = "1"


def _refuse_foreign(file: Path) -> None:
    """Refuse a file outside the package: loading runs it, and the recipe may be a stranger's.

    Raises:
        InputError: The file is outside the package, and such files are not allowed.
    """
    if os.environ.get(ALLOWING) != "1" and not file.is_relative_to(resource_dir("rewards").resolve()):
        raise InputError(
            f"the recipe names the reward {file}, a Python file that would run with all your rights; read it, and say "
            f"--allow-code (or set {ALLOWING}=1) if you trust it"
        )


@dataclass(frozen=True)
class Reward:
    """Calls one reward function with its parameters; it can be pickled, so that it reaches spawned workers."""

    use: str
    file: Path
    weight: float = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_recipe(cls, recipe: RewardRecipe) -> Reward:
        """The reward of a recipe's entry; its file and parameters are checked here, before training.

        Raises:
            InputError: The file does not exist, has no function `reward`, or that function takes no such parameter.
        """
        reward = cls(recipe.use, reward_file(recipe.use), recipe.weight, dict(recipe.params))
        _refuse_foreign(reward.file)
        function = _function(reward.file)
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise InputError(f"reward {recipe.use} is async, and an ordinary function is needed; write def reward")
        accepted = inspect.signature(function).parameters
        for name in reward.params:
            if name not in accepted:
                raise InputError(f"reward {recipe.use} has no parameter {name!r}; it takes {', '.join(accepted)}")
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in accepted.values()):
            raise InputError(
                f"reward {recipe.use} takes only {', '.join(accepted) or 'nothing'}, and is called with all columns; "
                "end its parameters with **_"
            )
        return reward

    def check_columns(self, given: Collection[str]) -> None:
        """Refuse a reward with a required parameter that is no column.

        Raises:
            InputError: Names the missing columns, and those that there are.
        """
        required = [
            name
            for name, each in inspect.signature(_function(self.file)).parameters.items()
            if each.default is each.empty and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        ]
        if lacking := [name for name in required if name not in {"completions", *given, *self.params}]:
            raise InputError(
                f"reward {self.use} needs {' and '.join(lacking)}, which is neither a column nor in its params; the "
                f"columns are completions, {', '.join(given)}"
            )

    @property
    def of(self) -> Subject:
        """The kind of completions that it values: the file's `OF`, else judgments.

        Raises:
            InputError: `OF` is no text.
        """
        subject = getattr(_module(self.file), "OF", "judgments")
        if not isinstance(subject, str) or not subject:
            raise InputError(
                f"reward {self.use}: OF is {subject!r}; it has to name the kind of completions, such as "
                '"judgments" or "lists"'
            )
        return subject

    @property
    def credit(self) -> Credit:
        """The tokens that get the reward: the file's `CREDIT`, else the whole answer.

        Raises:
            InputError: `CREDIT` is none of grade, explanation and answer.
        """
        credit = getattr(_module(self.file), "CREDIT", "answer")
        if credit not in ("grade", "explanation", "answer"):
            raise InputError(f"reward {self.use}: CREDIT is {credit!r}; it has to be grade, explanation or answer")
        return cast(Credit, credit)

    @property
    def orders(self) -> tuple[str, ...]:
        """The orders of answers in which it gives values: the file's `ORDERS`, else both."""
        return tuple(getattr(_module(self.file), "ORDERS", ("grade_first", "reason_first")))

    @property
    def compares(self) -> bool:
        """Whether a value depends on the batch's other completions: the file's `COMPARES`, else not."""
        return bool(getattr(_module(self.file), "COMPARES", False))

    @property
    def asks_reader(self) -> bool:
        """Whether it can ask the frozen reader, which the training then has to keep."""
        return "reader" in inspect.signature(_function(self.file)).parameters

    @property
    def needs_judge(self) -> bool:
        """Whether it asks a judge: it takes one, and its params name no reward model instead."""
        return "judge" in inspect.signature(_function(self.file)).parameters and "model" not in self.params

    @property
    def __name__(self) -> str:
        """The reward's name in the trainer's logs."""
        return Path(self.use).stem

    def given(self, **params: Any) -> Reward:
        """The same reward with other parameters, such as an opened model in place of its name."""
        return replace(self, params={**self.params, **params})

    def equipped(self, **tools: Any) -> WeightedReward:
        """The reward with its weight, its credit and the tools that it may use."""
        return WeightedReward(self, self.weight, self.credit, tools)

    def __call__(self, *, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """One value a completion; None where the reward does not apply.

        Raises:
            InputError: The function raised, or did not return a finite number or None for each completion.
        """
        self.check_columns(columns)
        function = _function(self.file)
        try:
            values: Any = function(completions=list(completions), **{**columns, **self.params})
        except InterankError:
            raise
        except Exception as error:
            # A fault of the machine (memory, disk) is reported by the training.
            if machine.fault(error):
                raise
            raise InputError(f"reward {self.use} failed: {_shown(error, self.file)}; fix it and run again") from error
        if isinstance(values, str | bytes) or not hasattr(values, "__len__") or not hasattr(values, "__iter__"):
            raise InputError(
                f"reward {self.use} returned {plain_data.shown(values)}, and a list of numbers is expected; fix it"
            )
        if len(values) != len(completions):
            raise InputError(
                f"reward {self.use} returned {counted(len(values), 'value')} for "
                f"{counted(len(completions), 'completion')}; have it return one for each"
            )
        try:
            return [None if value is None else plain_data.finite(value) for value in values]
        except ValueError as error:
            raise InputError(
                f"reward {self.use}: {error}, expected a number or None; have it return one for each completion"
            ) from None


@dataclass(frozen=True)
class WeightedReward:
    """A reward in a training: the function, its weight, the tokens that get its values, and its tools."""

    reward: Callable[..., list[float | None]]
    weight: float = 1.0
    credit: Credit = "answer"
    tools: Mapping[str, Any] = field(default_factory=dict)
    """Arguments beside the columns: a judge, or a reader."""

    def with_tools(self, **tools: Any) -> WeightedReward:
        """The same reward with more tools."""
        return replace(self, tools={**self.tools, **tools})

    @property
    def __name__(self) -> str:
        """The reward's name."""
        return str(self.reward.__name__)

    def __call__(self, **columns: Any) -> list[float | None]:
        """The values of this process's completions, the same with several processes as with one.

        A judge is asked by the first process alone, for the completions of all, within one budget. A reward that
        compares completions gets those of all processes. Its argument `places` holds the indices of this process's
        completions; only their values are used.
        """
        compares = isinstance(self.reward, Reward) and self.reward.compares
        if distributed.world() == 1 or not ("judge" in self.tools or compares):
            return self.by_itself(**columns)
        size = len(columns["completions"])
        listed = {name: each for name, each in columns.items() if isinstance(each, list) and len(each) == size}
        parts = distributed.gathered(listed)
        whole = {name: [value for part in parts for value in part[name]] for name in listed}
        before = sum(len(part["completions"]) for part in parts[: distributed.rank()])
        own = range(before, before + size)
        if "judge" in self.tools:
            values = distributed.from_first(lambda: self.by_itself(**{**columns, **whole}))
        else:
            values = self.by_itself(**{**columns, **whole, "places": own})
        return [values[place] for place in own]

    def by_itself(self, **columns: Any) -> list[float | None]:
        """The reward's values, computed in this process alone."""
        return self.reward(**{**columns, **self.tools})


def _function(file: Path) -> Callable[..., list[float | None]]:
    function = getattr(_module(file), "reward", None)
    if not callable(function):
        raise InputError(f"{file} has no function `reward`; write reward(*, completions, **columns)")
    return function  # type: ignore[no-any-return]


def _module(file: Path) -> ModuleType:
    """The file as a module under a name of its own, loaded once a process."""
    name = f"interank._rewards.{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file} cannot be loaded as a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise InputError(f"{file} does not import: {_shown(error, file)}; fix it") from error
    sys.modules[name] = module
    return module


def _shown(error: BaseException, file: Path) -> str:
    """An error of a user's file: its type, its message, and the file's line."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    line = lines[-1] if lines else error.lineno if isinstance(error, SyntaxError) else None
    message = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{f' ({message})' if message else ''}" + (f" at {file}:{line}" if line else "")
