"""Each reward's values on cases that can be counted by hand."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from interank.errors import InputError
from interank.rewards import Reward
from interank.settings import RewardRecipe
from interank.tasks.judge.reading import HIDDEN, ExplanationInput, Probabilities, Token
from tests.support.query_measures import MEASURES, over_all_orders


def reward_of(name: str, **params: Any) -> Reward:
    return Reward.from_recipe(RewardRecipe(use=name, params=params))


def answers(*grades: int | None) -> list[str]:
    return ["no label" if grade is None else f"Relevance Label: {grade}\n\nSo." for grade in grades]


def columns(relevance: Sequence[int], query: str = "q") -> dict[str, list[Any]]:
    number = len(relevance)
    return {"relevance": list(relevance), "query_id": [query] * number, "doc_id": [f"d{n}" for n in range(number)]}


def test_agreement_is_what_lies_above_chance() -> None:
    reward = reward_of("grade_agreement")
    assert reward(completions=answers(2, 1, 0), **columns([2, 1, 0])) == pytest.approx([0.5, 1 / 3, 0.5])
    assert reward(completions=answers(1, 0, 2), **columns([2, 1, 0])) == pytest.approx([-1 / 6, 0.0, -0.5])
    assert reward(completions=answers(None, 1, 1), **columns([2, 1, 0]))[0] == -1.0
    # Four of five irrelevant: the one that is not weighs as much as they together.
    right = reward(completions=answers(0, 0, 0, 0, 2), **columns([0, 0, 0, 0, 2]))
    assert right == pytest.approx([0.5 * 5 / 8] * 4 + [0.5 * 5 / 2])


@pytest.mark.parametrize("relevance", [[0, 1, 2], [0, 0, 0, 1, 2], [0, 0, 2], [1, 2], [0, 1, 1, 1]])
@pytest.mark.parametrize("grade", [0, 1, 2])
def test_one_grade_for_all_documents_earns_nothing(relevance: list[int], grade: int) -> None:
    values = reward_of("grade_agreement")(completions=answers(*[grade] * len(relevance)), **columns(relevance))
    total = sum(value for value in values if value is not None)
    assert total == pytest.approx(0) if grade in relevance else total < 0


def test_ranking_by_hand() -> None:
    reward = reward_of("ranking")
    # Of the first document's grades 0, 1 and 2 the pairs won sum up to 0.5, 1.5 and 2; of the second's to 1.5, 2, 1.5.
    assert reward(completions=answers(2, 1, 0), **columns([2, 1, 0])) == pytest.approx([2 / 3, 1 / 3, 2 / 3])
    assert reward(completions=answers(2, 1, 0), **columns([0, 1, 2])) == pytest.approx([-2 / 3, -1 / 3, -2 / 3])
    assert reward(completions=answers(2, 1, 0), **columns([1, 1, 1])) == [None, None, None]
    assert reward(completions=answers(1, None, 1), **columns([1, 1, 1])) == [None, -1.0, None]
    assert reward(completions=answers(1, 1, 1), **columns([2, 1, 0])) == pytest.approx([0.0, 0.0, 0.0])
    # The second one's worst grade would get -1/6.
    assert reward(completions=answers(2, None, 0), **columns([2, 1, 0])) == pytest.approx([1 / 6, -7 / 6, 1 / 6])


def test_reciprocal_rank_by_hand() -> None:
    reward = reward_of("ranking", measure="reciprocal_rank")
    # Shares: (2 - .5) / 2, (1 - 1) / 2, (0 - 1.5) / 2. With grade 2 the first stands first and the last third, with
    # grade 1 it ties with the second, with grade 0 with the last.
    first, tied, last = 0.75 - 0.25, 0.75 * 0.75 - 0.25, (0.75 - 0.75) * (1 / 2 + 1 / 3) / 2
    values = reward(completions=answers(2, 1, 0), **columns([2, 1, 0]))
    assert values[0] == pytest.approx(first - (first + tied + last) / 3)
    values = reward(completions=answers(None, 1, 0), **columns([2, 1, 0]))
    assert values[0] == pytest.approx(last - (first + tied + last) / 3 - 1)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("grades", "relevance"),
    [((2, 1, 0), (2, 1, 0)), ((1, 1, 0, 1), (0, 2, 1, 0)), ((0, 0, 2, 1), (2, 0, 0, 1)), ((0, 2), (2, 0))],
)
def test_a_grade_is_worth_what_it_changes_of_the_whole_querys_measure(
    measure: str, grades: Sequence[int], relevance: Sequence[int]
) -> None:
    values = reward_of("ranking", measure=measure)(completions=answers(*grades), **columns(relevance))
    for document, value in enumerate(values):
        three = [
            over_all_orders(
                [*grades[:document], grade, *grades[document + 1 :]],
                lambda order: MEASURES[measure](relevance, order),
            )
            for grade in range(3)
        ]
        assert value == pytest.approx(len(grades) * (three[grades[document]] - fmean(three)), abs=1e-6)


def test_ndcg_expects_over_the_others_completions() -> None:
    """Two documents with two completions each: the value is the mean over the other's two."""
    rows = {"query_id": ["q"] * 4, "doc_id": ["a", "a", "b", "b"], "relevance": [2, 2, 0, 0]}
    values = reward_of("ranking", measure="ndcg")(completions=answers(2, 0, 1, 0), **rows)
    first, second = 1.0, 1 / math.log2(3)
    tied = (first + second) / 2
    # Of a with the grades 0, 1 and 2, and of b.
    of_a = [(second + tied) / 2, (tied + first) / 2, first]
    of_b = [(first + tied) / 2, (first + second) / 2, (tied + second) / 2]
    expected = [of_a[2] - fmean(of_a), of_a[0] - fmean(of_a), of_b[1] - fmean(of_b), of_b[0] - fmean(of_b)]
    assert values == pytest.approx([2 * value for value in expected])


