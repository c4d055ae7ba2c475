"""Chooses questions from StackExchange dumps and, for each, documents that may and may not help with it."""

from __future__ import annotations

import logging
import math
import random
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

from interank.errors import InputError
from interank.ir.bm25 import Bm25
from interank.ir.overlap import near_duplicates
from interank.mining.documents import Candidates, Chosen, Shelf, choose_documents, most_documents, rank_pool
from interank.mining.left_out import nothing_left, reasons
from interank.mining.pages import links_to_pages, passages, read_pages
from interank.mining.sites import Origin, find_sites
from interank.mining.stackexchange import Link, Post
from interank.mining.text import html_to_text, plain_text
from interank.mining.threads import Relations, Threads
from interank.progress import track
from interank.settings import MiningRecipe
from interank.types import Document, Pair, Query, Split

logger = logging.getLogger(__name__)

_NUMBER = re.compile("-?[0-9]{1,20}")


class Item(NamedTuple):
    """A question or a document that mining may use, as a check for contamination sees it."""

    item_id: str
    """The query's or document's id."""
    kind: Literal["question", "document"]
    site: str
    post_id: str
    """Empty for a page."""
    thread_id: str
    """The id of the question it is or answers; empty for a page."""
    url: str
    text: str


Contaminated = Callable[[Iterable[Item]], Collection[str]]
"""Told items, of which there may be millions, one at a time: the ids of those that must not be used."""


@dataclass(frozen=True, slots=True)
class Mined:
    """Pairs, those of a question together, and what was met on the way, by site."""

    pairs: list[Pair]
    counts: dict[str, dict[str, int]]


@dataclass(slots=True)
class _Site:
    """A site surveyed: what is known of its posts without their texts."""

    origin: Origin
    threads: Threads
    links: Sequence[Link]
    contaminated_questions: int

    @property
    def name(self) -> str:
        return self.origin.site


class Drawn(NamedTuple):
    """A question that was drawn."""

    site: str
    post_id: int

    @property
    def query_id(self) -> str:
        """Its id in pairs."""
        return f"{self.site}/{self.post_id}"


