"""Pages the user has are found by the links in answers and cut into passages."""

import json
from pathlib import Path

import pytest

from interank.errors import InputError
from interank.mining.pages import Page, links_to_pages, passages, read_pages, same_address


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://www.a.org/b/", "a.org/b"),
        ("http://A.org/b#part", "a.org/b"),
        ("https://a.org/b?utm_source=x&id=3&utm_medium=y", "a.org/b?id=3"),
        ("https://a.org", "a.org"),
        ("http://[bad", "http://[bad"),
    ],
)
def test_addresses_of_one_page_are_the_same(url: str, same: str) -> None:
    assert same_address(url) == same


def test_links_are_found_once_and_unescaped() -> None:
    html = '<a href="https://a.org/?x=1&amp;y=2">a</a> <a href="http://a.org/?x=1&amp;y=2">b</a> <a href="/q/1">c</a>'
    assert links_to_pages(html) == ["a.org?x=1&y=2"]


def written(path: Path, *rows: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_pages_come_from_files_and_folders(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = written(
        tmp_path / "a.jsonl", {"url": "https://a.org/b", "text": "one"}, {"url": "u"}, {"url": "c", "text": "c"}
    )
    written(tmp_path / "b.jsonl", {"url": "a.org/b", "text": "later"}, {"url": "d.org", "html": "<p>a <b>b</b></p>"})
    assert read_pages(one, {"a.org/b"}) == {"a.org/b": Page("https://a.org/b", "one")}
    assert "skipped rows: 1 (line 2: a page needs url" in caplog.text
    assert {url: page.text for url, page in read_pages(tmp_path, {"a.org/b", "d.org"}).items()} == {
        "a.org/b": "one",
        "d.org": "a b",
    }


def test_a_page_that_no_file_can_hold_is_skipped_with_its_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [
        {"text": "half \ud800"},
        {"html": "<p>\udfff</p>"},
        {"text": "a", "title": "\ud800"},
        {"text": "a", "author": 5},
    ]
    path = written(tmp_path / "a.jsonl", *({"url": f"a.org/{place}", **half} for place, half in enumerate(bad)))
    wanted = {f"a.org/{place}" for place in range(len(bad))}
    assert read_pages(path, wanted) == {}
    assert "skipped rows: 4 (line 1: it holds '\\ud800', half a character" in caplog.text
    assert "line 4: author: 5 is no text" in caplog.text


def test_without_pages_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \.jsonl"):
        read_pages(tmp_path, ())
    with pytest.raises(InputError, match=r"does not exist.*mining.pages"):
        read_pages(tmp_path / "none", ())
    with pytest.raises(InputError, match="no page in its 1 file;"):
        read_pages(written(tmp_path / "a.jsonl", {"address": "x"}), ())


def test_long_pages_are_cut_between_paragraphs_where_possible() -> None:
    short, long = "a b c", " ".join(f"w{n}" for n in range(25))
    page = Page("https://a.org/x", f"{short}\n\n{short}\n\n \n\n{long}\n\n{short}", title="T", licence="CC0")
    cut = list(passages(page, 10))
    assert [document.text for document, _ in cut] == [
        f"{short}\n\n{short}",
        " ".join(f"w{n}" for n in range(10)),
        " ".join(f"w{n}" for n in range(10, 20)),
        " ".join(f"w{n}" for n in range(20, 25)),
        short,
    ]
    document, source = cut[0]
    assert (document.doc_id, document.title) == ("https://a.org/x#passage-1", "T")
    assert (source.site, source.post_id, source.url, source.licence) == ("a.org", "", "https://a.org/x", "CC0")
