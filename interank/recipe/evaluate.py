"""The recipe of `interank evaluate`."""

from __future__ import annotations

from operator import not_
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from interank.errors import InputError
from interank.ir.bm25 import FirstStage
from interank.ir.measures import check_measures
from interank.modes import SECTIONS, RankingMode
from interank.settings.adaptive import AdaptiveRecipe
from interank.settings.base import FilePath, FilePaths, Names, Settings
from interank.settings.heads import HeadSettings
from interank.settings.links import Chain, LinkRecipe
from interank.settings.listwise import ListwiseRecipe
from interank.settings.rewards import MarkingRecipe

# The modes that explain documents on their way to a grade.
_EXPLAINING = {"reason", "adaptive"}


class EvaluateRecipe(Settings):
    """`interank evaluate`: measure adapters and stored runs on the same candidates, and write a report."""

    inputs: ClassVar[tuple[str, ...]] = ("benchmark",)
    stage: Literal["evaluate"]
    benchmark: FilePath | None = None
    """A folder in BEIR's or BRIGHT's layout or of several such, TREC DL's or NovelEval's files, RankGPT's JSON with a
    `qrels` file, or BRIGHT's name on the hub, xlangai/BRIGHT."""
    tasks: Names = ()
    """Tasks of a benchmark that has several; empty is all."""
    split: str | None = None
    """The split of queries and qrels, where the folder has several."""
    qrels: FilePath | None = None
    """A qrels file outside the benchmark folder."""
    qrels_form: Literal["original", "fixed"] = "original"
    """The version of BRIGHT's qrels; published figures use the original ones."""
    documents: Literal["short", "long"] = "short"
    """BRIGHT's passages (`short`), or whole pages with their own gold ids (`long`; report R@1 there)."""
    first_stage: FirstStage | None = None
    """The first-stage retriever: BM25 of plain words (`bm25`), of a language's stems (`bm25-german`; `bm25-english` has
    Lucene's analysis), or `bm25q`, English with weighted query terms, which is BRIGHT's published BM25. Null takes
    `run`, else the benchmark's own candidates, else bm25."""
    first_stage_queries: str | None = None
    """Queries for the first stage; the reranker still reads the original ones. One of BRIGHT's rewritings by name, as
    gpt4_reason, a JSONL file with `_id` and `text` or `queries`, or a folder with TASK.jsonl for each task."""
    run: FilePath | None = None
    """Candidates as a TREC run, or a folder with TASK.trec for each task."""
    adapters: FilePaths = ()
    """Outputs of distill and rl to compare; DIR,DIR on the command line."""
    base: str | None = None
    """The adapters' base model, a folder or a name: needed if it was moved, or to use another one than they were
    trained on, which the report then notes."""
    fits: FilePaths = ()
    """Fusions and calibrations that `interank fit` fitted on other queries, each a file or the adapter's folder with a
    stored fit. Each adds a system; PATH,PATH on the command line. A stored fit is applied only if it is named here."""
    runs: FilePaths = ()
    """Stored runs to compare, each a TREC run or a folder with TASK.trec for each task."""
    depth: int = Field(100, ge=1)
    """How many candidates of each query are reranked and scored."""
    queries: int | None = Field(None, ge=1)
    """How many queries of each task, a seeded sample; null takes all."""
    instruction: str = Field("", exclude_if=not_)
    """How documents are to be judged, for queries whose rows have no `instruction` of their own; the first stage does
    not see it."""
    seed: int = 42
    """The seed of the sample, the bootstrap and the randomisation test."""
    mode: RankingMode = "score"
    """`score` reads the grade's probabilities at once; `reason` writes the explanation first; `listwise` orders
    windows of documents; `adaptive` scores all and spends a budget around the cut."""
    lists: ListwiseRecipe | None = None
    """For `listwise`: windows and prompts; null takes the defaults."""
    adaptive: AdaptiveRecipe | None = None
    """For `adaptive`: a query's budget and what it is spent on; null takes the defaults."""
    head: HeadSettings | None = None
    """How pointwise heads among the adapters read a pair, where their folders do not say so; `legacy: dear` for DeAR's
    released models."""
    chain: Chain = ()
    """A chain of rerankers, each on the top documents of the one before; it adds the system `chain`."""
    explain: int = Field(0, ge=0)
    """How many top documents of a ranking are explained, for the first `explained_queries`."""
    explained_queries: int = Field(1, ge=1)
    """How many queries of each task get explanations; the report shows those of the first."""
    explanations: MarkingRecipe | None = None
    """How explanations (of `explain`, or of mode `reason`) are marked; null marks none."""
    max_reasoning_tokens: int = Field(256, ge=8)
    """The token budget of an explanation."""
    memory: float | None = Field(None, gt=0)
    """Gigabytes for the KV cache of a batch while a language model ranks; null takes half of the device's free memory.
    Scores do not depend on it."""
    measures: Names = ("nDCG@10",)
    """ir_measures' names; the first is the one reported on the terminal."""
    relevant_from: int = Field(1, ge=1)
    """The lowest grade of the qrels that calibration counts as relevant; TREC DL's is 2."""
    texts: bool = True
    """Whether the report shows the documents even if only stored runs are scored, which needs no texts; a benchmark is
    never downloaded from the hub for that."""
    price_per_hour: float | None = Field(None, ge=0)
    """The machine's price for an hour, in any currency, from which the report computes a query's; null reports none."""

    @model_validator(mode="after")
    def _measures_can_be_computed(self) -> EvaluateRecipe:
        try:
            check_measures(self.measures)
        except InputError as error:
            raise ValueError(f"measures: {error}") from None
        return self

    @model_validator(mode="after")
    def _settings_are_of_the_mode(self) -> EvaluateRecipe:
        places: list[tuple[str, EvaluateRecipe | LinkRecipe]] = [("", self)]
        places += [(f"chain.{number}.", link) for number, link in enumerate(self.chain)]
        for mode, key in SECTIONS.items():
            wrong = [f"{place}{key}" for place, part in places if getattr(part, key) and part.mode != mode]
            if wrong:
                raise ValueError(f"{', '.join(wrong)}: only mode {mode} uses it; set that mode, or leave it out")
        return self

    @model_validator(mode="after")
    def _there_are_explanations_to_mark(self) -> EvaluateRecipe:
        modes = {self.mode, *(link.mode for link in self.chain)}
        if self.explanations is not None and not (self.mode == "score" and self.explain) and not modes & _EXPLAINING:
            raise ValueError(
                f"explanations: it marks explanations, and mode {self.mode} with explain: {self.explain} writes none; "
                "set mode: score and explain: 10, or mode: reason, or leave it out"
            )
        return self

    def missing(self) -> list[str]:
        """The required inputs that are not set."""
        missing = [] if self.benchmark else ["benchmark"]
        readerless = self.explanations is not None and self.explanations.reader is None
        return [*missing, "explanations.reader"] if readerless else missing
