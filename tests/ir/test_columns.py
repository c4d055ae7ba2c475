"""Run files by columns: they say what the careful reader says, or leave the file to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from interank.errors import InputError
from interank.ir.columns import read_columns
from interank.ir.trec import read_run, read_scored
from interank.types import Run

# What parts lines or columns, quotes, comments, numbers in other spellings, and what some readers take for a blank.
ODD = [" ", "\t", "\n", "\r", "\r\n", "\n\n", "\v", "\f", "\x1c", "\x85", "\u00a0", "\u2028", "\ufeff", "\0"]
ODD += ['"', "'", "\\", ",", "#", "\n#", "_", "+", "-", "e", "e400", "e-400", "inf", "nan", "0x1", "٣", "é", "NA"]
ids = st.text(st.sampled_from("ab#\"'\\,é\u00a0\u2028\v"), min_size=1, max_size=3)
scores = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["1e5", "+1", "1_0", ".5", "5.", "-0.0", "1E-3", "٣"]),
)
# What float32 has room for, and often the same or nearly.
singles = st.one_of(
    st.floats(-1e38, 1e38).map(repr), st.integers(-2, 2).map(str), st.integers(2**24, 2**24 + 3).map(str)
)
rows = st.lists(st.tuples(ids, ids, scores), min_size=1, max_size=6)


def lines_of(found: list[tuple[str, str, str]], separator: str = " ") -> str:
    return "".join(separator.join((*row[:1], "Q0", row[1], "1", row[2], "t")) + "\n" for row in found)


def carefully(path: Path, content: bytes) -> dict[str, dict[str, float]] | str:
    """What line by line comes of it: a comment at the end keeps the columns from being read at once."""
    try:
        return read_scored(put(path, content + b"\n# line by line"))
    except InputError as error:
        return str(error)


def put(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@settings(max_examples=300, deadline=None)
@given(rows, st.sampled_from([" ", "\t", "  "]), st.sampled_from(ODD), st.integers(0, 200), st.integers(0, 2))
@example([("q", "d", "1")], "\t", "\ufeff", 0, 2)
def test_a_file_says_the_same_however_it_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    found: list[tuple[str, str, str]],
    separator: str,
    odd: str,
    place: int,
    times: int,
) -> None:
    text = lines_of(found, separator)
    content = (text[: place % len(text)] + odd * times + text[place % len(text) :]).encode()
    path = tmp_path_factory.getbasetemp() / "run.trec"
    expected = carefully(path, content)
    try:
        read: dict[str, dict[str, float]] | str = read_scored(put(path, content))
    except InputError as error:
        read = str(error)
    assert read == expected
    if isinstance(read, dict) and isinstance(expected, dict):
        # Equal dictionaries may differ in order, and 0.0 is -0.0.
        assert [(q, list(map(repr, r.items()))) for q, r in read.items()] == [
            (q, list(map(repr, r.items()))) for q, r in expected.items()
        ]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from("123abc"), singles), min_size=1, max_size=8))
def test_what_is_said_to_fall_ranks_as_if_it_were_looked_at(found: list[tuple[str, str, str]]) -> None:
    once = {(query_id, doc_id): (query_id, doc_id, score) for query_id, doc_id, score in found}
    read = read_columns(lines_of(sorted(once.values())).encode(), " ")
    if read is not None:
        said = Run.from_trec_eval(read.scored, tag="t", falling=read.falling)
        looked_at = Run.from_trec_eval(read.scored, tag="t")
        assert [(query_id, said[query_id]) for query_id in said] == [
            (query_id, looked_at[query_id]) for query_id in looked_at
        ]
        assert (said.tied, said.reordered) == (looked_at.tied, looked_at.reordered)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_are_the_same_however_they_are_read(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "run.trec"
    content = b"q Q0 a 1 2 t\n" + noise + b"\n"
    try:
        read: dict[str, dict[str, float]] | str = read_scored(put(path, content))
    except InputError as error:
        read = str(error)
    assert read == carefully(path, content)


@pytest.mark.parametrize("separator", [" ", "\t"])
def test_what_is_plain_is_read_at_once(separator: str) -> None:
    found = [("q2", "d1", "2.5"), ("q1", 'é"#,', "1e-3"), ("q2", "d0", "-3"), ("q1", "d1", "2.5")]
    expected = {"q2": {"d1": 2.5, "d0": -3.0}, "q1": {'é"#,': 0.001, "d1": 2.5}}
    read = read_columns(lines_of(found, separator).encode(), separator)
    assert read is not None
    assert read.scored == expected
    assert [list(ranking) for ranking in read.scored.values()] == [list(r) for r in expected.values()]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"q Q0 d 1 2.0 t\nq Q0 e 2 1.0\n",
        b"q Q0 d 1 2.0 t\nq Q0 e 2 1.0 t u\n",
        b"q Q0 d 1 2.0 t\n\nq Q0 e 2 1.0 t\n",
        b"q Q0 d 1 high t\n",
        b"q Q0 d 1  t\n",
        b"q Q0 d 1 nan t\n",
        b"q Q0 d 1 -inf t\n",
        b"q Q0 d 1 1e999 t\n",
        b" Q0 d 1 2 t\n",
        b"q Q0  1 2 t\n",
        b"q  d 1 2 t\n",
        b"q Q0 d  2 t\n",
        b"q Q0 d 1 2 \n",
        b"#q Q0 d 1 2 t\n",
        b"p Q0 d 1 2 t\n# Q0 d 1 2 t\n",
        b"q Q0 d 1 2 t\nq Q0 d 2 1 t\n",
        b"q Q0 d 1 2 t\nr Q0 d 1 2 t\nq Q0 d 2 1 t\n",
        b"q Q0 d 1 2 t\rr Q0 d 1 2 t\n",
        b"q Q0 d 1 2 \xff\n",
        b"q Q\xff d 1 2 t\n",
        b"\xef\xbb\xbfq Q0 d 1 2 t\n",
    ],
)
def test_what_needs_a_closer_look_is_left(content: bytes) -> None:
    assert read_columns(content, " ") is None


@pytest.mark.parametrize(
    ("first", "second", "falling"),
    [
        (["3", "2", "1"], ["9", "8", "7"], {"p", "q"}),
        (["3", "2", "2"], ["9", "8", "7"], {"q"}),
        (["3", "2", "1"], ["7", "8", "9"], {"p"}),
        (["1", "2", "1"], ["1", "8", "9"], set()),
        (["16777217", "16777216", "1"], ["1", "0", "-1"], {"q"}),
        (["3e38", "2", "1"], ["9", "8", "7"], set()),
        (["5"], ["-1"], {"p", "q"}),
    ],
)
def test_what_falls_is_told(first: list[str], second: list[str], falling: set[str]) -> None:
    lines = [(query, f"d{n}", score) for query, row in (("p", first), ("q", second)) for n, score in enumerate(row)]
    read = read_columns(lines_of(lines).encode(), " ")
    assert read is not None
    assert read.falling == falling


def test_a_query_in_two_places_is_not_told_to_fall() -> None:
    lines = [("p", "a", "1"), ("q", "a", "5"), ("p", "b", "9")]
    read = read_columns(lines_of(lines).encode(), " ")
    assert read is not None
    assert read.falling == frozenset()


def test_a_run_longer_than_what_is_parsed_at_once_is_whole(tmp_path: Path) -> None:
    names = [f"document-{number:04d}-with-a-long-name" for number in range(1000)]
    lines = [
        f"q{query} Q0 {name} {rank} {query - rank / 7!r} t\n"
        for query in range(130)
        for rank, name in enumerate(names[query:] + names[:query])
    ]
    content = "".join(lines).encode()
    assert len(content) > 8_000_000 - 1_000_000
    read = read_columns(content, " ")
    assert read is not None
    assert read.scored == carefully(tmp_path / "run.trec", content)
    assert read.falling == {f"q{query}" for query in range(130)}
    assert read_run(put(tmp_path / "run.trec", content)).tag == "t"
