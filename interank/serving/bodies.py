"""The request bodies of each dialect, and their conversion to `RerankRequest`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from interank import plain_data
from interank.serving.requests import Refusal, RerankRequest, Text
from interank.wording import counted

AnyText = str | dict[str, Any]
"""A text, or an object with `text` and optionally `title`."""
Count = Annotated[int, Field(ge=0)]
# What `some` and `texts` refuse, for the schema alone: the refusal has words of ours.
Query = Annotated[str, Field(json_schema_extra={"minLength": 1, "pattern": r"\S"})]
_SOME: dict[str, Any] = {"minItems": 1}

# Keys of other servers that would change what is read, and do not here; clients send 0 or -1 for "not at all".
_IGNORED = ("max_chunks_per_doc", "max_tokens_per_query", "truncate_prompt_tokens")


class Spans(BaseModel):
    """Cohere's `relevant_spans`."""

    mode: str | None = None
    max_spans: Annotated[int, Field(ge=1)] | None = None


class Body(BaseModel):
    """A request body; unknown keys are ignored, and null means that the key is absent."""

    model_config = ConfigDict(extra="ignore", strict=False)

    lists: ClassVar[tuple[str, ...]] = ("documents",)
    """The keys that may hold a list of texts."""

    def to_request(self) -> RerankRequest:
        """Convert the body to a request.

        Raises:
            Refusal: There is nothing to rank, or a document has no text.
        """
        raise NotImplementedError


class Rerank(Body):
    """Cohere v1 and v2, Jina, vLLM, LiteLLM, Infinity, Voyage and SGLang: one query and its documents."""

    query: Query
    documents: Annotated[list[AnyText], Field(json_schema_extra=_SOME)] | str
    model: str | None = None
    top_n: Count | None = None
    top_k: Count | None = None
    return_documents: bool | None = None
    rank_fields: list[str] | None = None
    raw_scores: bool | None = None
    use_activation: bool | None = None
    max_tokens_per_doc: Count | None = None
    max_chunks_per_doc: int | None = None
    max_tokens_per_query: int | None = None
    truncate_prompt_tokens: int | None = None
    truncation: bool | None = None
    priority: int | None = None
    relevant_spans: Spans | None = None
    instruction: str | None = None
    instruct: str | None = None

    def to_request(self) -> RerankRequest:
        """See `Body`; a `top_n` of 0 returns all results, as does its absence."""
        documents = [self.documents] if isinstance(self.documents, str) else self.documents
        spans = self.relevant_spans or Spans()
        return RerankRequest(
            queries=(some(self.query, "query"),),
            documents=texts(documents, "documents", self.rank_fields or ()),
            model=self.model,
            top=self.top_n or self.top_k or None,
            texts=bool(self.return_documents),
            raw=bool(self.raw_scores) or self.use_activation is False,
            most_tokens=self.max_tokens_per_doc or None,
            whole=self.truncation is False,
            instruction=self.instruction or self.instruct,
            priority=_after_others(self.priority),
            spans=spans.mode == "enabled",
            most_spans=spans.max_spans,
            warnings=tuple(f"{key} is ignored by this model" for key in _IGNORED if (getattr(self, key) or 0) > 0),
        )


class TeiRerank(Body):
    """Hugging Face's text-embeddings-inference (TEI)."""

    lists: ClassVar[tuple[str, ...]] = ("texts",)

    query: Query
    texts: Annotated[list[str], Field(json_schema_extra=_SOME)]
    raw_scores: bool | None = None
    return_text: bool | None = None
    truncate: bool | None = None
    model: str | None = None

    def to_request(self) -> RerankRequest:
        """See `Body`."""
        return RerankRequest(
            queries=(some(self.query, "query"),),
            documents=texts(self.texts, "texts"),
            model=self.model,
            texts=bool(self.return_text),
            raw=bool(self.raw_scores),
            whole=self.truncate is False,
        )


class Passage(BaseModel):
    """A text as NIM's clients send it."""

    text: str


class Question(BaseModel):
    """A query as NIM's clients send it."""

    text: Query


