"""Attacks on the rewards of explanations where a tiny policy that has learned their world is the frozen reader."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean

import pytest

from interank.tasks.judge.quotes import without_quoted
from interank.tasks.judge.reading import Probabilities, masked
from tests.support.attack_reader import attack_base, attack_reader
from tests.support.attack_totals import HONEST, RECIPES, Remembering, lost, recipe_of, totals, wilson
from tests.support.attack_world import ATTACKS, Pair, pairs, told_grade

pytestmark = pytest.mark.slow

PAIRS = pairs(70)
UNDERSTOOD = 0.95
# The least share of the pairs of a grade in which an attack loses to one kind of honest explanation under a recipe.
LEAST = 0.9
# The reader was taught what any claim with any quote claims, in the words of honest explanations; of the other kinds
# of attack it has seen none, and no explanation but honest ones and such claims.
SEEN = ("a false claim with an unrelated quote", "the opposite stance with a quote")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Remembering:
    """A reader that has learned the world, and has seen none of the pairs."""
    folder = attack_base(tmp_path_factory.mktemp("models") / "reader", PAIRS)
    return Remembering(attack_reader(folder))


def _share(read: Sequence[Probabilities], wanted: Sequence[int]) -> float:
    return fmean(three.index(max(three)) == grade for three, grade in zip(read, wanted, strict=True))


def test_the_reader_grades_documents_with_and_without_what_decides(reader: Remembering) -> None:
    whole = [(pair.query, pair.document) for pair in PAIRS]
    without = [(pair.query, without_quoted(pair.document, say(pair))) for pair in PAIRS for say in HONEST]
    for asked in (whole, without):
        share = _share(reader.grades(asked), [told_grade(*each) for each in asked])
        print(f"comes to the grade of {share:.3f} of {len(asked)} documents")
        assert share > UNDERSTOOD


@pytest.mark.parametrize("say", HONEST)
def test_an_explanation_leads_the_reader_to_the_grade_of_its_own_question(
    reader: Remembering, say: Callable[[Pair], str]
) -> None:
    own = reader.led_to([(pair.query, masked(say(pair))) for pair in PAIRS])
    share = _share(own, [pair.relevance for pair in PAIRS])
    # Each question's documents are three; the next question is about another plant.
    others = [*PAIRS[3:], *PAIRS[:3]]
    elsewhere = reader.led_to([(pair.query, masked(say(other))) for pair, other in zip(PAIRS, others, strict=True)])
    misled = fmean(three[pair.relevance] for three, pair in zip(elsewhere, PAIRS, strict=True) if pair.relevance)
    print(f"{say.__name__}: led to the grade by {share:.3f}; by another question's with probability {misled:.3f}")
    assert share > UNDERSTOOD
    assert misled < 1 - UNDERSTOOD


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_loses_to_a_reader_that_has_learned_the_world(reader: Remembering, attack: str) -> None:
    shares, sums = {}, []
    for name in RECIPES:
        found = totals(recipe_of(name), reader, PAIRS, (*HONEST, ATTACKS[attack]))
        sums += found
        for grade in (0, 1, 2):
            for place, kind in enumerate(HONEST):
                won = [
                    lost(row[2], row[place]) for pair, row in zip(PAIRS, found, strict=True) if pair.relevance == grade
                ]
                shares[f"{name}, grade {grade}, {kind.__name__}"] = sum(won), len(won)
    where, (won_of, of) = min(shares.items(), key=lambda item: item[1][0] / item[1][1])
    low, high = wilson(won_of, of)
    means = " / ".join(f"{fmean(row[place] for row in sums):.2f}" for place in range(3))
    taught = "seen" if attack in SEEN else "unseen"
    print(f"| {attack} | {taught} | {means} | {won_of / of:.2f} ({low:.2f} to {high:.2f}) | {where} |")
    below = {cell: f"{won}/{of}" for cell, (won, of) in shares.items() if won / of < LEAST}
    assert not below
