"""Qrels and run files: what is read, what is refused, and that writing loses nothing."""

import gzip
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from interank.errors import InputError
from interank.ir.trec import copy_run, read_qrels, read_run, read_scored, write_run
from interank.types import Qrel, Run, ScoredDoc


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def one_run(*scored: tuple[str, str, float], tag: str = "t") -> Run:
    return Run.from_scores([ScoredDoc(*item) for item in scored], tag=tag)


def test_qrels_of_trec_and_beir_say_the_same(tmp_path: Path) -> None:
    expected = [Qrel("q1", "d1", 2), Qrel("q1", "d2", -1), Qrel("q2", "d1", 0)]
    trec = put(tmp_path / "a", "q1 0 d1 2\nq1  0   d2 -1\n\nq2 Q0 d1 0")
    tabs = put(tmp_path / "b", "q1\t0\td1\t2\nq1\t0\td2\t-1\nq2\t0\td1\t0\n")
    beir = put(tmp_path / "c", "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t-1\nq2\td1\t0\n")
    bare = put(tmp_path / "d", "q1\td1\t2\nq1\td2\t-1\nq2\td1\t0\n")
    assert [read_qrels(path) for path in (trec, tabs, beir, bare)] == [expected] * 4


def test_qrels_ids_may_hold_blanks_between_tabs(tmp_path: Path) -> None:
    path = put(tmp_path / "q", "a query\t0\tFolder/Rosa%27s law 1.txt\t1\nq\u00a0x 0 d 1\n")
    assert read_qrels(path) == [Qrel("a query", "Folder/Rosa%27s law 1.txt", 1), Qrel("q\u00a0x", "d", 1)]


def test_byte_order_mark_crlf_and_comments_are_no_data(tmp_path: Path) -> None:
    content = "\ufeff# made by hand\r\nq1 0 d1 1\r\n# more\r\nq1 0 d2 0\r\n"
    assert read_qrels(put(tmp_path / "q", content)) == [Qrel("q1", "d1", 1), Qrel("q1", "d2", 0)]
    header = "\ufeffquery-id\tcorpus-id\tscore\r\nq1\td1\t1\r\n"
    assert read_qrels(put(tmp_path / "h", header)) == [Qrel("q1", "d1", 1)]


def test_gzip_is_told_by_content_not_by_name(tmp_path: Path) -> None:
    packed = put(tmp_path / "packed.tsv", gzip.compress(b"q 0 d 1\n"))
    plain = put(tmp_path / "plain.tsv.gz", "q 0 d 1\n")
    assert read_qrels(packed) == read_qrels(plain) == [Qrel("q", "d", 1)]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("q 0 d 1\nq 0 d\t1\n", r":2: .*2 columns"),
        ("q 0 d 1 x\n", ":1: .*5 columns .*4 columns"),
        ("q 0 d 1\nq 0 e high\n", ":2.*'high'"),
        ("q 0 d 1.5\n", ":1.*'1.5'"),
        ("q 0 d nan\n", ":1.*'nan'"),
        ("q 0 d x\nq 0 e 1\n", ":1.*'x'"),
        ("q 0 d 1\nq 0 e 1\nq 0 d 0\n", ":3.*'q'.*'d'"),
        (
            "query-id\tcorpus-id\tscore\nq\td\t1\nquery-id\tcorpus-id\tscore\n",
            ":3.*'score'",
        ),
        ("\t0\td\t1\n", ":1"),
        ("", "judgment"),
        ("query-id\tcorpus-id\tscore\n", "judgment"),
    ],
)
def test_bad_qrels_are_refused_with_their_place(tmp_path: Path, content: str, found: str) -> None:
    with pytest.raises(InputError, match=found):
        read_qrels(put(tmp_path / "q.tsv", content))


