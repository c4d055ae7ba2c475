"""BM25, the first stage: a ranking by the words that query and documents share."""

from interank.ir.bm25.first_stage import Bm25, FirstStage, tokenize
from interank.ir.bm25.lucene import analyze_english

__all__ = ["Bm25", "FirstStage", "analyze_english", "tokenize"]
