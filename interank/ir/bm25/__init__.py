"""BM25, the first stage: ranking by the words that query and document share."""

from interank.ir.bm25.first_stage import Bm25, FirstStage, first_stage_of
from interank.ir.bm25.languages import analyser
from interank.ir.bm25.lucene import analyze_english
from interank.ir.bm25.scripts import tokenize

__all__ = ["Bm25", "FirstStage", "analyser", "analyze_english", "first_stage_of", "tokenize"]
