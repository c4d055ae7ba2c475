"""The row reader gives what lxml gives, and of a broken file what can be had, however it is read."""

import gzip
import logging
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from interank.mining import Row, Table, Tally, read_rows
from interank.mining.parts import Spread, work_through

# More in a fuzz run: INTERANK_FUZZ_EXAMPLES=100000 pytest tests/mining/test_rows.py
EXAMPLES = int(os.environ.get("INTERANK_FUZZ_EXAMPLES", "300"))
fuzzed = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

HEAD = b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>\r\n<posts>\r\n'

_REFERENCES = st.sampled_from(
    (
        *("&lt;", "&gt;", "&amp;", "&quot;", "&apos;", "&#xA;", "&#xD;", "&#x9;", "&#10;", "&#x1F600;", "&#128512;"),
        *("&amp;lt;", "&amp;#xA;", "&#xD7FF;", "&#x10FFFF;"),
    )
)
_BAD = st.sampled_from(
    ["&", "&;", "&foo;", "&#0;", "&#x0;", "&#xD800;", "&#xFFFE;", "&#x110000;", "&#99999999999;", "&#;", "&#x;"]
)
_ODD = st.sampled_from(
    ["\t", "\r", " ", "\x00", "\x0b", "\x1f", "\x7f", "\x85", "\u2028", "\ufffe", "\uffff", "'", ">", "/>", "]]>"]
)
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters='<&"\n'), max_size=8)
_GOOD_VALUE = st.lists(st.one_of(_REFERENCES, st.text("ab >.;#x=:\u00e9\u20ac\U0001f600", max_size=8)), max_size=4)
_ANY_VALUE = st.lists(st.one_of(_REFERENCES, _TEXT, _ODD, _BAD), max_size=4)
# Of prefixes that nobody declared libxml2 says one thing in a row by itself and another in a file.
_PLAIN_NAMES = st.sampled_from(
    ["Id", "PostTypeId", "Body", "Title", "a", "_b", "c-d", "\u00e9", "xmlns", "xml:lang", "1a"]
)
_NAMES = st.one_of(_PLAIN_NAMES, st.just("x:y"))


@st.composite
def row_lines(
    draw: st.DrawFn,
    values: st.SearchStrategy[list[str]] = _ANY_VALUE,
    names: st.SearchStrategy[str] = _NAMES,
) -> bytes:
    """One line that may or may not be a sound row; it holds one `<`."""
    parts = []
    for name, value in draw(st.lists(st.tuples(names, values), max_size=4)):
        equals = draw(st.sampled_from(["=", "=", "=", " =", "= ", ""]))
        quote = draw(st.sampled_from(['"', '"', '"', "'", ""]))
        blank = draw(st.sampled_from([" ", " ", " ", "  ", "\t", ""]))
        parts.append(f"{blank}{name}{equals}{quote}{''.join(value)}{quote}")
    end = draw(st.sampled_from([" />", " />", "/>", ">", "", "/", " / >"]))
    line = draw(st.sampled_from(["  ", "  ", "", "\t"])) + "<row" + "".join(parts) + end
    raw = line.replace("\n", "").encode("utf-8", "surrogatepass")
    cut = draw(st.sampled_from([b"", b"", b"", b"\xff", b"\xc3"]))
    return raw + cut if draw(st.booleans()) else raw


def expected(lines: list[bytes]) -> tuple[list[tuple[int, dict[str, str]]], int]:
    """What lxml reads of each line by itself, with its number, and how many it cannot."""
    found, bad = [], 0
    for number, line in enumerate(lines, start=3):
        try:
            element = etree.fromstring(b"<_>" + line.strip(b" \t\r") + b"</_>")
        except etree.XMLSyntaxError:
            bad += 1
            continue
        found += [(number, dict(row.attrib)) for row in element.iter("row")]
    return found, bad


@pytest.fixture(scope="module")
def path() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        yield Path(folder) / "Posts.xml"


def read(path: Path, content: bytes) -> tuple[list[tuple[int, dict[str, str]]], Tally]:
    path.write_bytes(content)
    tally = Tally()
    return [(line, dict(attributes)) for line, attributes in read_rows(Table(path), tally)], tally


@fuzzed
@given(st.lists(row_lines(), max_size=8), st.sampled_from([b"\n", b"\r\n"]))
def test_every_line_is_read_as_lxml_reads_it(path: Path, lines: list[bytes], newline: bytes) -> None:
    content = HEAD + b"".join(line + newline for line in lines) + b"</posts>"
    rows, tally = read(path, content)
    wanted, bad = expected(lines)
    assert rows == wanted
    # Lines that open what they do not close count once together.
    assert min(1, bad) <= tally.skipped <= bad


@fuzzed
@given(st.lists(row_lines(_GOOD_VALUE, _PLAIN_NAMES), min_size=1, max_size=30))
def test_sound_rows_of_one_form_are_read_as_lxml_reads_the_file(path: Path, lines: list[bytes]) -> None:
    sound = [line for line in lines if not expected([line])[1]]
    content = HEAD + b"".join(line + b"\r\n" for line in sound) + b"</posts>"
    rows, tally = read(path, content)
    assert [attributes for _, attributes in rows] == [dict(row.attrib) for row in etree.fromstring(content).iter("row")]
    assert tally.skipped == 0
    assert tally.stopped is None


