"""Questions and answers from JSONL and Parquet are mined like those of a dump."""

import gzip
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from interank.errors import InputError
from interank.ir.benchmarks.rows import parquet_rows
from interank.mining import Item, MiningResult, find_sites, mine
from interank.mining.store import Store
from interank.pairs import read_pairs, write_pairs
from interank.settings import ColumnsRecipe, DocumentsRecipe, MiningRecipe

SETTINGS = MiningRecipe(min_document_words=1)


def rows(count: int = 6) -> list[dict[str, Any]]:
    return [
        {
            "question_id": 10 * n,
            "title": f"About {n}",
            "body": f"<p>topic{n} topic{n + 1} what</p>",
            "score": n,
            "tags": ["tea"],
            "url": f"https://q.example.com/{n}",
            "answers": [
                {"answer_id": 10 * n + 1, "body": f"<p>topic{n} one{n}</p>", "score": 1},
                {
                    "answer_id": 10 * n + 2,
                    "body": f"topic{n} two{n}",
                    "accepted": True,
                    "author": "Ana",
                    "licence": "MIT",
                },
            ],
        }
        for n in range(1, count + 1)
    ]


def written(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def pairs_of(mined: MiningResult) -> list[tuple[str, str, str]]:
    return [(pair.query.query_id, pair.origin, pair.document.doc_id) for pair in mined.pairs]


def test_a_row_is_a_thread(tmp_path: Path) -> None:
    mined = mine([written(tmp_path / "tea.jsonl", rows())], SETTINGS, 1)
    pair = mined.pairs[0]
    assert (pair.query.query_id, pair.query.text) == ("tea/10", "About 1\ntopic1 topic2 what")
    assert (pair.origin, pair.document.doc_id, pair.document.text) == ("accepted_answer", "tea/12", "topic1 two1")
    assert (pair.source.site, pair.source.author, pair.source.licence, pair.source.url) == ("tea", "Ana", "MIT", "")
    counts = mined.counts["tea"]
    assert (counts["questions"], counts["answers"], counts["chosen_questions"]) == (6, 12, 6)


def test_gzip_and_parquet_give_the_same_pairs(tmp_path: Path) -> None:
    expected = pairs_of(mine([written(tmp_path / "tea.jsonl", rows())], SETTINGS, 1))
    (tmp_path / "tea.jsonl.gz").write_bytes(gzip.compress((tmp_path / "tea.jsonl").read_bytes()))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows()), tmp_path / "tea.parquet")
    for name in ("tea.jsonl.gz", "tea.parquet"):
        assert pairs_of(mine([tmp_path / name], SETTINGS, 1)) == expected


def test_columns_are_mapped_and_posts_numbered(tmp_path: Path) -> None:
    lines = [
        {"q": f"topic{n} & <tea>\n\nmore", "replies": [{"text": f"first{n}", "pm": 2}, {"text": f"second{n}", "pm": 5}]}
        for n in range(4)
    ]
    names = {"body": "q", "answers": "replies", "answer_body": "text", "answer_score": "pm", "text": "plain"}
    columns = ColumnsRecipe.model_validate({"question_id": None, "title": None, "answer_id": None, **names})
    mined = mine([written(tmp_path / "t.jsonl", lines)], SETTINGS.model_copy(update={"columns": columns}), 1)
    assert [row[:2] for row in pairs_of(mined)[:2]] == [("t/1", "accepted_answer"), ("t/1", "answer")]
    assert mined.pairs[0].document.text == "second0"
    assert mined.pairs[0].query.text.strip() == "topic0 & <tea>\n\nmore"


def test_bad_rows_are_skipped_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = rows()
    bad = [
        "{",
        "[1]",
        {**good[0], "question_id": 1.5},
        {**good[0], "body": None, "title": None},
        {**good[0], "answers": None},
        {**good[0], "answers": [3]},
        {**good[0], "answers": [{"answer_id": True, "body": "a"}]},
        {**good[0], "score": 1.5},
        "[" * 200_000,
        '{"question_id": ' + "9" * 5000 + "}",
        {**good[0], "question_id": "9" * 5000},
        {**good[0], "question_id": ""},
        {**good[0], "score": math.inf},
        {**good[0], "body": "half \ud800 a character"},
        {**good[0], "title": "\udfff"},
        {**good[0], "title": ["a"]},
        {**good[0], "tags": ["\ud800"]},
        {**good[0], "tags": [1.5]},
        {**good[0], "licence": True},
        {**good[0], "answers": [{"answer_id": 1, "body": "\ud83d"}]},
        {**good[0], "answers": [{"answer_id": 1, "body": "a", "accepted": "perhaps"}]},
    ]
    mined = mine([written(tmp_path / "tea.jsonl", [*bad, *good])], SETTINGS, 1)
    assert (mined.counts["tea"]["skipped_rows"], mined.counts["tea"]["questions"]) == (21, 6)
    assert "skipped rows: 21 (line 1: " in caplog.text
    assert "line 3: question_id: 1.5 is no id" in caplog.text