def test_probabilities_weigh_the_others() -> None:
    rows = {"query_id": ["q"] * 4, "doc_id": ["a", "b", "b", "b"], "relevance": [2, 0, 0, 0]}
    values = reward_of("ranking")(completions=answers(1, 0, 1, 2), probability=[1.0, 0.5, 0.3, 0.2], **rows)
    won = [0.5 / 2, 0.5 + 0.3 / 2, 0.8 + 0.2 / 2]
    assert values[0] == pytest.approx(2 * (won[1] - fmean(won)))


def test_rankings_of_different_queries_do_not_meet() -> None:
    values = reward_of("ranking")(completions=answers(0, 2), relevance=[2, 0], query_id=["a", "b"], doc_id=["x", "y"])
    assert values == [None, None]


def test_brevity_falls_between_its_limits() -> None:
    reward = reward_of("brevity", soft=4, hard=8)
    texts = [f"Relevance Label: 1\n\n{' '.join(['word'] * number)}" for number in (1, 4, 6, 8, 20)]
    assert reward(completions=[*texts, "none"]) == [0.0, 0.0, -0.5, -1.0, -1.0, -1.0]
    assert reward(completions=["Relevance Label: 1\n\n" + "x" * 36]) == [-0.5]


def test_language_counts_foreign_scripts() -> None:
    texts = ["Relevance Label: 1\n\nIt says so.", "Relevance Label: 1\n\nabлю", "Relevance Label: 1", "none"]
    values = reward_of("language")(completions=texts, query=["Where?"] * 4, document=["Here."] * 4)
    assert values == [1.0, 0.5, None, 0.0]
    assert reward_of("language")(completions=texts[1:2], query=["Where?"], document=["люди"]) == [1.0]


def test_calibration_by_hand() -> None:
    rows = {"probabilities": [[0.0, 0.0, 1.0], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]], "relevance": [2, 2, 2]}
    texts = ["Because.\n\nRelevance Label: 2"] * 3
    assert reward_of("calibration")(completions=texts, **rows) == [1.0, 0.75, 0.0]
    log = reward_of("calibration", rule="log")(completions=texts, **rows)
    assert log == pytest.approx([1.0, 1 + math.log(0.5) / math.log(100), 0.0])
    assert reward_of("calibration")(completions=texts, order=["grade_first"] * 3, **rows) == [None] * 3
    assert reward_of("calibration")(completions=["none"] * 3, **rows) == [-1.0] * 3


@pytest.mark.parametrize("rule", ["brier", "log"])
def test_calibration_is_proper(rule: str) -> None:
    """Whoever believes (.6, .3, .1) does best by saying so."""
    belief = (0.6, 0.3, 0.1)
    said = [(0.6, 0.3, 0.1), (1.0, 0.0, 0.0), (1 / 3, 1 / 3, 1 / 3), (0.7, 0.2, 0.1), (0.5, 0.4, 0.1)]
    reward = reward_of("calibration", rule=rule)

    def expected(given: tuple[float, ...]) -> float:
        values = reward(completions=answers(0, 0, 0), probabilities=[given] * 3, relevance=[0, 1, 2])
        return sum(p * value for p, value in zip(belief, values, strict=True) if value is not None)

    assert max(said, key=expected) == belief


