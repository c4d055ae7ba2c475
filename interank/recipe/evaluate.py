"""What `interank evaluate` can be told."""

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


class EvaluateRecipe(Settings):
    """`interank evaluate`: adapters and stored runs, on the same candidates, to scores and a report."""

    inputs: ClassVar[tuple[str, ...]] = ("benchmark",)
    stage: Literal["evaluate"]
    benchmark: FilePath | None = None
    """A folder in BEIR's or BRIGHT's layout or of several such, TREC DL's or NovelEval's files, RankGPT's JSON with a
    `qrels` file, or BRIGHT's name on the hub, xlangai/BRIGHT."""
    tasks: Names = ()
    """Which tasks of a benchmark that has several; all where none is named."""
    split: str | None = None
    """Which queries and qrels, where the folder has several."""
    qrels: FilePath | None = None
    """Human truth from elsewhere than the benchmark folder."""
    qrels_form: Literal["original", "fixed"] = "original"
    """Which of BRIGHT's qrels; published numbers use the original ones."""
    documents: Literal["short", "long"] = "short"
    """BRIGHT's passages, or whole pages with their own gold ids (report R@1 there)."""
    first_stage: FirstStage | None = None
    """What ranks the candidates: BM25 of plain words (`bm25`), of a language's stems (`bm25-german`; `bm25-english` has
    Lucene's analysis), or `bm25q`, English with the query weighted too, which is BRIGHT's published BM25. Null takes
    the `run`, else the benchmark's own, else bm25."""
    first_stage_queries: str | None = None
    """What the first stage is asked in place of the query, which the reranker reads: BRIGHT's rewriting by name, as
    gpt4_reason, or a JSONL file with `_id` and `text` or `queries`, or a folder with TASK.jsonl for each task."""
    run: FilePath | None = None
    """Candidates as a TREC run, or a folder with TASK.trec for each task."""
    adapters: FilePaths = ()
    """Outputs of distill and rl to compare; DIR,DIR on the command line."""
    base: str | None = None
    """What these adapters stand on, a folder or a name: given where their base was moved, or is to be another than they
    were trained on, which the report then says."""
    fits: FilePaths = ()
    """What interank fit found of the adapters on other queries, each a file or the adapter's folder that stores it: one
    system more for each, fused and calibrated; PATH,PATH on the command line. Nothing stored is applied unasked."""
    runs: FilePaths = ()
    """Stored runs to compare, each a TREC run or a folder with TASK.trec for each task."""
    depth: int = Field(100, ge=1)
    """How many candidates of each query are reranked and scored."""
    queries: int | None = Field(None, ge=1)
    """Evaluate a seeded sample of so many queries of each task; null takes all."""
    instruction: str = Field("", exclude_if=not_)
    """What documents are to be judged by, for queries whose rows bring no `instruction` of their own; the first stage
    does not see it."""
    seed: int = 42
    """Decides the sample, the bootstrap and the randomisation test."""
    mode: RankingMode = "score"
    """`score` reads the grade's probabilities at once; `reason` writes the explanation first; `listwise` orders
    windows of documents; `adaptive` scores all and spends a budget around the cut."""
    lists: ListwiseRecipe | None = None
    """For `listwise`: how a reranker goes through the documents; null takes the defaults."""
    adaptive: AdaptiveRecipe | None = None
    """For `adaptive`: what a query may take, and on what it is spent; null takes the defaults."""
    head: HeadSettings | None = None
    """How pointwise heads among the adapters read a pair, where their folders do not say so; `legacy: dear` for those
    that DeAR released."""
    chain: Chain = ()
    """Rerankers one after the other, each on the first documents of the one before: one system more, `chain`."""
    explain: int = Field(0, ge=0)
    """How many documents at the top of a ranking are explained, for the first `explained_queries`."""
    explained_queries: int = Field(1, ge=1)
    """For how many queries of each task; the report shows the first one's."""
    explanations: MarkingRecipe | None = None
    """By what the explanations that there are (`explain`, or mode `reason`) are marked, and who reads them; null marks
    none."""
    max_reasoning_tokens: int = Field(256, ge=8)
    """An explanation's budget."""
    memory: float | None = Field(None, gt=0)
    """Gigabytes that the keys and values of a batch may take while a language model ranks; null takes half of what the
    device has free. No score depends on it."""
    measures: Names = ("nDCG@10",)
    """ir_measures' names; the first is the one reported on the terminal."""
    relevant_from: int = Field(1, ge=1)
    """The least grade of the qrels that calibration takes as relevant; TREC DL's is 2."""
    texts: bool = True
    """Whether the report shows the documents also where only stored runs are scored, which needs no text; a
    benchmark of the hub is not fetched for that."""
    price_per_hour: float | None = Field(None, ge=0)
    """What the machine costs an hour, in any currency, to tell a query's price; null tells none."""

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
                raise ValueError(f"{', '.join(wrong)}: given for another mode than {mode}; set mode, or leave it out")
        return self

    def missing(self) -> list[str]:
        """The inputs without which it cannot start."""
        return [] if self.benchmark else ["benchmark"]
