"""Readers of benchmarks: BRIGHT, BEIR's layout (also for your own), TREC DL, NovelEval, RankGPT's candidate files."""

from interank.ir.benchmarks.beir import EXCLUSIONS_FILE, load_benchmark
from interank.ir.benchmarks.benchmark import EVERYTHING, Benchmark, BenchmarkOptions
from interank.ir.benchmarks.bright import BRIGHT_TASKS, REWRITTEN
from interank.ir.benchmarks.candidates import read_candidates
from interank.ir.benchmarks.documents import first_document, read_documents
from interank.ir.benchmarks.names import task_name
from interank.ir.benchmarks.rankgpt import read_rankgpt
from interank.ir.benchmarks.rows import NOTHING
from interank.ir.benchmarks.search_queries import read_search_queries
from interank.ir.benchmarks.tasks import load_tasks

__all__ = [
    "BRIGHT_TASKS",
    "EVERYTHING",
    "EXCLUSIONS_FILE",
    "NOTHING",
    "REWRITTEN",
    "Benchmark",
    "BenchmarkOptions",
    "first_document",
    "load_benchmark",
    "load_tasks",
    "read_candidates",
    "read_documents",
    "read_rankgpt",
    "read_search_queries",
    "task_name",
]
