"""The page of a training in a real browser: without a word, without a request, and for everybody."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from interank.stages.training_page import training_page
from tests.stages.test_training_page import ROLLOUT, TRAINING, log_of, replace, shown
from tests.support.browser import grave_faults, loaded


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    (folder / "rollouts.jsonl").write_text((json.dumps(ROLLOUT) + "\n") * 3)
    later = {**ROLLOUT, "step": 10, "completion": "Relevance Label: 2\n\nIt is about the saddle's height."}
    still = {**ROLLOUT, "doc_id": "still"}
    (folder / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (still, ROLLOUT, later)))
    training = replace(TRAINING, control=log_of(0.5, 0.52, 0.51))
    path = folder / "report.html"
    path.write_text(training_page(training, folder, shown=shown), "utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 400])
def test_it_can_be_read_by_everybody(browser: Browser, report: Path, width: int, scheme: str) -> None:
    shown = loaded(browser, report, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = shown.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".rollouts tbody tr").count() == 3
    assert page.locator("#training-validation .legend li").all_inner_texts() == [
        "validation/nDCG@10",
        "validation/nDCG@10, control",
    ]
    assert page.locator("#training-reward .legend li").all_inner_texts() == ["reward", "reward, control"]
    shown_advantages = page.locator(".rollouts .advantages b").all_inner_texts()
    assert shown_advantages == ["+0.91", "-0.25"] * 3
    assert page.locator("details[open] .versions dt").all_inner_texts() == ["Step 1", "Step 10"]
    assert (page.locator(".versions del").inner_text(), page.locator(".versions ins").inner_text()) == (
        " saddle.",
        " saddle's height.",
    )
    assert grave_faults(page) == []
    page.evaluate("document.querySelectorAll('.plots figure ~ figure').forEach(each => each.remove())")
    assert page.locator(".drawing").evaluate("each => each.clientWidth") < 700  # one alone is no larger than one of two
    assert shown.console == []
    assert [url for url in shown.asked if not url.startswith(("file:", "data:"))] == []
    page.context.close()
