"""Each part of the libraries that interank leans on is where it was; a test is named after its part."""

from __future__ import annotations

import pytest

from tests.contracts.parts import PEFT, TOGETHER, TRANSFORMERS, TRL, Part


@pytest.mark.parametrize("part", [*TRL, *TRANSFORMERS, *PEFT, *TOGETHER], ids=lambda part: part.label)
def test_it_is_there_and_is_called_as_before(part: Part) -> None:
    part.check()
