"""Each made fault has the fault that its kind names, is made the same every time, and is never the honest text."""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import replace
from itertools import chain

import pytest

from interank.explanations import FAULTS, Fault
from interank.tasks.judge.quotes import quotes, verified
from interank.teacher.fault_wordings import FILLERS
from interank.teacher.faults import Faults, telling_words
from interank.types import Document, Example, Judgment, Query, Relevance, Source
from tests.support import rule
from tests.support.explaining import explained, mark

_SOURCE = Source("cooking", "1", "", "", "")
_POSTS = {
    "Why does my sourdough bread collapse in the oven?": [
        (
            "An overproofed loaf has used up its sugars, so the gluten gives way once the steam expands. Shorten the "
            "second rise to 90 minutes, and bake straight from the refrigerator on a hot stone.",
            2,
            'It names the cause: the gluten of an overproofed loaf "gives way once the steam expands".',
        ),
        (
            "Sourdough wants a mature starter. Feed yours twice a day with rye flour until it doubles within 6 hours; "
            "mine lives on the shelf above the radiator, next to an old radio.",
            1,
            "It explains how to feed a starter until it doubles within 6 hours, but not what makes bread collapse.",
        ),
        (
            "Cast iron pans rust when they are left in water. Dry them on the stove and rub in a thin film of oil, as "
            "my grandmother in Trieste always did on Sundays.",
            0,
            "It is about rust on cast iron pans and does not mention bread or an oven.",
        ),
    ],
    "How long can cooked rice be kept?": [
        (
            "Rice is kept safely for one day in the refrigerator at 4 degrees, since spores of Bacillus cereus survive "
            "cooking and grow in lukewarm rice. Cool it within an hour by spreading it on a tray.",
            2,
            "It gives the time, one day at 4 degrees, and the reason, spores of Bacillus cereus that survive cooking.",
        ),
        (
            "Freezing rice in flat bags works well for us. The bags are labelled with a pencil, stacked behind the "
            "peas, and thawed in the microwave for two minutes with a spoon of water.",
            1,
            "Freezing in flat bags is a way to keep rice, but it does not tell how long cooked rice lasts.",
        ),
        (
            "Basmati is rinsed until the water runs clear, then soaked for half an hour. A pinch of saffron from "
            "Isfahan gives colour, and a towel under the lid takes up the steam.",
            0,
            "It tells how basmati is rinsed and soaked before cooking, and says nothing of keeping it.",
        ),
    ],
}
ENGLISH = [
    Example(
        Query(f"q{place}", query),
        Document(f"d{place}-{number}", text),
        Judgment(honest, Relevance(grade)),
        None,
        "train",
        _SOURCE,
    )
    for place, (query, documents) in enumerate(_POSTS.items())
    for number, (text, grade, honest) in enumerate(documents)
]
TINY = [explained(item) for item in rule.examples(3, queries=6, documents=8)]
SEEDS = range(12)


def made(kind: Fault, examples: list[Example] = ENGLISH) -> list[tuple[Example, str]]:
    """What is made of each example with several seeds."""
    found = []
    for seed in SEEDS:
        faults = Faults(examples, seed)
        found += [(item, text) for item in examples if (text := faults.made(kind, item)) is not None]
    assert len(found) > len(examples), f"{kind} is hardly ever made"
    return found


@pytest.mark.parametrize("kind", FAULTS)
@pytest.mark.parametrize("examples", [ENGLISH, TINY], ids=["english", "tiny"])
def test_a_fault_is_made_the_same_again_and_is_never_the_honest_text(kind: Fault, examples: list[Example]) -> None:
    texts = made(kind, examples)
    assert texts == made(kind, examples)
    assert all(text.casefold().split() != item.judgment.reasoning.casefold().split() for item, text in texts)


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "other_document"])
def test_a_seed_draws_others(kind: Fault) -> None:
    first, second = (Faults(ENGLISH, seed) for seed in (1, 2))
    assert [first.made(kind, item) for item in ENGLISH] != [second.made(kind, item) for item in ENGLISH]


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_depends_on_no_place_and_no_id(kind: Fault) -> None:
    item = replace(ENGLISH[0], query=replace(ENGLISH[0].query, query_id="other"))
    renamed = [replace(each, query=item.query) if each.query == ENGLISH[0].query else each for each in ENGLISH]
    assert Faults(ENGLISH, 5).made(kind, ENGLISH[0]) == Faults(renamed, 5).made(kind, item)


@pytest.mark.parametrize("kind", FAULTS)
def test_no_wording_is_fixed(kind: Fault) -> None:
    """No text of a kind is so frequent that the kind could be learnt as a string."""
    texts = made(kind)
    most = Counter(text for _, text in texts).most_common(1)[0][1]
    assert most <= (len(texts) / 2 if kind == "other_document" else len(texts) / 6)
    openings = Counter(" ".join(text.split()[:4]) for _, text in texts)
    assert len(openings) >= 4


def test_what_was_said_of_another_document_names_what_is_foreign() -> None:
    reasonings = {item.judgment.reasoning: item for item in ENGLISH}
    for item, text in made("other_document"):
        other = reasonings[text]
        assert other.document != item.document
        assert other.judgment.relevance == item.judgment.relevance, "one of the same grade is there"
        assert telling_words(text) - telling_words(item.query.text) - telling_words(item.document.text)


