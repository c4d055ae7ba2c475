"""A benchmark's query is found in a question whatever light edits it has had; unrelated questions are not.

The edits are made on the sample's questions, and on BRIGHT's queries where the real data is at hand.
"""

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from interank.ir.overlap import BenchmarkIndex, BenchmarkQuery, BenchmarkTexts, Checkable, contaminated, read_texts
from interank.resources import resource_dir
from tests.support.dumps import checkables

Edit = Callable[[str, random.Random], str]

SAMPLE = resource_dir("data") / "stackexchange" / "sample.example.com"
# A query shorter than this, or made of formulas, has little left to be known by after heavier edits.
ENOUGH_WORDS = 60
SYNONYMS = [
    f"{a}{b}ly" for a in ("quick", "odd", "fair", "bright", "slow", "rough") for b in ("ness", "ful", "some", "ish")
]
CHATTER = [
    "hello",
    "all",
    "and",
    "thanks",
    "in",
    "advance",
    "for",
    "any",
    "ideas",
    "that",
    "you",
    "may",
    "have",
    "on",
    "this",
]
PARTS = re.compile(r"(?<=[.?!])\s+|\n+")


def title_and_body(text: str) -> tuple[str, str]:
    title, _, body = text.partition("\n")
    return title, body.strip()


def replaced(share: float) -> Edit:
    def edit(text: str, rng: random.Random) -> str:
        return re.sub(r"\w+", lambda word: rng.choice(SYNONYMS) if rng.random() < share else word[0], text)

    return edit


def misspelt(text: str, rng: random.Random) -> str:
    def swap(word: re.Match[str]) -> str:
        found = word[0]
        if rng.random() > 0.15:
            return found
        place = rng.randrange(len(found) - 1)
        return found[:place] + found[place + 1] + found[place] + found[place + 2 :]

    return re.sub(r"\w{4,}", swap, text)


def paragraphs_shuffled(text: str, rng: random.Random) -> str:
    parts = text.split("\n")
    rng.shuffle(parts)
    return "\n".join(parts)


def sentences_shuffled(text: str, rng: random.Random) -> str:
    parts = PARTS.split(text)
    rng.shuffle(parts)
    return " ".join(parts)


def other_marks(text: str, rng: random.Random) -> str:
    text = text.replace("'", "\u2019").replace("-", " \u2013 ").replace(", ", "; ").replace(". ", "!\n\n")
    return text.translate(str.maketrans("aeiou", "\u00e1\u00e9\u00ed\u00f3\u00fa"))


def without_marks(text: str, rng: random.Random) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[^\w\s$\\{}^]", " ", text))


def as_html(text: str, rng: random.Random) -> str:
    title, body = title_and_body(text.replace("&", "&amp;").replace("<", "&lt;"))
    items = "".join(f"<p>{part}</p>\n" for part in body.split("\n") if part.strip())
    return f"<h1>{title}</h1>\n<div class='post'>{items}</div>"


def without_a_third(text: str, rng: random.Random) -> str:
    return " ".join(word for place, word in enumerate(text.split()) if place % 20 < 13)


def around_it(text: str, rng: random.Random) -> str:
    return f"{' '.join(rng.choices(CHATTER, k=80))}\n\n{text}\n\n{' '.join(rng.choices(CHATTER, k=80))}"


def together(*edits: Edit) -> Edit:
    def edit(text: str, rng: random.Random) -> str:
        for each in edits:
            text = each(text, rng)
        return text

    return edit


