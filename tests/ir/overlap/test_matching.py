"""Posts are removed for 30% of a benchmark text's 13-grams, near-duplicates, ids and addresses; for no less."""

import random
from collections.abc import Iterable, Sequence

import pytest

from interank.ir.overlap import (
    BenchmarkDocument,
    BenchmarkIndex,
    BenchmarkQuery,
    BenchmarkTexts,
    Checkable,
    Contamination,
    contaminated,
)

RNG = random.Random(11)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["".join(RNG.choices(LETTERS, k=6)) for _ in range(4000)]
SITE = "tea.stackexchange.com"


def text(length: int) -> str:
    return " ".join(RNG.choices(WORDS, k=length))


def with_part(of: str, words: int, length: int) -> str:
    """A text of this length, so many of whose words in a row are the other's."""
    before = length // 3
    return f"{text(before)} {' '.join(of.split()[:words])} {text(length - before - words)}"


def index(
    queries: Iterable[BenchmarkQuery] = (), documents: Sequence[BenchmarkDocument] = (), site: str = ""
) -> BenchmarkIndex:
    return BenchmarkIndex(
        [BenchmarkTexts("bench", "task", tuple(queries), (lambda: iter(documents)) if documents else None, site)]
    )


def question(content: str, post_id: str = "1") -> Checkable:
    return Checkable(SITE, post_id, "question", content, post_id)


def answer(content: str, post_id: str = "2", thread_id: str = "1") -> Checkable:
    return Checkable(SITE, post_id, "document", content, thread_id)


def ways(found: Contamination) -> list[tuple[str, str, str]]:
    return [(overlap.post_id, overlap.target.item_id, overlap.how) for overlap in found.removed]


QUERY = text(112)
LONG = text(612)


# A query of 112 words has 100 runs of 13; n + 12 words in a row hold n of them.
@pytest.mark.parametrize("length", [130, 900])
@pytest.mark.parametrize(("runs", "removed"), [(1, False), (29, False), (30, True), (45, True)])
def test_three_in_ten_runs_of_a_query_remove_the_thread(runs: int, removed: bool, length: int) -> None:
    found = contaminated([question(with_part(QUERY, runs + 12, length))], index([BenchmarkQuery("q", QUERY)]))
    overlaps = found.removed if removed else found.remaining
    assert [(overlap.how, overlap.overlap) for overlap in overlaps] == [("13-grams", pytest.approx(runs / 100))]
    assert found.threads == ({(SITE, "1")} if removed else set())
    assert bool(found.removed) != bool(found.remaining)


@pytest.mark.parametrize(("runs", "removed"), [(1, False), (29, False), (30, True)])
def test_three_in_ten_runs_of_a_document_remove_the_post(runs: int, removed: bool) -> None:
    documents = [BenchmarkDocument("d", QUERY)]
    found = contaminated([answer(with_part(QUERY, runs + 12, 900))], index(documents=documents))
    overlaps = found.removed if removed else found.remaining
    assert [(overlap.how, overlap.overlap) for overlap in overlaps] == [("13-grams", pytest.approx(runs / 100))]
    assert found.posts == ({(SITE, "2")} if removed else set())
    assert not found.threads
    assert bool(found.removed) != bool(found.remaining)


@pytest.mark.parametrize("runs", [60, 420])
def test_of_long_documents_the_share_is_estimated(runs: int) -> None:
    documents = [BenchmarkDocument(str(number), text(612)) for number in range(20)]
    posts = [answer(with_part(each.text, runs + 12, 900), each.doc_id) for each in documents]
    found = contaminated(posts, index(documents=documents))
    overlaps = found.removed if runs > 180 else found.remaining
    assert [overlap.post_id for overlap in overlaps] == [each.doc_id for each in documents]
    assert sum(overlap.overlap for overlap in overlaps) / 20 == pytest.approx(runs / 600, abs=0.06)
    assert not (found.remaining if runs > 180 else found.removed)


def test_a_passage_of_a_short_query_is_no_scattered_edit() -> None:
    query = text(40)
    found = contaminated([question(with_part(query, 20, 200))], index([BenchmarkQuery("q", query)]))
    assert not found.removed
    assert [overlap.overlap for overlap in found.remaining] == [pytest.approx(8 / 28)]


def test_runs_of_digits_and_repeated_words_do_not_count() -> None:
    grid = "input grid 1 0 1 0 0 1 1 1 1 1 1 0 0 1 0 output 4 " + "yes no " * 30
    found = contaminated([question(f"{text(50)} {grid} {text(300)}")], index([BenchmarkQuery("q", grid + text(90))]))
    assert not [overlap for overlap in (*found.removed, *found.remaining) if overlap.how == "13-grams"]


def test_a_small_piece_of_a_query_is_a_question_of_its_own_no_more() -> None:
    piece = " ".join(QUERY.split()[40:62])
    found = contaminated([question(piece)], index([BenchmarkQuery("q", QUERY)]))
    assert ways(found) == [("1", "q", "13-grams")]


def test_a_document_with_scattered_edits_is_a_near_duplicate() -> None:
    words = LONG.split()
    words[::12] = [f"x{number}" for number in range(len(words[::12]))]
    found = contaminated([answer(" ".join(words))], index(documents=[BenchmarkDocument("d", LONG)]))
    assert ways(found) == [("2", "d", "minhash")]
    assert found.removed[0].overlap == pytest.approx(0.6, abs=0.12)


