"""Mining of pairs: questions from StackExchange dumps, each with documents that may help with it and negatives."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from interank.mining.assembly import Assembly, Documents
from interank.mining.choosing import forget, joined
from interank.mining.database import Database, DrawnQuestion
from interank.mining.exclusions import nothing_left, reasons
from interank.mining.items import ContaminationCheck, Item
from interank.mining.post_values import PostValues
from interank.mining.sites import Origin, begin, find_sites, store_once
from interank.mining.store import Store, questions_in
from interank.mining.text import plain_text
from interank.progress import track
from interank.settings import MiningRecipe
from interank.types import Pair, Split

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MiningResult:
    """Pairs, grouped by question, and counts by site."""

    pairs: list[Pair]
    counts: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class MinedIn:
    """The result of `mine_in` in a folder: pairs, which each iteration reads anew, and counts by site."""

    pairs: Iterable[Pair]
    counts: dict[str, dict[str, int]]


def mine(
    dumps: Sequence[Path], settings: MiningRecipe, seed: int, *, contaminated: ContaminationCheck | None = None
) -> MiningResult:
    """Mine in a temporary folder, as `mine_in` does, and read all pairs into memory."""
    with TemporaryDirectory(prefix="interank-mining-") as folder:
        mined = mine_in(Path(folder), dumps, settings, seed, contaminated=contaminated)
        return MiningResult(list(mined.pairs), mined.counts)


def mine_in(
    folder: Path,
    dumps: Sequence[Path],
    settings: MiningRecipe,
    seed: int,
    *,
    contaminated: ContaminationCheck | None = None,
) -> MinedIn:
    """Pair a sample of the dumps' questions with documents, sorted by site and post id.

    A question's documents depend only on its site and the seed, except for documents that it links to on other sites
    of the run. The number of a site's questions depends on the other sites if `settings.questions` limits their sum.

    Args:
        folder: The work folder; it must stay while pairs are read. Sites that a killed run had read are reused.
        dumps: Dumps, folders of them, or tables of questions; see `find_sites`.
        settings: The selection of questions and documents.
        seed: The seed of the sample.
        contaminated: A check that gets the plain text of every question of every site before any is drawn, and the
            final text of every document before it is used. A question that it returns is left out with its whole
            thread, a document is left out of all pairs; others replace them.

    Raises:
        InputError: There is no dump, or no dump has a question that fits the settings.
    """
    origins = find_sites(dumps, settings)
    numbers = {origin.site: number for number, origin in enumerate(origins)}
    begin(folder)
    stored = [
        store_once(origin, Store(folder, origin.site, numbers, settings))
        for origin in track(origins, what="survey", unit="sites", total=len(origins))
    ]
    database = Database(folder, list(numbers), settings, seed)
    try:
        removed = [0 for _ in origins]
        for number, origin in enumerate(origins):
            threads = _contaminated_questions(folder, number, origin, contaminated)
            database.remove(number, threads)
            removed[number] = len(threads)
        drawn, counts, eligible = database.draw()
        for own, (skipped, others) in zip(counts, stored, strict=True):
            own.skipped_rows, own.other_posts = skipped, others
        assembly = Assembly(folder, origins, numbers, settings, seed, PostValues(folder / "texts.sqlite"))
        chosen = assembly.chosen(database, drawn, contaminated)
    finally:
        database.close()
        forget()
    repeats = assembly.repeats(drawn, chosen)
    splits = _splits([one for one in drawn if one not in repeats], settings, seed)
    totals: dict[str, dict[str, int]] = {}
    for site, number in numbers.items():
        drawn_here, repeats_here = (sum(one.site == site for one in some) for some in (drawn, repeats))
        sizes = [len(documents) for one, documents in chosen.items() if one.site == site and one in splits]
        totals[site] = {
            **asdict(counts[number]),
            **({"contaminated_questions": removed[number]} if contaminated is not None else {}),
            **_fates(drawn_here, repeats_here, eligible[number], sizes),
        }
    _log_counts(totals, settings)
    return MinedIn(_Pairs(assembly, chosen, splits), totals)


def _fates(drawn: int, repeated: int, eligible: int, sizes: Sequence[int]) -> dict[str, int]:
    """The counts of a site's eligible questions by outcome; `sizes` has the number of documents of each question."""
    paired = sum(map(bool, sizes))
    return {
        "undrawn_questions": eligible - drawn,
        "unpaired_questions": drawn - repeated - paired,
        "repeated_questions": repeated,
        "chosen_questions": paired,
        "pairs": sum(sizes),
    }


def _log_counts(counts: Mapping[str, Mapping[str, int]], settings: MiningRecipe) -> None:
    """Log each site's counts.

    Raises:
        InputError: There is no pair.
    """
    if not any(of_site["pairs"] for of_site in counts.values()):
        raise nothing_left(counts.values(), settings)
    for name, of_site in counts.items():
        if of_site["duplicate_ids"]:
            logger.warning("%s: skipped posts with an Id that an earlier one has: %d", name, of_site["duplicate_ids"])
        why = f"; left out: {'; '.join(left)}" if (left := reasons(of_site, settings)) else ""
        figures = map(of_site.get, ("chosen_questions", "questions", "pairs"))
        logger.info("%s: %d of %d questions, %d pairs%s", name, *figures, why)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs that are made during iteration."""

    assembly: Assembly
    documents: Documents
    splits: Mapping[DrawnQuestion, Split]

    def __iter__(self) -> Iterator[Pair]:
        """Make the pairs."""
        return self.assembly.pairs(self.documents, self.splits)


def _contaminated_questions(
    folder: Path, number: int, origin: Origin, contaminated: ContaminationCheck | None
) -> list[int]:
    """The ids of a site's contaminated questions."""
    if contaminated is None:
        return []
    prefix = f"{origin.site}/"
    numbers = {name: post_id for post_id, name in origin.names.items()}
    item_ids = contaminated(_question_items(folder, number, origin))
    named = sorted(item_id.removeprefix(prefix) for item_id in item_ids if item_id.startswith(prefix))
    return [numbers[name] if name in numbers else int(name) for name in named]


def _question_items(folder: Path, number: int, origin: Origin) -> Iterator[Item]:
    for post_id, title, html, url in questions_in(folder, number):
        name = origin.names.get(post_id, str(post_id))
        text = joined(title, plain_text(html))
        yield Item(f"{origin.site}/{name}", "question", origin.site, name, name, url, text)


def _splits(drawn: Sequence[DrawnQuestion], settings: MiningRecipe, seed: int) -> dict[DrawnQuestion, Split]:
    """Assign each question to train or validation."""
    validation: set[DrawnQuestion] = set()
    for site in sorted({one.site for one in drawn}):
        generator = random.Random(f"{seed}/{site}")
        own = [one for one in drawn if one.site == site]
        # Rounded up or down by chance, so that many small sites together have the right share.
        count = math.floor(len(own) * settings.validation_share + generator.random())
        validation.update(generator.sample(own, count))
    # With a validation share, training needs at least one validation question.
    if settings.validation_share and len(drawn) > 1 and not validation:
        validation.add(drawn[-1])
    return {one: "validation" if one in validation else "train" for one in drawn}