DOCUMENT = "Basil wilts in the cold. Keep it above ten degrees. Water it in the morning."


def faithful(grade: int, text: str, **params: Any) -> float | None:
    rows: dict[str, Any] = {
        "query": ["Why does basil wilt?"],
        "document": [DOCUMENT],
        "probabilities": [[0.1, 0.1, 0.8]],
    }
    given = {name: params.pop(name) for name in ("reader",) if name in params}
    return reward_of("faithfulness", **params)(completions=[f"Relevance Label: {grade}\n\n{text}"], **rows, **given)[0]


def test_faithfulness_by_hand() -> None:
    assert faithful(2, 'It names the reason, "wilts in the cold", and what to do.') == 1.0
    assert faithful(2, 'It says "wilts in the cold" and, of plants, "hates the wind a lot", so it helps.') == 0.5
    assert faithful(2, "It names the reason and what to do.") == 0.0
    # A quote of one word is none, but one that is not there counts.
    assert faithful(1, 'It is about "basil" all right.') == 0.0
    assert faithful(0, "It does not mention frost.") is None
    assert faithful(0, 'It says "water it in the morning", which is another matter.') == 0.0
    assert faithful(0, 'It says "frost kills the roots" and no more.') == -1.0
    assert faithful(2, DOCUMENT) == 0.0
    assert faithful(2, f'"{DOCUMENT}"') == 0.0
    assert faithful(2, f'"Keep it above ten degrees." {DOCUMENT}') == 0.0
    # 9 of 11 words are quoted: (2 / 11) / (1 - .7) of the value.
    assert faithful(2, 'So: "Keep it above ten degrees. Water it in the" yes.') == pytest.approx(2 / 11 / 0.3)


def test_the_deletion_test_asks_for_the_grade_without_the_quote() -> None:
    cold, other = (0.1, 0.1, 0.8), (0.9, 0.1, 0.0)
    reader = TableReader(
        graded={
            DOCUMENT: cold,
            "Keep it above ten degrees. Water it in the morning.": other,
            "Basil wilts in the cold. Keep it above ten degrees.": cold,
        }
    )
    good = faithful(2, 'It names the reason: "wilts in the cold".', deletion=0.5, reader=reader)
    beside = faithful(2, 'It tells when: "Water it in the morning".', deletion=0.5, reader=reader)
    assert good == pytest.approx(1.0)
    assert beside == pytest.approx(0.5)


def test_what_is_invented_or_pasted_costs_under_the_deletion_test_too() -> None:
    reader = TableReader(
        graded={
            DOCUMENT: (0.0, 0.0, 1.0),
            "Keep it above ten degrees. Water it in the morning.": (1.0, 0.0, 0.0),
            "": (1.0, 0.0, 0.0),
        }
    )
    true = 'It names the reason: "wilts in the cold".'
    assert faithful(2, true, deletion=1.0, reader=reader) == pytest.approx(1.0)
    assert faithful(2, f'{true} And "it hates music".', deletion=1.0, reader=reader) == pytest.approx(0.5)
    # 14 of 16 words are quoted: (2 / 16) / (1 - .7) of the value.
    pasted = f'So: "{DOCUMENT}" yes.'
    assert faithful(2, pasted, deletion=1.0, reader=reader) == pytest.approx(faithful(2, pasted))
    assert 0 < (faithful(2, pasted) or 0.0) < 0.5


def test_a_judges_marks_and_its_failures() -> None:
    asked: list[str] = []

    def judge(texts: Sequence[str]) -> list[str | None]:
        asked.extend(texts)
        return [None if "silent" in text else "A Mark?" if "odd" in text else "Mark: 8" for text in texts]

    texts = [f"Relevance Label: 1\n\n{say}." for say in ("Good", "Good", "silent", "odd")]
    rows = {"query": ["q"] * 5, "document": ["d"] * 5}
    values = reward_of("explanation_quality")(completions=[*texts, "none"], judge=judge, **rows)
    assert values == [0.8, 0.8, None, None, -1.0]
    assert len(asked) == 3


