"""The request body of `/v1/explain`, which grades and explains every document."""

from __future__ import annotations

from interank.serving.bodies import AnyText, Body, Query, some, texts
from interank.serving.requests import Refusal, RerankRequest


class Explain(Body):
    """A query, and one or several documents."""

    query: Query
    document: AnyText | None = None
    documents: list[AnyText] | None = None
    model: str | None = None
    return_documents: bool | None = None

    def to_request(self) -> RerankRequest:
        """See `Body`."""
        if (self.document is None) == (self.documents is None):
            raise Refusal("invalid", "give either document or documents", field="documents")
        documents = [self.document] if self.document is not None else self.documents or []
        return RerankRequest(
            queries=(some(self.query, "query"),),
            documents=texts(documents, "documents"),
            model=self.model,
            texts=bool(self.return_documents),
        )
