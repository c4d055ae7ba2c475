"""Judgments that stopped at their budget: their replies are kept beside them, and a resumed run takes them over."""

from __future__ import annotations

import json
from contextlib import closing

from interank.artifact import Artifact, Workplace, reopen
from interank.ledger import write_rows
from interank.teacher.opening import REPLIES
from interank.teacher.replies import ReplyStore

_KEPT_REPLIES = "replies.jsonl"


def reopen_stopped(artifact: Artifact) -> bool:
    """Make an output that stopped at its budget ready to go on; whether it is such a one."""
    if "stopped" not in artifact.manifest:
        return False
    reopen(artifact, {_KEPT_REPLIES: artifact.path / _KEPT_REPLIES})
    return True


def take_over_replies(place: Workplace) -> None:
    """Put the replies of an output that was reopened into its store; those that it holds stay as they are."""
    kept = place.work / _KEPT_REPLIES
    if not kept.is_file():
        return
    with closing(ReplyStore(place.work / REPLIES)) as store, kept.open(encoding="utf-8") as stream:
        store.add_rows(tuple(json.loads(line)) for line in stream)


def keep_replies(place: Workplace) -> None:
    """Write the replies beside an unfinished output's judgments, since its work folder goes."""
    with closing(ReplyStore(place.work / REPLIES)) as store:
        write_rows(place.folder / _KEPT_REPLIES, store.rows())
