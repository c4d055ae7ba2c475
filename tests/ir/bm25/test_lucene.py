"""The English analysis gives Lucene's tokens, in the order in which Lucene gives them."""

import json
import os
import random
import time
from pathlib import Path

import pytest

from interank.ir.benchmarks import load_benchmark
from interank.ir.bm25 import analyze_english
from interank.ir.bm25.lucene import STOP_WORDS
from tests.ir.bm25 import lucene
from tests.ir.bm25.lucene.make import GOLDENS
from tests.ir.bm25.lucene.texts import TEXTS

GOLDEN_TOKENS = {row["text"]: row["tokens"] for row in map(json.loads, GOLDENS.read_text("ascii").splitlines())}


def test_goldens_are_of_these_texts() -> None:
    assert list(GOLDEN_TOKENS) == list(dict.fromkeys(TEXTS))
    assert sum(map(len, GOLDEN_TOKENS.values())) > 900


@pytest.mark.parametrize("text", GOLDEN_TOKENS, ids=lambda text: ascii(text[:24]))
def test_tokens_are_lucenes(text: str) -> None:
    assert analyze_english(text) == GOLDEN_TOKENS[text]


@pytest.mark.parametrize("around", ["{} \u2019", "\u00e9 {}", "{}\n{}"])
def test_both_grammars_agree(around: str) -> None:
    """A text of ASCII is read by a grammar of its own; beside another character, the same text is by the other."""
    beside = [analyze_english(around.replace("{}", "")), len(around.split("{}")) - 1]
    for text in TEXTS:
        if text.isascii():
            tokens = analyze_english(around.replace("{}", text))
            assert [token for token in tokens if token not in beside[0]] == analyze_english(text) * beside[1]


def test_stop_words() -> None:
    assert len(STOP_WORDS) == 33
    assert analyze_english(" ".join(sorted(STOP_WORDS))) == []


@pytest.mark.parametrize(
    "piece",
    ["_", "a", "a.", "1,", "\u203f", "\u0301", "\u200d", "\u00e9", "#", "\U0001f468\u200d", "\U0001f1e6"],
    ids=ascii,
)
def test_time_grows_with_the_text(piece: str) -> None:
    """Where it grew with the square, a line this long would take a minute."""
    start = time.process_time()
    analyze_english(piece * 50_000)
    assert time.process_time() - start < 10


JAR = os.environ.get("INTERANK_LUCENE_JAR")


@pytest.fixture(scope="session")
def jar() -> Path:
    if not JAR:
        pytest.skip(
            "INTERANK_LUCENE_JAR is not set: no jar that holds Lucene (tests/ir/bm25/lucene says where to get one)"
        )
    return Path(JAR)


def test_tokens_of_random_characters_are_lucenes(jar: Path) -> None:
    rng = random.Random(0)
    characters = sorted({character for text in TEXTS for character in text}) + [" ", ".", "'s", "\u2019s", "ing"] * 20
    texts = ["".join(rng.choices(characters, k=rng.randint(1, 25))) for _ in range(50_000)]
    expected = lucene.tokens(jar, "english", texts)
    differing = [text for text, tokens in zip(texts, expected, strict=True) if analyze_english(text) != tokens]
    assert not differing


@pytest.mark.real_data
@pytest.mark.parametrize("folder", ["beir/scifact", "classic/cranfield", "classic/cacm", "bright/aops_text"])
def test_tokens_of_real_texts_are_lucenes(jar: Path, real_data: Path, folder: str) -> None:
    split = "test" if folder == "beir/scifact" else None
    benchmark = load_benchmark(real_data / folder, split)
    texts = [document.full_text for document in benchmark.corpus.values()]
    texts += [query.text for query in benchmark.queries.values()]
    expected = lucene.tokens(jar, "english", texts)
    differing = [text for text, tokens in zip(texts, expected, strict=True) if analyze_english(text) != tokens]
    assert not differing
