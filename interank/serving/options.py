"""Options of a request beyond its dialect: mode, explanations, guard, fit, budgets, timeout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from interank.modes import Guard, Mode
from interank.serving.requests import Refusal

_EXPLAINED = 3


class Options(BaseModel):
    """The keys that interank adds to every dialect's body; null means that the key is absent."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    mode: Mode | None = None
    explain: bool | Annotated[int, Field(ge=0)] | None = None
    guard: Guard | None = None
    fit: bool | None = None
    max_reasoning_tokens: Annotated[int, Field(ge=1)] | None = None
    budget_tokens: Annotated[int, Field(ge=0)] | None = None
    budget_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    min_score: Annotated[float, Field(allow_inf_nan=False)] | None = None
    min_grade: Annotated[int, Field(ge=0, le=2)] | None = None
    min_probability: Annotated[float, Field(ge=0, le=1)] | None = None
    timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    stream: bool | None = None

    @property
    def explained(self) -> int | None:
        """The number of top documents to explain; None leaves it to the mode."""
        return _EXPLAINED if self.explain is True else 0 if self.explain is False else self.explain

    @property
    def minimums(self) -> dict[str, float]:
        """The minimums that a document must reach to be returned, as for `Reranker.rank`."""
        return self.model_dump(include={"min_score", "min_grade", "min_probability"}, exclude_none=True)


def read_options(body: Mapping[str, Any]) -> Options:
    """Read the options of a body.

    Raises:
        Refusal: An option has the wrong type or value.
    """
    try:
        return Options.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = str(first["loc"][0])
        raise Refusal("invalid", f"found a body that cannot be read at {place}: {first['msg']}", field=place) from error