def mine(
    dumps: Sequence[Path], settings: MiningRecipe, seed: int, *, contaminated: Contaminated | None = None
) -> Mined:
    """Pair a sample of the dumps' questions with documents, in the order of site and post id.

    What a question is paired with depends on its site and the seed alone; how many questions a site gives
    depends on the other sites where `settings.questions` bounds their sum. Links to other sites of the run
    are followed, so that such a document depends on that site being there.

    Args:
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
    names = frozenset(origin.site for origin in origins)
    sites: dict[str, _Site] = {}
    for origin in track(origins, what="survey", unit="sites", total=len(origins)):
        sites[origin.site] = _survey(origin, settings, names, contaminated)
    generators = {name: random.Random(f"{seed}/{name}") for name in sites}
    drawn = _draw(sites, settings, generators)
    mined: list[Pair] = []
    for name, site in sites.items():
        chosen = sorted(one.post_id for one in drawn if one.site == name)
        mined += _Miner(site, sites, chosen, settings, seed).pairs(contaminated)
    repeats = _repeats(mined, drawn)
    splits = _splits([one for one in drawn if one not in repeats], settings, generators)
    pairs = [replace(pair, split=splits[pair.query.query_id]) for pair in mined if pair.query.query_id in splits]
    checked = contaminated is not None
    counts = {name: _counts(site, pairs, drawn, repeats, checked=checked) for name, site in sites.items()}
    if not pairs:
        raise nothing_left(counts.values(), settings)
    for name, found in counts.items():
        why = f"; left out: {'; '.join(told)}" if (told := reasons(found, settings)) else ""
        shown = map(found.get, ("chosen_questions", "questions", "pairs"))
        logger.info("%s: %d of %d questions, %d pairs%s", name, *shown, why)
    return Mined([_with_names(pair, sites) for pair in pairs], counts)


def _survey(origin: Origin, settings: MiningRecipe, names: frozenset[str], contaminated: Contaminated | None) -> _Site:
    outline, skipped = origin.outline(settings, names)
    removed: set[int] = set()
    if contaminated is not None:
        prefix = f"{origin.site}/"
        found = contaminated(_question_items(origin))
        numbers = {name: number for number, name in origin.names.items()}
        named = (item_id.removeprefix(prefix) for item_id in found if item_id.startswith(prefix))
        removed = {numbers[name] if name in numbers else int(name) for name in named}
    threads = Threads(outline, removed)
    threads.counts.skipped_rows = skipped
    if threads.counts.duplicate_ids:
        logger.warning("%s: skipped posts whose Id came before: %d", origin.site, threads.counts.duplicate_ids)
    return _Site(origin, threads, outline.links, len(removed))


def _question_items(origin: Origin) -> Iterator[Item]:
    for post in origin.questions():
        name = origin.names.get(post.post_id, str(post.post_id))
        text = _joined(post.title, plain_text(post.html))
        yield Item(f"{post.site}/{name}", "question", post.site, name, name, post.url, text)


def _draw(sites: Mapping[str, _Site], settings: MiningRecipe, generators: Mapping[str, random.Random]) -> list[Drawn]:
    """The questions to take, in the order in which they were drawn."""
    drawn: list[tuple[float, str, int]] = []
    for name, site in sites.items():
        eligible = site.threads.eligible(settings.min_answers)
        own = [(generators[name].random(), name, post_id) for post_id in eligible]
        drawn += sorted(own)[: settings.questions_per_site] if settings.questions_per_site else own
    # Each site's questions are drawn in an order of its own; the sites' orders are merged, then cut.
    return [Drawn(name, post_id) for _, name, post_id in sorted(drawn)[: settings.questions]]


def _splits(
    drawn: Sequence[Drawn], settings: MiningRecipe, generators: Mapping[str, random.Random]
) -> dict[str, Split]:
    """The split of each question, by its id."""
    validation: set[str] = set()
    for name, generator in generators.items():
        own = [one.query_id for one in drawn if one.site == name]
        # Rounded up or down by chance, so that many small sites together keep the share.
        kept = math.floor(len(own) * settings.validation_share + generator.random())
        validation.update(generator.sample(own, kept))
    # Training that was promised validation questions needs one at the least.
    if settings.validation_share and len(drawn) > 1 and not validation:
        validation.add(drawn[-1].query_id)
    return {one.query_id: "validation" if one.query_id in validation else "train" for one in drawn}


def _repeats(pairs: Iterable[Pair], drawn: Iterable[Drawn]) -> frozenset[Drawn]:
    """The questions that are near-duplicates of one drawn before them, on whatever site."""
    texts = {pair.query.query_id: pair.query.text for pair in pairs}
    paired = [one for one in drawn if one.query_id in texts]
    firsts = near_duplicates([texts[one.query_id] for one in paired])
    return frozenset(paired[place] for place, first in enumerate(firsts) if first != place)


def _counts(
    site: _Site, pairs: Iterable[Pair], drawn: Iterable[Drawn], repeats: Iterable[Drawn], *, checked: bool
) -> dict[str, int]:
    own = [query_id for pair in pairs if (query_id := pair.query.query_id).rpartition("/")[0] == site.name]
    taken, repeated = (sum(one.site == site.name for one in some) for some in (drawn, repeats))
    return {
        **asdict(site.threads.counts),
        **({"contaminated_questions": site.contaminated_questions} if checked else {}),
        "undrawn_questions": site.threads.eligible_questions - taken,
        "unpaired_questions": taken - repeated - len(set(own)),
        "repeated_questions": repeated,
        "chosen_questions": len(set(own)),
        "pairs": len(own),
    }


class _Miner:
    """Makes the pairs of one site."""

    def __init__(
        self, site: _Site, sites: Mapping[str, _Site], chosen: Sequence[int], settings: MiningRecipe, seed: int
    ) -> None:
        self._site = site
        self._sites = sites
        self._chosen = chosen
        self._settings = settings
        self._seed = seed
        self._shelf = Shelf()

    def pairs(self, contaminated: Contaminated | None) -> Iterator[Pair]:
        """The pairs of the chosen questions, in their order."""
        if not self._chosen:
            return
        relations = Relations(self._site.threads, self._site.links, frozenset(self._chosen))
        pool = self._pool()
        queries = self._fetch(relations, pool)
        candidates = self._candidates(relations, pool, queries)
        documents = {post_id: self._documents(post_id, candidates[post_id]) for post_id in queries}
        if contaminated is not None:
            self._clear(documents, candidates, contaminated)
        for post_id, chosen in documents.items():
            for origin, doc_id in chosen:
                document, source = self._shelf.document(doc_id), self._shelf.source(doc_id)
                yield Pair(queries[post_id], document, "train", origin, source)

    def _doc_id(self, post_id: int) -> str:
        return f"{self._site.name}/{post_id}"

    def _pool(self) -> list[int]:
        """The answers that negatives are taken from, ascending."""
        ids = self._site.threads.answer_ids
        if len(ids) <= self._settings.negative_pool:
            return [int(answer_id) for answer_id in ids]
        rng = random.Random(f"{self._seed}/{self._site.name}/pool")
        return [int(ids[place]) for place in sorted(rng.sample(range(len(ids)), self._settings.negative_pool))]

    def _fetch(self, relations: Relations, pool: Sequence[int]) -> dict[int, Query]:
        """Bring what the chosen questions need into memory; their texts."""
        threads = self._site.threads
        wanted = {*self._chosen, *pool}
        abroad: dict[str, set[int]] = {}
        for question_id in self._chosen:
            wanted.update(threads.answers(question_id))
            wanted.update(answer for other in relations.related(question_id) for answer in threads.best(other))
            for name, answer_id in self._abroad(relations, question_id):
                abroad.setdefault(name, set()).add(answer_id)
        posts = self._site.origin.fetch(wanted)
        self._shelf.put_posts(post for post in posts.values() if post.kind == "answer")
        for name, answer_ids in sorted(abroad.items()):
            self._shelf.put_posts(self._sites[name].origin.fetch(answer_ids).values())
        return {question_id: _query(posts[question_id]) for question_id in self._chosen}

    def _abroad(self, relations: Relations, question_id: int) -> Iterator[tuple[str, int]]:
        """The best answers of the questions of other sites that a question's thread links to."""
        for name, post_id in relations.abroad(question_id):
            threads = self._sites[name].threads
            owner = threads.owner(post_id)
            yield from ((name, answer_id) for answer_id in (threads.best(owner) if owner is not None else ()))

    def _candidates(
        self, relations: Relations, pool: Sequence[int], queries: Mapping[int, Query]
    ) -> dict[int, Candidates]:
        threads = self._site.threads
        related = {question_id: relations.related(question_id) for question_id in queries}
        barred = {
            question_id: frozenset(
                self._doc_id(answer) for owner in (question_id, *linked) for answer in threads.answers(owner)
            )
            for question_id, linked in related.items()
        }
        pool_ids = [self._doc_id(post_id) for post_id in pool]
        excluded = {query.query_id: barred[question_id] for question_id, query in queries.items()}
        ranked = rank_pool(self._shelf, pool_ids, queries.values(), excluded, most_documents(self._settings))
        pages = self._pages(queries)
        return {
            question_id: Candidates(
                own=[self._doc_id(answer) for answer in threads.answers(question_id)],
                linked=[
                    *(self._doc_id(answer) for other in related[question_id] for answer in threads.best(other)),
                    *(f"{name}/{answer}" for name, answer in self._abroad(relations, question_id)),
                ],
                pages=pages.get(question_id, ()),
                ranked=ranked.doc_ids(query.query_id),
                pool=pool_ids,
                no_negatives=barred[question_id],
            )
            for question_id, query in queries.items()
        }

    def _pages(self, queries: Mapping[int, Query]) -> dict[int, list[str]]:
        """The passages of pages that a question's answers link to, those that share most with it first."""
        if self._settings.pages is None:
            return {}
        linked: dict[int, list[str]] = {}
        for question_id in queries:
            posts = (self._shelf.post(self._doc_id(answer)) for answer in self._site.threads.answers(question_id))
            urls = (url for post in posts if post for url in links_to_pages(post.html))
            linked[question_id] = list(dict.fromkeys(urls))
        found = read_pages(self._settings.pages, {address for urls in linked.values() for address in urls})
        result = {}
        for question_id, addresses in linked.items():
            cut: list[Document] = []
            for address in addresses:
                for document, source in (
                    passages(found[address], self._settings.passage_words) if address in found else ()
                ):
                    self._shelf.put(document, source)
                    cut.append(document)
            if cut:
                result[question_id] = _best_first(cut, queries[question_id])
        return result

    def _documents(self, question_id: int, candidates: Candidates) -> list[Chosen]:
        # A generator for each question, so that its documents do not depend on which others were chosen.
        rng = random.Random(f"{self._seed}/{self._doc_id(question_id)}")
        return choose_documents(self._shelf, candidates, self._settings, rng)

    def _clear(
        self,
        documents: dict[int, list[Chosen]],
        candidates: Mapping[int, Candidates],
        contaminated: Contaminated,
    ) -> None:
        """Replace documents until none is contaminated."""
        seen: set[str] = set()
        while unseen := {doc_id: None for chosen in documents.values() for _, doc_id in chosen if doc_id not in seen}:
            seen.update(unseen)
            named = {_name(self._sites, doc_id): doc_id for doc_id in unseen}
            found = frozenset(
                named[name] for name in contaminated(self._document_item(*item) for item in named.items())
            )
            self._shelf.barred |= found
            for question_id, chosen in documents.items():
                if any(doc_id in found for _, doc_id in chosen):
                    documents[question_id] = self._documents(question_id, candidates[question_id])

    def _document_item(self, name: str, doc_id: str) -> Item:
        document, source, post = self._shelf.document(doc_id), self._shelf.source(doc_id), self._shelf.post(doc_id)
        names = self._sites[post.site].origin.names if post else {}
        owner = post.parent_id if post else None
        thread = "" if owner is None else names.get(owner, str(owner))
        post_id = names.get(post.post_id, source.post_id) if post else source.post_id
        return Item(name, "document", source.site, post_id, thread, source.url, document.full_text)