EDITS: dict[str, Edit] = {
    "unchanged": lambda text, rng: text,
    "upper case": lambda text, rng: text.upper(),
    "one word in ten replaced": replaced(0.1),
    "one word in six replaced": replaced(0.16),
    "misspelt": misspelt,
    "paragraphs shuffled": paragraphs_shuffled,
    "sentences shuffled": sentences_shuffled,
    "other marks and accents": other_marks,
    "without marks": without_marks,
    "as HTML": as_html,
    "first half": lambda text, rng: text[: len(text) // 2],
    "second half": lambda text, rng: text[len(text) // 2 :],
    "middle third": lambda text, rng: text[len(text) // 3 : 2 * len(text) // 3],
    "every other sentence": lambda text, rng: " ".join(PARTS.split(text)[::2]),
    "gaps": without_a_third,
    "title last": lambda text, rng: "\n".join(title_and_body(text)[::-1]),
    "title dropped": lambda text, rng: title_and_body(text)[1] or text,
    "words around it": around_it,
    "words shuffled": lambda text, rng: " ".join(rng.sample(text.split(), len(text.split()))),
    "words inserted": lambda text, rng: re.sub(r"((?:\S+\s+){5})", r"\1rather ", text),
    "one word in ten replaced, sentences shuffled, others around it": together(
        replaced(0.1), sentences_shuffled, around_it
    ),
}

# No light edits any more: a few in a hundred may be missed.
HEAVY: dict[str, Edit] = {
    "first half, one word in ten replaced": together(lambda text, rng: text[: len(text) // 2], replaced(0.1)),
    "one word in four replaced": replaced(0.25),
    "last quarter": lambda text, rng: text[3 * len(text) // 4 :],
}


def found_queries(queries: Sequence[BenchmarkQuery], edit: Edit) -> set[str]:
    """The queries that are found in the questions which the edit makes of them."""
    rng = random.Random(7)
    questions = [
        Checkable("x", str(number), "question", edit(query.text, rng), str(number))
        for number, query in enumerate(queries)
    ]
    found = contaminated(questions, BenchmarkIndex([BenchmarkTexts("b", "t", tuple(queries))]))
    ids = {str(number): query.query_id for number, query in enumerate(queries)}
    return {ids[overlap.post_id] for overlap in found.removed if ids[overlap.post_id] == overlap.target.item_id}


@pytest.fixture(scope="module")
def sample_questions() -> list[BenchmarkQuery]:
    return [BenchmarkQuery(post.post_id, post.text) for post in checkables(SAMPLE) if post.kind == "question"]


@pytest.mark.parametrize("name", EDITS)
def test_an_edited_query_is_found(sample_questions: list[BenchmarkQuery], name: str) -> None:
    long = [query for query in sample_questions if len(query.text.split()) >= ENOUGH_WORDS]
    assert len(long) >= 10
    missed = {query.query_id for query in long} - found_queries(long, EDITS[name])
    assert not missed


def test_questions_of_one_site_are_not_taken_for_one_another(sample_questions: list[BenchmarkQuery]) -> None:
    """One half as the benchmark, the other as the questions."""
    benchmark = BenchmarkIndex([BenchmarkTexts("b", "t", tuple(sample_questions[::2]))])
    others = [Checkable("x", query.query_id, "question", query.text) for query in sample_questions[1::2]]
    assert not contaminated(others, benchmark).removed


@pytest.fixture(scope="module")
def bright_queries(real_data: Path) -> list[BenchmarkQuery]:
    return [
        BenchmarkQuery(f"{texts.task}/{query.query_id}", query.text)
        for texts in read_texts(real_data / "bright" / "topics")
        for query in texts.queries
        # Templates and formulas: their own words are too few to be found by after every edit here.
        if texts.task not in ("aops", "pony") and len(query.text.split()) >= ENOUGH_WORDS
    ]


@pytest.mark.real_data
@pytest.mark.parametrize("name", [*EDITS, *HEAVY])
def test_an_edited_bright_query_is_found(bright_queries: list[BenchmarkQuery], name: str) -> None:
    assert len(bright_queries) > 450
    missed = {query.query_id for query in bright_queries} - found_queries(bright_queries, (EDITS | HEAVY)[name])
    assert len(missed) <= (0.03 if name in HEAVY else 0) * len(bright_queries), missed
