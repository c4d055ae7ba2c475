"""Labels of every kind become graded pairs, and what cannot be read as its kind is a sentence."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from interank.errors import InputError
from interank.imports.results import ImportKind, ImportResult, ImportSettings
from interank.judgments import FILE, read_judgments
from interank.stages.imports import look
from interank.types import Example

DOCUMENTS = {
    "D1": "Steam softens the crumb of bread.",
    "D2": "Coffee tastes sour when it is brewed too cool.",
    "D3": "A chain slips on worn sprockets.",
    "D4": "Tomato leaves curl after heavy rain.",
    "D5": "Piano tuning drifts in dry winters.",
    "D6": "Photographic film fogs near the edges.",
}
QUERIES = {"Q1": "why does bread collapse in steam", "Q2": "why is coffee sour"}


def written(path: Path, rows: list[dict[str, Any]] | str) -> Path:
    path.write_text(rows if isinstance(rows, str) else "".join(json.dumps(row) + "\n" for row in rows))
    return path


def parts(folder: Path) -> dict[str, Path]:
    return {
        "corpus": written(folder / "corpus.jsonl", [{"_id": name, "text": text} for name, text in DOCUMENTS.items()]),
        "queries": written(folder / "queries.jsonl", [{"_id": name, "text": text} for name, text in QUERIES.items()]),
    }


def imported(kind: ImportKind, path: Path | None, **more: Any) -> ImportResult:
    return look(ImportSettings(kind, [path] if path else [], **more))


def judged(found: ImportResult, folder: Path) -> list[Example]:
    folder.mkdir(exist_ok=True)
    found.write(folder)
    return read_judgments(folder)


def grades(examples: list[Example]) -> dict[tuple[str, str], int]:
    return {(item.query.query_id, item.document.doc_id): int(item.judgment.relevance) for item in examples}


def by_text(examples: list[Example]) -> dict[tuple[str, str], int]:
    return {(item.query.text, item.document.full_text): int(item.judgment.relevance) for item in examples}


def test_pairs_of_texts(tmp_path: Path) -> None:
    path = written(
        tmp_path / "t.csv", "query,document,label,weight\nq,one,True,2\nq,two,no,\nr,one,1,0.5\nr,three,0,\n"
    )
    examples = judged(imported("pairs", path), tmp_path / "out")
    assert by_text(examples) == {("q", "one"): 2, ("q", "two"): 0, ("r", "one"): 2, ("r", "three"): 0}
    assert [item.weight for item in examples] == [2, 1, 0.5, 1]
    assert all(item.score is None and not item.judgment.reasoning for item in examples)
    assert {item.split for item in examples} == {"train"}
    assert examples[0].document.doc_id == examples[2].document.doc_id, "one text, two ids"


def test_instructions_of_queries(tmp_path: Path) -> None:
    path = written(
        tmp_path / "t.csv",
        "query,instruction,document,label\nq,Cite statutes.,one,1\nq,Cite statutes.,two,0\nq,,one,0\nr,,two,0\n",
    )
    found = judged(imported("pairs", path), tmp_path / "out")
    told = [(item.query.text, item.query.instruction, item.document.text) for item in found]
    assert told == [
        ("q", "Cite statutes.", "one"),
        ("q", "Cite statutes.", "two"),
        ("q", None, "one"),
        ("r", None, "two"),
    ]
    assert len({item.query.query_id for item in found}) == 3
    own = parts(tmp_path)
    written(own["queries"], [{"_id": "Q1", "text": QUERIES["Q1"], "instruction": "Cite statutes."}])
    run = written(tmp_path / "run.tsv", "query-id\tcorpus-id\tscore\nQ1\tD1\t1\nQ1\tD2\t0\n")
    (first, *_) = judged(imported("qrels", None, parts={**own, "qrels": run}), tmp_path / "other")
    assert first.query.instruction == "Cite statutes."


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 1], [0, 2]),
        ([0, 1, 2], [0, 1, 2]),
        ([0, 1, 2, 3], [0, 1, 2, 2]),
        ([-1, 1], [0, 2]),
        (["irrelevant", "partially relevant", "relevant"], [0, 1, 2]),
        (["irrelevant", "partial"], [0, 1]),
        ([0.0, 1.0, 2.0], [0, 1, 2]),
    ],
)
def test_a_scale_of_relevance_gives_the_grades(tmp_path: Path, labels: list[Any], expected: list[int]) -> None:
    rows = [{"query": "q", "document": f"d{place}", "label": label} for place, label in enumerate(labels)]
    found = imported("pairs", written(tmp_path / "t.jsonl", rows))
    examples = judged(found, tmp_path / "out")
    assert [int(item.judgment.relevance) for item in examples] == expected
    assert "are grade 2" in found.notes["labels"]["grades"]
    assert [item.score for item in examples] == (
        [None] * len(labels)
        if max(expected) == len(labels) - 1 or labels == [0, 1]
        else [float(label) for label in labels]
    )


def test_labels_of_another_scale_have_to_be_told(tmp_path: Path) -> None:
    rows = [{"query": "q", "document": f"d{n}", "score": n / 10} for n in range(11)]
    path = written(tmp_path / "t.jsonl", rows)
    with pytest.raises(InputError) as error:
        imported("scores", path)
    assert "labels go from 0 to 1 (a quarter below 0.25, half below 0.5, three quarters below 0.75)" in str(error.value)
    example = re.search(r"--grades=([\d.]+),([\d.]+)", str(error.value))
    assert example is not None
    found = imported("scores", path, grades=(float(example[1]), float(example[2])))
    examples = judged(found, tmp_path / "out")
    assert [int(item.judgment.relevance) for item in examples] == [0] * 5 + [1] * 3 + [2] * 3
    assert [item.score for item in examples] == [n / 10 for n in range(11)]
    assert found.notes["labels"]["grades"].endswith("(by --grades)")
    assert found.notes["labels"]["scores"] == "the label itself"


def test_the_grades_and_reasons_of_a_model(tmp_path: Path) -> None:
    rows = [
        {"query": "q", "document": "one", "grade": 2, "explanation": "It says so."},
        {"query": "q", "document": "two", "grade": "0", "explanation": None},
        {"query": "q", "document": "one", "grade": 2, "explanation": ""},
        {"query": "q", "document": "two", "grade": 1, "explanation": "It is near."},
    ]
    found = imported("scores", written(tmp_path / "t.jsonl", rows))
    examples = judged(found, tmp_path / "out")
    assert by_text(examples) == {("q", "one"): 2, ("q", "two"): 0}
    assert [item.judgment.reasoning for item in examples] == ["It says so.", ""]
    assert (found.counts["repeated_pairs"], found.counts["explained"]) == (2, 1)


def test_a_rerankers_run(tmp_path: Path) -> None:
    run = written(tmp_path / "r.trec", "Q1 Q0 D1 1 0.9 t\nQ1 Q0 D3 2 0.1 t\nQ2 Q0 D2 1 0.8 t\nQ2 Q0 D4 2 0.2 t\n")
    found = imported("scores", None, parts={**parts(tmp_path), "run": run}, grades=(0.5, 0.5))
    examples = judged(found, tmp_path / "out")
    assert grades(examples) == {("Q1", "D1"): 2, ("Q1", "D3"): 0, ("Q2", "D2"): 2, ("Q2", "D4"): 0}
    assert examples[0].query.text == QUERIES["Q1"]
    corpus = [json.loads(line) for line in (tmp_path / "out" / "corpus.jsonl").read_text().splitlines()]
    assert {row["_id"]: row["text"] for row in corpus} == DOCUMENTS


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("qrels.tsv", "query-id\tcorpus-id\tscore\nQ1\tD1\t1\nQ2\tD2\t1\n"),
        ("qrels.txt", "Q1 0 D1 1\nQ2 0 D2 1\n"),
        ("mine.csv", "Query ID,Doc ID,Relevance\nQ1,D1,1\nQ2,D2,1\n"),
        ("mine.tsv", "topic\tpid\trel\nQ1\tD1\t1\nQ2\tD2\t1\n"),
    ],
)
def test_qrels_in_every_layout(tmp_path: Path, name: str, content: str) -> None:
    found = imported("qrels", written(tmp_path / name, content), parts=parts(tmp_path), negatives=3)
    examples = judged(found, tmp_path / "out")
    assert {key for key, grade in grades(examples).items() if grade} == {("Q1", "D1"), ("Q2", "D2")}
    assert found.counts["added_negatives"] == 6
    origins = {json.loads(line)["origin"] for line in (tmp_path / "out" / FILE).read_text().splitlines()}
    assert None in origins
    assert "random_negative" in origins
    assert "6 unjudged documents" in found.notes["labels"]["negatives"]


def test_a_folder_in_beirs_layout(tmp_path: Path) -> None:
    parts(tmp_path)
    (tmp_path / "qrels").mkdir()
    for split, query in (("train", "Q1"), ("test", "Q2")):
        written(tmp_path / "qrels" / f"{split}.tsv", f"query-id\tcorpus-id\tscore\n{query}\tD1\t1\n{query}\tD2\t0\n")
    found = imported("qrels", tmp_path, split="train")
    assert grades(judged(found, tmp_path / "out")) == {("Q1", "D1"): 2, ("Q1", "D2"): 0}
    with pytest.raises(InputError, match="splits test and train"):
        imported("qrels", tmp_path)


def test_negatives_are_nobodys_and_no_repeats(tmp_path: Path) -> None:
    rows = [
        {"query": "why does bread collapse", "document": text}
        for text in ("bread collapses in steam", "Bread collapses in steam!")
    ]
    rows += [{"query": f"other{n}", "document": f"bread number {n} collapses"} for n in range(9)]
    found = imported("pairs", written(tmp_path / "t.jsonl", rows), negatives=2)
    examples = judged(found, tmp_path / "out")
    own = [item for item in examples if item.query.text == "why does bread collapse"]
    assert [int(item.judgment.relevance) for item in own] == [2, 2, 0, 0]
    assert all("steam" not in item.document.text for item in own[2:])
    assert judged(imported("pairs", tmp_path / "t.jsonl", negatives=2), tmp_path / "again") == examples
    assert "No pair has grade 0" in " ".join(imported("pairs", tmp_path / "t.jsonl", negatives=0).told)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "t.jsonl",
            [
                {"query": "q", "positive": "one", "negative": "two"},
                {"query": "q", "positive": "one", "negative": "three"},
            ],
        ),
        ("t.jsonl", [{"anchor": "q", "pos": ["one"], "neg": ["two", "three"]}]),
        ("t.jsonl", [{"anchor": "q", "positive": "one", "negative_1": "two", "negative_2": "three"}]),
        ("t.tsv", "q\tone\ttwo\nq\tone\tthree\n"),
        ("t.tsv", "query\tpositive\tnegative\nq\tone\ttwo\nq\tone\tthree\n"),
        ("t.csv", "query,positive,negative\nq,one,two\nq,one,three\n"),
    ],
)
def test_triples_in_every_form(tmp_path: Path, name: str, content: Any) -> None:
    examples = judged(imported("triples", written(tmp_path / name, content)), tmp_path / "out")
    assert by_text(examples) == {("q", "one"): 2, ("q", "two"): 0, ("q", "three"): 0}


def test_triples_of_passages_and_of_ids(tmp_path: Path) -> None:
    passages = {
        "query_id": "7",
        "query": "q",
        "positive_passages": [{"docid": "a", "title": "T", "text": "one"}],
        "negative_passages": [{"docid": "b", "text": "two"}, {"docid": "a", "title": "T", "text": "one"}],
    }
    examples = judged(imported("triples", written(tmp_path / "t.jsonl", [passages])), tmp_path / "out")
    assert grades(examples) == {("7", "a"): 2, ("7", "b"): 0}, "what is both is relevant"
    assert examples[0].document.text == "T\none"
    ids = written(tmp_path / "i.csv", "query_id,positive,negative\nQ1,D1,D2\n")
    examples = judged(imported("triples", ids, parts=parts(tmp_path)), tmp_path / "ids")
    assert grades(examples) == {("Q1", "D1"): 2, ("Q1", "D2"): 0}


PAGES = [
    {"query": "bread", "shown": ["D3", "D2", "D4", "D1"], "clicked": ["D1"]},
    {"query": "bread", "shown": "D3 D2 D4 D1", "clicked": None},
]


def test_clicks_are_weighed_for_their_position(tmp_path: Path) -> None:
    found = imported("clicks", written(tmp_path / "t.jsonl", PAGES), parts={"corpus": parts(tmp_path)["corpus"]})
    examples = {item.document.doc_id: item for item in judged(found, tmp_path / "out")}
    # One click in two impressions at position 4, where one look in four gets.
    assert examples["D1"].score == pytest.approx(4 / 2)
    assert {name: int(item.judgment.relevance) for name, item in examples.items()} == {
        "D1": 2,
        "D2": 0,
        "D3": 0,
        "D4": 0,
    }
    # Looked at twice, once, two thirds of a time; a click that counts 4.
    raw = {"D3": 2.0, "D2": 1.0, "D4": 2 / 3, "D1": 4.0}
    mean = sum(raw.values()) / 4
    assert {name: item.weight for name, item in examples.items()} == pytest.approx(
        {n: r / mean for n, r in raw.items()}
    )
    labels = found.notes["labels"]
    assert (labels["propensities"], labels["clip"]) == ("1/position", 10.0)
    assert "inverse propensity" in labels["scores"]
    assert (found.counts["impressions"], found.counts["clicks"]) == (8, 1)


def test_propensities_and_clipping_are_as_told(tmp_path: Path) -> None:
    path, corpus = written(tmp_path / "t.jsonl", PAGES), {"corpus": parts(tmp_path)["corpus"]}
    told = judged(imported("clicks", path, parts=corpus, propensities=[1, 0.5]), tmp_path / "told")
    assert {item.document.doc_id: item.score for item in told}["D1"] == pytest.approx(2 / 2)
    clipped = judged(imported("clicks", path, parts=corpus, clip=1.5), tmp_path / "clipped")
    assert {item.document.doc_id: item.score for item in clipped}["D1"] == pytest.approx(1.5 / 2)


def test_clicks_with_a_row_a_document(tmp_path: Path) -> None:
    rows = "query,document,rank,clicked\nq,one,1,0\nq,two,2,1\nq,one,1,true\n"
    examples = judged(imported("clicks", written(tmp_path / "t.csv", rows)), tmp_path / "out")
    assert {item.document.text: item.score for item in examples} == {"one": 0.5, "two": 2.0}


@pytest.mark.parametrize(
    ("kind", "name", "content", "told"),
    [
        (
            "pairs",
            "t.csv",
            "query,document,label\nq,d,1\nq,e,perhaps\n",
            r"t\.csv:3: label: 'perhaps' is no label",
        ),
        ("pairs", "t.csv", "query,label\nq,1\n", r"no column for document \(the document's text\)"),
        (
            "pairs",
            "t.csv",
            "query_id,query,document\n1,q,d\n1,r,d\n",
            "an earlier row has the query '1' with another text",
        ),
        ("pairs", "t.csv", "query,document,weight\nq,d,-1\n", "weight: -1 is no weight"),
        ("pairs", "t.csv", "query,document\n,d\n", "has no row with a query"),
        ("pairs", "t.csv", "query,document,label\nq,d,\n", "has no row with a query, a document and a label"),
        ("scores", "t.csv", "query,document,score\nq,d,high\n", "score: 'high' is no label"),
        ("scores", "t.csv", "query,document\nq,d\n", "no column for label"),
        (
            "triples",
            "t.jsonl",
            '{"query": "q", "positive": 3, "negative": "n"}\n',
            "positive: 3 is no list",
        ),
        (
            "triples",
            "t.tsv",
            "a\tb\tc\nd\te\n",
            "t.tsv:2: the line has 2 texts",
        ),
        (
            "clicks",
            "t.jsonl",
            '{"query": "q", "shown": ["a"], "clicked": ["b"]}\n',
            "clicked: 'b' was clicked, but not shown",
        ),
        ("clicks", "t.jsonl", '{"query": "q", "shown": [], "clicked": []}\n', "shown is empty"),
        ("clicks", "t.csv", "query,document,rank,clicked\nq,d,0,1\n", "rank: 0 is no position"),
        ("qrels", "t.tsv", "Q1\tD1\t1\n", "qrels without corpus=FILE and queries=FILE"),
    ],
)
def test_what_is_not_of_its_kind_is_told(tmp_path: Path, kind: ImportKind, name: str, content: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        imported(kind, written(tmp_path / name, content))


def test_ids_that_a_file_lacks_are_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"qrels\.tsv names the id 'D9', which corpus= lacks"):
        imported("qrels", written(tmp_path / "qrels.tsv", "Q1\t0\tD9\t1\n"), parts=parts(tmp_path))
    clicks = written(tmp_path / "t.jsonl", [{"query": "q", "shown": ["D9"], "clicked": []}])
    with pytest.raises(InputError, match="corpus= lacks the document 'D9'"):
        imported("clicks", clicks, parts={"corpus": parts(tmp_path)["corpus"]})


def test_a_text_is_put_together_from_several_columns(tmp_path: Path) -> None:
    path = written(
        tmp_path / "t.csv",
        "Subject,Customer Message,Agent Reply,No,Good\nLogin,It fails.,Reset it.,7,yes\n,Just this.,So.,8,no\n",
    )
    columns = {"query": "Subject+Customer Message", "document": "Agent Reply", "label": "Good"}
    found = imported("pairs", path, columns=columns, negatives=0)
    assert by_text(judged(found, tmp_path / "out")) == {("Login\nIt fails.", "Reset it."): 2, ("Just this.", "So."): 0}
    assert found.columns["t.csv"].unused == ("No",)
    with pytest.raises(InputError, match="label is no text"):
        imported("pairs", path, columns={**columns, "label": "Good+No"})
    with pytest.raises(InputError, match="no column 'Body'"):
        imported("pairs", path, columns={**columns, "query": "Subject+Body"})
    plus = written(tmp_path / "plus.csv", "a+b,a,b,document\nwhole,x,y,d\n")
    assert ("whole", "d") in by_text(judged(imported("pairs", plus, columns={"query": "a+b"}), tmp_path / "plus"))


def test_columns_that_are_about_a_negative_are_none(tmp_path: Path) -> None:
    row = {"query": "q", "positive": "one", "negative": "two", "negative_2": "three", "negative_score": "0.31"}
    examples = judged(imported("triples", written(tmp_path / "t.jsonl", [row])), tmp_path / "out")
    assert by_text(examples) == {("q", "one"): 2, ("q", "two"): 0, ("q", "three"): 0}


def test_an_id_that_the_corpus_lacks_is_no_text(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", "query,positive,negative\nq,D1,D9\n")
    with pytest.raises(InputError, match="corpus= lacks the document 'D9'"):
        imported("triples", table, parts={"corpus": parts(tmp_path)["corpus"]})


def test_whatever_the_grades_are_weights_are_above_0(tmp_path: Path) -> None:
    path = written(tmp_path / "t.jsonl", PAGES)
    found = imported("clicks", path, parts={"corpus": parts(tmp_path)["corpus"]}, grades=(0.0, 0.5))
    assert min(item.weight or 0 for item in judged(found, tmp_path / "out")) > 0


def test_clicks_keep_where_a_document_is_from(tmp_path: Path) -> None:
    table = written(tmp_path / "t.csv", "query,document,rank,clicked,licence\nq,one,1,1,MIT\nq,two,2,0,MIT\n")
    examples = judged(imported("clicks", table), tmp_path / "out")
    assert {item.source.licence for item in examples} == {"MIT"}


def test_a_role_is_known_by_the_names_of_its_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "t.csv", "query,document,points,grade\nq,one,0.9,2\nq,two,0.1,0\n")
    found = imported("scores", path, columns={"score": "points"}, grades=(0.2, 0.5))
    assert found.columns["t.csv"].of["label"] == "points"
    assert by_text(judged(found, tmp_path / "out")) == {("q", "one"): 2, ("q", "two"): 0}
    with pytest.raises(InputError, match="there is no score to map"):
        imported("scores", path, columns={"score": "points", "label": "grade"})


@pytest.mark.parametrize(
    ("kind", "rows", "counts"),
    [
        ("pairs", "query,document,label\nq,one,1\nq,,0\n,one,0\n", {"empty_documents": 1, "empty_queries": 1}),
        ("pairs", "query,doc_id,document\nq,1,one\nq,2, \n", {"empty_documents": 1}),
        ("pairs", "query,document,label\nq,one,1\nq,two,n/a\n", {"unlabelled": 1}),
        ("scores", "query,document,score\nq,one,1\nq,,0\n", {"empty_documents": 1}),
        ("clicks", "query,document,rank,clicked\nq,one,1,1\nq,,2,0\n", {"empty_documents": 1}),
        ("triples", "query,positive,negative\nq,one,two\n,one,two\nq,,\n", {"empty_documents": 1, "empty_queries": 1}),
    ],
)
def test_rows_without_a_text_are_left_out_and_counted(
    tmp_path: Path, kind: ImportKind, rows: str, counts: dict[str, int]
) -> None:
    found = imported(kind, written(tmp_path / "t.csv", rows))
    names = ("empty_documents", "empty_queries", "unlabelled")
    assert {name: found.counts[name] for name in names if found.counts.get(name)} == counts
    assert sum(sentence.startswith("Left out: 1 row ") for sentence in found.told) == len(counts)
    assert ("q", "one") in by_text(judged(found, tmp_path / "out"))
