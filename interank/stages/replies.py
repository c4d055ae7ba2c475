"""Judgments that stopped at their budget: their replies are kept beside them, and a resumed run takes them over."""

from __future__ import annotations

import json
from contextlib import closing

from interank.artifact import Artifact, Workplace, reopen
from interank.ledger import write_rows
from interank.teacher.opening import REPLIES, STUDENT_REPLIES
from interank.teacher.replies import ReplyStore

# Beside the judgments, by the store in the work folder.
_KEPT = {REPLIES: "replies.jsonl", STUDENT_REPLIES: "student-replies.jsonl"}


def reopen_stopped(artifact: Artifact) -> bool:
    """Make an output that stopped at its budget ready to go on; whether it is such a one."""
    if "stopped" not in artifact.manifest:
        return False
    reopen(artifact, {kept: path for kept in _KEPT.values() if (path := artifact.path / kept).is_file()})
    return True


def take_over_replies(place: Workplace) -> None:
    """Put the replies of an output that was reopened into its store; those that it holds stay as they are."""
    for store_name, kept_name in _KEPT.items():
        kept = place.work / kept_name
        if kept.is_file():
            with closing(ReplyStore(place.work / store_name)) as store, kept.open(encoding="utf-8") as stream:
                store.add_rows(tuple(json.loads(line)) for line in stream)


def keep_replies(place: Workplace) -> None:
    """Write the replies beside an unfinished output's judgments, since its work folder goes."""
    for store_name, kept_name in _KEPT.items():
        if (place.work / store_name).is_file():
            with closing(ReplyStore(place.work / store_name)) as store:
                write_rows(place.folder / kept_name, store.rows())
