"""A reward as a recipe names it: found in the rewards folder or by path, loaded on its first call, picklable."""

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
"""What completions are, as a task calls them: `judgments` of a document, `lists` in an order."""

Credit = Literal["grade", "explanation", "answer"]
"""Which tokens of a grade-first answer a reward is for: the grade's, those after it, or all."""

ALLOWING = "INTERANK_ALLOW_CODE"
"""The environment variable by which reward files outside of the package may run."""

TRL_COLUMNS = ("prompts", "completion_ids", "trainer_state", "log_extra", "log_metric")
"""What TRL gives every reward of GRPO beside the completions and their rows' columns."""


def reward_file(use: str) -> Path:
    """The Python file that a recipe's `use` names.

    Raises:
        InputError: There is no such file.
    """
    path = expanded(use) if use.endswith(".py") else resource_dir("rewards") / f"{use}.py"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in resource_dir("rewards").glob("*.py")))
        raise InputError(f"no reward {use!r}; known are {known}, or give the path of a Python file")
    return path.resolve()


def allow_code() -> None:
    """Let recipes name Python files of the user's, in this process and those that it starts."""
    os.environ[ALLOWING] = "1"


def _refuse_foreign(file: Path) -> None:
    """Stop at a file that is not interank's: loading it runs it, and the recipe may be somebody else's.

    Raises:
        InputError: It is not, and nobody said that such files may run.
    """
    if os.environ.get(ALLOWING) != "1" and not file.is_relative_to(resource_dir("rewards").resolve()):
        raise InputError(
            f"the recipe names the reward {file}, a Python file that would run with all your rights; read it, and say "
            f"--allow-code (or {ALLOWING}=1 in the environment) if it may"
        )


@dataclass(frozen=True)
class Reward:
    """Calls one reward function with its parameters; a plain value, so that it reaches spawned workers."""

    use: str
    file: Path
    weight: float = 1.0
    params: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_recipe(cls, recipe: RewardRecipe) -> Reward:
        """The reward that a recipe's entry describes; its file and parameters are checked now, not in training.

        Raises:
            InputError: There is no such file, it has no function `reward`, or that takes no such parameter.
        """
        reward = cls(recipe.use, reward_file(recipe.use), recipe.weight, dict(recipe.params))
        _refuse_foreign(reward.file)
        function = _function(reward.file)
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise InputError(
                f"reward {recipe.use} is async, and rewards are called one after the other; write def reward"
            )
        accepted = inspect.signature(function).parameters
        for name in reward.params:
            if name not in accepted:
                raise InputError(f"reward {recipe.use}: no parameter {name!r}; it takes {', '.join(accepted)}")
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in accepted.values()):
            raise InputError(
                f"reward {recipe.use} takes {', '.join(accepted) or 'nothing'} only, and is given every column; end "
                "its parameters with **_"
            )
        return reward

    def check_columns(self, given: Collection[str]) -> None:
        """Stop where it asks for what a completion does not come with.

        Raises:
            InputError: Names the columns that are not there, and those that are.
        """
        asked = [
            name
            for name, each in inspect.signature(_function(self.file)).parameters.items()
            if each.default is each.empty and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
        ]
        if lacking := [name for name in asked if name not in {"completions", *given, *self.params}]:
            raise InputError(
                f"reward {self.use} asks for {' and '.join(lacking)}, which there is not; it is given completions, "
                f"{', '.join(given)}, and what its params say"
            )

    @property
    def of(self) -> Subject:
        """What it values: the file's `OF`; a reward that does not say is of judgments.

        Raises:
            InputError: It says something else than what completions are.
        """
        said = getattr(_module(self.file), "OF", "judgments")
        if not isinstance(said, str) or not said:
            raise InputError(
                f'reward {self.use}: OF is {said!r}, where what it values is needed, as "judgments" or "lists"'
            )
        return said

    @property
    def credit(self) -> Credit:
        """The file's `CREDIT`; a reward that does not say is for the whole answer.

        Raises:
            InputError: It says something else than grade, explanation or answer.
        """
        said = getattr(_module(self.file), "CREDIT", "answer")
        if said not in ("grade", "explanation", "answer"):
            raise InputError(f"reward {self.use}: CREDIT is {said!r}, where grade, explanation or answer is needed")
        return cast(Credit, said)

    @property
    def orders(self) -> tuple[str, ...]:
        """The orders of answers in which it tells anything: the file's `ORDERS`, else both."""
        return tuple(getattr(_module(self.file), "ORDERS", ("grade_first", "reason_first")))

    @property
    def compares(self) -> bool:
        """Whether a value hangs on the batch's other completions: the file's `COMPARES`, else not."""
        return bool(getattr(_module(self.file), "COMPARES", False))

    @property
    def asks_reader(self) -> bool:
        """Whether it can ask the frozen reader, which then has to be kept."""
        return "reader" in inspect.signature(_function(self.file)).parameters

    @property
    def needs_judge(self) -> bool:
        """Whether it asks a judge: it takes one, and is given no reward model instead."""
        return "judge" in inspect.signature(_function(self.file)).parameters and "model" not in self.params

    @property
    def __name__(self) -> str:
        """What trainers call it in their logs."""
        return Path(self.use).stem

    def given(self, **params: Any) -> Reward:
        """The same with other parameters, as what a name in the recipe stands for."""
        return replace(self, params={**self.params, **params})

    def equipped(self, **tools: Any) -> WeightedReward:
        """The reward with its weight, its credit, and what it may ask for."""
        return WeightedReward(self, self.weight, self.credit, tools)

    def __call__(self, *, completions: Sequence[Any], **columns: Any) -> list[float | None]:
        """One value a completion; None where the reward does not apply.

        Raises:
            InputError: The function failed, or gave something else than a finite number or None for each completion.
        """
        self.check_columns(columns)
        function = _function(self.file)
        try:
            values: Any = function(completions=list(completions), **{**columns, **self.params})
        except InterankError:
            raise
        except Exception as error:
            # What the machine lacks is told by whoever trains.
            if machine.fault(error):
                raise
            raise InputError(f"reward {self.use} failed: {_told(error, self.file)}; mend it and go on") from error
        if isinstance(values, str | bytes) or not hasattr(values, "__len__") or not hasattr(values, "__iter__"):
            raise InputError(
                f"reward {self.use} gave {plain_data.shown(values)}, where a list of numbers is needed; mend it"
            )
        if len(values) != len(completions):
            raise InputError(
                f"reward {self.use} gave {counted(len(values), 'value')} for "
                f"{counted(len(completions), 'completion')}; have it give one for each"
            )
        try:
            return [None if value is None else plain_data.finite(value) for value in values]
        except ValueError as error:
            raise InputError(f"reward {self.use}: {error}, and not None; have it give one or the other") from None


