"""Lists as training rows: loss on the answer alone, shuffled with their reasoning, whole or left out with a reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from interank.engines.models import find_model, load_tokenizer
from interank.engines.prompts import PromptEncoder
from interank.settings import ListPromptSettings, PromptSettings
from interank.tasks.order import ordering
from interank.tasks.order.encoder import ListEncoder
from interank.tasks.order.lists import ListExample
from interank.tasks.order.ordering import Ordering
from interank.tasks.order.rows import ListRows, list_row
from interank.training.rows import IGNORED, Row
from interank.types import Document, Query
from tests.support.tiny import FAMILIES, Family, tiny_tokenizer

PROMPT = ListPromptSettings(max_length=1000)
DOCUMENTS = tuple(Document(f"secret-{name}", f"A {name} sits in the barn.") for name in ("fox", "owl", "cat", "hen"))
EXAMPLE = ListExample(
    Query("q", "Where is the owl?"), DOCUMENTS, Ordering((1, 3, 0, 2), "[2] names the owl, passage 4 does not.")
)


def encoder_of(family: Family = "chatml", **settings: Any) -> ListEncoder:
    prompt = PROMPT.model_copy(update=settings)
    return ListEncoder(PromptEncoder(tiny_tokenizer(family), PromptSettings()), prompt)


def rows_of(encoder: ListEncoder, example: ListExample, *, seed: int = 1, **given: int) -> tuple[list[Row], ListRows]:
    usual = {"window": 20, "shuffles": 1, "max_reasoning_tokens": 99}
    made = ListRows(encoder, seed=seed, **{**usual, **given})
    return list(made.of([(0, example)])), made


def texts_of(encoder: ListEncoder, row: Any) -> tuple[str, str]:
    """What is read, and what is learned."""
    prompt = [index for index, label in zip(row.input_ids, row.labels, strict=True) if label == IGNORED]
    learned = [label for label in row.labels if label != IGNORED]
    return encoder.encoder.text(prompt), encoder.encoder.text(learned)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_on_reasoning_ranking_and_end_alone(family: Family) -> None:
    encoder = encoder_of(family)
    row = list_row(encoder, EXAMPLE, 99)
    assert not isinstance(row, str)
    asked, learned = texts_of(encoder, row)
    assert learned == "[2] names the owl, passage 4 does not.\n\nRanking: [2] > [4] > [1] > [3]"
    assert "Where is the owl?" in asked
    assert "Ranking: [2] > [4]" not in asked
    assert row.labels[-1] == row.input_ids[-1] == encoder.end
    bos = encoder.encoder.tokenizer.bos_token_id
    if bos is not None:
        assert row.input_ids.count(bos) <= 1


def test_what_is_learned_is_what_will_be_asked() -> None:
    encoder = encoder_of()
    row = list_row(encoder, EXAMPLE, 99)
    assert not isinstance(row, str)
    tokens = len(encoder.encoder.plain(EXAMPLE.ordering.reasoning))
    prompt = encoder.prompt(EXAMPLE.query, EXAMPLE.documents, reasoning_tokens=tokens).prompt
    assert tuple(row.input_ids[: len(prompt.ids)]) == prompt.ids
    assert "secret" not in texts_of(encoder, row)[0]


def test_a_direct_answer_has_no_reasoning_and_dears_no_lead() -> None:
    for form, expected in (("direct", "Ranking: [2] > [4] > [1] > [3]"), ("dear", "[2] > [4] > [1] > [3]")):
        encoder = encoder_of(form=form)
        row = list_row(encoder, replace(EXAMPLE, ordering=Ordering((1, 3, 0, 2))), 99)
        assert not isinstance(row, str)
        assert texts_of(encoder, row)[1] == expected


def test_each_list_is_shown_in_seeded_orders_with_the_reasoning_changed_alike() -> None:
    encoder = encoder_of()
    rows, made = rows_of(encoder, EXAMPLE, shuffles=12)
    assert rows == rows_of(encoder, EXAMPLE, shuffles=12)[0]
    assert rows != rows_of(encoder, EXAMPLE, shuffles=12, seed=2)[0]
    assert (len(rows), made.left_out, made.unshuffled) == (12, [], 0)
    places = set()
    for row in rows:
        asked, learned = texts_of(encoder, row)
        found = ordering.parse(learned, 4)
        assert found is not None
        owl = found.positions[0] + 1
        places.add(owl)
        assert f"[{owl}] A owl sits" in asked
        assert learned.startswith(f"[{owl}] names the owl, passage {found.positions[1] + 1} does not.")
    assert places == {1, 2, 3, 4}


def test_a_reasoning_that_tells_places_keeps_the_order_once() -> None:
    told = replace(EXAMPLE, ordering=Ordering((0, 1, 2, 3), "The first passage helps."))
    rows, made = rows_of(encoder_of(), told, shuffles=5)
    assert (len(rows), made.unshuffled) == (1, 1)


def test_no_answer_is_cut_but_documents_evenly() -> None:
    """What a limit on the whole row does, as LLaMA-Factory's cutoff_len, is to drop the ranking that is learned."""
    long = replace(EXAMPLE, documents=tuple(replace(item, text=item.text * 40) for item in DOCUMENTS))
    encoder = encoder_of()
    row = list_row(encoder, long, 99)
    assert not isinstance(row, str)
    assert len(row.input_ids) <= 1000
    asked, learned = texts_of(encoder, row)
    assert learned.endswith("Ranking: [2] > [4] > [1] > [3]")
    assert all(f"[{number}] A " in asked for number in range(1, 5))
    assert "Write every number exactly once" in asked


@pytest.mark.parametrize(
    ("example", "settings", "reason"),
    [
        (EXAMPLE, {"window": 3}, "it has 4 documents, and the window is 3"),
        (EXAMPLE, {"max_reasoning_tokens": 8}, "its reasoning has"),
        (
            replace(EXAMPLE, ordering=Ordering((1, 3, 0, 2), "<think> I think.")),
            {},
            "would be read as another ranking",
        ),
        (
            replace(EXAMPLE, documents=DOCUMENTS * 5, ordering=Ordering(tuple(range(20)))),
            {},
            "room for 20 documents",
        ),
    ],
)
def test_what_cannot_be_learned_whole_is_left_out_with_its_reason(
    example: ListExample, settings: dict[str, int], reason: str
) -> None:
    encoder = encoder_of(max_length=420) if "room" in reason else encoder_of()
    rows, made = rows_of(encoder, example, **settings)
    assert rows == []
    assert reason in made.left_out[0].reason


def test_a_budget_of_fifty_tokens_holds_no_ranking_of_twenty(tiny_folder: Path) -> None:
    from interank.errors import InputError
    from interank.judgments import JudgedList
    from interank.tasks.list_rollouts import ListRollouts

    tokenizer = load_tokenizer(find_model(str(tiny_folder)))
    encoder = ListEncoder(PromptEncoder(tokenizer, PromptSettings()), ListPromptSettings())
    many = JudgedList(Query("q", "?"), DOCUMENTS * 5, (0, 1) * 10)
    with pytest.raises(InputError, match=r"50 .* 20 documents"):
        ListRollouts(encoder, [many], tokens=50, seed=0)
