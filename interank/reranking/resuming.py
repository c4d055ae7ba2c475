"""Keeps finished rankings on disk beside the output, so that a killed command resumes from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from interank.ledger import Ledger
from interank.locks import Held
from interank.types import Document, Query, RankedDocument

# Files of a model's folder that distinguish it from another model of the same name.
_TELLING = ("manifest.json", "adapter_config.json", "config.json", "interank.json")


class Progress:
    """Rankings by query, kept on disk until the output is complete."""

    def __init__(self, output: Path | None, settings: Mapping[str, Any]) -> None:
        """Read the rankings of an interrupted run; without an output nothing is kept.

        Raises:
            ArtifactError: Another process is making the output.
        """
        self._settings = settings
        self._held = Held(output.resolve()) if output else None
        self._path = output.with_name(f".{output.name}.partial.jsonl") if output else None
        self._ledger = Ledger(self._path) if self._path else None
        self._done = {str(row.get("key")): row for row in self._ledger.rows()} if self._ledger else {}

    def key(
        self,
        query: Query,
        documents: Sequence[Document],
        scores: Sequence[float] | None = None,
        domain: str | None = None,
    ) -> str:
        """A digest of everything that a ranking depends on; `scores` are first-stage scores, if a fit uses them."""
        content: list[Any] = [self._settings, query.query_id, query.text, [[d.doc_id, d.full_text] for d in documents]]
        content += [] if query.instruction is None else [query.instruction]
        content += [list(scores)] if scores is not None else []
        content += [domain] if domain is not None else []
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def found(self, key: str) -> dict[str, Any] | None:
        """The row of a ranking from the interrupted run; None if there is none."""
        return self._done.get(key)

    def keep(
        self, key: str, query: Query, ranking: Sequence[RankedDocument], told: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Write a ranking to disk as a row with the further keys of `told`; return the row."""
        row: dict[str, Any] = {"key": key, "query_id": query.query_id}
        row |= {"ranking": [item.as_row() for item in ranking], **told}
        if self._ledger:
            self._ledger.append([row])
        return row

    def finish(self) -> None:
        """Remove the kept rankings, now that the output is complete."""
        if self._path and self._held:
            self._path.unlink(missing_ok=True)
            self._held.release()


def model_identity(source: str) -> dict[str, str]:
    """The model's name, with digests of the files that identify it."""
    files = [Path(source) / name for name in _TELLING]
    digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}
    return {"source": source, **digests}
