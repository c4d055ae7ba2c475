"""Terms of a language: Snowball's stems, so that a query finds other inflections of its words."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

from interank.ir.bm25.lucene import analyze_english
from interank.ir.bm25.scripts import tokenize
from interank.types import Language


def analyser(language: Language | None) -> Callable[[str], list[str]]:
    """A function from a text to its terms: Lucene's for English, stems for another language, plain words for None.

    In scripts without blanks, pairs of characters stand for words; they are terms in every language.
    """
    if language is None:
        return tokenize
    return analyze_english if language == "english" else partial(_stems, language)


def _stems(language: Language, text: str) -> list[str]:
    return [_stem(language, word) for word in tokenize(text)]


# The cache holds a language's common words; a dropped word is stemmed again.
@lru_cache(maxsize=1 << 18)
def _stem(language: Language, word: str) -> str:
    return str(_stemmer(language).stem(word)) or word


@lru_cache
def _stemmer(language: Language) -> Any:
    from nltk.stem.snowball import SnowballStemmer  # takes a second to import

    return SnowballStemmer(language)
