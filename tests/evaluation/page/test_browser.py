"""The report in a real browser: it opens from a file without a word, and can be searched, steered and read."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.browser import Opened, grave_faults, opened
from tests.support.recorded_evaluation import HOSTILE_SYSTEM, MARKUP, QUOTES, recorded


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("report")) / "report.html"


@pytest.fixture
def shown(browser: Browser, report: Path) -> Iterator[Opened]:
    found = opened(browser, report)
    yield found
    # Whatever a test did, the page said nothing and asked for nothing.
    assert found.console == []
    assert [url for url in found.asked if not url.startswith(("file:", "blob:", "data:"))] == []
    found.page.context.close()


@pytest.fixture(scope="module")
def values(report: Path) -> dict[str, float]:
    """What the better system, which stands on the right, gains on each query."""
    rows = [json.loads(line) for line in (report.parent / "per_query.jsonl").read_text("utf-8").splitlines()]
    return {f"{r['task']} / {r['query_id']}": r["plain"]["nDCG@10"] - r["first stage"]["nDCG@10"] for r in rows}


def names(page: Page) -> list[str]:
    return page.locator("#queries .name").all_text_contents()


def chosen(page: Page) -> str:
    return page.locator("#query-name").inner_text()


def test_queries_stand_in_the_order_asked_for(shown: Opened, values: dict[str, float]) -> None:
    page = shown.page
    gains = [round(values[name], 4) for name in names(page)]
    assert len(gains) == 24 and gains == sorted(gains)
    page.select_option("#sort", "gain")
    gains = [round(values[name], 4) for name in names(page)]
    assert gains == sorted(gains, reverse=True) and len(set(gains)) > 3
    page.select_option("#sort", "cost")
    seconds = [float(text.split()[-2]) for text in page.locator("#queries .moved").all_text_contents()]
    assert seconds == sorted(seconds, reverse=True)
    page.select_option("#sort", "given")
    assert names(page) == list(values)


def test_queries_are_found_by_words_ids_and_task(shown: Opened) -> None:
    page = shown.page
    page.fill("#search", "Q7")
    assert set(names(page)) == {"one / q7", "two / q7"}
    page.select_option("#task", "1")
    assert names(page) == ["two / q7"]
    assert page.locator("#count").inner_text() == "1 of 24 queries"
    page.fill("#search", "<img onerror")
    assert page.locator("#queries li").count() == 3
    page.fill("#search", "no such words")
    assert page.locator("#queries li").count() == 0


def test_the_worst_loss_is_one_click_away(shown: Opened, values: dict[str, float]) -> None:
    page = shown.page
    page.select_option("#sort", "given")
    page.fill("#search", "query 3")
    page.click("#worst")
    worst = min(values, key=lambda name: values[name])
    expect(page.locator("#query-name")).to_have_text(worst)
    assert names(page)[0] == worst
    assert page.evaluate("document.activeElement.getAttribute('aria-current')") == "true"


def test_both_orders_are_those_of_the_runs(shown: Opened, report: Path) -> None:
    from interank.ir.trec import read_run

    page = shown.page
    expect(page.locator("#right-list .doc").last).to_have_attribute("title", re.compile("."))
    task, _, query_id = chosen(page).partition(" / ")
    for side, system in (("left", "first_stage"), ("right", "plain")):
        run = read_run(report.parent / "runs" / system / f"{task}.trec")
        titles = page.locator(f"#{side}-list .doc").evaluate_all("rows => rows.map(row => row.title)")
        assert titles == run.doc_ids(query_id)[:10]
    lines = page.locator("#lines path")
    everywhere = {*titles, *page.locator("#left-list .doc").evaluate_all("rows => rows.map(row => row.title)")}
    assert lines.count() == len(everywhere)
    page.select_option("#depth", "5")
    assert page.locator("#right-list .doc").count() == 5


def test_planted_markup_is_shown_as_text(shown: Opened) -> None:
    page = shown.page
    page.fill("#search", "q0")
    page.locator("#queries .one").first.click()
    expect(page.locator("#query-name")).to_have_text(re.compile("q0$"))
    assert MARKUP in page.locator("#query-text").inner_text()
    expect(page.locator("#right-list .what").first).to_have_text(re.compile("^title"))
    said = []
    for place in range(3):
        page.locator("#right-list .doc").nth(place).click()
        page.wait_for_selector("#reading blockquote")
        said.append(page.locator("#reading blockquote").inner_text())
        page.click("#close")
    # Their marks follow, by which a test below tells one document from another.
    assert said[0].startswith(f"because {MARKUP} (stance ")
    assert said[1].startswith(f"because {QUOTES} (stance ")
    assert said[2].startswith("because safe[U+202E]txt.exe[U+2066] and [U+0000] and [U+2028] end (stance ")
    texts = set()
    page.select_option("#depth", "20")
    for place in range(page.locator("#left-list .doc").count()):
        page.locator("#left-list .doc").nth(place).click()
        page.wait_for_selector("#close")
        texts.add(page.locator("#reading .text").inner_text().partition("text ")[2])
        page.click("#close")
    assert {f"{MARKUP} end", f"{QUOTES} end"} <= texts
    assert page.evaluate("window.broken") is None
    assert page.locator("img, script[src], iframe").count() == 0
    assert HOSTILE_SYSTEM in page.locator("#right option").all_text_contents()


def test_probabilities_and_grades_are_those_of_the_rankings(shown: Opened, report: Path) -> None:
    page = shown.page
    task, _, query_id = chosen(page).partition(" / ")
    rows = [json.loads(line) for line in (report.parent / "rankings" / "plain.jsonl").read_bytes().splitlines()]
    [row] = [row for row in rows if (row["task"], row["query_id"]) == (task, query_id)]
    page.locator("#right-list .doc").first.click()
    page.wait_for_selector("#close")
    shares = [float(text) for text in page.locator("#reading .grades dd").all_text_contents()]
    assert shares == pytest.approx(row["ranking"][0]["probabilities"], abs=6e-4)
    qrels = (report.parent.parent / "benchmark" / task / "qrels.tsv").read_text("utf-8").splitlines()
    gold = {line.split("\t")[1]: line.split("\t")[2] for line in qrels[1:]}
    marks = page.locator("#right-list li").evaluate_all(
        "rows => rows.map(row => [row.firstChild.title, row.querySelector('i.gold')?.textContent ?? null])"
    )
    assert any(mark for _, mark in marks)
    assert all(gold.get(doc_id) == mark for doc_id, mark in marks)


def test_marks_stand_with_the_document_whose_explanation_has_them(shown: Opened, report: Path) -> None:
    page = shown.page
    rows = [json.loads(line) for line in (report.parent / "rankings" / "plain.jsonl").read_bytes().splitlines()]
    stored = {(row["task"], row["query_id"]): row for row in rows}
    seen = set()
    for query_id in ("q4", "q7"):
        page.fill("#search", query_id)
        page.locator("#queries .one").first.click()
        expect(page.locator("#query-name")).to_have_text(re.compile(f"{query_id}$"))
        expect(page.locator("#right-list .doc").last).to_have_attribute("title", re.compile("."))
        task, _, name = chosen(page).partition(" / ")
        row = stored[task, name]
        for place, item in enumerate(row["ranking"][:4]):
            page.locator("#right-list .doc").nth(place).click()
            page.wait_for_selector("#close")
            said = page.locator("#reading blockquote").all_inner_texts()
            page.click("#close")
            if item["explanation"] is None:
                assert said == []
                continue
            own = row["marks"][item["doc_id"]]
            support = "not marked" if own["support"] is None else f"{own['support']:+.2f}"
            [text] = said
            assert text.endswith(f" (stance {own['stance']:+.2f}, support {support})")
            seen.add(text.rpartition("(")[2])
    assert len(seen) == 6


def test_it_can_be_steered_by_keys_alone(shown: Opened) -> None:
    page = shown.page
    order, press = names(page), page.keyboard.press
    press("/")
    assert page.evaluate("document.activeElement.id") == "search"
    page.keyboard.type("jlx")
    assert page.input_value("#search") == "jlx"
    page.fill("#search", "")
    press("Enter")
    press("ArrowDown")
    press("Enter")
    expect(page.locator("#query-name")).to_have_text(order[1])
    press("j")
    expect(page.locator("#query-name")).to_have_text(order[2])
    press("k")
    expect(page.locator("#query-name")).to_have_text(order[1])
    page.locator("#right-list .doc").first.focus()
    press("ArrowDown")
    place = page.evaluate("document.activeElement.dataset.place")
    press("ArrowLeft")
    assert page.evaluate("[document.activeElement.dataset.side, document.activeElement.dataset.place]") == [
        "left",
        place,
    ]
    press("Enter")
    page.wait_for_selector("#close")
    assert page.evaluate("document.activeElement.id") == "reading"
    press("Escape")
    assert page.evaluate("document.activeElement.dataset.side") == "left"
    left, right = page.input_value("#left"), page.input_value("#right")
    press("x")
    assert (page.input_value("#left"), page.input_value("#right")) == (right, left)


def test_two_rerankers_stand_side_by_side_and_the_address_says_so(shown: Opened, browser: Browser) -> None:
    page = shown.page
    page.select_option("#left", label=HOSTILE_SYSTEM)
    expect(page.locator("#left-name")).to_have_text(re.compile("^ours"))
    page.click("#next")
    expect(page).to_have_url(re.compile("left=ours"))
    expected = (chosen(page), page.locator("#left-name").inner_text())
    again = opened(browser, Path(page.url.removeprefix("file://").partition("#")[0]))
    again.page.goto(page.url)
    again.page.reload()
    again.page.wait_for_selector("html.ready")
    assert (chosen(again.page), again.page.locator("#left-name").inner_text()) == expected
    again.page.context.close()


def test_a_plot_s_data_can_be_had(shown: Opened, tmp_path: Path) -> None:
    page = shown.page
    with page.expect_download() as download:
        page.locator("#reliability .data").click()
    path = tmp_path / "data.csv"
    download.value.save_as(path)
    assert download.value.suggested_filename == "reliability.csv"
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert {row["system"] for row in rows} == {"plain", HOSTILE_SYSTEM}
    assert sum(int(row["documents"]) for row in rows if row["system"] == "plain") == 24 * 15


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (1440, "dark"), (390, "light"), (390, "dark")])
def test_nothing_keeps_people_from_it(browser: Browser, report: Path, width: int, scheme: str) -> None:
    found = opened(browser, report, viewport={"width": width, "height": 844}, color_scheme=scheme)
    found.page.locator("#right-list .doc").first.click()
    found.page.wait_for_selector("#close")
    assert grave_faults(found.page) == []
    # Nothing has to be scrolled sideways but the wide tables in their frames.
    assert found.page.evaluate("document.documentElement.scrollWidth") <= width
    assert found.console == []
    found.page.context.close()


def test_on_paper_the_fields_are_gone_and_everything_is_on_white(browser: Browser, report: Path) -> None:
    found = opened(browser, report, color_scheme="dark")
    found.page.emulate_media(media="print")
    assert not found.page.locator("#finder").is_visible()
    assert found.page.locator("#left-list .doc").first.is_visible()
    colours = found.page.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert colours == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    assert found.page.pdf()[:4] == b"%PDF"
    found.page.context.close()


def test_without_programmes_the_figures_are_there(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("h1").is_visible() and page.locator("figure svg").first.is_visible()
    assert "needs JavaScript" in page.locator("noscript").first.inner_text()
    context.close()
