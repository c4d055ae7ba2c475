"""The attacks are many and of many kinds, are planted as they are written, and train on the part that is for that."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from interank.tasks.judge.attacks import Template, attack_templates, planted, with_attacked
from interank.types import Document, Query, Relevance
from tests.support import rule

QUERY = Query("q", "why {document}?")
DOCUMENT = Document("d", " ".join(f"w{number}" for number in range(30)) + " {query}", "Title")


def of_part(part: str) -> list[Template]:
    return [template for template in attack_templates() if template.part == part]


def test_there_are_at_least_thirty_of_many_kinds() -> None:
    attacks = of_part("practice") + of_part("held_out")
    assert len(attacks) >= 30
    assert len({template.name for template in attack_templates()}) == len(attack_templates())
    assert len({template.text for template in attacks}) == len(attacks)
    families = {part: Counter(template.family for template in of_part(part)) for part in ("practice", "held_out")}
    assert families["practice"].keys() == families["held_out"].keys()
    assert len(families["practice"]) >= 8
    assert len({template.language for template in attacks}) >= 7
    assert of_part("control")


@pytest.mark.parametrize("template", attack_templates(), ids=lambda template: template.name)
def test_each_carries_the_document_and_its_query_as_they_are(template: Template) -> None:
    found = planted(template, QUERY, DOCUMENT)
    assert (found.doc_id, found.title) == (f"d#{template.name}", "Title")
    whole = DOCUMENT.text in found.text
    assert whole or (DOCUMENT.text[:60] in found.text and DOCUMENT.text.endswith(found.text[-40:]))
    # What fills a slot is not filled again, though it is spelled like one.
    assert found.text.count("{query}") == 1
    assert found.text.count(QUERY.text) == template.text.count("{query}")
    assert len(found.text) > len(DOCUMENT.text) + 10


def test_a_share_of_the_irrelevant_is_shown_again_attacked() -> None:
    examples = rule.examples(0, queries=40)
    shown = with_attacked(examples, 0.25, seed=1)
    added = [item for item in shown if "#" in item.document.doc_id]
    irrelevant = [item for item in examples if item.judgment.relevance == Relevance.IRRELEVANT]
    assert 0.15 < len(added) / len(irrelevant) < 0.35
    assert [item for item in shown if "#" not in item.document.doc_id] == examples
    assert {item.judgment.relevance for item in added} == {Relevance.IRRELEVANT}
    names = {item.document.doc_id.split("#")[1] for item in added}
    assert names <= {template.name for template in of_part("practice")}
    assert len(names) > 10
    for before, item in pairwise(shown):
        if item in added:
            assert item.document.doc_id.startswith(f"{before.document.doc_id}#")
            assert item.query == before.query
    assert shown == with_attacked(examples, 0.25, seed=1)
    assert shown != with_attacked(examples, 0.25, seed=2)
    assert with_attacked(examples, 0.0, seed=1) == examples
    assert len(with_attacked(examples, 1.0, seed=1)) == len(examples) + len(irrelevant)
