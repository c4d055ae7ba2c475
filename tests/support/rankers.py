"""What stands behind a `Reranker`, for tests that ask it more than a ranking."""

from __future__ import annotations

from interank import Reranker
from interank.tasks.judge.asking import Judge
from interank.tasks.judge.ranker import GradeRanker
from interank.tasks.order.ranker import Windows


def judge_of(reranker: Reranker) -> Judge:
    """The model, asked in the reranker's mode."""
    assert isinstance(reranker.ranks, GradeRanker)
    return reranker.ranks.judge


def windows_of(reranker: Reranker) -> Windows:
    """What orders windows."""
    assert isinstance(reranker.ranks, Windows)
    return reranker.ranks