@dataclass(frozen=True)
class WeightedReward:
    """A reward as a training has it: what gives the values, how they weigh, and which tokens are credited with them."""

    reward: Callable[..., list[float | None]]
    weight: float = 1.0
    credit: Credit = "answer"
    tools: Mapping[str, Any] = field(default_factory=dict)
    """What it may ask for beside the columns: a judge, or the policy's grades of other texts."""

    def with_tools(self, **tools: Any) -> WeightedReward:
        """The same reward, which may ask for these too."""
        return replace(self, tools={**self.tools, **tools})

    @property
    def __name__(self) -> str:
        """The reward's."""
        return str(self.reward.__name__)

    def __call__(self, **columns: Any) -> list[float | None]:
        """As the reward's, of several processes as of one.

        Where a judge is asked, the first asks for all, within one budget. What compares completions is given those of
        all, and `places` of this process's, so that it need not value the others.
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
            found = distributed.from_first(lambda: self.by_itself(**{**columns, **whole}))
        else:
            found = self.by_itself(**{**columns, **whole, "places": own})
        return [found[place] for place in own]

    def by_itself(self, **columns: Any) -> list[float | None]:
        """As the reward's, in this process."""
        return self.reward(**{**columns, **self.tools})


def _function(file: Path) -> Callable[..., list[float | None]]:
    function = getattr(_module(file), "reward", None)
    if not callable(function):
        raise InputError(f"{file} has no function `reward`; write reward(*, completions, **columns)")
    return function  # type: ignore[no-any-return]


def _module(file: Path) -> ModuleType:
    """The file as a module, loaded once a process, under a name of its own."""
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
        raise InputError(f"{file} does not import: {_told(error, file)}; mend it") from error
    sys.modules[name] = module
    return module


def _told(error: BaseException, file: Path) -> str:
    """What a user's file raised, and in which of its lines."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    line = lines[-1] if lines else error.lineno if isinstance(error, SyntaxError) else None
    said = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}{f' ({said})' if said else ''}" + (f" at {file}:{line}" if line else "")
