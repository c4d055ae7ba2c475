"""The settings of mining: which questions it takes, and which documents for each."""

from __future__ import annotations

from operator import not_
from typing import Literal

from pydantic import Field, model_validator

from interank.settings.base import FilePath, Names, Settings
from interank.types import Language

# The sites that BRIGHT's seven StackExchange tasks are taken from (arXiv 2407.12883), psychology under both its names.
BRIGHT_SITES = (
    "biology.stackexchange.com",
    "cogsci.stackexchange.com",
    "earthscience.stackexchange.com",
    "economics.stackexchange.com",
    "psychology.stackexchange.com",
    "robotics.stackexchange.com",
    "stackoverflow.com",
    "sustainability.stackexchange.com",
)
SITE_LISTS = {"bright": BRIGHT_SITES}


class ColumnsRecipe(Settings):
    """The columns of a JSONL, CSV or Parquet file or a hub data set with questions and answers; null is no column."""

    question_id: str | None = "question_id"
    """A number or a text; null numbers questions and answers in file order, and `answer_id` has to be null too."""
    title: str | None = "title"
    """The question's title."""
    body: str = "body"
    """The question's text."""
    answers: str = "answers"
    """A list of answers (objects or texts), or the text of a single answer."""
    answer_id: str | None = "answer_id"
    """In an answer: a number or a text that no other post has; an answer without one is named after its question."""
    answer_body: str = "body"
    """In an answer: its text."""
    answer_score: str | None = "score"
    """In an answer: its votes."""
    accepted: str | None = "accepted"
    """In an answer: whether the asker accepted it, as true or false, yes or no, 1 or 0."""
    score: str | None = "score"
    """The question's votes."""
    tags: str | None = "tags"
    """The question's tags: a list, `<a><b>`, or a text with commas, semicolons or blanks between them."""
    url: str | None = "url"
    """The address of a question or an answer."""
    author: str | None = "author"
    """The author of a question or an answer."""
    created: str | None = "created"
    """When a question or an answer was written, as 2020-01-31."""
    licence: str | None = "licence"
    """The licence of a question or an answer."""
    text: Literal["html", "plain"] = "html"
    """The markup of the bodies."""

    @model_validator(mode="after")
    def _both_ids_or_none(self) -> ColumnsRecipe:
        if (self.question_id is None) != (self.answer_id is None):
            raise ValueError("question_id and answer_id are either both columns or both null")
        return self


class DocumentsRecipe(Settings):
    """How many documents of each origin a question is paired with, where it has that many."""

    accepted_answer: int = Field(1, ge=0, le=1)
    """The accepted answer, or the one with most votes."""
    answer: int = Field(1, ge=0)
    """The next best answers."""
    low_answer: int = Field(0, ge=0)
    """The answers with the fewest votes."""
    linked_answer: int = Field(1, ge=0)
    """The best answers of questions that are duplicates of this one or linked with it, on any mined site."""
    page: int = Field(0, ge=0)
    """Passages of `pages` that the question's answers link to."""
    hard_negative: int = Field(1, ge=0)
    """Answers to other questions that share the most words with this question."""
    random_negative: int = Field(1, ge=0)
    """Random answers to other questions; they also stand in for missing hard negatives."""

    @model_validator(mode="after")
    def _something(self) -> DocumentsRecipe:
        if not self.accepted_answer + self.answer + self.low_answer + self.linked_answer + self.page:
            raise ValueError("no origin of relevant documents has a count; raise accepted_answer, answer or another")
        return self


class MiningRecipe(Settings):
    """Which questions and documents are taken from the dumps."""

    questions: int | None = Field(None, ge=1)
    """How many questions are taken over all sites, a seeded sample; null takes all."""
    questions_per_site: int | None = Field(None, ge=1)
    """The most questions of one site."""
    documents_per_question: int = Field(5, ge=2)
    """Documents for each question, negatives included; `documents` sets the number of each origin."""
    documents: DocumentsRecipe | None = None
    """How many of each origin, in place of `documents_per_question`."""
    min_question_score: int = 0
    """Questions with a lower score (votes) are left out."""
    min_answers: int = Field(1, ge=1)
    """Questions with fewer answers are left out."""
    min_question_words: int = Field(0, ge=0)
    """Questions whose body is shorter are left out."""
    max_question_words: int | None = Field(None, ge=1)
    """Questions whose body is longer are left out."""
    tags: Names = ()
    """Only questions with one of these tags are taken; none takes all."""
    exclude_tags: Names = ()
    """Questions with one of these tags are left out."""
    exclude_sites: Names = ()
    """Sites that are left out, by host name; `bright` stands for the seven that BRIGHT is made from."""
    validation_share: float = Field(0.1, ge=0, lt=1)
    """The share of questions that go, with all their pairs, to validation."""
    include_closed: bool = False
    """Whether closed questions are taken, such as duplicates and those that were migrated to another site."""
    min_document_words: int = Field(10, ge=1)
    """Shorter answers are left out."""
    language: Language | None = Field(None, exclude_if=not_)
    """The language whose stemmer is used to search hard negatives and passages; null compares words as written."""
    negative_pool: int = Field(100_000, ge=1)
    """How many answers of a site, a seeded sample, are searched for negatives; bounds memory."""
    pages: FilePath | None = None
    """Web pages you have: JSONL rows with `url` and `text` or `html`, or a folder of such files."""
    passage_words: int = Field(300, ge=20)
    """Longer pages are split into passages of at most this many words."""
    columns: ColumnsRecipe = ColumnsRecipe()
    """The column names of dumps that are a JSONL, CSV or Parquet file or a hub data set."""
    processes: int | None = Field(None, ge=1)
    """The number of mining processes; null takes one for each core. The result does not depend on it."""
    memory_gb: float = Field(1.0, ge=0.25)
    """The memory of the database of posts; the rest goes to disk. The result does not depend on it. The index of
    `negative_pool` answers and the processes take some hundred megabytes more."""

    @model_validator(mode="after")
    def _lengths_can_be_met(self) -> MiningRecipe:
        if self.max_question_words is not None and self.max_question_words < self.min_question_words:
            raise ValueError(
                f"max_question_words is {self.max_question_words}, less than min_question_words, "
                f"{self.min_question_words}; no question can have both"
            )
        if both := sorted({*self.tags} & {*self.exclude_tags}):
            raise ValueError(f"tags and exclude_tags both name {', '.join(both)}; take it out of one of them")
        return self

    @property
    def excluded_sites(self) -> frozenset[str]:
        """The host names in `exclude_sites`, named lists spelled out."""
        return frozenset(site for name in self.exclude_sites for site in SITE_LISTS.get(name, (name,)))
