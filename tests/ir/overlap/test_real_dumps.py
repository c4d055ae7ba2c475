"""In the real dumps exactly those questions are found that comparing every question with every query finds."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from interank.ir.overlap import BenchmarkIndex, BenchmarkTexts, Checkable, contaminated, read_texts
from tests.support.dumps import checkables

pytestmark = pytest.mark.real_data

CONTAMINATED = "sustainability.stackexchange.com"
CLEAN = ("coffee.stackexchange.com", "matheducators.stackexchange.com", "quantumcomputing.stackexchange.com")
RUN = 6
# Of the shorter text's runs of six letters, so many in the other make two texts one. In English text every third run or
# so is anybody's: what is no pair reaches .36, what is one begins at .8.
ALIKE = 0.6


@pytest.fixture(scope="module")
def posts(real_data: Path) -> dict[str, list[Checkable]]:
    return {site: checkables(real_data / "stackexchange" / site) for site in (CONTAMINATED, *CLEAN)}


@pytest.fixture(scope="module")
def topics(real_data: Path) -> list[BenchmarkTexts]:
    return read_texts(real_data / "bright" / "topics")


def letter_runs(text: str) -> frozenset[str]:
    """The text's runs of letters; of nothing but letters, so that no rule of ours is shared."""
    letters = "".join(filter(str.isalpha, text.lower()))
    return frozenset(letters[start : start + RUN] for start in range(len(letters) - RUN + 1))


def pairs_by_brute_force(
    posts: Mapping[str, list[Checkable]], topics: list[BenchmarkTexts]
) -> set[tuple[str, str, str, str]]:
    """(site, post, task, query) of every question and query that are alike, all pairs compared."""
    queries = [(texts.task, query.query_id, letter_runs(query.text)) for texts in topics for query in texts.queries]
    pairs = set()
    for post in (post for found in posts.values() for post in found if post.kind == "question"):
        own = letter_runs(post.text)
        for task, query_id, known in queries:
            if len(own & known) >= ALIKE * min(len(own), len(known)):
                pairs.add((post.site, post.post_id, task, query_id))
    return pairs


def test_every_question_that_is_a_query_is_found_and_no_other(
    posts: dict[str, list[Checkable]], topics: list[BenchmarkTexts]
) -> None:
    truth = pairs_by_brute_force(posts, topics)
    index = BenchmarkIndex(topics)
    found = {site: contaminated(items, index) for site, items in posts.items()}
    questions = {
        (overlap.site, overlap.post_id, overlap.target.task, overlap.target.item_id)
        for each in found.values()
        for overlap in each.removed
        if overlap.target.part == "query"
    }
    assert questions == truth
    assert {(site, task) for site, _, task, _ in truth} == {(CONTAMINATED, "sustainable_living")}
    assert len(truth) == len({query_id for *_, query_id in truth}) == 30
    assert found[CONTAMINATED].threads == {(site, post_id) for site, post_id, _, _ in truth}
    for site in CLEAN:
        assert not found[site].removed


def test_the_queries_answers_say_the_same(posts: dict[str, list[Checkable]], topics: list[BenchmarkTexts]) -> None:
    """A query's known answer belongs to the thread of the question found to be that query."""
    found = contaminated(posts[CONTAMINATED], BenchmarkIndex(topics))
    owner = {post.post_id: post.thread_id for post in posts[CONTAMINATED]}
    of_query = {o.target.item_id: o.post_id for o in found.removed if o.target.part == "query"}
    of_answer = {o.target.item_id: owner[o.post_id] for o in found.removed if o.target.part == "answer"}
    assert len(of_answer) > 20
    assert of_answer.items() <= of_query.items()


def test_documents_of_other_benchmarks_are_in_no_dump(real_data: Path, posts: dict[str, list[Checkable]]) -> None:
    folders = ("bright/aops_text", "beir/scifact", "classic", "trecdl")
    index = BenchmarkIndex(texts for folder in folders for texts in read_texts(real_data / folder))
    assert sum(checked.documents for checked in index.checked.values()) > 19_000
    for items in posts.values():
        assert not contaminated(items, index).removed


def test_literal_runs_alone_would_alarm_on_innocent_posts(
    posts: dict[str, list[Checkable]], topics: list[BenchmarkTexts]
) -> None:
    """Why a run counts only with five alphabetic words: grids of a LeetCode query stand in two sites' posts."""
    from interank.ir.overlap.postings import Postings
    from interank.ir.overlap.words import encode, grams

    leetcode = next(texts for texts in topics if texts.task == "leetcode")
    queries = encode([query.text for query in leetcode.queries])
    alarms = {}
    for least in (0, 5):
        known = Postings([grams(queries, 13, least_alphabetic=least)])
        alarms[least] = {
            site
            for site in CLEAN
            if len(known.shared(grams(encode([post.text for post in posts[site]]), 13, least_alphabetic=least)).asking)
        }
    assert alarms[0]
    assert not alarms[5]
