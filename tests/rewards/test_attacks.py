"""What a policy might find out instead of reasoning loses strictly to an honest answer under a recipe's total."""

from __future__ import annotations

from statistics import fmean

import pytest

from tests.support.attack_totals import HONEST, RECIPES, lost, recipe_of, totals, with_marks
from tests.support.attack_world import ATTACKS, ExactReader, RunOn, pairs

PAIRS = pairs(70)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("attack", ATTACKS)
def test_every_attack_loses_by_a_fifth_of_an_honest_total(name: str, attack: str) -> None:
    found = totals(recipe_of(name), ExactReader(), PAIRS, (*HONEST, ATTACKS[attack]))
    for grade in (0, 1, 2):
        for place, kind in enumerate(HONEST):
            of_grade = [row for pair, row in zip(PAIRS, found, strict=True) if pair.relevance == grade]
            wins = [float(lost(row[2], row[place])) for row in of_grade]
            # By Clopper and Pearson, of wins without a loss.
            low = 0.025 ** (1 / len(wins))
            print(f"{name}, {attack}, grade {grade}, {kind.__name__}: {fmean(wins):.3f} won ({low:.3f} to 1)")
            assert fmean(wins) == 1.0, next(row for win, row in zip(wins, of_grade, strict=True) if not win)


@pytest.mark.parametrize("name", RECIPES)
def test_a_paraphrase_is_worth_as_much_as_a_quote(name: str) -> None:
    for quote, paraphrase, _ in totals(recipe_of(name), ExactReader(), PAIRS, (*HONEST, ATTACKS["x"])):
        assert paraphrase == pytest.approx(quote, rel=0.15)


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_loses_where_the_document_is_a_single_sentence(attack: str) -> None:
    """Without its sentence nothing would be left of it, whatever was quoted."""
    chosen = [RunOn(*pair) for pair in pairs(15)]
    assert {pair.document.count(".") for pair in chosen} == {0}
    for name in RECIPES:
        for quote, paraphrase, found in totals(recipe_of(name), ExactReader(), chosen, (*HONEST, ATTACKS[attack])):
            assert lost(found, quote) and lost(found, paraphrase), (name, quote, paraphrase, found)


@pytest.mark.parametrize("name", [*RECIPES, "explained"])
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_loses_where_a_reward_model_knows_it(name: str, attack: str) -> None:
    """Its weight is enough, whatever the rewards beside it pay for."""
    chosen = pairs(20)
    recipe = with_marks(name, {say(pair) for pair in chosen for say in HONEST})
    for quote, paraphrase, found in totals(recipe, ExactReader(), chosen, (*HONEST, ATTACKS[attack])):
        assert lost(found, quote) and lost(found, paraphrase), (quote, paraphrase, found)
