"""The options of `interank rerank`, checked as a recipe is: contradicting options are refused at once."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from interank.errors import InputError
from interank.modes import Guard, Mode, ThenMode, explained_by_default
from interank.outputs import check_file, holds_json
from interank.recipe import read_keys
from interank.settings import AdaptiveRecipe, HeadSettings, ListwiseRecipe, ServerRecipe
from interank.settings.base import Settings, checked
from interank.settings.precision import Precision, as_precision
from interank.shards import Shard
from interank.tasks.query_ranking import QueryRanking, set_minimums

if TYPE_CHECKING:
    from interank.tasks.ranker_settings import RankerSettings
    from interank.types import Query, RankedDocument

log = logging.getLogger(__name__)

# The tag of the runs that rerank writes.
TAG = "interank"
# How many first-stage candidates are ranked without `--top-k`.
_DEPTH = 100


class RerankOptions(Settings):
    """The options of one `interank rerank` command, by their names."""

    model: str
    files: tuple[Path, ...]
    query: str | None
    instruction: str | None = None
    corpus: Path | None
    requests: Path | None
    task: str | None
    split: str | None
    run_file: Path | None
    top_k: int | None
    min_score: float | None = None
    min_grade: int | None = None
    min_probability: float | None = None
    explain: int | None
    mode: Mode
    adaptive: AdaptiveRecipe | None
    """The keys of `--adaptive` and the two budgets."""
    lists: ListwiseRecipe | None
    head: HeadSettings | None
    domain: tuple[tuple[str, str], ...]
    fit: Path | None
    then: str | None
    then_mode: ThenMode
    then_depth: int
    base: str | None
    max_reasoning_tokens: int
    guard: Guard
    precision: Annotated[Precision, BeforeValidator(as_precision)]
    memory: Annotated[float | None, Field(gt=0)] = None
    engine: Literal["transformers", "vllm", "openai"]
    server: str | None
    served_name: str | None
    jsonl: Path | None
    trec: Path | None
    rank_llm: Path | None
    json_lines: bool
    shards: str | None = None
    """The shard of the queries that is ranked, as `N/OF`."""

    @property
    def shard(self) -> Shard | None:
        """`shards`, parsed; None is all queries.

        Raises:
            InputError: It is no shard.
        """
        return Shard.parse(self.shards) if self.shards else None

    @classmethod
    def of(cls, options: argparse.Namespace) -> RerankOptions:
        """Check the parsed command line.

        Raises:
            InputError: Options contradict each other, or a file would be overwritten.
            RecipeError: A section's keys cannot be read.
        """
        values = {name: getattr(options, name) for name in cls.model_fields if hasattr(options, name)}
        budget = {"tokens": options.budget_tokens, "seconds": options.budget_seconds}
        budget = {name: value for name, value in budget.items() if value is not None}
        keys = _keys("adaptive", options.adaptive)
        adaptive = {**(keys or {}), **budget} if keys or budget else None
        values |= {
            "files": tuple(options.files),
            "domain": tuple(options.domain),
            "json_lines": options.json,
            "adaptive": checked(AdaptiveRecipe, adaptive, "--adaptive"),
            "lists": checked(ListwiseRecipe, _keys("lists", options.lists), "--lists"),
            "head": checked(HeadSettings, _keys("head", options.head), "--head"),
        }
        try:
            checked_options = cls.model_validate(values)
        except ValidationError as error:
            raise InputError(error.errors()[0]["msg"].removeprefix("Value error, ")) from None
        checked_options.check_files()
        set_minimums(checked_options.minimums)
        return checked_options

    @property
    def minimums(self) -> dict[str, float]:
        """The least score, grade and probability of a document in the output.

        Raises:
            InputError: No document can reach one of them.
        """
        names = ("min_score", "min_grade", "min_probability")
        return set_minimums({name: getattr(self, name) for name in names})

    def reaching(self, query: Query, ranking: Sequence[RankedDocument]) -> list[RankedDocument]:
        """The documents that reach the minimums; only these are printed and explained.

        Raises:
            InputError: There is a minimum for a value that the reranker does not give.
        """
        return QueryRanking(query, ranking).at_least(self.minimums)

    @model_validator(mode="after")
    def _one_thing_is_ranked(self) -> RerankOptions:
        sources = [name for name in ("query", "corpus", "requests") if getattr(self, name) is not None]
        if len(sources) != 1:
            raise ValueError(
                "give either --query TEXT with document files, or --corpus DIR with the queries and documents, "
                "or --requests FILE with both"
            )
        if self.query is None and self.files:
            raise ValueError(
                f"{self.files[0]} was given with --{sources[0]}, which has its own documents; leave one of them out"
            )
        if self.query is not None and self.shards:
            raise ValueError("--shards divides queries, and --query is a single one; leave it out")
        if self.corpus is None and (self.run_file or self.split or self.task):
            raise ValueError(
                f"--run, --task and --split belong to --corpus; with --{sources[0]} the documents are the candidates"
            )
        if self.query is not None and not self.query.strip():
            raise ValueError("--query is empty; give the query's text")
        if self.instruction is not None and not self.instruction.strip():
            raise ValueError("--instruction is empty; say how to judge, or leave it out")
        if self.query is not None and not self.files:
            raise ValueError("--query needs documents: name text or JSONL files after the model")
        return self

    @model_validator(mode="after")
    def _servers_are_for_openai(self) -> RerankOptions:
        if self.engine != "openai" and (self.server or self.served_name):
            raise ValueError(
                f"--server and --served-name belong to --engine openai, but the engine is {self.engine}; set --engine "
                "openai, or leave them out"
            )
        return self

    @model_validator(mode="after")
    def _guards_are_for_grades(self) -> RerankOptions:
        if self.guard == "none":
            return self
        if self.mode == "listwise" or self.head:
            reason = "a head gives none" if self.head else "mode listwise gives none"
            raise ValueError(f"--guard {self.guard} corrects grades, but {reason}; leave one of them out")
        if self.fit or self.mode == "adaptive":
            raise ValueError(
                f"--guard {self.guard} changes scores, but --fit and mode adaptive need them unchanged; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _settings_are_of_a_mode(self) -> RerankOptions:
        if self.lists and "listwise" not in (self.mode, self.then and self.then_mode):
            raise ValueError("--lists belongs to mode listwise; set --mode or --then-mode, or leave it out")
        if self.mode != "adaptive" and self.adaptive:
            raise ValueError(
                f"--adaptive and budgets belong to mode adaptive, but the mode is {self.mode}; set --mode "
                "adaptive, or leave them out"
            )
        if self.mode == "adaptive" and (self.fit or self.explain):
            raise ValueError("--fit and --explain do not work with mode adaptive; leave them out")
        if self.head and (self.mode != "score" or self.engine != "transformers"):
            raise ValueError(
                "--head works only with --mode score and --engine transformers; leave --head out, or change those"
            )
        return self

    @model_validator(mode="after")
    def _domains_are_for_requests(self) -> RerankOptions:
        names = [name for name, _ in self.domain]
        if names and self.requests is None:
            raise ValueError("--domain belongs to --requests, whose rows name their domain; leave it out")
        if names and (self.mode != "score" or self.engine != "transformers" or self.guard != "none"):
            raise ValueError(
                "--domain belongs to pointwise heads, in mode score on engine transformers without a guard"
            )
        if names and self.fit:
            raise ValueError("--fit belongs to one model, and --domain gives several; leave one of them out")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"--domain {twice} was given twice; give each domain one adapter")
        return self

    @model_validator(mode="after")
    def _memory_is_of_transformers(self) -> RerankOptions:
        if self.memory is not None and (self.engine != "transformers" or self.head or self.domain):
            raise ValueError(
                "--memory works only with language models on --engine transformers; leave --memory out, or the other "
                "--engine, --head and --domain"
            )
        return self

    @model_validator(mode="after")
    def _one_reranker_explains(self) -> RerankOptions:
        if self.then and self.explain is not None:
            raise ValueError("--explain belongs to one reranker, and --then adds a second; leave one of them out")
        return self

    def check_files(self) -> None:
        """Check the output files: none is an input or named twice, and only files that rerank wrote are replaced.

        Raises:
            InputError: A file fails a check; the message names it.
        """
        read = [file for file in (self.requests, self.run_file, self.fit, *self.files) if file]
        written = {
            "--jsonl": (self.jsonl, lambda path: holds_json(path, "query_id", "ranking")),
            "--trec": (self.trec, _is_own_run),
            "--rank-llm": (self.rank_llm, lambda path: holds_json(path, "query", "candidates")),
        }
        names: dict[Path, str] = {}
        for name, (file, ours) in written.items():
            if file is None:
                continue
            check_file(name, file, ours=ours, read=read)
            other = names.setdefault(file.resolve(), name)
            if other != name:
                raise InputError(f"{other} and {name} are one file, {file}; give each its own")

    def check_read(self) -> None:
        """Check models and inputs before anything that runs models is imported.

        Raises:
            InterankError: One is missing or of another kind; the message says what it is.
        """
        from interank.inputs import Input, check_inputs, reranker
        from interank.stages.evaluating import benchmark, stored

        models = [("MODEL", self.model, self.base), *(("--domain", adapter, self.base) for _, adapter in self.domain)]
        models += [("--then", self.then, None)] if self.then else []
        named = [reranker(*each) for each in models]
        named += [benchmark("--corpus", self.corpus)] if self.corpus else []
        named += [stored("--run", self.run_file)] if self.run_file else []
        named += [Input("--requests", self.requests, "JSONL", lambda _: None, "file")] if self.requests else []
        check_inputs(named, glance=True)

    @property
    def depth(self) -> int:
        """How many first-stage candidates are ranked."""
        return self.top_k or _DEPTH

    @property
    def kept(self) -> int | None:
        """How many documents of a ranking are printed; None is all.

        With `--query` all documents are ranked, as there is no first stage, and `--top-k` limits the output only.
        """
        return self.top_k if self.query else None

    @property
    def wants_explanations(self) -> bool:
        """Whether explanations are wanted beside scores; they are by default with `--query`."""
        wanted = bool(self.query) if self.explain is None else self.explain > 0
        return wanted and self.mode == "score" and not self.then

    def explained(self, *, taught: bool) -> int | None:
        """How many documents are explained; `taught` is whether the model was trained to explain.

        Raises:
            InputError: `--explain` was given for a model that was not.
        """
        if not self.wants_explanations:
            return self.explain
        if not taught and self.explain:
            raise InputError(
                f"found --explain {self.explain}, but {self.model} gives scores or grades without explanations; give "
                "--explain 0, or a model that was trained to explain"
            )
        if not taught:
            log.info("%s gives scores or grades without explanations, so nothing is explained", self.model)
            return 0
        return explained_by_default("explain") if self.explain is None else self.explain

    @property
    def takes_stored(self) -> bool:
        """Whether MODEL's stored fit applies: it ranks alone, with the scores that it was fitted on."""
        return self.guard == "none" and not self.then

    def first(self) -> RankerSettings:
        """The settings of MODEL's reranker."""
        return self._ranker(
            self.model,
            self.mode,
            base=self.base,
            server=self._servers(self.served_name),
            adaptive=self.adaptive,
            head=self.head,
            fit=self.fit,
        )

    def second(self) -> RankerSettings | None:
        """The settings of `--then`'s reranker, if it is given."""
        if self.then is None:
            return None
        # If `--then` names MODEL again, MODEL's options apply to it too.
        again = self.then == self.model
        return self._ranker(
            self.then,
            self.then_mode,
            base=self.base if again else None,
            server=self._servers(None),
            head=self.head if again and self.then_mode == "score" else None,
        )

    def _ranker(self, model: str, mode: Mode, **more: Any) -> RankerSettings:
        from interank.tasks.ranker_settings import RankerSettings

        # In a chain only the reranker that grades can be guarded.
        lists = self.lists if mode == "listwise" else None
        guard: Guard = "none" if mode == "listwise" else self.guard
        return RankerSettings(
            model,
            mode,
            self.max_reasoning_tokens,
            self.engine,
            precision=self.precision,
            memory=self.memory,
            lists=lists,
            guard=guard,
            stored_fit=self.takes_stored,
            **more,
        )

    def _servers(self, name: str | None) -> ServerRecipe | None:
        return checked(ServerRecipe, {"urls": self.server, "model": name} if self.server else None, "--server")


def _keys(name: str, text: str | None) -> dict[str, Any] | None:
    return read_keys(f"--{name}", text.split(",")) if text else None


def _is_own_run(path: Path) -> bool:
    from interank.ir.trec import tag_of

    return tag_of(path) == TAG
