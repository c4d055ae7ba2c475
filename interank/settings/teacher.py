"""The teacher section of a recipe: which model, its engine, what it is asked for, and its budget."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Settings
from interank.settings.listwise import OrderingsRecipe
from interank.settings.servers import ServersRecipe

MAX_QUERIES = 10
# The tokens of a short sentence.
_LEAST_REASONING = 8


class VllmRecipe(Settings):
    """How vLLM runs the model in this process."""

    tensor_parallel: int = Field(1, ge=1)
    """GPUs that share the model's layers."""
    quantisation: str | None = None
    """vLLM's name of the weights' quantisation (fp8, awq_marlin); null takes that of the model's configuration."""
    dtype: str = "auto"
    """auto, bfloat16, float16 or float32."""
    gpu_memory: float = Field(0.9, gt=0, lt=1)
    """The share of each GPU's memory that vLLM may take."""
    together: int = Field(512, ge=1)
    """Requests handed to vLLM at a time; vLLM decides how many of them run together."""


class ServerRecipe(ServersRecipe):
    """OpenAI-compatible servers that run the teacher."""

    model: str | None = None
    """The servers' name for the model, if it is not `teacher.model`."""
    api: Literal["auto", "tokens", "chat"] = "auto"
    """`tokens` sends token ids and reads the grade's probabilities, which vLLM's server supports; `chat` sends messages
    and parses the answer, which all support; `auto` asks the server which it supports."""
    schema_output: bool = False
    """For `chat`: request JSON in a schema that the server enforces."""


class RateRecipe(Settings):
    """A rate for prompt tokens, and one for generated tokens."""

    read: float = Field(ge=0)
    """For the prompt's tokens."""
    written: float = Field(ge=0)
    """For the answer's tokens."""


class BudgetRecipe(Settings):
    """The budget: no request is sent once a limit is reached; answers to requests in flight are still awaited."""

    tokens: int | None = Field(None, ge=1)
    """Prompt and generated tokens together."""
    dollars: float | None = Field(None, gt=0)
    """The cost by `teacher.price`."""
    seconds: float | None = Field(None, gt=0)
    """Seconds of asking the teacher, over all resumed runs."""


class TeacherRecipe(Settings):
    """The model that explains and grades the pairs."""

    model: str = ""
    """A hub name or a folder; with `engine: openai` also any name that the servers have. May be left out only where no
    model is needed, as with `grades: votes` and `max_reasoning_tokens: 0`."""
    engine: Literal["transformers", "vllm", "openai"] = "transformers"
    """`transformers` and `vllm` run the model in this process; `openai` uses OpenAI-compatible servers."""
    vllm: VllmRecipe = VllmRecipe()
    """For `engine: vllm`."""
    server: ServerRecipe = ServerRecipe()
    """For `engine: openai`."""
    grades: Literal["teacher", "votes", "given"] = "teacher"
    """`teacher` has the model grade. `votes` takes the grade from the post's origin (accepted answer 2, other or linked
    answer 1, negative 0), and `given` from `judgments`; with both the model writes only the explanation, and a grade
    without one is kept."""
    max_reasoning_tokens: int = Field(256, ge=0)
    """The token budget of an explanation; 0 collects grades alone."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    samples: int = Field(1, ge=1, le=64)
    """How often each pair is judged; the grade of most samples is taken."""
    min_agreement: float = Field(0.0, ge=0, le=1)
    """A pair is rejected if a smaller share of its samples has that grade."""
    queries: int = Field(0, ge=0, le=MAX_QUERIES)
    """How many search queries the teacher writes for each question."""
    query_pairs: int = Field(0, ge=0, le=MAX_QUERIES)
    """How many of a question's search queries are judged with each of its documents."""
    max_query_tokens: int = Field(256, ge=16)
    """The token budget of an answer with search queries."""
    orderings: OrderingsRecipe | None = None
    """How the teacher also orders each query's judged documents, for a listwise student; null asks for no order."""
    batch_size: int = Field(16, ge=1)
    """The batch size of generation with transformers."""
    price: RateRecipe | None = None
    """Dollars for a million tokens, for the plan and the budget."""
    speed: RateRecipe | None = None
    """Tokens a second over all servers or GPUs, measured elsewhere; for the plan."""

    @property
    def grades_itself(self) -> bool:
        """Whether the model grades, rather than explains known grades."""
        return self.grades == "teacher"

    @property
    def is_asked(self) -> bool:
        """Whether a model is needed at all."""
        return bool(self.grades_itself or self.max_reasoning_tokens or self.queries or self.orderings)

    @model_validator(mode="after")
    def _somebody_is_asked(self) -> TeacherRecipe:
        if 0 < self.max_reasoning_tokens < _LEAST_REASONING:
            raise ValueError(
                f"max_reasoning_tokens: {self.max_reasoning_tokens} is too few for a sentence; give {_LEAST_REASONING} "
                "or more, or 0 for grades without explanations"
            )
        if not self.max_reasoning_tokens and self.server.schema_output:
            raise ValueError(
                "max_reasoning_tokens: 0 leaves no room for the explanation that server.schema_output asks for; set "
                "schema_output: false"
            )
        if self.is_asked and not self.model:
            raise ValueError(
                "model: grades or explanations need a model; name one, or use votes alone with grades: votes and "
                "max_reasoning_tokens: 0"
            )
        return self

    @model_validator(mode="after")
    def _what_is_asked_fits(self) -> TeacherRecipe:
        if self.engine == "openai" and not self.server.urls:
            raise ValueError("server.urls: engine openai needs the base URL of a server, as http://localhost:8000/v1")
        if self.engine != "openai" and self.server.urls:
            raise ValueError(f"server.urls: engine {self.engine} uses no server; set engine: openai, or leave them out")
        if self.samples > 1 and not self.temperature:
            raise ValueError(f"samples: {self.samples} greedy samples are all alike; set a temperature over 0")
        if self.query_pairs > self.queries:
            raise ValueError(
                f"query_pairs: {self.query_pairs} is more than the {self.queries} search queries; raise queries"
            )
        if not self.grades_itself and self.query_pairs:
            raise ValueError(
                f"query_pairs: with grades: {self.grades} no model grades the documents of search queries; set grades: "
                "teacher, or query_pairs: 0"
            )
        return self