def accepted_of(path: Path, **settings: Any) -> list[str]:
    mined = mine([path], SETTINGS.model_copy(update=settings), 1)
    return [pair.document.doc_id for pair in mined.pairs if pair.origin == "accepted_answer"]


@pytest.mark.parametrize(
    ("no", "yes"),
    [
        (False, True),
        ("False", "True"),
        ("f", "t"),
        ("no", "Yes"),
        ("0", "1"),
        (0, 1),
        (0.0, 1.0),
        (math.nan, 1.0),
        (None, "true"),
    ],
)
def test_what_was_accepted_is_read_in_every_spelling(tmp_path: Path, no: object, yes: object) -> None:
    lines = rows()
    for line in lines:
        # The votes are for the other answer.
        first, second = line["answers"]
        first |= {"accepted": no, "score": 9}
        second |= {"accepted": yes, "score": 0}
    assert accepted_of(written(tmp_path / "tea.jsonl", lines)) == [f"tea/{10 * n + 2}" for n in range(1, 7)]


@pytest.mark.parametrize(
    "spelled", [["tea", "hot"], "<tea><hot>", "|tea|hot|", "tea hot", "tea, hot", '["tea", "hot"]']
)
def test_tags_are_read_in_every_spelling(tmp_path: Path, spelled: object) -> None:
    lines = rows()
    lines[0]["tags"] = spelled
    path = written(tmp_path / "tea.jsonl", lines)
    assert accepted_of(path, tags=("hot",)) == ["tea/12"]
    assert accepted_of(path, exclude_tags=("hot",)) == [f"tea/{10 * n + 2}" for n in range(2, 7)]


def test_whole_floats_are_votes_and_ids(tmp_path: Path) -> None:
    lines = rows()
    for line in lines:
        line |= {"score": float(line["score"]), "question_id": float(line["question_id"])}
    mined = mine([written(tmp_path / "tea.jsonl", lines)], SETTINGS.model_copy(update={"min_question_score": 4}), 1)
    assert {pair.query.query_id for pair in mined.pairs} == {"tea/40", "tea/50", "tea/60"}


def test_ids_may_be_texts_and_answers_too(tmp_path: Path) -> None:
    lines = [
        {"question_id": f"T-{n}", "body": f"topic{n} what", "answers": [f"topic{n} one{n}", f"topic{n} two{n}"]}
        for n in range(4)
    ]
    mined = mine([written(tmp_path / "tickets.jsonl", lines)], SETTINGS, 1)
    assert pairs_of(mined)[:2] == [
        ("tickets/T-0", "accepted_answer", "tickets/T-0#1"),
        ("tickets/T-0", "answer", "tickets/T-0#2"),
    ]
    assert mined.pairs[0].source.post_id == "T-0#1"
    assert mined.pairs[0].query.text == "topic0 what", "a line stands for the title that is not there"
    assert {pair.document.doc_id.partition("#")[0] for pair in mined.pairs if pair.origin == "hard_negative"} <= {
        f"tickets/T-{n}" for n in range(4)
    }


def test_texts_as_ids_reach_the_check_of_contamination_and_back(tmp_path: Path) -> None:
    lines = [
        {"question_id": f"T-{n}", "body": f"topic{n} what", "answers": [f"topic{n} one{n}", f"topic{n} two{n}"]}
        for n in range(5)
    ]

    def contaminated(items: Iterable[Item]) -> list[str]:
        told = [(item.item_id, item.post_id, item.thread_id) for item in items]
        seen.extend(told)
        return [item_id for item_id, _, _ in told if item_id in ("tickets/T-1", "tickets/T-2#1")]

    seen: list[tuple[str, str, str]] = []
    mined = mine([written(tmp_path / "tickets.jsonl", lines)], SETTINGS, 1, contaminated=contaminated)
    assert ("tickets/T-1", "T-1", "T-1") in seen
    assert ("tickets/T-2#1", "T-2#1", "T-2") in seen
    assert {pair.query.query_id for pair in mined.pairs} == {f"tickets/T-{n}" for n in (0, 2, 3, 4)}
    assert not {"tickets/T-1#1", "tickets/T-1#2", "tickets/T-2#1"} & {pair.document.doc_id for pair in mined.pairs}


