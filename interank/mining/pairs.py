"""Chooses questions from StackExchange dumps and, for each, documents that may and may not help with it."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

from interank.bm25 import Bm25, tokenize
from interank.errors import InputError
from interank.mining.sites import Site, load_site
from interank.mining.stackexchange import Post, dump_folders
from interank.mining.text import html_to_text
from interank.recipe import MiningRecipe
from interank.types import Origin, Pair, Query, Run, Source, Split

logger = logging.getLogger(__name__)

# Answers that share more of their words than this say the same; one cannot be the other's negative.
_NEAR_DUPLICATE = 0.8
# Candidates beyond those needed, to lose near-duplicates from.
_SPARE_CANDIDATES = 20


@dataclass(frozen=True, slots=True)
class Mined:
    """Pairs, those of a question together, and what was met on the way, by site."""

    pairs: list[Pair]
    counts: dict[str, dict[str, int]]


def mine(dumps: Sequence[Path], settings: MiningRecipe, seed: int) -> Mined:
    """Pair a sample of the dumps' questions with documents, in the order of site and post id.

    What a question is paired with depends on its site and the seed alone; how many questions a site gives
    depends on the other sites where `settings.questions` bounds their sum.

    Raises:
        InputError: There is no dump, or none has a question that fits the settings.
    """
    sites = [
        load_site(name, folder, min_document_words=settings.min_document_words) for name, folder in dump_folders(dumps)
    ]
    chosen = _choose(sites, settings, seed)
    pairs: list[Pair] = []
    counts: dict[str, dict[str, int]] = {}
    for site in sites:
        mined = list(_pairs(site, chosen[site.name], settings, seed))
        pairs += mined
        paired = len({pair.query.query_id for pair in mined})
        counts[site.name] = {**asdict(site.counts), "chosen_questions": paired, "pairs": len(mined)}
        logger.info("%s: %d of %d questions, %d pairs", site.name, paired, site.counts.questions, len(mined))
    if not pairs:
        raise InputError(
            f"found no question to take among the {sum(site.counts.questions for site in sites)} of "
            f"{len(sites)} sites; expected one that fits the mining settings in a site with answers to other "
            "questions; loosen min_question_score, min_answers, min_document_words or include_closed"
        )
    return Mined(pairs, counts)


def _choose(sites: Sequence[Site], settings: MiningRecipe, seed: int) -> dict[str, dict[int, Split]]:
    """The questions to take from each site, ascending, each with its split."""
    drawn: list[tuple[float, str, int]] = []
    generators = {site.name: random.Random(f"{seed}/{site.name}") for site in sites}
    for site in sites:
        drawn += [(generators[site.name].random(), site.name, post_id) for post_id in _eligible(site, settings)]
    # Each site's questions are drawn in an order of its own; the sites' orders are merged, then cut.
    drawn = sorted(drawn)[: settings.questions]
    chosen: dict[str, dict[int, Split]] = {}
    for site in sites:
        post_ids = [post_id for _, name, post_id in drawn if name == site.name]
        # Rounded up or down by chance, so that many small sites together keep the share.
        kept = math.floor(len(post_ids) * settings.validation_share + generators[site.name].random())
        validation = set(generators[site.name].sample(post_ids, kept))
        chosen[site.name] = {
            post_id: "validation" if post_id in validation else "train" for post_id in sorted(post_ids)
        }
    # Training that was promised validation questions needs one at the least.
    if settings.validation_share and len(drawn) > 1:
        _, name, post_id = drawn[-1]
        if not any("validation" in splits.values() for splits in chosen.values()):
            chosen[name][post_id] = "validation"
    return chosen


def _eligible(site: Site, settings: MiningRecipe) -> list[int]:
    return sorted(
        post_id
        for post_id, question in site.questions.items()
        if question.score >= settings.min_question_score
        and len(site.answers[post_id]) >= settings.min_answers
        and (settings.include_closed or not question.closed)
    )


def _pairs(site: Site, chosen: Mapping[int, Split], settings: MiningRecipe, seed: int) -> Iterator[Pair]:
    if not chosen:
        return
    queries = {post_id: _query(site, site.questions[post_id]) for post_id in chosen}
    ranked = _rank(site, queries, settings)
    for post_id, split in chosen.items():
        query = queries[post_id]
        candidates = [int(doc_id.rpartition("/")[2]) for doc_id in ranked.doc_ids(query.query_id)]
        # A generator for each question, so that its documents do not depend on which others were chosen.
        rng = random.Random(f"{seed}/{query.query_id}")
        for origin, answer_id in _documents(site, post_id, candidates, settings.documents_per_question, rng):
            source = _source(site.posts[answer_id])
            yield Pair(query, site.documents[answer_id], split, origin, source)


def _query(site: Site, question: Post) -> Query:
    body = html_to_text(question.html, site=site.name)
    return Query(f"{site.name}/{question.post_id}", f"{question.title}\n{body}")


def _source(post: Post) -> Source:
    return Source(post.site, str(post.post_id), post.url, post.author, post.licence)


def _rank(site: Site, queries: Mapping[int, Query], settings: MiningRecipe) -> Run:
    """The answers of the site that share most with each question, less those that may well answer it."""
    excluded = {
        query.query_id: frozenset(site.documents[answer_id].doc_id for answer_id in _barred(site, post_id))
        for post_id, query in queries.items()
    }
    return Bm25(list(site.documents.values())).rank(
        queries.values(), top_k=settings.documents_per_question + _SPARE_CANDIDATES, excluded=excluded
    )


def _barred(site: Site, post_id: int) -> set[int]:
    """The answers that cannot be negatives: those to the question itself and to questions linked with it."""
    return {answer_id for owner in (post_id, *site.related[post_id]) for answer_id in site.answers[owner]}


def _documents(
    site: Site, post_id: int, ranked: Sequence[int], wanted: int, rng: random.Random
) -> list[tuple[Origin, int]]:
    """The documents of a question by answer id; none where the site has no negative for it."""
    own = site.answers[post_id]
    chosen: list[tuple[Origin, int]] = [("accepted_answer", own[0])]
    if wanted > 2:
        chosen += [("answer", answer_id) for answer_id in own[1:2]]
    if wanted > 3:
        linked = (answer_id for owner in site.related[post_id] for answer_id in site.answers[owner][:1])
        chosen += [("linked_answer", answer_id) for answer_id in linked][:1]

    rest = wanted - len(chosen)
    own_words = [_words(site, answer_id) for answer_id in own]
    fit = (answer_id for answer_id in ranked if not _repeats(_words(site, answer_id), own_words))
    hard = list(islice(fit, math.ceil(rest / 2)))
    taken = _barred(site, post_id) | set(hard)
    drawn = rng.sample(site.answer_ids, min(len(site.answer_ids), rest + len(taken) + _SPARE_CANDIDATES))
    others = (
        answer_id for answer_id in drawn if answer_id not in taken and not _repeats(_words(site, answer_id), own_words)
    )
    easy = list(islice(others, rest - len(hard)))
    if not hard and not easy:
        return []
    chosen += [("hard_negative", answer_id) for answer_id in hard]
    chosen += [("random_negative", answer_id) for answer_id in easy]
    return chosen


def _words(site: Site, answer_id: int) -> frozenset[str]:
    return frozenset(tokenize(site.documents[answer_id].text))


def _repeats(words: frozenset[str], others: Sequence[frozenset[str]]) -> bool:
    """Whether the Jaccard similarity with one of the others passes for a near-duplicate."""
    return any(len(words & other) > _NEAR_DUPLICATE * len(words | other) for other in others)