def _query(question: Post) -> Query:
    body = html_to_text(question.html, site=question.site)
    return Query(f"{question.site}/{question.post_id}", _joined(question.title, body))


def _joined(title: str, body: str) -> str:
    """A question's text; no line stands for a title or a body that is not there."""
    return f"{title}\n{body}" if title.strip() and body.strip() else title if title.strip() else body


def _name(sites: Mapping[str, _Site], item_id: str) -> str:
    """A query's or document's id with the post's own name in place of the number that stands for it."""
    name, _, number = item_id.rpartition("/")
    names = sites[name].origin.names if name in sites else {}
    return f"{name}/{names[int(number)]}" if names and _NUMBER.fullmatch(number) and int(number) in names else item_id


def _with_names(pair: Pair, sites: Mapping[str, _Site]) -> Pair:
    if not any(site.origin.names for site in sites.values()):
        return pair
    query_id, doc_id = _name(sites, pair.query.query_id), _name(sites, pair.document.doc_id)
    post = f"{pair.source.site}/{pair.source.post_id}"
    source = replace(pair.source, post_id=_name(sites, post).removeprefix(f"{pair.source.site}/"))
    query, document = replace(pair.query, query_id=query_id), replace(pair.document, doc_id=doc_id)
    return replace(pair, query=query, document=document, source=source)


def _best_first(documents: Sequence[Document], query: Query) -> list[str]:
    in_order = [document.doc_id for document in documents]
    try:
        ranked = Bm25(documents).rank([query], top_k=len(documents)).doc_ids(query.query_id)
    except InputError:
        # Passages in a script without a letter a-z keep their order.
        ranked = []
    return list(dict.fromkeys([*ranked, *in_order]))
