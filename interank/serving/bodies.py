"""The bodies that clients of each dialect send, and how each is read as a `RerankRequest`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from interank import plain_data
from interank.serving.requests import Refusal, RerankRequest, Text
from interank.wording import counted

AnyText = str | dict[str, Any]
"""A text, or an object with `text` and perhaps `title`."""
Count = Annotated[int, Field(ge=0)]


class Body(BaseModel):
    """A request; keys that a dialect does not have are left unread, and null is as good as no key."""

    model_config = ConfigDict(extra="ignore", strict=False)

    def asked(self) -> RerankRequest:
        """What it asks for.

        Raises:
            Refusal: It asks for nothing, or a document has no text.
        """
        raise NotImplementedError


class Rerank(Body):
    """Cohere v1 and v2, Jina, vLLM, LiteLLM, Infinity, Voyage and SGLang: one query and its documents."""

    query: str
    documents: list[AnyText] | str
    model: str | None = None
    top_n: Count | None = None
    top_k: Count | None = None
    return_documents: bool | None = None
    rank_fields: list[str] | None = None
    raw_scores: bool | None = None
    use_activation: bool | None = None
    max_tokens_per_doc: Annotated[int, Field(ge=1)] | None = None
    max_chunks_per_doc: int | None = None
    truncation: bool | None = None
    priority: int | None = None
    relevant_spans: dict[str, Any] | None = None
    instruction: str | None = None
    instruct: str | None = None

    def asked(self) -> RerankRequest:
        """See `Body`; 0 of `top_n` tells all, as none does."""
        given = [self.documents] if isinstance(self.documents, str) else self.documents
        return RerankRequest(
            queries=(some(self.query, "query"),),
            documents=texts(given, "documents", self.rank_fields or ()),
            model=self.model,
            top=self.top_n or self.top_k or None,
            texts=bool(self.return_documents),
            raw=bool(self.raw_scores) or self.use_activation is False,
            most_tokens=self.max_tokens_per_doc,
            whole=self.truncation is False,
            instruction=self.instruction or self.instruct,
            priority=self.priority or 0,
            spans=(self.relevant_spans or {}).get("mode") == "enabled",
            warnings=("max_chunks_per_doc is not heeded by this model",) if self.max_chunks_per_doc else (),
        )


class TeiRerank(Body):
    """Hugging Face's text-embeddings-inference."""

    query: str
    texts: list[str]
    raw_scores: bool | None = None
    return_text: bool | None = None
    truncate: bool | None = None
    model: str | None = None

    def asked(self) -> RerankRequest:
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
    """A text in NIM's form."""

    text: str


class NimRanking(Body):
    """NVIDIA's NIM."""

    query: Passage
    passages: list[Passage]
    model: str | None = None
    truncate: str | None = None

    def asked(self) -> RerankRequest:
        """See `Body`."""
        return RerankRequest(
            queries=(some(self.query.text, "query"),),
            documents=texts([passage.text for passage in self.passages], "passages"),
            model=self.model,
            raw=True,
            whole=(self.truncate or "").upper() == "NONE",
        )


class Score(Body):
    """vLLM's `/score`: pairs, of one text with each of many or of many with many, under any of four pairs of names."""

    text_1: list[AnyText] | str | None = None
    text_2: list[AnyText] | str | None = None
    data_1: list[AnyText] | str | None = None
    data_2: list[AnyText] | str | None = None
    queries: list[AnyText] | str | None = None
    documents: list[AnyText] | str | None = None
    items: list[AnyText] | str | None = None
    model: str | None = None
    use_activation: bool | None = None
    priority: int | None = None

    def asked(self) -> RerankRequest:
        """See `Body`."""
        first = next((v for v in (self.text_1, self.data_1, self.queries) if v is not None), None)
        second = next((v for v in (self.text_2, self.data_2, self.documents, self.items) if v is not None), None)
        if first is None or second is None:
            raise Refusal("invalid", "this has no pairs to score; give text_1 and text_2, or queries and documents")
        left, right = _listed(first, "text_1"), _listed(second, "text_2")
        if len(left) not in (1, len(right)):
            raise Refusal(
                "invalid",
                f"found {counted(len(left), 'text')} and {counted(len(right), 'text')}; give one and any number, or as "
                "many of both",
                field="text_1",
            )
        return RerankRequest(
            queries=tuple(some(text.text, "text_1") for text in left),
            documents=right,
            model=self.model,
            raw=self.use_activation is False,
            priority=self.priority or 0,
        )


def _listed(given: list[AnyText] | str, name: str) -> tuple[Text, ...]:
    return texts([given] if isinstance(given, str) else given, name)


def some(query: str, name: str) -> str:
    """The query, if there is one.

    Raises:
        Refusal: It is empty.
    """
    if not query.strip():
        raise Refusal("empty", f"found an empty {name}; give a text", field=name)
    return query


def texts(given: Sequence[AnyText], name: str, rank_fields: Sequence[str] = ()) -> tuple[Text, ...]:
    """Documents read down to what a model sees: text and title, or the fields of `rank_fields`, one a line.

    Raises:
        Refusal: There are none, or one has no text.
    """
    if not given:
        raise Refusal("empty", f"found no {name}; give at least one", field=name)
    # Each once, or a few megabytes of their names would make terabytes of a document's text.
    fields = {key: order for order, key in enumerate(dict.fromkeys(rank_fields))}
    return tuple(_text(document, f"{name}[{place}]", fields) for place, document in enumerate(given))


def _text(document: AnyText, name: str, fields: Mapping[str, int]) -> Text:
    """What a model sees of a document; `fields` are those to show, with their order."""
    if isinstance(document, str):
        return Text(document)
    if fields:
        # By the document's own keys: there may be as many fields as there are documents.
        there = sorted(
            (key for key, value in document.items() if key in fields and value is not None), key=fields.__getitem__
        )
        if not there:
            told = plain_data.shown(list(fields))
            raise Refusal("invalid", f"found none of the rank_fields {told} in {name}", field=name)
        return Text("\n".join(f"{key}: {_written(document[key])}" for key in there))
    text, title = document.get("text"), document.get("title")
    if not isinstance(text, str):
        raise Refusal("invalid", f"found no text in {name}; give a text, or text in the object", field=name)
    return Text(text, title if isinstance(title, str) else "")


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
