"""BRIGHT, in the hub's layout (a folder for each config, a file for each task) or as topics and qrels by task."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from interank.errors import InputError
from interank.ir.benchmarks.assembly import Parts, assemble
from interank.ir.benchmarks.beir import files_named
from interank.ir.benchmarks.benchmark import Benchmark, BenchmarkOptions
from interank.ir.benchmarks.documents import read_corpus
from interank.ir.benchmarks.names import task_name
from interank.ir.benchmarks.topics import Topic, read_topics
from interank.wording import listed

BRIGHT_TASKS = (
    "biology",
    "earth_science",
    "economics",
    "psychology",
    "robotics",
    "stackoverflow",
    "sustainable_living",
    "leetcode",
    "pony",
    "aops",
    "theoremqa_questions",
    "theoremqa_theorems",
)
# Configs of the hub's data set that have the rows of `examples` with rewritten queries.
REWRITTEN = ("gpt4_reason", "claude-3-opus_reason", "Gemini-1.0_reason", "llama3-70b_reason", "grit_reason")

# Folders of queries: on the hub, and next to TREC qrels.
QUERY_FOLDERS = ("examples", "topics")
CORPUS_FOLDERS = {"short": "documents", "long": "long_documents"}
_GOLD = {"short": "gold_ids", "long": "gold_ids_long"}

_TASK_FILE = re.compile(
    r"(?P<task>[^.]+?)(?:-(?P<part>\d{5})-of-(?P<parts>\d{5}))?\.(?P<kind>parquet|jsonl)(?:\.gz)?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class BrightFolder:
    """A folder with BRIGHT's queries; documents, rewritten queries and qrels are optional."""

    folder: Path
    queries: dict[str, tuple[Path, ...]]

    @classmethod
    def open(cls, folder: Path) -> BrightFolder | None:
        """Open a folder that has BRIGHT's layout; None if it has not."""
        for name in QUERY_FOLDERS:
            if files := files_by_task(folder / name):
                tasks = [
                    *(task for task in BRIGHT_TASKS if task in files),
                    *(t for t in files if t not in BRIGHT_TASKS),
                ]
                return cls(folder, {task: files[task] for task in tasks})
        return None

    def load(self, task: str, wanted: BenchmarkOptions) -> Benchmark:
        """Read one of its tasks.

        Raises:
            InputError: A file that is needed is missing or damaged.
        """
        if wanted.split is not None:
            raise InputError(f"{self.folder}: BRIGHT has tasks and no splits; leave split={wanted.split} out")
        counts: Counter[str] = Counter()
        sources = {"queries": self.queries[task]}
        topics = read_topics(self.queries[task], _GOLD[wanted.documents])
        if wanted.documents == "long" and not _has_long(topics):
            raise InputError(
                f"{self.queries[task][0]}: the task {task} has no long documents (no gold_ids_long); take "
                "documents=short, or name other tasks"
            )
        if qrels := wanted.qrels or self._qrels(task, wanted, topics):
            sources["qrels"] = (qrels,)
        corpus = None
        if wanted.need_text:
            sources["corpus"] = self._corpus(task, wanted)
            corpus = read_corpus(sources["corpus"], counts)
        rewritten = None
        if wanted.rewritten is not None:
            sources["first_stage_queries"] = self._rewritten(task, wanted.rewritten)
            rewritten = _rewritten_queries(sources["first_stage_queries"], topics)
        parts = Parts(
            name=task,
            folder=self.folder,
            topics=topics,
            qrels_file=qrels,
            corpus=corpus,
            sources=sources,
            counts=counts,
            first_stage_queries=rewritten,
            is_partial=wanted.partial_corpus,
        )
        return assemble(parts)

    def tasks(self, wanted: BenchmarkOptions) -> list[str]:
        """All tasks, or those with long documents if these are wanted."""
        if wanted.documents == "short":
            return list(self.queries)
        return [task for task, files in self.queries.items() if _has_long(read_topics(files, _GOLD["long"]))]

    def _qrels(self, task: str, wanted: BenchmarkOptions, topics: dict[str, Topic]) -> Path | None:
        """The qrels file of the wanted form; None if the queries' rows name the relevant documents."""
        if wanted.qrels_form == "original" and any(topic.gold_ids for topic in topics.values()):
            return None
        if wanted.documents == "long":
            raise InputError(
                f"{self.folder} has no {wanted.qrels_form} qrels of long documents; take qrels_form=original"
            )
        ending = ".fixed.txt" if wanted.qrels_form == "fixed" else ".txt"
        for path in files_named(self.folder / "qrels", re.compile(r".+\.txt")):
            if task_name(path.name.removesuffix(ending)) == task and path.name.endswith(ending):
                return path
        raise InputError(
            f"{self.folder} has no qrels/{task}{ending}, the {wanted.qrels_form} qrels of {task}; put it "
            f"there, or take qrels_form={'original' if wanted.qrels_form == 'fixed' else 'fixed'}"
        )

    def _corpus(self, task: str, wanted: BenchmarkOptions) -> tuple[Path, ...]:
        name = CORPUS_FOLDERS[wanted.documents]
        files = files_by_task(self.folder / name).get(task)
        if files is None:
            raise InputError(
                f"{self.folder} lacks BRIGHT's {wanted.documents} documents of {task} "
                f"({name}/{task}-00000-of-00001.parquet, or as .jsonl); fetch them (hf download "
                f"xlangai/BRIGHT --repo-type dataset --include '{name}/*' --local-dir {self.folder}), or "
                "score stored runs, which needs no text"
            )
        return files

    def _rewritten(self, task: str, name: str) -> tuple[Path, ...]:
        files = files_by_task(self.folder / name) if name in REWRITTEN or (self.folder / name).is_dir() else {}
        if task not in files:
            local = [other for other in REWRITTEN if (self.folder / other).is_dir()]
            near = get_close_matches(name, REWRITTEN, n=1)
            if near and near[0] != name:
                hint = f"did you mean {near[0]}?"
            else:
                hint = f"fetch them, or name others ({f'there: {listed(local)}' if local else 'none are there'})"
            raise InputError(
                f"{self.folder} has no rewritten queries {name} of {task} ({name}/{task}-00000-of-00001.parquet, or as "
                f".jsonl); {hint}"
            )
        return files[task]


