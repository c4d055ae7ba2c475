"""Text overlap: contamination of training data with benchmarks, and near-duplicates among texts."""

from interank.ir.overlap.benchmark import BenchmarkCounts, BenchmarkIndex, Target
from interank.ir.overlap.matching import Checkable, Contamination, Overlap, contaminated, joined
from interank.ir.overlap.minhash import near_duplicates
from interank.ir.overlap.posts import PostName, page_name, post_named, posts_in, site_name
from interank.ir.overlap.texts import BenchmarkDocument, BenchmarkQuery, BenchmarkTexts, read_texts
from interank.ir.overlap.training import TrainingOverlap, training_overlap

__all__ = [
    "BenchmarkCounts",
    "BenchmarkDocument",
    "BenchmarkIndex",
    "BenchmarkQuery",
    "BenchmarkTexts",
    "Checkable",
    "Contamination",
    "Overlap",
    "PostName",
    "Target",
    "TrainingOverlap",
    "contaminated",
    "joined",
    "near_duplicates",
    "page_name",
    "post_named",
    "posts_in",
    "read_texts",
    "site_name",
    "training_overlap",
]
