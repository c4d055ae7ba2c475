"""Your own queries for the first stage from a file: one text or several for each query of the benchmark."""

from __future__ import annotations

import reprlib
from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.rows import columns, filled, read_rows


def read_search_queries(path: Path) -> dict[str, str]:
    """Read the first stage's query by query id: JSONL rows with `_id` or `id`, and `text` or a list `queries`.

    A list of queries becomes one query, a line each.

    Raises:
        InputError: A row lacks its id or its text, or an id is repeated.
    """
    if not path.is_file():
        raise InputError(f"{path} does not exist; name a JSONL file with queries for the first stage")
    queries: dict[str, str] = {}
    for where, row in read_rows([path]):
        query_id = filled(where, row, ("_id", "id"))
        if query_id in queries:
            raise InputError(f"{where}: an earlier row has the id {query_id!r} too; remove one of the two")
        queries[query_id] = _joined(where, row) if "queries" in columns(where, row) else filled(where, row, ("text",))
    if not queries:
        raise InputError(f"{path} is empty; name a file with one JSON object a line")
    return queries


def _joined(where: str, row: object) -> str:
    queries = columns(where, row)["queries"]
    if not (isinstance(queries, list) and queries and all(isinstance(q, str) and q.strip() for q in queries)):
        raise InputError(f"{where}: queries is {reprlib.repr(queries)}, where a list of texts is needed; mend it")
    return "\n".join(queries)
