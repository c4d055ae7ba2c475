"""The report tells the same figures as the metrics, and no document can break out of its line."""

from __future__ import annotations

from typing import Any

import pytest

from interank.evaluation import tables
from interank.evaluation.report import example, markdown
from interank.evaluation.scoring import Results
from interank.types import RankedDocument, Relevance
from interank.wording import aligned

METRICS: dict[str, dict[str, Any]] = {
    "first stage": {
        "queries": 12,
        "nDCG@10": {"mean": 0.25, "low": 0.125, "high": 0.375},
        "tasks": {"t": {"queries": 12, "nDCG@10": {"mean": 0.25}}},
    },
    "ours": {
        "queries": 12,
        "nDCG@10": {
            "mean": 0.5,
            "low": 0.25,
            "high": 0.75,
            "gain": {"mean": 0.25, "low": -0.0625, "high": 0.3125, "p": 0.02, "p_corrected": 0.04},
        },
        "tasks": {"t": {"queries": 12, "nDCG@10": {"mean": 0.5}}},
    },
}
COMPARISONS = [
    {
        "measure": "nDCG@10",
        "system": "ours",
        "against": "first stage",
        "mean": 0.25,
        "low": -0.0625,
        "high": 0.3125,
        "p": 0.0001,
        "p_corrected": 0.04,
        "wins": 7,
        "ties": 2,
        "losses": 3,
    }
]
SECONDS = {"first stage": 0.0125, "ours": 1.5}
HEAD = ["system", "nDCG@10", "95% interval", "vs first stage", "p", "queries", "s/query"]
HOSTILE = [
    "one\ntwo\r\nthree\x0bfour\x0cfive\x85six\u2028seven\u2029eight",
    "\x1b[2J\x1b[31mred\x07\x00",
    "```\n\n# Heading\n\n| a | b |\n\n    indented\n~~~",
    "</script></code></pre><script>alert(1)</script>",
    "\u202egnorw ti daer\u2066",
    "\t\n \r\n",
    "",
    "word " * 500,
]


COSTS = {
    "first stage": {"seconds": 0.0125},
    "ours": {"seconds": 1.5, "tokens_read": 1200.0, "tokens_written": 32.0, "flops": 3.264e11, "price": 0.00042},
}


def reported(
    metrics: dict[str, dict[str, Any]] = METRICS,
    facts: dict[str, Any] | None = None,
    notes: list[str] | None = None,
    shown: str = "",
) -> str:
    return markdown(Results(metrics, COMPARISONS, []), COSTS, ["nDCG@10"], facts or {}, notes or [], shown)


def ranked(doc_id: str, explanation: str | None = None, score: float = 0.5) -> RankedDocument:
    return RankedDocument(doc_id, score, Relevance.PARTIAL, (0.25, 0.5, 0.25), 0.9, explanation)


def test_the_table_has_a_row_a_system_with_value_interval_gain_and_cost() -> None:
    assert tables.systems(METRICS, SECONDS, "nDCG@10") == [
        HEAD,
        ["first stage", "0.2500", "0.1250 to 0.3750", "", "", "12", "0.013"],
        ["ours", "0.5000", "0.2500 to 0.7500", "+0.2500 (-0.0625 to +0.3125)", ".040", "12", "1.500"],
    ]


def test_a_system_without_cost_leaves_it_open() -> None:
    assert [row[-1] for row in tables.systems(METRICS, {"ours": None}, "nDCG@10")] == ["s/query", "", ""]


def test_columns_stand_under_each_other() -> None:
    rows = tables.systems(METRICS, SECONDS, "nDCG@10")
    lines = aligned(rows, figures=True).splitlines()
    assert len(lines) == 3
    assert [line.startswith(row[0]) for line, row in zip(lines, rows, strict=True)] == [True] * 3
    # Every other column ends in one place, and is parted from the one before by two blanks.
    ends = [max(len(row[0]) for row in rows)]
    for column in range(1, 7):
        ends.append(ends[-1] + 2 + max(len(row[column]) for row in rows))
        for line, row in zip(lines, rows, strict=True):
            assert line[ends[-2] : ends[-1]].strip() == row[column]
            assert line[: ends[-1]].endswith(row[column])
    assert {len(line) for line in lines} == {ends[-1]}


def test_the_markdown_holds_the_table_s_cells_and_no_others() -> None:
    report = reported(facts={"benchmark": "data/benchmark", "queries": 12})
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines() if line[:1] == "|"]
    compared = tables.comparisons(COMPARISONS, "nDCG@10")
    cost = tables.costs(COSTS)
    expected = [tables.systems(METRICS, SECONDS, "nDCG@10"), compared, cost]
    assert found == [row for rows in expected for row in (rows[0], ["---"] * len(rows[0]), *rows[1:])]
    assert "- benchmark: data/benchmark\n- queries: 12\n" in report
    assert "One ranking" not in report


def test_an_example_tells_rank_score_grades_and_why() -> None:
    shown = example(
        "Where is\nthe fox?",
        [ranked("d7", "It  says so.", 1.25), ranked("d8", None, -0.5), ranked("d9", " ")],
        {"d7": "In the barn.", "d8": "No fox.", "d9": "x"},
        {"d7": 2, "other": 1},
        "nDCG@10 0.5000",
    )
    assert shown.splitlines() == [
        "Query: Where is the fox?",
        "(nDCG@10 0.5000)",
        "  1. d7  score +1.250, relevance 1, judged 2: In the barn.",
        "     why: It says so.",
        "  2. d8  score -0.500, relevance 1, not judged: No fox.",
        "  3. d9  score +0.500, relevance 1, not judged: x",
        "     why: (the model gave no explanation)",
    ]


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_no_text_breaks_its_line_or_reaches_the_terminal_s_controls(text: str) -> None:
    lines = example(text, [ranked("d1", text), ranked("d2")], {"d1": text, "d2": text}, {}).split("\n")
    assert [line[:10] for line in lines] == ["Query: " + lines[0][7:10], "  1. d1  s", "     why: ", "  2. d2  s"]
    for line in lines:
        assert line.isprintable()
        assert len(line) <= 500
    assert lines == "\n".join(lines).splitlines()


