"""The check of posts and pages for contamination: which ones are, or contain, a benchmark's queries and documents."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from interank.ir.overlap.benchmark import BenchmarkIndex, Reference, Target
from interank.ir.overlap.index import NEAR, SHARE, How, Match, batches, sketched
from interank.ir.overlap.posts import PostName, page_name, site_name

# The ways to find a match, the surest first; it names a match that several ways find.
_HOWS: tuple[How, ...] = ("post id", "url", "exact", "13-grams", "minhash", "shingles", "words", "title")
_RANK = {how: rank for rank, how in enumerate(_HOWS)}
# If a benchmark's queries resemble each other, these ways find a text in all of them, and only a few are reported.
_WEAK = frozenset({"minhash", "shingles", "words", "title"})
_MOST_WEAK = 5
_LEAST = {"13-grams": SHARE, "minhash": NEAR}
_BATCH = 512


class Checkable(NamedTuple):
    """A text that may become part of training data."""

    site: str
    post_id: str
    kind: Literal["question", "document"]
    text: str
    """The text; a question's first line is its title."""
    thread_id: str = ""
    """The id of the question that the post belongs to; empty if there is none or it is not known."""
    url: str = ""


@dataclass(frozen=True, slots=True)
class Overlap:
    """An overlap of a text with a benchmark's query or document."""

    site: str
    post_id: str
    target: Target
    how: How
    overlap: float
    """The share of the benchmark text's 13-grams (or of the question's own, if that is larger and at least a half), the
    Jaccard similarity (minhash), the share of the shorter text's runs of three words (shingles), the cosine (words,
    title), or 1."""

    def to_json(self) -> dict[str, Any]:
        """The report's entry on the overlap."""
        target = self.target
        named = "doc_id" if target.part == "document" else "query_id"
        entry: dict[str, Any] = {
            "site": self.site,
            "post_id": self.post_id,
            "benchmark": target.benchmark,
            "task": target.task,
            named: target.item_id,
            "how": self.how,
            "overlap": round(self.overlap, 4),
        }
        # The query's known answer identifies its thread; a link in that answer leads to a related post.
        if target.part in ("answer", "mention"):
            entry["through"] = "its answer" if target.part == "answer" else "a link in its answer"
        return entry


@dataclass(frozen=True, slots=True)
class Contamination:
    """The contaminated texts: whole threads by (site, question's id), and single posts by (site, id)."""

    removed: tuple[Overlap, ...]
    remaining: tuple[Overlap, ...]
    """The largest overlap of each text that stays, for each task."""
    threads: frozenset[tuple[str, str]]
    posts: frozenset[tuple[str, str]]

    @classmethod
    def none(cls) -> Contamination:
        """No contamination."""
        return cls((), (), frozenset(), frozenset())

    def is_removed(self, site: str, post_id: str, thread_id: str = "") -> bool:
        """Whether the post must not become part of training data."""
        names = {(site, post_id), (site, thread_id)}
        return (site, post_id) in self.posts or not names.isdisjoint(self.threads)

    def to_json(self) -> dict[str, Any]:
        """The report's entries `removed` and `remaining`."""
        return {
            "removed": [overlap.to_json() for overlap in self.removed],
            "remaining": [overlap.to_json() for overlap in self.remaining],
        }


def contaminated(items: Iterable[Checkable], index: BenchmarkIndex) -> Contamination:
    """Check posts and pages against benchmarks.

    A question that is a benchmark's query, contains 30% of its 13-grams, or has its id or address, is removed with its
    thread, and so is the thread of a query's known answer. Questions are checked against documents too. Any other text
    is removed alone if it contains 30% of a query's or a document's 13-grams, is a near-duplicate, or has its address.

    Args:
        items: The texts, in any order and number; they are streamed.
        index: The benchmarks.

    Returns:
        The overlaps to remove and the smaller ones, sorted by site, post id and benchmark.
    """
    removed: set[Overlap] = set()
    smaller: set[Overlap] = set()
    threads: set[tuple[str, str]] = set()
    posts: set[tuple[str, str]] = set()
    owners: dict[tuple[str, str], str] = {}
    for batch in batches(items, _BATCH):
        for item, target, match in _matches(batch, index):
            overlap = Overlap(item.site, item.post_id, target, match.how, match.overlap)
            owners[item.site, item.post_id] = item.thread_id
            if not _is_contaminated(match, target):
                smaller.add(overlap)
                continue
            removed.add(overlap)
            is_thread = item.kind == "question" or target.part == "answer" or _names_query(match, target)
            if is_thread and (item.thread_id or item.kind == "question"):
                threads.add((item.site, item.thread_id or item.post_id))
            else:
                posts.add((item.site, item.post_id))
    result = Contamination(tuple(_surest(removed)), (), frozenset(threads), frozenset(posts))
    left = (one for one in smaller if not result.is_removed(one.site, one.post_id, owners[one.site, one.post_id]))
    return Contamination(result.removed, tuple(_largest(left)), result.threads, result.posts)