def test_run_is_ordered_as_trec_eval_does(tmp_path: Path) -> None:
    content = (
        "q2 Q0 only 1 0.5 mine\n"
        "q1 Q0 a 1 1.0 mine\n"  # ties with b and c in float32, but not in double precision
        "q1 Q0 c 2 1.00000000001 mine\n"
        "q1 Q0 b 3 0.99999999999 mine\n"
        "q1 Q0 last 4 -3 mine\n"
        "q1 Q0 first 5 2e0 mine\n"
    )
    run = read_run(put(tmp_path / "r", content))
    assert run.tag == "mine"
    assert list(run) == ["q2", "q1"]
    assert run.doc_ids("q1") == ["first", "c", "b", "a", "last"]


def test_run_reads_padded_tabs_and_ids_with_blanks(tmp_path: Path) -> None:
    run = read_run(put(tmp_path / "r", "q\tQ0\tRosa%27s law.txt\t1\t  2.5\tSTANDARD more junk\r\n"))
    assert run.doc_ids("q") == ["Rosa%27s law.txt"]
    assert run.tag == "STANDARD more junk"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace(" ", "   "),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: "# in six words, 5 t\n" + text,
        lambda text: text + "# in six words, 5 t\n",
        lambda text: "\ufeff" + text,
        lambda text: text.removesuffix("\n"),
        lambda text: text + " \n",
        lambda text: "".join(sorted(text.splitlines(keepends=True), key=lambda line: line[::-1])),
        lambda text: text.replace("2.5", "2.50").replace("-1 t", "-1e0 t"),
    ],
)
def test_every_way_of_writing_a_run_says_the_same(tmp_path: Path, change: Callable[[str], str]) -> None:
    text = "q1 Q0 a 1 2.5 t\nq1 Q0 b 2 0.5 t\nq2 Q0 b 1 0 t\nq2 Q0 a 2 -1 t\nq2 Q0 c 3 -1 t\n"
    plain, changed = read_run(put(tmp_path / "plain", text)), read_run(put(tmp_path / "changed", change(text)))
    assert dict(changed) == dict(plain)
    assert changed.tag == plain.tag == "t"
    assert changed.tied == plain.tied == 2
    assert plain.doc_ids("q2") == ["b", "c", "a"]
    assert read_scored(tmp_path / "changed") == {"q1": {"a": 2.5, "b": 0.5}, "q2": {"b": 0.0, "a": -1.0, "c": -1.0}}


def test_ids_may_hold_what_is_no_blank_of_trecs(tmp_path: Path) -> None:
    run = read_run(put(tmp_path / "r", "q\u00a0x Q0 d\u2028e 1 2 t\n"))
    assert run.doc_ids("q\u00a0x") == ["d\u2028e"]
    assert read_run(put(tmp_path / "f", "q\fx Q0 d 1 2 t\n")).doc_ids("q\fx") == ["d"]
    for blank in ("\v", "\u00a0"):
        with pytest.raises(InputError, match=r":1: .*5 columns"):
            read_run(put(tmp_path / "v", f"q{blank}Q0 d 1 2 t\n"))


