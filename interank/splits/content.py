"""The content of an artifact to split: its questions with their documents and grades."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.artifact import Artifact, open_artifact
from interank.errors import ArtifactError, InputError
from interank.imports.labels import CORPUS_FILE
from interank.imports.questions import declined
from interank.judgments import read_judgments
from interank.ledger import read_rows
from interank.mining.tables import QUESTIONS_FILE, QuestionTable, find_table
from interank.mining.text import html_to_text
from interank.settings import ColumnsRecipe
from interank.types import Document, Query


@dataclass(frozen=True, slots=True)
class Content:
    """The questions, documents and grades of an artifact."""

    artifact: Artifact
    queries: list[Query]
    threads: dict[str, str]
    documents: dict[str, Document]
    grades: dict[str, dict[str, int]]
    """Grades by query and document."""


def content_of(source: Path) -> Content:
    """Read an artifact of questions or judgments.

    Raises:
        ArtifactError: The artifact is of another kind.
        InputError: The artifact is empty.
    """
    artifact = open_artifact(source)
    if artifact.kind == "judgments":
        return _of_judgments(artifact)
    if artifact.kind == "questions":
        return _of_questions(artifact)
    raise ArtifactError(
        f"{source} holds {artifact.kind}, and only questions and judgments can be split; give an output of "
        "`interank import` or `interank generate`"
    )


def _of_judgments(artifact: Artifact) -> Content:
    examples = read_judgments(artifact.path)
    if not examples:
        raise InputError(f"{artifact.path} holds no judgment, so there is nothing to split; give another artifact")
    queries: dict[str, Query] = {}
    grades: dict[str, dict[str, int]] = {}
    documents = {example.document.doc_id: example.document for example in examples}
    for example in examples:
        queries.setdefault(example.query.query_id, example.query)
        of_query = grades.setdefault(example.query.query_id, {})
        of_query[example.document.doc_id] = int(example.judgment.relevance)
    if (artifact.path / CORPUS_FILE).is_file():
        rows = read_rows(artifact.path / CORPUS_FILE)
        documents |= {row["_id"]: Document(row["_id"], row["text"], row["title"]) for row in rows}
    # A search query that a teacher wrote for a question is named QUESTION#..., and shares its thread.
    written = {name for name in queries if (base := name.partition("#")[0]) != name and base in queries}
    threads = {name: name.partition("#")[0] for name in written}
    return Content(artifact, list(queries.values()), threads, documents, grades)


def _of_questions(artifact: Artifact) -> Content:
    columns = ColumnsRecipe.model_validate(artifact.manifest["columns"])
    table = find_table(artifact.path, columns)
    assert isinstance(table, QuestionTable)
    texts = {}
    for post in table.posts():
        text = html_to_text(post.html, site=post.site)
        name = f"{table.site}/{table.names.get(post.post_id, str(post.post_id))}"
        texts[name] = "\n".join(part for part in (post.title, text) if part.strip())
    queries, threads, documents = [], {}, {}
    grades: dict[str, dict[str, int]] = {}
    for row in read_rows(artifact.path / QUESTIONS_FILE):
        query_id = f"{table.site}/{row['question_id']}"
        queries.append(Query(query_id, texts[query_id]))
        if row["thread"]:
            threads[query_id] = f"thread {row['thread']}"
        graded = _grades(row["answers"])
        for answer, grade in zip(row["answers"], graded, strict=True):
            doc_id = f"{table.site}/{answer['answer_id']}"
            if texts[doc_id].strip():
                documents[doc_id] = Document(doc_id, texts[doc_id])
                grades.setdefault(query_id, {})[doc_id] = grade
    return Content(artifact, queries, threads, documents, grades)


def _grades(answers: Sequence[Mapping[str, Any]]) -> list[int]:
    """The grades of a question's answers, by acceptance or votes.

    The accepted answer has grade 2, or if none is accepted the ones with most votes; other answers have 1. An answer
    marked as not accepted and without votes is never 2; all have 0 if the question has only such answers.
    """
    if any(answer["accepted"] for answer in answers):
        return [2 if answer["accepted"] else 1 for answer in answers]
    votes = [answer["score"] for answer in answers if not declined(answer)]
    if not votes:
        return [0 for _ in answers]
    return [2 if answer["score"] == max(votes) and not declined(answer) else 1 for answer in answers]
