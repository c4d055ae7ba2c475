"""Diagnoses of a reranker from its own output: calibration, risk and coverage, explanations and their quotes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from interank.evaluation.candidates import Task
from interank.evaluation.explanation_marks import marks_of
from interank.evaluation.trust import abstentions, calibrations
from interank.ir.calibration import probability_of_relevance, risk_coverage
from interank.ir.significance import Sample
from interank.tasks.judge.quotes import Quotes, verified
from interank.types import Document

Rankings = Mapping[tuple[str, str], Mapping[str, Any]]
"""A system's rows by task and query id; `ranking` holds its ranked documents as plain data."""


def diagnose(
    tasks: Sequence[Task],
    rankings: Rankings,
    values: Mapping[tuple[str, str], float],
    relevant_from: int,
    *,
    seed: int,
) -> dict[str, Any]:
    """Compare a reranker's probabilities with the qrels, its confidence with `values`, its quotes with the documents.

    Args:
        tasks: The evaluated tasks.
        rankings: The reranker's rows; documents without qrels count as irrelevant, as in every measure.
        values: The value of the evaluation's first measure, by task and query.
        relevant_from: The lowest qrels grade that counts as relevant.
        seed: Seeds the bootstrap of intervals.

    Returns:
        `calibration` and `risk_coverage` if any document has a grade, `calibrated` and `abstention` if a fit was
        applied, `explanations` if any document has an explanation.
    """
    relevant = {
        (task.name, qrel.query_id, qrel.doc_id)
        for task in tasks
        for qrel in task.qrels
        if qrel.relevance >= relevant_from
    }
    graded = [
        [
            (item, (task.name, query.query_id, item["doc_id"]) in relevant)
            for item in rankings.get((task.name, query.query_id), {}).get("ranking", [])
            if item["probabilities"] is not None
        ]
        for task in tasks
        for query in task.queries
    ]
    sample = Sample([len(task.queries) for task in tasks], seed=seed)
    figures = calibrations(graded, sample) | abstentions(tasks, rankings, values, sample)
    confidences, measured = [], []
    for (task, query), documents in zip(((t, q) for t in tasks for q in t.queries), graded, strict=True):
        first = rankings.get((task.name, query.query_id), {}).get("ranking", [])[:1]
        if documents and documents[0][0] is first[0]:
            confidences.append(probability_of_relevance(first[0]["probabilities"]))
            measured.append(values[task.name, query.query_id])
    if confidences:
        figures["risk_coverage"] = asdict(risk_coverage(confidences, measured))
    explained = _explanations(tasks, rankings)
    if explained and (marks := marks_of(tasks, rankings, seed=seed)):
        explained["marks"] = marks
    return {**figures, "explanations": explained} if explained else figures


def _explanations(tasks: Sequence[Task], rankings: Rankings) -> dict[str, Any]:
    """The length of explanations, and the share of their quotes that the documents contain."""
    words: list[int] = []
    quoted: list[Quotes] = []
    for task in tasks:
        documents: Mapping[str, Document] = task.corpus or {}
        for query in task.queries:
            row = rankings.get((task.name, query.query_id), {"ranking": []})
            # A listwise reranker's reasoning covers a window and may quote any document in it.
            for item in row["ranking"] if "listwise" not in row else []:
                if item["explanation"]:
                    words.append(len(item["explanation"].split()))
                    quoted.append(verified(item["explanation"], documents[item["doc_id"]].full_text, query.text))
    if not words:
        return {}
    count = sum(item.total for item in quoted)
    return {
        "count": len(words),
        "mean_words": fmean(words),
        "with_quotes": sum(item.total > 0 for item in quoted),
        "quotes": count,
        # Null if nothing was quoted: a share of no quotes is undefined.
        "quotes_found_share": sum(item.found for item in quoted) / count if count else None,
    }
