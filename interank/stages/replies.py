"""Replies of judgments that stopped at their budget: stored with the output, and taken over by a resumed run."""

from __future__ import annotations

import json
from contextlib import closing

from interank.artifact import Artifact, Workplace, reopen
from interank.ledger import write_rows
from interank.teacher.opening import REPLIES, STUDENT_REPLIES
from interank.teacher.replies import ReplyStore

# The file beside the judgments for each store in the work folder.
_FILES = {REPLIES: "replies.jsonl", STUDENT_REPLIES: "student-replies.jsonl"}


def reopen_stopped(artifact: Artifact) -> bool:
    """Reopen an output that stopped at its budget; returns False for any other."""
    if "stopped" not in artifact.manifest:
        return False
    reopen(artifact, {name: path for name in _FILES.values() if (path := artifact.path / name).is_file()})
    return True


def take_over_replies(place: Workplace) -> None:
    """Add the replies of a reopened output to its store; replies that the store has stay."""
    for store_name, file_name in _FILES.items():
        file = place.work / file_name
        if file.is_file():
            with closing(ReplyStore(place.work / store_name)) as store, file.open(encoding="utf-8") as stream:
                store.add_rows(tuple(json.loads(line)) for line in stream)


def keep_replies(place: Workplace) -> None:
    """Write the replies beside an incomplete output's judgments, since its work folder is removed."""
    for store_name, file_name in _FILES.items():
        if (place.work / store_name).is_file():
            with closing(ReplyStore(place.work / store_name)) as store:
                write_rows(place.folder / file_name, store.rows())