def side_by_side(*replies: str | None, say: Sequence[str] = ("a", "b")) -> tuple[list[float | None], dict[str, float]]:
    """The values of explanations whose judge gives these replies, and what is logged."""
    texts = [f"Relevance Label: 1\n\n{each}." for each in say]
    rows = {"completions": texts, "query": ["q"] * len(say), "document": ["d"] * len(say)}
    asked: list[str] = []
    logged: dict[str, float] = {}

    def judge(questions: Sequence[str]) -> list[str | None]:
        asked.extend(questions)
        return list(replies)

    values = reward_of("explanation_quality", scale="relative")(judge=judge, log_metric=logged.__setitem__, **rows)
    forth, back = (re.findall(r"Relevance Label: 1\n\n(\w)", question) for question in asked)
    assert forth == list(say)
    assert back == forth[::-1]
    return values, logged


def test_marks_side_by_side_are_all_there_or_none() -> None:
    assert side_by_side("1: 3\n2: 9", "1: 9\n2: 3")[0] == [0.3, 0.9]
    assert side_by_side("1: 3", "1: 9\n2: 3")[0] == [None, None]
    assert side_by_side("1: 3\n1: 4\n2: 9", "1: 9\n2: 3")[0] == [None, None]
    assert side_by_side("1: 3\n2: 9", None)[0] == [None, None]


def test_two_orders_of_marks_are_averaged_and_what_they_contradict_is_dropped() -> None:
    # Whatever stands first gets 2 more.
    values, logged = side_by_side("1: 7\n2: 3", "1: 5\n2: 5")
    assert values == pytest.approx([0.6, 0.4])
    assert logged == pytest.approx({"explanation_quality/contradicted": 0.0, "explanation_quality/position_bias": 2.0})
    values, logged = side_by_side("1: 7\n2: 3", "1: 7\n2: 3")
    assert values == [None, None]
    assert logged == pytest.approx({"explanation_quality/contradicted": 1.0, "explanation_quality/position_bias": 4.0})
    # The third stands below both whichever way; the first two change places.
    values, _ = side_by_side("1: 8\n2: 7\n3: 1", "1: 1\n2: 8\n3: 7", say=("a", "b", "c"))
    assert values == [None, None, pytest.approx(0.1)]


@pytest.mark.parametrize("scale", ["absolute", "relative"])
def test_a_judge_that_always_ties_is_told(scale: str) -> None:
    def judge(questions: Sequence[str]) -> list[str | None]:
        shown = [[*re.findall(r"Explanation (\d):", question)] for question in questions]
        return ["\n".join(f"{place}: 5" for place in places) or "Mark: 5" for places in shown]

    def asked(pairs: int, of_each: int = 2) -> list[float | None]:
        names = [f"d{number // of_each}" for number in range(of_each * pairs)]
        texts = [f"Relevance Label: 1\n\n{'abcd'[number]}." for number in range(of_each)] * pairs
        rows = {"completions": texts, "query": ["q"] * len(names), "document": names}
        return reward_of("explanation_quality", scale=scale)(judge=judge, **rows)

    assert asked(7) == [0.5] * 14
    with pytest.raises(InputError, match=r"all 16 explanations of 8 pairs the mark 5.*another judge"):
        asked(8)
    # A step of few pairs, as in rl/smollm2.
    with pytest.raises(InputError, match=r"all 24 explanations of 6 pairs the mark 5"):
        asked(6, of_each=4)
    assert asked(16, of_each=1) == [0.5] * 16