class NimRanking(Body):
    """NVIDIA's NIM."""

    lists: ClassVar[tuple[str, ...]] = ("passages",)

    query: Question
    passages: Annotated[list[Passage], Field(json_schema_extra=_SOME)]
    model: str | None = None
    truncate: str | None = None

    def to_request(self) -> RerankRequest:
        """See `Body`."""
        return RerankRequest(
            queries=(some(self.query.text, "query"),),
            documents=texts([passage.text for passage in self.passages], "passages"),
            model=self.model,
            raw=True,
            whole=(self.truncate or "").upper() == "NONE",
        )


class Score(Body):
    """vLLM's `/score`: one text paired with each of many, or two lists paired item by item, under several key names."""

    lists: ClassVar[tuple[str, ...]] = ("text_1", "text_2", "data_1", "data_2", "queries", "documents", "items")

    text_1: list[AnyText] | str | None = None
    text_2: list[AnyText] | str | None = None
    data_1: list[AnyText] | str | None = None
    data_2: list[AnyText] | str | None = None
    queries: list[AnyText] | str | None = None
    documents: list[AnyText] | str | None = None
    items: list[AnyText] | str | None = None
    model: str | None = None
    use_activation: bool | None = None
    max_tokens_per_doc: Count | None = None
    instruction: str | None = None
    priority: int | None = None

    def to_request(self) -> RerankRequest:
        """See `Body`."""
        first = next((v for v in (self.text_1, self.data_1, self.queries) if v is not None), None)
        second = next((v for v in (self.text_2, self.data_2, self.documents, self.items) if v is not None), None)
        if first is None or second is None:
            raise Refusal("invalid", "found no pairs to score; give text_1 and text_2, or queries and documents")
        left, right = _listed(first, "text_1"), _listed(second, "text_2")
        if len(left) not in (1, len(right)):
            raise Refusal(
                "invalid",
                f"found {counted(len(left), 'text')} and {counted(len(right), 'text')}; give one text and any number, "
                "or the same number of both",
                field="text_1",
            )
        return RerankRequest(
            queries=tuple(some(text.text, "text_1") for text in left),
            documents=right,
            model=self.model,
            raw=self.use_activation is False,
            most_tokens=self.max_tokens_per_doc or None,
            instruction=self.instruction,
            priority=_after_others(self.priority),
        )


def _after_others(priority: int | None) -> int:
    """A client may let others go first, and not go before them."""
    return max(0, priority or 0)


def _listed(values: list[AnyText] | str, name: str) -> tuple[Text, ...]:
    return texts([values] if isinstance(values, str) else values, name)


def some(query: str, name: str) -> str:
    """The query, unless it is empty.

    Raises:
        Refusal: The query is empty.
    """
    if not query.strip():
        raise Refusal("empty", f"found an empty {name}; give a text", field=name)
    return query


def texts(documents: Sequence[AnyText], name: str, rank_fields: Sequence[str] = ()) -> tuple[Text, ...]:
    """Reduce documents to what the model reads: text and title, or the fields of `rank_fields`, one per line.

    Raises:
        Refusal: There are no documents, or one has no text.
    """
    if not documents:
        raise Refusal("empty", f"found no {name}; give at least one", field=name)
    # Without duplicates: repeated field names could blow a small body up to terabytes of text.
    fields = {key: order for order, key in enumerate(dict.fromkeys(rank_fields))}
    return tuple(_text(document, f"{name}[{place}]", fields) for place, document in enumerate(documents))


def _text(document: AnyText, name: str, fields: Mapping[str, int]) -> Text:
    """The text that the model reads of a document; `fields` maps the fields to show to their order."""
    if isinstance(document, str):
        return Text(document)
    if fields:
        # Loop over the document's keys, since a hostile request may name very many fields.
        keys = sorted(
            (key for key, value in document.items() if key in fields and value is not None), key=fields.__getitem__
        )
        if not keys:
            wanted = plain_data.shown(list(fields))
            raise Refusal("invalid", f"found none of the rank_fields {wanted} in {name}", field=name)
        return Text("\n".join(f"{key}: {_written(document[key])}" for key in keys))
    text, title = document.get("text"), document.get("title")
    if not isinstance(text, str):
        raise Refusal("invalid", f"found no text in {name}; give a text, or text in the object", field=name)
    return Text(text, title if isinstance(title, str) else "")


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