def test_ties_are_counted(tmp_path: Path) -> None:
    text = "q1 Q0 a 1 1.00000000001 t\nq1 Q0 b 2 1 t\nq1 Q0 c 3 1 t\nq1 Q0 d 4 0 t\nq2 Q0 a 1 3 t\nq2 Q0 b 2 3 t\n"
    run = read_run(put(tmp_path / "r", text))
    assert run.tied == 5  # in float32, as trec_eval sees them
    assert run.only(["q1", "q9"]).tied == run.top(2).only(["q1"]).tied == 3
    assert read_run(put(tmp_path / "s", "q Q0 a 1 1 t\nq Q0 b 2 3 t\n")).tied == 0  # out of order is no tie
    write_run(run, tmp_path / "written")
    assert read_run(tmp_path / "written").tied == 0


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("q Q0 d 1 2.0 t\nq Q0 e 2 1.0\nq Q0 f 3 1.0 t more\n", ":2: .*5 columns"),
        ("q Q0 d 1 2.0 t\nq Q0 e 2 inf t\nq Q0 f 3 -inf t\n", r":2: .*inf"),
        ("q\tQ0\td\t1\t2.0\tt\nq Q0 e 2 1.0 t\nq\tQ0\t\t3\t0\tt\n", ":3"),
        ("q\tQ0\t\t1\t2.0\tt\n", ":1"),
        ("\tQ0\td\t1\t2.0\tt\n", ":1"),
        ("q1 Q0 d 1 2.0 t\nq2 Q0 d 1 2.0 t\nq1 Q0 d 1 2.0 t\n", ":3.*'q1'.*'d'"),
        ("q Q0 d 1 2.0 t\nq Q0 e 2 1.0\n", ":2: .*5 columns"),
        ("q Q0 a document 2 1.0 t\n", ":1: .*7 columns"),
        ("q Q0 d 1 high t\n", ":1.*'high'"),
        ("q Q0 d 1 2.0 t\nq Q0 e 2 NaN t\n", r":2: .*nan"),
        ("q Q0 d 1 2.0 t\nq Q0 d 2 1.0 t\n", ":2.*'q'.*'d'"),
        ("\n", "ranking"),
    ],
)
def test_bad_run_is_refused_with_its_place(tmp_path: Path, content: str, found: str) -> None:
    with pytest.raises(InputError, match=found):
        read_run(put(tmp_path / "r", content))


@pytest.mark.parametrize("packed", [False, True])
def test_a_pipe_is_read_as_a_file_is(tmp_path: Path, packed: bool) -> None:
    lines = b"q Q0 a 1 2 t\nq Q0 b 2 1 t\n"
    os.mkfifo(pipe := tmp_path / "pipe")
    written = gzip.compress(lines) if packed else lines
    writer = threading.Thread(target=pipe.write_bytes, args=(written,), daemon=True)
    writer.start()
    assert read_run(pipe).doc_ids("q") == ["a", "b"]
    writer.join()


