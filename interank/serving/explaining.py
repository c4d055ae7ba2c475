"""The body of `/v1/explain`: documents to be graded and explained, each of them."""

from __future__ import annotations

from interank.serving.bodies import AnyText, Body, some, texts
from interank.serving.requests import Refusal, RerankRequest


class Explain(Body):
    """A query, and a document or several."""

    query: str
    document: AnyText | None = None
    documents: list[AnyText] | None = None
    model: str | None = None
    return_documents: bool | None = None

    def asked(self) -> RerankRequest:
        """See `Body`."""
        if (self.document is None) == (self.documents is None):
            raise Refusal("invalid", "give either document or documents", field="documents")
        given = [self.document] if self.document is not None else self.documents or []
        return RerankRequest(
            queries=(some(self.query, "query"),),
            documents=texts(given, "documents"),
            model=self.model,
            texts=bool(self.return_documents),
        )
