"""Whether the explanation is written in the scripts of its query and document.

Value: the share of the explanation's letters whose script (Latin, Cyrillic, CJK and so on, by their Unicode names) the
query or the document uses too; 0 to 1, 0 for a completion that cannot be read, None for an explanation without
letters. A policy loses by drifting into another script, as R1-Zero drifted into other languages; DeepSeek-R1's reward
against that counts words of the target language (arXiv 2501.12948, section 2.3.2). Languages that share a script are
not distinguished.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

from interank.judging import parse

CREDIT = "explanation"


def reward(
    *, completions: Sequence[str], query: Sequence[str], document: Sequence[str], **_: object
) -> list[float | None]:
    """One value from 0 to 1, or None, for each completion."""
    values: list[float | None] = []
    for completion, question, text in zip(completions, query, document, strict=True):
        judgment = parse(completion)
        if judgment is None:
            values.append(0.0)
            continue
        letters = _scripts(judgment.reasoning)
        known = {*_scripts(question), *_scripts(text)}
        values.append(sum(script in known for script in letters) / len(letters) if letters else None)
    return values


def _scripts(text: str) -> list[str]:
    """The script of each letter."""
    return [_script(character) for character in text if character.isalpha()]


@cache
def _script(character: str) -> str:
    return unicodedata.name(character, "UNKNOWN").partition(" ")[0]
