"""Chooses questions from StackExchange dumps and, for each, documents that may and may not help with it."""

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
    """Pairs, those of a question together, and what was met on the way, by site."""

    pairs: list[Pair]
    counts: dict[str, dict[str, int]]


@dataclass(frozen=True, slots=True)
class MinedIn:
    """What `mine_in` left in a folder: pairs, read as they are asked for, as often as they are."""

    pairs: Iterable[Pair]
    counts: dict[str, dict[str, int]]


def mine(
    dumps: Sequence[Path], settings: MiningRecipe, seed: int, *, contaminated: ContaminationCheck | None = None
) -> MiningResult:
    """Do as `mine_in`, in a temporary folder, and read the pairs."""
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
    """Pair a sample of the dumps' questions with documents, in the order of site and post id.

    What a question is paired with depends on its site and the seed alone, but for documents that it links to on other
    sites of the run; how many questions a site gives depends on the others where `settings.questions` bounds their sum.

    Args:
        folder: Where all that is read goes, and stays while pairs are read. What a killed mining had read is used.
        dumps: Dumps, folders of them, or tables of questions; see `find_sites`.
        settings: What to take.
        seed: Decides the sample.
        contaminated: Is shown every question of every site, with its bare words, before any is chosen, and every
            document, as it would be paired, before it is. A question it names is left out with its whole thread, a
            document from all pairs; clean ones take their places.

    Raises:
        InputError: There is no dump, or none has a question that fits the settings.
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
            found = _contaminated_questions(folder, number, origin, contaminated)
            database.remove(number, found)
            removed[number] = len(found)
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
    told: dict[str, dict[str, int]] = {}
    for site, number in numbers.items():
        taken, repeated = (sum(one.site == site for one in some) for some in (drawn, repeats))
        sizes = [len(documents) for one, documents in chosen.items() if one.site == site and one in splits]
        told[site] = {
            **asdict(counts[number]),
            **({"contaminated_questions": removed[number]} if contaminated is not None else {}),
            **_fates(taken, repeated, eligible[number], sizes),
        }
    _tell(told, settings)
    return MinedIn(_Pairs(assembly, chosen, splits), told)


def _fates(taken: int, repeated: int, eligible: int, sizes: Sequence[int]) -> dict[str, int]:
    """What became of a site's eligible questions, of which some were taken, with so many documents each."""
    paired = sum(map(bool, sizes))
    return {
        "undrawn_questions": eligible - taken,
        "unpaired_questions": taken - repeated - paired,
        "repeated_questions": repeated,
        "chosen_questions": paired,
        "pairs": sum(sizes),
    }


def _tell(counts: Mapping[str, Mapping[str, int]], settings: MiningRecipe) -> None:
    """Log what was found.

    Raises:
        InputError: There is no pair.
    """
    if not any(found["pairs"] for found in counts.values()):
        raise nothing_left(counts.values(), settings)
    for name, found in counts.items():
        if found["duplicate_ids"]:
            logger.warning("%s: skipped posts whose Id came before: %d", name, found["duplicate_ids"])
        why = f"; left out: {'; '.join(left)}" if (left := reasons(found, settings)) else ""
        shown = map(found.get, ("chosen_questions", "questions", "pairs"))
        logger.info("%s: %d of %d questions, %d pairs%s", name, *shown, why)


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Pairs that are made when they are asked for."""

    assembly: Assembly
    documents: Documents
    splits: Mapping[DrawnQuestion, Split]

    def __iter__(self) -> Iterator[Pair]:
        """Make them."""
        return self.assembly.pairs(self.documents, self.splits)


def _contaminated_questions(
    folder: Path, number: int, origin: Origin, contaminated: ContaminationCheck | None
) -> list[int]:
    """The questions of a site that must not be used."""
    if contaminated is None:
        return []
    prefix = f"{origin.site}/"
    numbers = {name: post_id for post_id, name in origin.names.items()}
    found = contaminated(_question_items(folder, number, origin))
    named = sorted(item_id.removeprefix(prefix) for item_id in found if item_id.startswith(prefix))
    return [numbers[name] if name in numbers else int(name) for name in named]


def _question_items(folder: Path, number: int, origin: Origin) -> Iterator[Item]:
    for post_id, title, html, url in questions_in(folder, number):
        name = origin.names.get(post_id, str(post_id))
        text = joined(title, plain_text(html))
        yield Item(f"{origin.site}/{name}", "question", origin.site, name, name, url, text)


def _splits(drawn: Sequence[DrawnQuestion], settings: MiningRecipe, seed: int) -> dict[DrawnQuestion, Split]:
    """The split of each question."""
    validation: set[DrawnQuestion] = set()
    for site in sorted({one.site for one in drawn}):
        generator = random.Random(f"{seed}/{site}")
        own = [one for one in drawn if one.site == site]
        # Rounded up or down by chance, so that many small sites together keep the share.
        kept = math.floor(len(own) * settings.validation_share + generator.random())
        validation.update(generator.sample(own, kept))
    # Training that was promised validation questions needs one at the least.
    if settings.validation_share and len(drawn) > 1 and not validation:
        validation.add(drawn[-1])
    return {one: "validation" if one in validation else "train" for one in drawn}
