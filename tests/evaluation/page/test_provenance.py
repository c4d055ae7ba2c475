"""What a page says of the trainings behind its systems."""

from __future__ import annotations

from pathlib import Path

from interank.evaluation.page.provenance import training_logs


def test_the_trainings_behind_an_adapter_have_their_logs(tiny_adapter: Path) -> None:
    found = training_logs({"ours": tiny_adapter, "a model of the hub": Path("no/such")})
    assert list(found) == ["ours (distill)"]
    assert [row["step"] for row in found["ours (distill)"]]
