"""What is inflected otherwise is found in its language, and what has no blanks by its characters."""

from __future__ import annotations

from typing import get_args

import pytest

from interank.ir.bm25 import Bm25, FirstStage, analyser, analyze_english, first_stage_of, tokenize
from interank.types import Document, Language, Query

# Query, the document that has its words inflected otherwise, and others.
INFLECTED: dict[Language, tuple[str, str, list[str]]] = {
    "russian": (
        "ремонт велосипедов",
        "Он починил велосипед.",
        [
            "Кошка спит.",
            "Идёт дождь.",
        ],
    ),
    "german": (
        "alte Häuser",
        "Das Haus am See steht leer.",
        ["Der Fuchs schläft.", "Die Pumpe läuft trocken."],
    ),
    "arabic": (
        "الكتاب",
        "كتاب جديد",
        ["قطة نائمة", "مطر غزير"],
    ),
    "english": ("leaking pumps", "A pump leaks.", ["The cat sleeps.", "It rains."]),
}
# Scripts without blanks: plain BM25, and any language's, has pairs of their characters.
UNSPACED = {
    "chinese": (
        "面包变硬",
        "为什么我的面包会变硬",
        ["猫在睡觉。", "大家早上好。"],
    ),
    "japanese": (
        "自転車の修理",
        "昨日古い自転車を修理しました。",
        ["猫が寝ている。", "雨が降る。"],
    ),
    "thai": (
        "ขนมปัง",
        "ทำไมขนมปังแข็ง",
        ["ฝนตก"],
    ),
}


def found(query: str, texts: list[str], first_stage: FirstStage) -> list[str]:
    documents = [Document(str(place), text) for place, text in enumerate(texts)]
    return Bm25(documents, first_stage).rank([Query("q", query)], top_k=9).doc_ids("q")


@pytest.mark.parametrize("language", INFLECTED)
def test_what_is_inflected_otherwise_is_found_in_its_language_alone(language: Language) -> None:
    query, wanted, others = INFLECTED[language]
    texts = [others[0], wanted, *others[1:]]
    assert found(query, texts, first_stage_of(language)) == ["1"]
    assert found(query, texts, "bm25") == []


@pytest.mark.parametrize("name", UNSPACED)
@pytest.mark.parametrize("first_stage", ["bm25", "bm25-russian"])
def test_scripts_without_blanks_are_found_by_pairs_of_characters(name: str, first_stage: FirstStage) -> None:
    query, wanted, others = UNSPACED[name]
    assert found(query, [*others, wanted], first_stage) == [str(len(others))]


def test_every_language_has_a_first_stage_and_the_others_are_what_they_were() -> None:
    names = {first_stage_of(language) for language in get_args(Language)}
    assert names | {"bm25", "bm25q"} == {*get_args(FirstStage)}
    assert first_stage_of(None) == "bm25"
    assert (analyser(None), analyser("english")) == (tokenize, analyze_english)


def test_other_languages_words_stay_beside_a_language_s_stems() -> None:
    assert analyser("russian")("TCP пакетов, 42") == [
        "tcp",
        "пакет",
        "42",
    ]