_MARKUP = (
    *(b"\n", b"\r\n", b" ", b'<row Id="1"', b'Body="two\nlines"', b"/>", b"<row>", b"</row>", b"<!--", b"-->"),
    *(b"<![CDATA[", b"]]>", b"<?pi x?>", b"<other>", b"</other>", b"</posts>", b"<posts>", b"text", b"&lt;"),
    *(b'<row a="1"/><row b="2"/>', b'<row xmlns="u" a="1" />'),
)
_PIECES = st.one_of(row_lines(_GOOD_VALUE, _PLAIN_NAMES), st.sampled_from(_MARKUP))


@fuzzed
@given(st.lists(_PIECES, max_size=12))
def test_whatever_is_well_formed_gives_what_lxml_gives(path: Path, pieces: list[bytes]) -> None:
    content = HEAD + b"\n".join(pieces) + b"\n</posts>"
    rows, _ = read(path, content)
    try:
        root = etree.fromstring(content)
    except etree.XMLSyntaxError:
        return
    assert [attributes for _, attributes in rows] == [dict(row.attrib) for row in root.iter("row")]


@fuzzed
@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_are_too_odd(path: Path, content: bytes, headed: bool) -> None:
    rows, tally = read(path, HEAD + content if headed else content)
    assert rows or tally.skipped or tally.stopped or not content.strip(b"\r\n\t ") or content.strip()


def numbered(count: int) -> list[bytes]:
    return [b'  <row Id="%d" PostTypeId="%d" Body="%s" />' % (n, 1 + n % 3, b"x&lt;" * (n % 40)) for n in range(count)]


def whole(lines: list[bytes], end: bytes = b"</posts>") -> bytes:
    return HEAD + b"\r\n".join(lines) + b"\r\n" + end


def listed(rows: Iterator[Row], tally: Tally) -> list[dict[str, str]]:
    return [dict(attributes) for _, attributes in rows]


def spread_out(path: Path) -> tuple[list[dict[str, str]], Tally]:
    tally = Tally()
    found = work_through(Table(path), listed, tally, spread=Spread(2, least=0, part=10_000))
    return [row for rows in found for row in rows], tally


def in_one(path: Path) -> tuple[list[dict[str, str]], Tally]:
    tally = Tally()
    return listed(read_rows(Table(path), tally), tally), tally


@pytest.mark.parametrize(
    "content",
    [
        whole(numbered(2_000)),
        whole([line.replace(b" Body", b"\r\n    Body") for line in numbered(2_000)]),
        whole(numbered(2_000))[:90_000],
        whole(numbered(2_000), b""),
        whole([*numbered(900), b'  <row Id="&" />', b"  <row Id=", *numbered(900)]),
        whole([*numbered(900), b"<!--", *numbered(300), b"-->", *numbered(600)]),
        whole([*numbered(900), b"</posts>", *numbered(300)]),
        whole([b"<x>", *numbered(900), b"</x>"]).replace(b"<posts>\r\n", b"<posts>", 1),
        whole([*numbered(300), b'  <row Id="1" PostTypeId="1" Body="%s" />' % (b"x" * 2_000_000), *numbered(300)]),
    ],
    ids=["plain", "split rows", "cut", "no end", "bad rows", "comment", "end amid", "no lines", "long row"],
)
@pytest.mark.parametrize("packed", [False, True])
def test_processes_read_what_one_reads(tmp_path: Path, content: bytes, packed: bool) -> None:
    path = tmp_path / ("Posts.xml.gz" if packed else "Posts.xml")
    path.write_bytes(gzip.compress(content) if packed else content)
    (rows, tally), (others, other_tally) = in_one(path), spread_out(path)
    assert len(rows) >= 200
    assert others == rows
    assert (other_tally.skipped, other_tally.shown, other_tally.stopped) == (tally.skipped, tally.shown, tally.stopped)


def test_processes_start_beside_threads_too(path: Path) -> None:
    path.write_bytes(whole(numbered(1_000)))
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        rows, _ = spread_out(path)
    finally:
        stop.set()
        thread.join()
    assert rows == in_one(path)[0]


def test_a_malformed_row_costs_itself_alone_and_is_named_by_its_line(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [b'<row Id="1"/>', b'<row Id="2" & />', b'<row Id="3"/>', b'<row Id="4" Body="', b'<row Id="5"/>']
    path.write_bytes(whole(lines))
    assert [row.attributes["Id"] for row in read_rows(Table(path))] == ["1", "3", "5"]
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert re.search(r"skipped rows: 2 \(line 4: .+; line 6: .+\)", record.getMessage())


HOSTILE = {
    "a row of many short lines": b'<row Id="91"\n' + b"a\n" * 200_000 + b"/>\n",
    "short lines": b"a\n" * 200_000,
    "malformed rows": b"<row &\n" * 100_000,
    "beginnings of rows": b"<row" * 200_000 + b"\n",
    "colons": b'<row Body="&#39;' + b":a" * 200_000 + b'"/>\n',
    "attributes": b"<row " + b" ".join(b'a%d=""' % number for number in range(100_000)) + b"/>\n",
    "closers": b"</row>\n" * 100_000,
    "end tags": b"x</posts>\n" * 100_000,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_takes_time_in_proportion_to_its_size(path: Path, content: bytes) -> None:
    times = []
    for copies in (1, 4):
        path.write_bytes(HEAD + content * copies + b'<row Id="1"/>\n</posts>')
        start = time.process_time()
        rows, _ = in_one(path)
        times.append(time.process_time() - start)
    # Beyond the time of a few megabytes, four times the file may take no more than some six times as long.
    assert times[1] < max(2.0, 7 * times[0]), times
    assert rows[-1:] in ([], [{"Id": "1"}])