def test_cut_and_damaged_gzip_say_so(tmp_path: Path) -> None:
    rng = random.Random(0)
    lines = "".join(f"q Q0 d{n} 1 {rng.random()} t\n" for n in range(20_000))
    whole = gzip.compress(lines.encode())
    with pytest.raises(InputError, match=r"gzip.* cut"):
        read_run(put(tmp_path / "cut.gz", whole[: len(whole) // 2]))
    with pytest.raises(InputError, match=r"gzip.* cut"):
        read_run(put(tmp_path / "short.gz", whole[:-4]))
    damaged = bytearray(whole)
    damaged[-6] ^= 0xFF  # in the checksum
    with pytest.raises(InputError, match=r"gzip.* damaged"):
        read_run(put(tmp_path / "damaged.gz", bytes(damaged)))


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: .*No such file"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(InputError, match="cannot be read"):
        read_qrels(tmp_path)
    latin = b"q 0 cafe 1\nq 0 caf\xe9 1\n"
    with pytest.raises(InputError, match="latin:2"):
        read_qrels(put(tmp_path / "latin", latin))
    with pytest.raises(InputError, match="packed:2"):
        read_run(put(tmp_path / "packed", gzip.compress(latin)))


def test_written_run_reads_back_equal(tmp_path: Path) -> None:
    rng = random.Random(1)
    for name in ("run.trec", "run.trec.gz"):
        run = one_run(
            *(("q1", f"d{n}", rng.choice([rng.gauss(0, 1e6), 1.0, 0.0, 1e-42, 1e38])) for n in range(200)),
            *(("q0", f"d{n}", 1e39) for n in range(5)),
        )
        path = tmp_path / name
        write_run(run, path)
        assert read_run(path) == run
        assert list(read_run(path)) == ["q1", "q0"]
        assert read_run(path).tag == "t"


def test_written_columns_are_parted_by_tabs_only_where_an_id_holds_a_blank(tmp_path: Path) -> None:
    path = tmp_path / "r"
    write_run(one_run(("q", "d", 1.5), ("q", "e", 1.5)), path)
    assert path.read_text() == "q Q0 d 1 1.5 t\nq Q0 e 2 1.4999998807907104 t\n"
    for run in (one_run(("a q", "d", 1.0)), one_run(("q", "a d", 1.0)), one_run(("q", "d", 1.0), tag="a t")):
        write_run(run, path)
        assert path.read_text().count("\t") == 5
        assert read_run(path) == run


def test_equal_runs_give_equal_gzip_bytes(tmp_path: Path) -> None:
    run = one_run(("q", "d", 1.0))
    write_run(run, tmp_path / "one.gz")
    write_run(run, tmp_path / "two.gz")
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert (tmp_path / "one.gz").read_bytes()[4:8] == bytes(4)


def test_a_run_that_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    path = put(tmp_path / "r", "before")
    bad = [("a\tq", "d"), ("q", "a\nd"), ("q", ""), ("#q", "d")]
    for query_id, doc_id in bad:
        with pytest.raises(InputError, match="cannot be written"):
            write_run(one_run((query_id, doc_id, 1.0)), path)
    with pytest.raises(InputError, match="id or tag ''"):
        write_run(one_run(("q", "d", 1.0), tag=""), path)
    assert path.read_text() == "before"


def test_a_file_that_says_a_run_and_nothing_else_is_copied(tmp_path: Path) -> None:
    said = "q1 Q0 b 1 2.5 t\nq1 Q0 a 2 1 t\nq2 Q0 c 1 0.25 t\n"
    for name, content in {"plain": said.encode(), "packed": gzip.compress(said.encode())}.items():
        source, path = tmp_path / name, tmp_path / f"{name}.copy"
        source.write_bytes(content)
        assert copy_run(read_run(source), source, path)
        assert path.read_text() == said


@pytest.mark.parametrize(
    "content",
    {
        "tied": "q Q0 b 1 1 t\nq Q0 a 2 1 t\n",
        "not in falling order": "q Q0 a 1 1 t\nq Q0 b 2 2 t\n",
        "commented": "# of whom\nq Q0 b 1 2 t\n",
        "from Windows": "q Q0 b 1 2 t\r\n",
        "with a byte order mark": "\ufeffq Q0 b 1 2 t\n",
        "without its last line end": "q Q0 b 1 2 t",
    }.items(),
    ids=lambda item: item[0],
)
def test_a_file_that_says_it_otherwise_is_not_copied(tmp_path: Path, content: tuple[str, str]) -> None:
    source, path = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(content[1].encode())
    assert not copy_run(read_run(source), source, path)
    assert not path.exists()


def test_a_file_that_says_more_than_the_run_is_not_copied(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_text("q1 Q0 b 1 2.5 t\nq1 Q0 a 2 1 t\nq2 Q0 c 1 0.25 t\n")
    run = read_run(source)
    for part in (run.top(1), run.only(["q1"]), run.without({"q1": frozenset("b")})):
        assert not copy_run(part, source, tmp_path / "copy")


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot be written"):
        write_run(one_run(("q", "d", 1.0)), tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    with pytest.raises(InputError, match="cannot be written"):
        write_run(one_run(("q", "d", 1.0)), tmp_path / "nowhere" / "r")


@pytest.mark.real_data
def test_every_real_run_and_qrels_file_is_read(real_data: Path) -> None:
    for path in sorted((real_data / "bright").glob("qrels/*.txt")):
        assert len(read_qrels(path)) > 100, path
    runs = [*real_data.glob("bright/runs/*/*.gz"), *real_data.glob("trecdl/runs/*.gz")]
    assert len(runs) == 12
    for path in runs:
        assert len(read_run(path)) > 40, path


@pytest.mark.real_data
def test_comments_are_skipped_as_in_trec_evals_own_test(real_data: Path) -> None:
    folder = real_data / "fixtures" / "trec_eval_test"
    assert read_run(folder / "results.comment.test") == read_run(folder / "results.test")
    assert read_qrels(folder / "qrels.comment.test") == read_qrels(folder / "qrels.test")