def test_a_reward_model_scores_answers(tiny_folder: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(0)
    config = LlamaConfig.from_pretrained(tiny_folder)
    config.num_labels = 1
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(tmp_path)
    rows = {"query": ["Where?"] * 3, "document": ["Here."] * 3}
    texts = [*answers(2, 0), "none"]
    squashed = reward_of("explanation_quality", model=str(tmp_path))(completions=texts, **rows)
    plain = reward_of("explanation_quality", model=str(tmp_path), scale="raw")(completions=texts, **rows)
    first, second, floor = (value for value in plain if value is not None)
    assert first != second
    assert squashed == pytest.approx([1 / (1 + math.exp(-first)), 1 / (1 + math.exp(-second)), -1.0])
    assert floor == pytest.approx(min(first, second) - 1)


class TableReader:
    """Says what it was given to say, and keeps what it was asked."""

    def __init__(
        self,
        led: Mapping[tuple[str, str], Probabilities] | None = None,
        graded: Mapping[str, Probabilities] | None = None,
        likely: Mapping[tuple[str, str], float] | None = None,
    ) -> None:
        self.led, self.graded, self.likely = led or {}, graded or {}, likely or {}

    def grades(self, pairs: Sequence[tuple[str, str]]) -> list[Probabilities]:
        """By the document alone."""
        return [self.graded[document] for _, document in pairs]

    def led_to(self, explained: Sequence[tuple[str, str]]) -> list[Probabilities]:
        return [self.led[pair] for pair in explained]

    def tokens(self, told: Sequence[ExplanationInput]) -> list[list[Token]]:
        """Words, each as likely as the question and the document make it."""
        return [
            [
                Token(*word.span(), self.likely[item.query, item.document])
                for word in re.finditer(r"\w+", item.explanation)
            ]
            for item in told
        ]


def test_stance_by_hand() -> None:
    """Both documents are graded 2: .8 that the explanation leads there, less the mean of what it would swapped."""
    reader = TableReader(
        led={
            ("a?", "It has _ why."): (0.1, 0.1, 0.8),
            ("a?", "Because of B."): (0.6, 0.1, 0.3),
            ("b?", "It has _ why."): (0.4, 0.5, 0.1),
            ("b?", "Because of B."): (0.0, 0.0, 1.0),
        }
    )
    values = reward_of("stance")(
        completions=["Relevance Label: 2\n\nIt has relevant why.", "Relevance Label: 2\n\nBecause of B.", "none"],
        query_id=["a", "b", "b"],
        doc_id=["d", "e", "e"],
        query=["a?", "b?", "b?"],
        reader=reader,
    )
    assert values == pytest.approx([0.8 - (0.3 + 0.1) / 2, 1.0 - (0.1 + 0.3) / 2, -1.0])


def test_stance_of_an_irrelevant_document_is_held_to_its_own_question() -> None:
    reader = TableReader(
        led={("a?", "No A."): (0.9, 0.1, 0.0), ("a?", "No B."): (0.5, 0.5, 0.0), ("b?", "No B."): (1.0, 0.0, 0.0)}
        | {("b?", "No A."): (0.4, 0.4, 0.2)}
    )
    rows = {"query_id": ["a", "b"], "doc_id": ["d", "e"], "query": ["a?", "b?"], "reader": reader}
    values = reward_of("stance")(completions=["Relevance Label: 0\n\nNo A.", "Relevance Label: 0\n\nNo B."], **rows)
    assert values == pytest.approx([0.9 - 0.5, 1.0 - 0.4])


def test_stance_is_swapped_with_another_question_where_there_is_one() -> None:
    read = {("a?", "One."): 0.9, ("a?", "Two."): 0.8, ("a?", "Other."): 0.5, ("b?", "One."): 0.3, ("b?", "Two."): 0.2}
    reader = TableReader(led={pair: (0.0, 1 - led, led) for pair, led in (read | {("b?", "Other."): 1.0}).items()})
    rows = {"query_id": ["a", "a", "b"], "doc_id": ["c", "d", "e"], "query": ["a?", "a?", "b?"], "reader": reader}
    texts = [f"Relevance Label: 2\n\n{say}" for say in ("One.", "Two.", "Other.")]
    values = reward_of("stance")(completions=texts, **rows)
    assert values == pytest.approx([0.9 - (0.5 + 0.3) / 2, 0.8 - (0.5 + 0.2) / 2, 1.0 - (0.3 + 0.5) / 2])


def test_stance_says_nothing_without_another_document_of_the_grade_or_a_reader() -> None:
    rows = {"query_id": ["a"] * 3, "doc_id": ["d", "d", "e"], "query": ["a?"] * 3}
    texts = ["Relevance Label: 2\n\nSo.", "Relevance Label: 2\n\nYes.", "Relevance Label: 1\n\nHalf."]
    assert reward_of("stance")(completions=texts, **rows, reader=TableReader()) == [None] * 3
    assert reward_of("stance")(completions=[*texts[:2], "none"], **rows) == [None, None, -1.0]


def supported(grade: int, text: str, reader: TableReader) -> float | None:
    rows = {"query": ["Why does basil wilt?"], "document": [DOCUMENT], "reader": reader}
    return reward_of("support", nats=4.0)(completions=[f"Relevance Label: {grade}\n\n{text}"], **rows)[0]


def likely(told: float, *, blind: float) -> TableReader:
    """A word has these log-probabilities with both texts, and without the document or the question."""
    query = "Why does basil wilt?"
    return TableReader(
        likely={(query, DOCUMENT): told, (query, HIDDEN): blind, (HIDDEN, DOCUMENT): blind},
        graded={
            DOCUMENT: (0.0, 0.0, 1.0),
            "Keep it above ten degrees. Water it in the morning.": (0.5, 0.4, 0.1),
            "Basil wilts in the cold. Keep it above ten degrees.": (0.0, 0.1, 0.9),
        },
    )


def test_support_by_hand() -> None:
    # Four words, each half a nat likelier with the document: 2 of 4 nats.
    assert supported(2, "Frost makes it droop.", likely(-1.0, blind=-1.5)) == pytest.approx(0.5)
    assert supported(2, "Frost makes it droop.", likely(-1.0, blind=-9.0)) == 1.0
    assert supported(2, "Frost makes it droop.", likely(-2.0, blind=-1.0)) == 0.0
    # Of grade 0 the same, without the question.
    assert supported(0, "Frost makes it droop.", likely(-1.0, blind=-1.5)) == pytest.approx(0.5)
    # 5 nats a token are halfway from 4 to 6.
    assert supported(2, "Frost makes it droop.", likely(-5.0, blind=-9.0)) == pytest.approx(0.5)
    assert supported(2, "Cheap pills sold here.", likely(-9.0, blind=-12.0)) == 0.0
    # 80 words where 60 are enough.
    assert supported(2, "it droops " * 40, likely(-1.0, blind=-9.0)) == pytest.approx(60 / 80)
    assert supported(2, DOCUMENT, likely(-1.0, blind=-9.0)) == 0.0
    # A whole sentence counts as copied however short it is, a part of one from eight words on.
    assert supported(2, "Basil wilts in the cold.", likely(-1.0, blind=-9.0)) == 0.0
    assert supported(2, "So basil wilts in the cold.", likely(-1.0, blind=-9.0)) == 1.0
    assert supported(2, "Just so. Basil wilts in the cold!", likely(-1.0, blind=-9.0)) == pytest.approx(2 / 7 / 0.3)
    assert supported(2, "", likely(-1.0, blind=-9.0)) == 0.0


def test_support_asks_for_the_document_and_of_grade_0_for_the_question() -> None:
    query = "Why does basil wilt?"
    by_document = TableReader(likely={(query, DOCUMENT): -1.0, (query, HIDDEN): -2.0, (HIDDEN, DOCUMENT): -1.0})
    by_question = TableReader(likely={(query, DOCUMENT): -1.0, (query, HIDDEN): -1.0, (HIDDEN, DOCUMENT): -2.0})
    for grade, reader, wanted in ((2, by_document, 1.0), (2, by_question, 0.0), (1, by_document, 1.0)):
        assert supported(grade, "Frost makes it droop.", reader) == wanted
    assert supported(0, "It names no basil.", by_question) == 1.0
    assert supported(0, "It names no basil.", by_document) == 0.0


def test_a_quote_supports_by_what_the_grade_loses_without_it() -> None:
    nothing = likely(-1.0, blind=-1.0)
    # From 2 to 0.6 is more than half a grade; from 2 to 1.9 is a fifth of it.
    assert supported(2, 'It names the reason: "wilts in the cold".', nothing) == 1.0
    assert supported(2, 'It tells when: "Water it in the morning".', nothing) == pytest.approx(0.2)
    assert supported(0, 'It names the reason: "wilts in the cold".', nothing) == 0.0
    # What stands in quotes is not the writer's own.
    assert supported(2, 'It tells when: "Water it in the morning".', likely(-1.0, blind=-1.2)) == pytest.approx(0.2)
    # One of two quotes is invented.
    both = 'It names the reason: "wilts in the cold", and that "it hates music".'
    assert supported(2, both, nothing) == pytest.approx(1.0 - 0.5)
    assert supported(1, 'It is that "it hates music a lot".', nothing) == -1.0


def test_deletion_leaves_paraphrases_alone() -> None:
    reader = likely(-1.0, blind=-1.0)
    quote = 'It tells when: "Water it in the morning", so do.'
    rows = {"query": ["Why does basil wilt?"], "document": [DOCUMENT]}
    reward = reward_of("faithfulness", deletion=1.0)
    found = reward(completions=[f"Relevance Label: 2\n\n{quote}"], **rows, reader=reader)
    assert found == pytest.approx([0.1])
    assert reward(completions=["Relevance Label: 2\n\nFrost makes it droop."], **rows, reader=reader) == [None]