def test_a_question_takes_its_thread_and_a_document_only_itself() -> None:
    documents = [BenchmarkDocument("d", LONG)]
    posts = [question(QUERY), answer(text(80), "2"), answer(LONG, "3", "9"), answer(text(80), "4", "9")]
    found = contaminated(posts, index([BenchmarkQuery("q", QUERY)], documents))
    assert ways(found) == [("1", "q", "exact"), ("3", "d", "exact")]
    removed = [found.is_removed(post.site, post.post_id, post.thread_id) for post in posts]
    assert removed == [True, True, True, False]


def test_the_answer_of_a_query_takes_the_thread() -> None:
    own = text(90)
    found = contaminated([question(text(70)), answer(own)], index([BenchmarkQuery("q", QUERY, answer=own)]))
    assert found.threads == {(SITE, "1")}
    assert found.removed[0].to_json() == {
        "site": SITE,
        "post_id": "2",
        "benchmark": "bench",
        "task": "task",
        "query_id": "q",
        "how": "exact",
        "overlap": 1.0,
        "through": "its answer",
    }


@pytest.mark.parametrize(
    ("query", "title", "how"),
    [
        ("do goldfish grow", "Do Goldfish grow?", "exact"),
        ("what is wifi vs bluetooth", "What is WiFi vs. Bluetooth", "exact"),
        (
            "Lipid droplets buffer membrane stress in yeast cells",
            "Do lipid droplets buffer yeast membrane stress?",
            "title",
        ),
    ],
)
def test_a_short_query_is_found_as_a_title(query: str, title: str, how: str) -> None:
    benchmark = index([BenchmarkQuery("q", query), BenchmarkQuery("other", "causes of military suicide")])
    found = contaminated([question(title, "1"), question(f"{title}\n{text(60)}", "2")], benchmark)
    assert [overlap.post_id for overlap in found.removed] == ["1", "2"]
    assert {overlap.how for overlap in found.removed} <= {how, "title"}


@pytest.mark.parametrize(
    "title",
    [
        "Do fish grow?",
        "What is the difference between wifi and ethernet?",
        "Help",
        "What is it?",
        "Is goldfish food safe?",
        "Grow tomatoes from seed in clay pots outdoors",
    ],
)
def test_other_titles_are_not_a_short_query(title: str) -> None:
    texts = ("do goldfish grow", "what is wifi vs bluetooth", "grow roses from seed in pots indoors")
    queries = [BenchmarkQuery(str(number), each) for number, each in enumerate(texts)]
    found = contaminated([question(f"{title}\n{text(60)} do goldfish grow {text(9)}")], index(queries))
    assert not found.removed


@pytest.mark.parametrize(
    ("identifier", "how"),
    [
        ("tea.stackexchange.com/1", "post id"),
        ("https://tea.stackexchange.com/questions/1/some-title", "url"),
        ("//tea.stackexchange.com/q/1/9", "url"),
    ],
)
def test_a_benchmarks_post_is_known_by_id_and_address(identifier: str, how: str) -> None:
    posts = [question(text(60)), answer(text(60)), question(text(60), "11"), answer(text(60), "12", "11")]
    for query in (BenchmarkQuery(identifier, text(60)), BenchmarkQuery("0", text(60), names=(identifier,))):
        found = contaminated(posts, index([query]))
        assert {overlap.how for overlap in found.removed} == {how}
        assert found.threads == {(SITE, "1")}
    found = contaminated(posts, index([BenchmarkQuery("0", f"{text(60)} {identifier}")]))
    assert found.threads == ({(SITE, "1")} if how == "url" else set())


def test_a_benchmarks_answer_document_is_known_by_its_address() -> None:
    address = "https://tea.stackexchange.com/a/2/77"
    documents = [BenchmarkDocument(address, text(60))]
    posts = [question(text(60)), answer(text(60)), answer(text(60), "3")]
    for benchmark in (index(documents=documents), index([BenchmarkQuery("q", text(60), doc_ids=(address,))])):
        found = contaminated(posts, benchmark)
        assert ways(found) == [("2", address, "url")]
        assert (found.posts, found.threads) == ({(SITE, "2")}, set())


def test_a_page_is_known_by_its_address() -> None:
    page = Checkable("", "p", "document", text(60), url="http://www.example.org/tea/")
    found = contaminated([page], index(documents=[BenchmarkDocument("d", text(60), ("https://example.org/tea#x",))]))
    assert ways(found) == [("p", "d", "url")]


def test_ids_of_a_benchmark_made_of_posts() -> None:
    found = contaminated(
        [question(text(60)), question(text(60), "5")], index([BenchmarkQuery("1", text(60))], site="tea")
    )
    assert ways(found) == [("1", "1", "post id")]


def test_a_link_in_a_querys_answer_is_no_alarm() -> None:
    own = f"{text(60)} https://tea.stackexchange.com/q/1"
    found = contaminated([question(text(60)), answer(text(60))], index([BenchmarkQuery("q", text(60), answer=own)]))
    assert not found.removed
    assert [overlap.to_json()["through"] for overlap in found.remaining] == ["a link in its answer"]


def test_the_order_of_posts_and_batches_changes_nothing() -> None:
    queries = [BenchmarkQuery(str(number), text(100)) for number in range(30)]
    posts = [question(f"Title {number}\n{text(90)}", str(number)) for number in range(1200)]
    posts += [question(with_part(queries[n % 30].text, 20 + n, 300), str(2000 + n)) for n in range(60)]
    benchmark = index(queries)
    found = contaminated(posts, benchmark)
    assert found.removed
    assert found.remaining
    assert contaminated(posts[::-1], benchmark) == found
    assert {overlap.post_id for overlap in found.removed} <= {str(2000 + n) for n in range(60)}


def test_an_empty_benchmark_finds_nothing() -> None:
    assert contaminated([question(text(60))], BenchmarkIndex([])) == Contamination((), (), frozenset(), frozenset())
