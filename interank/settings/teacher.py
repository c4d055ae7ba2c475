"""The teacher's part of a recipe: which model, what runs it, what it is asked, and where asking stops."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import Settings
from interank.settings.listwise import OrderingsRecipe
from interank.settings.servers import ServersRecipe

MAX_QUERIES = 10
# A short sentence.
_LEAST_REASONING = 8


class VllmRecipe(Settings):
    """How vLLM runs the model in this process."""

    tensor_parallel: int = Field(1, ge=1)
    """GPUs that share the model's layers."""
    quantisation: str | None = None
    """vLLM's name of the weights' form (fp8, awq_marlin); null takes what the model's own configuration says."""
    dtype: str = "auto"
    """auto, bfloat16, float16 or float32."""
    gpu_memory: float = Field(0.9, gt=0, lt=1)
    """The share of each GPU's memory that vLLM may take."""
    together: int = Field(512, ge=1)
    """Requests that are handed over together; what runs at a time vLLM decides."""


class ServerRecipe(ServersRecipe):
    """OpenAI-compatible servers that are asked for judgments."""

    model: str | None = None
    """What the servers call the model, where it isn't `teacher.model`."""
    api: Literal["auto", "tokens", "chat"] = "auto"
    """`tokens` sends token ids and reads the grade's probabilities, which vLLM's server can; `chat` sends messages and
    parses the answer, which all can; `auto` asks the server."""
    schema_output: bool = False
    """In `chat`: ask for JSON by a schema that the server enforces."""


class RateRecipe(Settings):
    """Something for tokens read, and for tokens written."""

    read: float = Field(ge=0)
    """For the prompt's tokens."""
    written: float = Field(ge=0)
    """For the answer's tokens."""


class BudgetRecipe(Settings):
    """Where asking stops; the first limit that is reached counts. What is under way then is still waited for."""

    tokens: int | None = Field(None, ge=1)
    """Read and written together."""
    dollars: float | None = Field(None, gt=0)
    """By `teacher.price`."""
    seconds: float | None = Field(None, gt=0)
    """Of asking, over all resumed runs."""


class TeacherRecipe(Settings):
    """The model that explains and grades the pairs."""

    model: str = ""
    """A hub name or a folder; with `engine: openai` also any name that the servers know. Left out only where nothing is
    asked, as with `grades: votes` and `max_reasoning_tokens: 0`."""
    engine: Literal["transformers", "vllm", "openai"] = "transformers"
    """What runs it: in this process transformers or vLLM, elsewhere any OpenAI-compatible server."""
    vllm: VllmRecipe = VllmRecipe()
    """For `engine: vllm`."""
    server: ServerRecipe = ServerRecipe()
    """For `engine: openai`."""
    grades: Literal["teacher", "votes", "given"] = "teacher"
    """`teacher` lets the model grade. `votes` takes the grade from how the post was found (accepted answer 2,
    other or linked answer 1, negative 0) and `given` that of `judgments`; both ask the model for the explanation only,
    and keep a grade that it does not explain."""
    max_reasoning_tokens: int = Field(256, ge=0)
    """The explanation's budget; with 0 there are grades alone."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    samples: int = Field(1, ge=1, le=64)
    """How often each pair is judged; the grade is the vote."""
    min_agreement: float = Field(0.0, ge=0, le=1)
    """Pairs whose vote has a smaller share of the samples are rejected."""
    queries: int = Field(0, ge=0, le=MAX_QUERIES)
    """How many search queries are asked for each question."""
    query_pairs: int = Field(0, ge=0, le=MAX_QUERIES)
    """How many of a question's search queries are judged with each of its documents."""
    max_query_tokens: int = Field(256, ge=16)
    """The budget of an answer with search queries."""
    orderings: OrderingsRecipe | None = None
    """Whether, and how, each query's judged documents are put in an order too, for a listwise student."""
    batch_size: int = Field(16, ge=1)
    """Requests that generate together on transformers, in the order of the pairs."""
    price: RateRecipe | None = None
    """Dollars for a million tokens; for the plan and the budget."""
    speed: RateRecipe | None = None
    """Tokens a second over all servers or GPUs, measured elsewhere; for the plan."""

    @property
    def grades_itself(self) -> bool:
        """Whether the model grades, rather than explain grades that are known."""
        return self.grades == "teacher"

    @property
    def is_asked(self) -> bool:
        """Whether there is anything to ask a model for."""
        return bool(self.grades_itself or self.max_reasoning_tokens or self.queries or self.orderings)

    @model_validator(mode="after")
    def _somebody_is_asked(self) -> TeacherRecipe:
        if 0 < self.max_reasoning_tokens < _LEAST_REASONING:
            raise ValueError(
                f"max_reasoning_tokens: {self.max_reasoning_tokens} tokens hold no sentence; give {_LEAST_REASONING} "
                "or more, or 0 for grades without explanations"
            )
        if not self.max_reasoning_tokens and self.server.schema_output:
            raise ValueError(
                "max_reasoning_tokens: 0 leaves no room for the explanation that server.schema_output asks for; set "
                "schema_output: false"
            )
        if self.is_asked and not self.model:
            raise ValueError(
                "model: nobody is named to grade or explain; name a model, or take votes alone with grades: votes and "
                "max_reasoning_tokens: 0"
            )
        return self

    @model_validator(mode="after")
    def _what_is_asked_fits(self) -> TeacherRecipe:
        if self.engine == "openai" and not self.server.urls:
            raise ValueError("server.urls: engine openai needs the base URL of a server, as http://localhost:8000/v1")
        if self.engine != "openai" and self.server.urls:
            raise ValueError(f"server.urls: engine {self.engine} asks no server; set engine: openai, or leave them out")
        if self.samples > 1 and not self.temperature:
            raise ValueError(f"samples: {self.samples} greedy samples are all alike; set a temperature over 0")
        if self.query_pairs > self.queries:
            raise ValueError(
                f"query_pairs: {self.query_pairs} of {self.queries} search queries cannot be judged; raise queries"
            )
        if not self.grades_itself and self.query_pairs:
            raise ValueError(
                f"query_pairs: with grades: {self.grades} nobody grades the documents of search queries; set grades: "
                "teacher, or query_pairs: 0"
            )
        return self