def test_csv_has_one_answer_a_row(tmp_path: Path) -> None:
    (tmp_path / "tea.csv").write_text(
        "question_id,body,answers\n" + "".join(f'{n},"topic{n}, what","topic{n}\none{n}"\n' for n in range(1, 4))
    )
    mined = mine([tmp_path / "tea.csv"], SETTINGS, 1)
    assert [pair.query.text for pair in mined.pairs if pair.origin == "accepted_answer"] == [
        f"topic{n}, what" for n in range(1, 4)
    ]


def test_a_table_of_something_else_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no columns question_id, body and answers; .* are id\..*interank import"):
        mine([written(tmp_path / "t.jsonl", [{"id": 1}])], SETTINGS, 1)
    with pytest.raises(InputError, match=r"no column question_id; .*columns\.question_id=null"):
        mine([written(tmp_path / "t.jsonl", [{"body": "why", "answers": ["so"]}] * 40)], SETTINGS, 1)
    with pytest.raises(InputError, match=r"line 1: answers: .*mining\.columns"):
        mine([written(tmp_path / "t.jsonl", [{"question_id": 1, "body": "why", "answers": 3}])], SETTINGS, 1)
    with pytest.raises(InputError, match="save it as CSV"):
        (tmp_path / "t.xlsx").write_bytes(b"PK")
        mine([tmp_path / "t.xlsx"], SETTINGS, 1)
    (tmp_path / "t.parquet").write_bytes(b"no parquet")
    with pytest.raises(InputError, match="Parquet"):
        mine([tmp_path / "t.parquet"], SETTINGS, 1)


def test_a_cut_archive_of_rows_gives_what_stood_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    packed = gzip.compress(written(tmp_path / "t.jsonl", rows(3_000)).read_bytes())
    path = tmp_path / "tea.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    [origin] = find_sites([path], SETTINGS)
    part = "posts-00000-0-00000000.parquet"
    origin.store(Store(tmp_path, origin.site, {origin.site: 0}, SETTINGS))
    assert 0 < pyarrow.parquet.read_metadata(tmp_path / part).num_rows < 9_000
    assert "breaks off" in caplog.text


def test_ids_are_both_columns_or_neither() -> None:
    with pytest.raises(ValueError, match="both columns or both null"):
        ColumnsRecipe(question_id=None)


