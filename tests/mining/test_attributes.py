"""Rows as dumps write them are read at once, as lxml reads them; of any other row nothing is said."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from interank.mining.attributes import plain_attributes
from tests.mining.test_rows import fuzzed, row_lines

_VALUES = st.lists(
    st.one_of(
        st.sampled_from(["&lt;", "&gt;", "&amp;", "&quot;", "&apos;", "&#xA;", "&#xD;", "&#x9;", "&amp;lt;", "lt;"]),
        st.text("ab\t >.;#x='/\u00e9\u20ac\U0001f600\x7f\u2028", max_size=8),
    ),
    max_size=6,
).map("".join)
_NAMES = st.lists(st.sampled_from(["Id", "PostTypeId", "Body", "Title", "_b", "c-d", "e.f", "xmlnsa"]), unique=True)


@st.composite
def dumped_rows(draw: st.DrawFn) -> bytes:
    names = draw(_NAMES.filter(bool))
    values = "".join(f' {name}="{draw(_VALUES)}"' for name in names)
    return f"<row{values}{draw(st.sampled_from([' />', '/>']))}".encode()


def by_lxml(row: bytes) -> dict[str, str] | None:
    try:
        return dict(etree.fromstring(row).attrib)
    except etree.XMLSyntaxError:
        return None


@fuzzed
@given(st.lists(dumped_rows(), min_size=1, max_size=6))
def test_what_an_xml_writer_writes_is_read_as_lxml_reads_it(rows: list[bytes]) -> None:
    assert plain_attributes(rows) == [by_lxml(row) for row in rows]


@fuzzed
@given(st.lists(row_lines(), min_size=1, max_size=3))
def test_what_is_read_of_any_row_lxml_reads_too(lines: list[bytes]) -> None:
    found = plain_attributes([line.strip(b" \t\r") for line in lines])
    assert found is None or found == [by_lxml(line.strip(b" \t\r")) for line in lines]


@pytest.mark.parametrize(
    "row",
    [
        b'<row Id="1" Id="2" />',
        b'<row Id="1" />"x"/>',
        b'<row Id="1" />"x/>',
        b"<row Id='1' />",
        b'<row Id = "1" />',
        b'<row Id="&#49;" />',
        b'<row Id="a\rb" />',
        b'<row Id="a\x00b" />',
        b'<row Id="&lt" />',
        b'<row Id="&quot" />',
        b'<row Id="1"Body="2" />',
        b'<row xmlns="u" />',
        b'<row a:Id="1" />',
        b'<row Id="\xff" />',
        b'<row Id="\xef\xbf\xbf" />',
        b'<row Id="1"&#xA;/>',
        b'<row &lt;Id="1" />',
        b'<row Id="1" <row Body="2" />',
        b"<row />",
        b"<row/>",
    ],
)
def test_of_what_is_written_otherwise_nothing_is_said(row: bytes) -> None:
    sound = b'<row Id="1" />'
    assert plain_attributes([sound, sound]) == [{"Id": "1"}] * 2
    assert plain_attributes([sound, row, sound]) is None
    assert plain_attributes([row]) is None


def test_real_rows_are_read_at_once(real_data: Path) -> None:
    files = [file for file in (real_data / "stackexchange").rglob("*.xml") if b"<row " in file.read_bytes()]
    assert files
    for file in files:
        rows = [line.strip() for line in file.read_bytes().split(b"\n") if line.strip().startswith(b"<row ")]
        assert plain_attributes(rows) == [by_lxml(row) for row in rows], file
