"""The page says what the other files say, and none of its texts is markup."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from lxml import html

from interank.evaluation.page import Provenance
from interank.evaluation.page.advice import next_steps, undecided
from interank.evaluation.page.claim import claim
from interank.evaluation.rankings import Scoring
from interank.evaluation.record import record
from interank.evaluation.scoring import FIRST_STAGE, score_systems
from interank.pages import visible
from interank.recipe import EvaluateRecipe
from interank.types import Run
from tests.support.recorded_evaluation import BIDI, HOSTILE_SYSTEM, MARKUP, benchmark, evaluation, recorded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def page(folder: Path) -> html.HtmlElement:
    return html.fromstring((folder / "report.html").read_text("utf-8"))


def cells(table: html.HtmlElement) -> list[list[str]]:
    return [[" ".join(cell.text_content().split()) for cell in row.xpath("./th|./td")] for row in table.xpath(".//tr")]


def test_an_evaluation_without_a_candidate_has_a_page(tmp_path: Path) -> None:
    benchmark(tmp_path, "one", queries=2, documents=3)
    recipe = EvaluateRecipe(stage="evaluate", benchmark=tmp_path, measures=("nDCG@10",))
    found = evaluation(recipe, ["ours"])
    task = replace(found.tasks[0], candidates=Run({}, tag="nothing"))
    rows = {key: {**row, "ranking": []} for key, row in found.rankings["ours"].items()}
    runs = {name: {task.name: Run({}, tag=name)} for name in found.runs}
    empty = replace(found, tasks=[task], runs=runs, rankings={"ours": rows})
    record(tmp_path, Scoring.of(recipe), empty, Provenance("command", {}, {}))
    assert "distribution" not in (tmp_path / "report.html").read_text("utf-8")
    assert "Query: " in (tmp_path / "example.txt").read_text("utf-8")


def read(cell: str) -> str:
    """What a reader of Markdown shows of a cell."""
    return unescape(re.sub(r"\\(.)", r"\1", cell))


def test_its_tables_are_those_of_the_markdown(folder: Path, page: html.HtmlElement) -> None:
    lines = (folder / "report.md").read_text("utf-8").splitlines()
    said = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines if line.startswith("|")]
    said = [row for row in said if set(row) != {"---"}]
    shown = [row for table in page.xpath("//table[@data-figures]") for row in cells(table)]
    assert len(shown) > 20
    assert shown == [[" ".join(read(cell).split()) for cell in row] for row in said]


def test_its_figures_are_those_of_the_metrics(folder: Path, page: html.HtmlElement) -> None:
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    comparisons = json.loads((folder / "comparisons.json").read_text("utf-8"))
    head, *rows = cells(page.xpath("//table[contains(@class, 'glance')]")[0])
    assert head[2:] == ["first stage", "plain", HOSTILE_SYSTEM, "random order", "perfect order"]
    for row, task in zip(rows, (None, "one", "two"), strict=True):
        for name, cell in zip(head[2:], row[2:], strict=True):
            value = (metrics[name] if task is None else metrics[name]["tasks"][task])["nDCG@10"]
            assert f"{value['mean']:.4f}" in cell
            assert f"{value['low']:.4f} to {value['high']:.4f}" in cell
            if name in ("plain", HOSTILE_SYSTEM):
                [pair] = [
                    item
                    for item in comparisons
                    if (item["system"], item["against"], item["measure"]) == (name, "first stage", "nDCG@10")
                ]
                about = pair if task is None else pair["tasks"][task]
                marks = ("better" in cell, "worse" in cell)
                sure = about["p_corrected"] < 0.05
                assert marks == (sure and about["mean"] > 0, sure and about["mean"] < 0)


def test_the_claim_names_the_best_system_with_its_gain_interval_and_p(folder: Path, page: html.HtmlElement) -> None:
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    best = max(("plain", HOSTILE_SYSTEM), key=lambda name: metrics[name]["nDCG@10"]["mean"])
    value = metrics[best]["nDCG@10"]
    gain = value["gain"]
    claim = page.xpath("//h1")[0].text_content()
    for part in (best, f"{value['mean']:.4f}", f"{gain['mean']:+.4f}", f"{gain['low']:+.4f} to {gain['high']:+.4f}"):
        assert part in claim
    assert "24 queries of 2 tasks" in claim and "come with the benchmark" in claim


def test_its_policy_lets_only_its_own_programme_and_style_in(page: html.HtmlElement) -> None:
    [policy] = page.xpath("//meta[@http-equiv='Content-Security-Policy']/@content")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'" and "connect-src" not in rules
    programmes = page.xpath("//script[not(@type)]")
    assert len(programmes) == 1 and len(page.xpath("//style")) == 1
    for rule, element in (("script-src", programmes[0]), ("style-src", page.xpath("//style")[0])):
        digest = base64.b64encode(hashlib.sha256(element.text.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"


def test_nothing_in_it_acts_or_points_elsewhere(page: html.HtmlElement) -> None:
    attributes = [
        (name, value) for element in page.iter() if isinstance(element.tag, str) for name, value in element.items()
    ]
    assert not [name for name, _ in attributes if name.startswith("on") or name in ("style", "src", "srcset", "action")]
    links = [value for name, value in attributes if name in ("href", "xlink:href")]
    assert links and all(link.startswith(("#", "data:text/csv")) for link in links)
    assert not page.xpath("//img|//iframe|//object|//link|//base")


def test_what_is_planted_stands_there_as_text(page: html.HtmlElement) -> None:
    [note] = page.xpath("//*[contains(@class, 'notes')]//li")
    assert note.text_content() == f"a note {MARKUP}"
    assert visible(BIDI) == "safe[U+202E]txt.exe[U+2066] and [U+0000] and [U+2028] end"


def test_each_plot_says_how_to_read_it_and_brings_its_data(folder: Path, page: html.HtmlElement) -> None:
    figures = {figure.get("id"): figure for figure in page.xpath("//figure")}
    assert {"gains-0", "gains-1", "scores-0", "reliability", "risk", "cost"} <= set(figures)
    for figure in figures.values():
        assert len(figure.xpath(".//figcaption")[0].text_content()) > 60
        assert figure.xpath(".//*[@role='img']/@aria-label")[0]
    per_query = [json.loads(line) for line in (folder / "per_query.jsonl").read_text("utf-8").splitlines()]
    [link] = figures["gains-0"].xpath(".//a[@download='gains-0.csv']/@href")
    rows = base64.b64decode(link.partition("base64,")[2]).decode("utf-8").splitlines()
    assert len(rows) == len(per_query) + 1
    gains = [float(row.rpartition(",")[2]) for row in rows[1:]]
    given = sorted(row["plain"]["nDCG@10"] - row["first stage"]["nDCG@10"] for row in per_query)
    assert sorted(gains) == pytest.approx(given, abs=1e-5)


def test_it_says_where_nothing_differs_and_what_to_do_next(folder: Path, page: html.HtmlElement) -> None:
    said = page.xpath("//div[@class='advice']")[0].text_content()
    comparisons = json.loads((folder / "comparisons.json").read_text("utf-8"))
    alike = [item for item in comparisons if item["measure"] == "nDCG@10" and item["p_corrected"] >= 0.05]
    assert ("Not told apart" in said) is bool(alike)
    rows = [json.loads(line) for line in (folder / "per_query.jsonl").read_text("utf-8").splitlines()]
    names = ("first stage", "plain", HOSTILE_SYSTEM)
    equal = sum(len({row[name]["nDCG@10"] for name in names}) == 1 for row in rows)
    assert (f"On {equal} of {len(rows)} queries" in said) is bool(equal)
    assert "What to do next" in said


def test_marks_stand_by_document_and_their_means_in_a_table(folder: Path, page: html.HtmlElement) -> None:
    metrics = json.loads((folder / "metrics.json").read_text("utf-8"))
    marks = metrics["plain"]["explanations"]["marks"]
    [table] = [found for found in map(cells, page.xpath("//table[@data-figures]")) if "stance" in found[0]]
    told = [f"{marks[n]['mean']:.3f} ({marks[n]['low']:.3f} to {marks[n]['high']:.3f})" for n in ("stance", "support")]
    assert table == [["system", "stance", "support", "explanations"], ["plain", *told, "72"]]
    index, rows = unpacked(page, "index"), unpacked(page, "rankings-0")
    of = [system["name"] for system in index["systems"]].index("plain")
    names = [(index["tasks"][query[0]], query[1]) for query in index["queries"]]
    shown = {
        (*name, row["docs"][int(place)]): why
        for name, row in zip(names, rows, strict=True)
        for place, why in row["judged"][str(of)]["why"].items()
    }
    stored = [json.loads(line) for line in (folder / "rankings" / "plain.jsonl").read_bytes().splitlines()]
    expected = {
        (row["task"], row["query_id"], item["doc_id"]): f"{item['explanation']} ({in_words(row, item['doc_id'])})"
        for row in stored
        for item in row["ranking"]
        if item["explanation"]
    }
    assert len(expected) == 72
    assert shown == expected


def unpacked(page: html.HtmlElement, name: str) -> Any:
    [block] = page.xpath(f"//script[@id='data-{name}']/text()")
    return json.loads(gzip.decompress(base64.b64decode(block)))


def in_words(row: dict[str, Any], doc_id: str) -> str:
    stance, support = row["marks"][doc_id]["stance"], row["marks"][doc_id]["support"]
    return f"stance {stance:+.2f}, support {'not marked' if support is None else f'{support:+.2f}'}"


def test_it_tells_where_it_comes_from(folder: Path, page: html.HtmlElement) -> None:
    said = page.xpath("//section[@id='provenance']")[0].text_content()
    candidates = json.loads((folder / "candidates.json").read_text("utf-8"))
    for about in candidates.values():
        assert about["digest"] in said
    assert "interank evaluate evaluate/benchmark" in said and "torch" in said and "cores" in said


def test_the_claim_says_what_is_not_sure_and_what_is_no_reranking(tmp_path: Path) -> None:
    recipe = EvaluateRecipe(stage="evaluate", benchmark=benchmark(tmp_path, "one"), depth=10)
    found = evaluation(recipe, ["ours"])
    [task] = found.tasks

    def said(run: Run) -> str:
        runs = {FIRST_STAGE: {task.name: task.candidates}, "ours": {task.name: run}}
        results = score_systems(found.tasks, runs, recipe.measures, seed=1)
        return "".join(text for text, _ in claim(replace(found, runs=runs), results, recipe.measures[0]))

    assert "of the way to their perfect order" in said(found.runs["ours"]["one"])
    chance = score_systems(
        found.tasks,
        {FIRST_STAGE: {task.name: task.candidates}, "ours": {task.name: task.candidates}},
        recipe.measures,
        seed=1,
    )
    same = replace(found, runs={FIRST_STAGE: {task.name: task.candidates}, "ours": {task.name: task.candidates}})
    assert undecided(same, chance, recipe.measures[0]) == [
        "Not told apart: ours and first stage (p 1.000).",
        f"On {len(task.queries)} of {len(task.queries)} queries all systems have the same nDCG@10.",
    ]
    assert next_steps(same, chance, recipe.measures[0])[0].startswith("Do not choose by these means")
    assert said(task.candidates).endswith("p = 1.000): a difference that chance could have made.")
    elsewhere = {
        name: [item._replace(doc_id=f"other-{item.doc_id}") if place % 2 else item for place, item in enumerate(rows)]
        for name, rows in ((name, task.candidates[name]) for name in task.candidates)
    }
    other = said(Run(elsewhere, tag="other"))
    assert "below the first stage" in other
    assert "It ranks documents of its own: 50% of them are not among the candidates" in other
    assert "of the way" not in other and "reranks" not in other
