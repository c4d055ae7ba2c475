"""A rerank service without a scheduler, to compare with: FastAPI in front of a `Reranker`, one request at a time.

python benchmarks/serve_alone.py MODEL PORT
"""

from __future__ import annotations

import sys
import threading

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

from interank import Reranker


class Asked(BaseModel):
    """A request."""

    query: str
    documents: list[str]


class Scored(BaseModel):
    """A document of the reply."""

    index: int
    raw_score: float


class Reply(BaseModel):
    """The documents, best first."""

    results: list[Scored]


def main() -> None:
    """Serve the model at the port."""
    model, port = sys.argv[1:]
    reranker, lock = Reranker(model), threading.Lock()
    app = FastAPI()

    # In a thread of its own each, as FastAPI runs functions that are not asynchronous.
    @app.post("/rerank")
    def rerank(asked: Asked) -> Reply:
        with lock:
            ranking = reranker.rank(asked.query, asked.documents)
        return Reply(results=[Scored(index=int(item.doc_id), raw_score=item.score) for item in ranking])

    @app.get("/health")
    def health() -> None:
        """Say 200."""

    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning")


if __name__ == "__main__":
    main()
