"""Groups of a query's documents that heads are trained on: read, given hard negatives, drawn, scored by a teacher."""

from interank.tasks.head.groups.drawing import drawn, is_held_out, sampled, to_try
from interank.tasks.head.groups.negatives import documents_of, with_negatives
from interank.tasks.head.groups.reading import first_group, read_groups
from interank.tasks.head.groups.scores import (
    FILE,
    ScoredPair,
    TeacherScores,
    digest,
    judgments_scores,
    read_teacher_scores,
)

__all__ = [
    "FILE",
    "ScoredPair",
    "TeacherScores",
    "digest",
    "documents_of",
    "drawn",
    "first_group",
    "is_held_out",
    "judgments_scores",
    "read_groups",
    "read_teacher_scores",
    "sampled",
    "to_try",
    "with_negatives",
]