def joined(contaminations: Iterable[Contamination]) -> Contamination:
    """Join the contamination of several parts of the same data."""
    parts = list(contaminations)
    return Contamination(
        tuple(sorted({overlap for part in parts for overlap in part.removed}, key=_order)),
        tuple(sorted({overlap for part in parts for overlap in part.remaining}, key=_order)),
        frozenset().union(*(part.threads for part in parts)),
        frozenset().union(*(part.posts for part in parts)),
    )


def _is_contaminated(match: Match, target: Target) -> bool:
    return target.part != "mention" and match.overlap >= _LEAST.get(match.how, 0)


def _names_query(match: Match, target: Target) -> bool:
    return target.part == "query" and match.how in ("post id", "url")


def _matches(batch: Sequence[Checkable], index: BenchmarkIndex) -> Iterator[tuple[Checkable, Target, Match]]:
    """Every item with each target that it overlaps with, and the strongest match of the two."""
    best: dict[tuple[int, Target], Match] = {}
    for target, match in _all_matches(batch, index):
        key = match.asking, target
        if key not in best or _strength(match, target) > _strength(best[key], target):
            best[key] = match
    for (number, target), match in best.items():
        yield batch[number], target, match


def _strength(match: Match, target: Target) -> tuple[bool, int, float]:
    return _is_contaminated(match, target), -_RANK[match.how], match.overlap


def _all_matches(batch: Sequence[Checkable], index: BenchmarkIndex) -> Iterator[tuple[Target, Match]]:
    for number, item in enumerate(batch):
        for reference in _references(item, index):
            yield reference.target, Match(number, 0, reference.how, 1.0)
    for is_question in (True, False):
        numbers = [number for number, item in enumerate(batch) if (item.kind == "question") == is_question]
        if not numbers:
            continue
        texts = [batch[number].text for number in numbers]
        forms = sketched(texts)
        if is_question:
            query_matches = index.queries.matches(forms, [text.strip().partition("\n")[0] for text in texts])
        else:
            query_matches = index.queries.texts.matches(forms)
            for match in index.answers.matches(forms):
                yield index.answer_targets[match.indexed], match._replace(asking=numbers[match.asking])
        for match in query_matches:
            yield index.query_targets[match.indexed], match._replace(asking=numbers[match.asking])
        for documents in index.documents:
            for match in documents.texts.matches(forms):
                yield documents.targets[match.indexed], match._replace(asking=numbers[match.asking])


def _references(item: Checkable, index: BenchmarkIndex) -> Iterator[Reference]:
    names: list[PostName | str] = []
    if item.site:
        names.append(PostName(site_name(item.site), item.post_id))
    page = page_name(item.url) if item.url else None
    if page:
        names.append(page)
    for name in names:
        yield from index.references.get(name, ())
    if item.site and item.thread_id not in ("", item.post_id):
        # A question's page shows its answers, so a reference to it names them too; a mention in an answer does not.
        of_question = index.references.get(PostName(site_name(item.site), item.thread_id), ())
        yield from (reference for reference in of_question if reference.target.part != "mention")


def _surest(overlaps: Collection[Overlap]) -> list[Overlap]:
    """All sure matches, and for each text and task the best few of the weak ones."""
    weak: dict[tuple[str, str, str, str, str], list[Overlap]] = {}
    for overlap in overlaps:
        if overlap.how in _WEAK:
            weak.setdefault(_place(overlap), []).append(overlap)
    kept = [overlap for overlap in overlaps if overlap.how not in _WEAK]
    for rivals in weak.values():
        kept += sorted(rivals, key=lambda overlap: (-overlap.overlap, _order(overlap)))[:_MOST_WEAK]
    return sorted(kept, key=_order)


def _place(overlap: Overlap) -> tuple[str, str, str, str, str]:
    target = overlap.target
    return overlap.site, overlap.post_id, target.benchmark, target.task, target.part


def _largest(overlaps: Iterable[Overlap]) -> list[Overlap]:
    """The largest overlap of each text with each task's queries and with its documents."""
    largest: dict[tuple[str, str, str, str, str], Overlap] = {}
    for overlap in sorted(overlaps, key=_order):
        known = largest.get(_place(overlap))
        if known is None or overlap.overlap > known.overlap:
            largest[_place(overlap)] = overlap
    return list(largest.values())


def _order(overlap: Overlap) -> tuple[str, int, str, Target, int]:
    number = int(overlap.post_id) if overlap.post_id.isascii() and overlap.post_id.isdigit() else 0
    return overlap.site, number, overlap.post_id, overlap.target, _RANK[overlap.how]