def test_the_opposite_stance_argues_for_the_other_end_with_words_of_the_pair() -> None:
    denying = ("nothing", "not about", "untouched", "another matter")
    affirming = ("settles", "fully answers", "all that is needed", "has to be known", "resolves")
    for item, text in made("opposite_stance"):
        argues_against = any(words in text.casefold() for words in denying)
        assert argues_against != any(words in text.casefold() for words in affirming)
        if item.judgment.relevance != Relevance.PARTIAL:
            assert argues_against == (item.judgment.relevance == Relevance.RELEVANT)
        assert telling_words(text) & telling_words(item.query.text)
        assert telling_words(text) & telling_words(item.document.text)


def test_a_template_is_of_no_pair() -> None:
    first, second = Faults(ENGLISH, 1), Faults(TINY, 1)
    texts = {text for _, text in made("template")}
    assert len(texts) > 30
    for item, text in made("template"):
        own = telling_words(item.query.text) | telling_words(item.document.text)
        assert not telling_words(text) & own
    assert first.made("template", ENGLISH[0]) and second.made("template", TINY[0])


def test_an_invented_quote_stands_in_neither_text() -> None:
    replaced = 0
    for item, text in made("invented_quote"):
        honest = set(quotes(item.judgment.reasoning))
        told = [quote for quote in quotes(text) if quote not in honest]
        assert told
        for quote in told:
            assert verified(f'"{quote}"', item.document.text, item.query.text).found == 0
        replaced += text.startswith("It names the cause") and "expands" not in text
    assert replaced, "an honest quote is replaced where there is one"


def test_a_pasted_passage_is_the_documents() -> None:
    for item, text in made("pasted"):
        assert text in " ".join(item.document.text.split())
        assert len(text.split()) >= 4


def test_an_idle_quote_is_true_and_says_nothing_that_matters() -> None:
    for item, text in made("idle_quote"):
        (quote,) = quotes(text)
        assert verified(f'"{quote}"', item.document.text).found == 1
        assert not telling_words(quote) & telling_words(item.query.text)
        assert not telling_words(quote) & telling_words(item.judgment.reasoning)


def test_padding_adds_length_and_nothing_else() -> None:
    for item, text in made("padding"):
        added = text.removeprefix(item.judgment.reasoning)
        assert added != text
        assert len(text.split()) >= 2.5 * len(item.judgment.reasoning.split())
        assert telling_words(added) <= telling_words(" ".join(chain(*FILLERS))), "nothing is of the pair"


def test_words_for_the_judge_speak_of_marks_or_explanations() -> None:
    for item, text in made("to_the_judge"):
        said = text.casefold().replace(item.judgment.reasoning.casefold(), "")
        assert "explanation" in said or "mark this one" in said


def test_a_minimal_edit_changes_one_thing() -> None:
    kinds = Counter[str]()
    for item, text in made("minimal_edit"):
        before, after = item.judgment.reasoning.split(), text.split()
        changes = [
            change
            for change in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
            if change[0] != "equal"
        ]
        swapped = {word for _, start, end, _, _ in changes for word in before[start:end]}
        assert len({word.casefold().strip('".,') for word in swapped}) <= 2, (item.judgment.reasoning, text)
        added = {word for _, _, _, start, end in changes for word in after[start:end]}
        turned = {"not", "does"} & {*swapped, *added}
        kinds["turned" if turned else "swapped"] += 1
        if not turned:
            shown = telling_words(item.query.text) | telling_words(item.document.text)
            assert telling_words(" ".join(added)) - shown or any(character.isdigit() for character in "".join(added))
    assert min(kinds["turned"], kinds["swapped"]) > len(kinds)


@pytest.mark.parametrize(
    ("honest", "turned"),
    [
        ("It can't tell the cause.", {"It can tell the cause."}),
        ("It cannot tell the cause.", {"It can tell the cause."}),
        ("Steam won\u2019t help.", {"Steam will help."}),
        ("It isn't about bread.", {"It is about bread."}),
        ("One of the answers tells why.", {"One of the answers does not tell why."}),
        (
            "It answers it and covers the needs.",
            {"It does not answer it and covers the needs.", "It answers it and does not cover the needs."},
        ),
    ],
)
def test_a_turned_statement_is_a_sentence_still(honest: str, turned: set[str]) -> None:
    """A sentence that breaks would tell the fault by its form."""
    item = replace(ENGLISH[0], query=Query("q", "?"), judgment=Judgment(honest, Relevance.RELEVANT))
    assert {Faults([item], seed).made("minimal_edit", item) for seed in SEEDS} == turned


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind != "to_the_judge"])
def test_the_program_that_plays_teacher_marks_each_kind_below_the_honest_text(kind: Fault) -> None:
    for item, text in made(kind, TINY):
        query, document, grade = item.query.text, item.document.full_text, int(item.judgment.relevance)
        assert mark(query, document, grade, text) < 1 == mark(query, document, grade, item.judgment.reasoning)


def test_where_the_texts_hold_nothing_no_fault_is_made() -> None:
    bare = Example(
        Query("q", "?"), Document("d", "Yes."), Judgment("Fine.", Relevance.RELEVANT), None, "train", _SOURCE
    )
    faults = Faults([bare], 0)
    kinds = {kind for kind in FAULTS if faults.made(kind, bare) is not None}
    assert kinds == {"template", "padding", "to_the_judge"}