@pytest.mark.parametrize("text", HOSTILE, ids=repr)
def test_no_text_ends_the_report_s_block(text: str) -> None:
    shown = example(text, [ranked("d1", text)], {"d1": text}, {})
    report = reported(shown=shown)
    before, _, block = report.partition("## One ranking\n\n")
    assert "# Evaluation" in before
    assert len(block.splitlines()) == 3
    # An indented block lasts for as long as its lines are indented.
    assert all(line.startswith("    ") for line in block.splitlines())
    assert report.count("\n#") == 3


@pytest.mark.parametrize("doc_id", ["a\nb", "a\x1b[31mb", "a\u2028b"], ids=repr)
def test_no_document_id_breaks_its_line(doc_id: str) -> None:
    lines = example("?", [ranked(doc_id)], {doc_id: "text"}, {}).splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_no_system_s_name_breaks_the_table() -> None:
    report = reported(metrics={"a|b": METRICS["ours"]})
    (row,) = [line for line in report.splitlines() if "0.2500 to 0.7500" in line]
    assert row.replace("\\|", "").count("|") == 8


def test_a_comparison_tells_difference_chance_and_outcomes() -> None:
    head, row = tables.comparisons(COMPARISONS, "nDCG@10")
    assert dict(zip(head, row, strict=True)) == {
        "system": "ours",
        "against": "first stage",
        "nDCG@10": "+0.2500",
        "95% interval": "-0.0625 to +0.3125",
        "p": "<.001",
        "p corrected": ".040",
        "wins/ties/losses": "7/2/3",
    }
    assert tables.comparisons(COMPARISONS, "RR") == [[*head[:2], "RR", *head[3:]]]


@pytest.mark.parametrize(("p", "shown"), [(0.0004, "<.001"), (0.0499, ".050"), (0.25, ".250"), (1.0, "1.000")])
def test_chance_has_three_digits(p: float, shown: str) -> None:
    assert tables.chance(p) == shown


def two_tasks() -> dict[str, dict[str, Any]]:
    tasks = {"a_b": {"queries": 4, "nDCG@10": {"mean": 0.4}}, "c": {"queries": 8, "nDCG@10": {"mean": 0.6}}}
    return {name: {**system, "tasks": tasks} for name, system in METRICS.items()}


def test_tasks_stand_beside_their_mean() -> None:
    assert tables.by_task(two_tasks(), "nDCG@10") == [
        ["system", "a_b", "c", "mean"],
        ["first stage", "0.4000", "0.6000", "0.2500"],
        ["ours", "0.4000", "0.6000", "0.5000"],
    ]
    assert "## By task" in reported(metrics=two_tasks())
    assert "## By task" not in reported()


def test_the_latex_table_marks_what_is_significant_and_escapes_names() -> None:
    lines = tables.latex(
        {**two_tasks(), "50%_#": METRICS["first stage"] | {"tasks": two_tasks()["ours"]["tasks"]}}, "nDCG@10"
    ).splitlines()
    assert r"system & a\_b & c & mean \\" in lines
    assert r"first stage & 0.4000 & 0.6000 & 0.2500 \\" in lines
    assert r"ours & 0.4000 & 0.6000 & 0.5000$^\dagger$ \\" in lines
    assert r"50\%\_\# & 0.4000 & 0.6000 & 0.2500 \\" in lines
    assert r"\begin{tabular}{lrrr}" in lines
    alone = tables.latex(METRICS, "nDCG@10")
    assert r"\begin{tabular}{lr}" in alone
    assert r"ours & 0.5000$^\dagger$ \\" in alone


def test_what_probabilities_and_explanations_are_worth_is_told() -> None:
    ours = METRICS["ours"] | {
        "calibration": {"expected_error": 0.125, "brier": 0.2, "base_rate": 0.3, "count": 10, "bins": []},
        "risk_coverage": {"area": 0.4, "area_at_random": 0.5, "area_at_best": 0.25, "risks": []},
        "explanations": {"count": 3, "mean_words": 12.0, "with_quotes": 2, "quotes": 4, "quotes_found_share": 0.75},
    }
    _, row = tables.diagnoses({"first stage": METRICS["first stage"], "ours": ours})
    assert row == ["ours", "0.125", "0.200", "0.300", "0.400 (0.500, 0.250)", "12 in 3", "75% of 4"]
    silent = ours | {"explanations": {**ours["explanations"], "quotes": 0, "quotes_found_share": None}}
    assert tables.diagnoses({"ours": silent})[1][-1] == "none quoted"
    assert "## Calibration and explanations" in reported(metrics={"ours": ours})


def test_what_a_query_costs_is_told() -> None:
    assert tables.costs(COSTS)[1:] == [
        ["first stage", "", "", "", "0.013", ""],
        ["ours", "1200", "32", "326.4", "1.500", "0.00042"],
    ]


def test_notes_stand_under_the_table() -> None:
    report = reported(notes=["ours: 7 documents\nshare their score"])
    assert "\n- ours: 7 documents share their score\n" in report