def files_by_task(folder: Path) -> dict[str, tuple[Path, ...]]:
    """A config's files by task, each task's parts in order.

    Raises:
        InputError: A part is missing, or a task has both JSONL and Parquet files.
    """
    files: dict[str, dict[str, list[Path]]] = {}
    for path in files_named(folder, _TASK_FILE):
        if match := _TASK_FILE.fullmatch(path.name):
            kind = f"{match['kind']} of {match['parts'] or 1} parts"
            files.setdefault(task_name(match["task"]), {}).setdefault(kind, []).append(path)
    complete = {}
    for task, by_kind in files.items():
        paths = [path for each in by_kind.values() for path in each]
        if len(by_kind) > 1:
            raise InputError(f"{folder} has both {' and '.join(p.name for p in paths)}; keep one of the two")
        parts = int(next(iter(by_kind)).split()[2])
        if len(paths) != parts:
            raise InputError(
                f"{folder} has {len(paths)} of the {parts} files of {task}, the last {paths[-1].name}; fetch the rest"
            )
        complete[task] = tuple(paths)
    return complete


def _has_long(topics: dict[str, Topic]) -> bool:
    return any(topic.gold_ids for topic in topics.values())


def _rewritten_queries(files: tuple[Path, ...], topics: dict[str, Topic]) -> dict[str, str]:
    rewritten = read_topics(files)
    for missing in topics.keys() - rewritten.keys():
        raise InputError(
            f"{files[0]} lacks the query {missing!r}, which is at {topics[missing].where}; fetch both files of one "
            "version"
        )
    for query_id, topic in rewritten.items():
        if query_id not in topics:
            raise InputError(
                f"{topic.where}: the original queries have no query {query_id!r}; fetch both files of one version"
            )
        if not topic.query.text.strip():
            raise InputError(f"{topic.where}: the query {query_id!r} has no text; fill it in")
    return {query_id: topic.query.text for query_id, topic in rewritten.items()}