def test_what_no_file_can_hold_is_skipped_with_its_place_and_the_rest_is_mined(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [json.dumps(row) for row in rows()]
    lines[2] = lines[2].replace("topic3 one3", "half \\ud800")
    raw = [line.encode() for line in lines]
    raw[4] = raw[4].replace(b"About 5", b"caf\xe9")
    (tmp_path / "tea.jsonl").write_bytes(b"\n".join(raw))
    mined = mine([tmp_path / "tea.jsonl"], SETTINGS, 1)
    assert {pair.query.query_id for pair in mined.pairs} == {f"tea/{10 * n}" for n in (1, 2, 4, 6)}
    assert mined.counts["tea"]["skipped_rows"] == 2
    assert "line 3: body: it holds '\\ud800', half a character" in caplog.text
    assert "line 5: bytes that" in caplog.text
    write_pairs(mined.pairs, tmp_path)
    assert list(read_pairs(tmp_path)) == mined.pairs


def test_a_row_of_parquet_that_cannot_be_read_is_skipped_with_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = pyarrow.array([b"About 1", b"caf\xe9", *[b"more"] * 4], pyarrow.binary())
    # As other writers do, which look no closer.
    titles = pyarrow.Array.from_buffers(pyarrow.string(), len(bad), bad.buffers())
    table = pyarrow.Table.from_pylist(rows())
    place = table.column_names.index("title")
    pyarrow.parquet.write_table(table.set_column(place, "title", titles), tmp_path / "tea.parquet")
    mined = mine([tmp_path / "tea.parquet"], SETTINGS, 1)
    assert {pair.query.query_id for pair in mined.pairs} == {f"tea/{10 * n}" for n in (1, 3, 4, 5, 6)}
    assert "skipped rows: 1 (line 2: the row cannot be read ('utf-8' codec" in caplog.text
    with pytest.raises(InputError, match=r"tea\.parquet: row 2: "):
        list(parquet_rows(tmp_path / "tea.parquet"))


def test_what_is_missing_as_nan_is_neither_text_nor_a_vote(tmp_path: Path) -> None:
    line = rows(1)[0] | {"author": math.nan}
    line["answers"][0]["accepted"] = math.nan
    mined = mine([written(tmp_path / "tea.jsonl", [line, *rows()[1:]])], SETTINGS, 1)
    first = next(pair for pair in mined.pairs if pair.query.query_id == "tea/10" and pair.origin == "accepted_answer")
    assert first.document.doc_id == "tea/12", "NaN was taken for acceptance"
    assert all(pair.source.author != "nan" for pair in mined.pairs)


def test_a_question_of_which_nothing_is_left_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = rows()
    lines[0] |= {"title": None, "body": ""}
    lines[1] |= {"title": None}
    lines[2] |= {"body": None}
    mined = mine([written(tmp_path / "tea.jsonl", lines)], SETTINGS, 1)
    texts = {pair.query.query_id: pair.query.text for pair in mined.pairs}
    assert "tea/10" not in texts
    assert (texts["tea/20"], texts["tea/30"]) == ("topic2 topic3 what", "About 3")
    assert "skipped rows: 1 (line 1: the question has neither a title nor a body)" in caplog.text


def test_what_is_marked_as_not_accepted_without_votes_is_never_the_best(tmp_path: Path) -> None:
    lines = rows(8)
    for n, line in enumerate(lines):
        # Of four questions no reply helped; the votes of one of these say otherwise.
        for answer in line["answers"]:
            answer |= {"accepted": "no" if n % 2 else None, "score": 0}
    lines[7]["answers"][1]["score"] = 2
    path = written(tmp_path / "tea.jsonl", lines)
    mined = mine([path], SETTINGS, 1)
    best = {pair.query.query_id: pair.document.doc_id for pair in mined.pairs if pair.origin == "accepted_answer"}
    assert best == {"tea/10": "tea/11", "tea/30": "tea/31", "tea/50": "tea/51", "tea/70": "tea/71", "tea/80": "tea/82"}
    assert {pair.query.query_id for pair in mined.pairs} == best.keys()
    assert mined.counts["tea"]["declined_questions"] == 3


def test_a_declined_answer_does_not_stand_in_for_one_that_may_not_be_chosen(tmp_path: Path) -> None:
    lines = rows()
    for line in lines:
        line["answers"][0] |= {"accepted": False, "score": 0}

    def accepted_of_the_first(items: Iterable[Item]) -> list[str]:
        return [item.item_id for item in items if item.item_id == "tea/12"]

    mined = mine([written(tmp_path / "tea.jsonl", lines)], SETTINGS, 1, contaminated=accepted_of_the_first)
    own = [pair for pair in mined.pairs if pair.query.query_id == "tea/10"]
    assert "tea/11" not in {pair.document.doc_id for pair in own}
    assert not {pair.origin for pair in own} & {"accepted_answer", "answer"}


def test_a_declined_answer_is_nobodys_linked_answer(tmp_path: Path) -> None:
    lines = rows()
    lines[0]["answers"][0]["body"] += ' <a href="/questions/20">see</a>'
    settings = MiningRecipe(min_document_words=1, documents=DocumentsRecipe(linked_answer=2))

    def linked() -> set[str]:
        pairs = mine([written(tmp_path / "tea.jsonl", lines)], settings, 1).pairs
        return {pair.document.doc_id for pair in pairs if pair.origin == "linked_answer"}

    assert "tea/22" in linked()
    for answer in lines[1]["answers"]:
        answer |= {"accepted": False, "score": 0}
    assert not {"tea/21", "tea/22"} & linked()


def test_each_reason_for_which_questions_are_left_out_is_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = rows(12)
    for line in lines:
        for answer in line["answers"]:
            answer["body"] = f"topic{line['question_id']} {answer['answer_id']} has six words or more of them"
    lines[0]["tags"] = ["coffee"]
    lines[1]["answers"].pop()
    for answer in lines[2]["answers"]:
        answer["body"] = "too short"
    for answer in lines[3]["answers"]:
        answer |= {"accepted": "no", "score": 0}
    settings = MiningRecipe(min_document_words=6, min_answers=2, tags=("tea",), questions=5)
    with caplog.at_level("INFO", "interank.mining.pairs"):
        counts = mine([written(tmp_path / "tea.jsonl", lines)], settings, 1).counts["tea"]
    names = ("unfit", "few_answers", "short_answers", "declined", "undrawn", "unpaired", "repeated", "chosen")
    assert [counts[f"{name}_questions"] for name in names] == [1, 1, 1, 1, 3, 0, 0, 5]
    assert all(
        f"mining.{name}" in caplog.text for name in ("min_answers", "min_document_words", "questions", "columns")
    )
    with pytest.raises(InputError, match=r"11 with fewer than 2 answers of 40 words .*mining\.min_document_words"):
        mine([tmp_path / "tea.jsonl"], MiningRecipe(min_document_words=40, min_answers=2), 1)
