"""The report tells the same figures as the metrics, and no document can break out of its line."""

from __future__ import annotations

from typing import Any

import pytest

from interank.evaluation.report import aligned, example, markdown, table
from interank.types import RankedDocument, Relevance

METRICS: dict[str, dict[str, Any]] = {
    "first stage": {"queries": 12, "nDCG@10": {"mean": 0.25, "low": 0.125, "high": 0.375}},
    "ours": {
        "queries": 12,
        "nDCG@10": {
            "mean": 0.5,
            "low": 0.25,
            "high": 0.75,
            "gain": {"mean": 0.25, "low": -0.0625, "high": 0.3125},
        },
    },
}
SECONDS = {"first stage": 0.0125, "ours": 1.5}
HEAD = ["system", "nDCG@10", "95% interval", "vs first stage", "queries", "s/query"]
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


def ranked(doc_id: str, explanation: str | None = None, score: float = 0.5) -> RankedDocument:
    return RankedDocument(doc_id, score, Relevance.PARTIAL, (0.25, 0.5, 0.25), 0.9, explanation)


def test_the_table_has_a_row_a_system_with_value_interval_gain_and_cost() -> None:
    assert table(METRICS, SECONDS, "nDCG@10") == [
        HEAD,
        ["first stage", "0.2500", "0.1250 to 0.3750", "", "12", "0.013"],
        ["ours", "0.5000", "0.2500 to 0.7500", "+0.2500 (-0.0625 to +0.3125)", "12", "1.500"],
    ]


def test_a_system_without_cost_leaves_it_open() -> None:
    assert [row[-1] for row in table(METRICS, {"ours": None}, "nDCG@10")] == ["s/query", "", ""]


def test_columns_stand_under_each_other() -> None:
    rows = table(METRICS, SECONDS, "nDCG@10")
    lines = aligned(rows).splitlines()
    assert len(lines) == 3
    assert [line.startswith(row[0]) for line, row in zip(lines, rows, strict=True)] == [True] * 3
    # Every other column ends in one place, and is parted from the one before by two blanks.
    ends = [max(len(row[0]) for row in rows)]
    for column in range(1, 6):
        ends.append(ends[-1] + 2 + max(len(row[column]) for row in rows))
        for line, row in zip(lines, rows, strict=True):
            assert line[ends[-2] : ends[-1]].strip() == row[column]
            assert line[: ends[-1]].endswith(row[column])
    assert {len(line) for line in lines} == {ends[-1]}


def test_lines_do_not_end_in_blanks() -> None:
    assert aligned([["a", "bb"], ["c", ""]]) == "a  bb\nc"


def test_the_markdown_holds_the_table_s_cells_and_no_others() -> None:
    rows = table(METRICS, SECONDS, "nDCG@10")
    report = markdown(rows, "", {"benchmark": "data/benchmark", "queries": 12})
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in report.splitlines() if line[:1] == "|"]
    assert found == [HEAD, ["---"] * 6, *rows[1:]]
    assert "- benchmark: data/benchmark\n- queries: 12\n" in report
    assert "One ranking" not in report


def test_an_example_tells_rank_score_grades_and_why() -> None:
    shown = example(
        "Where is\nthe fox?",
        [ranked("d7", "It  says so.", 1.25), ranked("d8", None, -0.5), ranked("d9", " ")],
        {"d7": "In the barn.", "d8": "No fox.", "d9": "x"},
        {"d7": 2, "other": 1},
    )
    assert shown.splitlines() == [
        "Query: Where is the fox?",
        "  1. d7  score +1.250, relevance 1, judged 2: In the barn.",
        "     why: It says so.",
        "  2. d8  score -0.500, relevance 1: No fox.",
        "  3. d9  score +0.500, relevance 1: x",
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
    report = markdown(table(METRICS, SECONDS, "nDCG@10"), shown, {})
    before, _, block = report.partition("## One ranking\n\n")
    assert "# Evaluation" in before
    assert len(block.splitlines()) == 3
    # An indented block lasts for as long as its lines are indented.
    assert all(line.startswith("    ") for line in block.splitlines())
    assert report.count("\n#") == 1


@pytest.mark.parametrize("doc_id", ["a\nb", "a\x1b[31mb", "a\u2028b"], ids=repr)
def test_no_document_id_breaks_its_line(doc_id: str) -> None:
    lines = example("?", [ranked(doc_id)], {doc_id: "text"}, {}).splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


def test_no_system_s_name_breaks_the_table() -> None:
    report = markdown(table({"a|b": METRICS["ours"]}, {}, "nDCG@10"), "", {})
    (row,) = [line for line in report.splitlines() if "0.5000" in line]
    assert row.replace("\\|", "").count("|") == 7
