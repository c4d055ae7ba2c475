"""The card of judgments names CC BY-SA 4.0 only where what is made of all texts may be published under it."""

from __future__ import annotations

import pytest

from interank.teacher.card import _is_share_alike


@pytest.mark.parametrize(
    ("licence", "may"),
    [
        ("CC BY-SA 4.0", True),
        ("CC BY-SA 3.0", True),
        ("CC BY-SA 2.5", True),
        ("cc-by-sa-4.0", True),
        ("CC BY-SA 4.0 International", True),
        # Says nothing of later versions.
        ("CC BY-SA 1.0", False),
        ("CC BY-SA", False),
        ("CC BY-SA-NC 4.0", False),
        ("CC BY-NC-SA 4.0", False),
        ("CC BY-SA 4.0, no commercial use", False),
        ("", False),
    ],
)
def test_licences_that_lead_to_by_sa_4(licence: str, may: bool) -> None:
    assert _is_share_alike(licence) is may
