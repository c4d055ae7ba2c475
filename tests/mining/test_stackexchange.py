"""Dumps are read as they come: with a BOM, with CRLF, with bad rows, cut short."""

import gzip
import itertools
import logging
import resource
from pathlib import Path

import pytest

from interank.errors import InputError
from interank.mining import Counts, Link, Post, dump_folders, read_links, read_posts, threads

SITE = "site.example.com"
HEAD = '\ufeff<?xml version="1.0" encoding="utf-8"?>'


def write(folder: Path, *rows: str, name: str = "Posts", newline: str = "\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    root = name.lower()
    lines = [HEAD, f"<{root}>", *(f"  <row {row} />" for row in rows), f"</{root}>"]
    path = folder / f"{name}.xml"
    path.write_bytes(newline.join(lines).encode())
    return path


def question(post_id: int, more: str = 'Title="T"', created: str = "2020-01-01T00:00:00.000") -> str:
    return f'Id="{post_id}" PostTypeId="1" CreationDate="{created}" Body="&lt;p&gt;Why?&lt;/p&gt;" {more}'


def answer(post_id: int, parent: int, more: str = "") -> str:
    return (
        f'Id="{post_id}" PostTypeId="2" ParentId="{parent}" CreationDate="2020-01-02T00:00:00.000" '
        f'Body="&lt;p&gt;So.&lt;/p&gt;" {more}'
    )


def read(folder: Path, counts: Counts | None = None) -> list[Post]:
    return list(read_posts(folder, SITE, counts))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_field_of_a_question_is_read(tmp_path: Path, newline: str) -> None:
    write(
        tmp_path,
        'Id="7" PostTypeId="1" AcceptedAnswerId="9" CreationDate="2021-05-06T07:08:09.123" Score="-3" '
        'Body="&lt;p&gt;a &amp;amp; b &#x20AC;&#xA;&lt;/p&gt;" OwnerUserId="5" '
        'ClosedDate="2021-06-01T00:00:00" Title="Caf&#xE9; &amp; &quot;tea&quot;" '
        'Tags="&lt;hot&gt;&lt;c++&gt;" ContentLicense="CC BY-SA 4.0"',
        newline=newline,
    )
    write(tmp_path, 'Id="5" DisplayName="Zo\u00eb"', name="Users", newline=newline)
    (post,) = read(tmp_path)
    assert post == Post(
        site=SITE,
        post_id=7,
        kind="question",
        parent_id=None,
        accepted_answer_id=9,
        score=-3,
        title='Caf\u00e9 & "tea"',
        html="<p>a &amp; b \u20ac\n</p>",
        tags=("hot", "c++"),
        author="Zo\u00eb",
        created="2021-05-06T07:08:09.123",
        licence="CC BY-SA 4.0",
        closed=True,
    )
    assert post.url == "https://site.example.com/questions/7"


def test_an_answer_knows_its_question_and_address(tmp_path: Path) -> None:
    write(tmp_path, answer(8, 7, 'Score="2"'))
    (post,) = read(tmp_path)
    assert (post.kind, post.parent_id, post.score, post.title, post.tags) == ("answer", 7, 2, "", ())
    assert post.url == "https://site.example.com/a/8"


def test_tags_between_bars_are_read_too(tmp_path: Path) -> None:
    write(tmp_path, question(1, 'Tags="|hot|cold|"'))
    assert read(tmp_path)[0].tags == ("hot", "cold")


def test_the_author_is_the_name_kept_with_the_post_then_the_users_then_nobody(tmp_path: Path) -> None:
    write(
        tmp_path,
        question(1, 'OwnerDisplayName="gone"'),
        question(2, 'OwnerUserId="5"'),
        question(3, 'OwnerUserId="6"'),
        question(4),
    )
    assert [post.author for post in read(tmp_path)] == ["gone", "", "", ""]
    write(tmp_path, 'Id="5" DisplayName="Ana"', name="Users")
    assert [post.author for post in read(tmp_path)] == ["gone", "Ana", "", ""]


@pytest.mark.parametrize(
    ("created", "licence"),
    [
        ("2011-04-07T23:59:59.999", "CC BY-SA 2.5"),
        ("2011-04-08T00:00:00.000", "CC BY-SA 3.0"),
        ("2018-05-01T23:59:59.999", "CC BY-SA 3.0"),
        ("2018-05-02T00:00:00.000", "CC BY-SA 4.0"),
    ],
)
def test_a_post_without_a_licence_has_its_days_licence(tmp_path: Path, created: str, licence: str) -> None:
    write(tmp_path, question(1, created=created))
    assert read(tmp_path)[0].licence == licence


def test_other_post_types_are_left_out_and_not_faulted(tmp_path: Path) -> None:
    write(tmp_path, 'Id="1" PostTypeId="4" CreationDate="2020-01-01"', question(2), 'Id="3" PostTypeId="7"')
    counts = Counts()
    assert [post.post_id for post in read(tmp_path, counts)] == [2]
    assert counts == Counts(questions=1, other_posts=2)


def test_bad_rows_are_skipped_and_named_by_line_in_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = question(5)
    write(
        tmp_path,
        whole.replace('Id="5" ', "", 1),
        whole.replace("Body", "Text"),
        whole.replace('PostTypeId="1"', ""),
        whole.replace("CreationDate", "Date"),
        question(1_000, 'Score="1_0"'),
        question(6, 'AcceptedAnswerId="x"'),
        whole,
    )
    counts = Counts()
    assert [post.post_id for post in read(tmp_path, counts)] == [5]
    assert counts == Counts(questions=1, skipped_rows=6)
    (record,) = caplog.records
    assert "skipped rows: 6 (line 3: Id is missing; line 4: Body is missing;" in record.getMessage()
    assert "line 7: Score is '1_0', not an integer; ...)" in record.getMessage()


def test_an_id_that_came_before_is_skipped_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, question(1, 'Title="first"'), question(1, 'Title="second"'), answer(1, 1))
    counts = Counts()
    assert [post.title for post in read(tmp_path, counts)] == ["first"]
    assert counts == Counts(questions=1, duplicate_ids=2)
    assert "Id came before: 2" in caplog.text


def test_a_cut_file_gives_what_stood_before_and_says_where_it_stopped(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path, *(question(post_id) for post_id in range(1, 4)))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b'Id="3"') + 20])
    assert [post.post_id for post in read(tmp_path)] == [1, 2]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "cannot be read on after the row in line 4" in record.getMessage()


def test_a_cut_archive_gives_what_could_be_unpacked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path, *(question(post_id) for post_id in range(5_000)))
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    (tmp_path / "Posts.xml.gz").write_bytes(packed[: len(packed) // 2])
    post_ids = [post.post_id for post in read(tmp_path)]
    assert 0 < len(post_ids) < 5_000
    assert post_ids == list(range(len(post_ids)))
    assert f"after the row in line {2 + len(post_ids)} (Compressed file ended" in caplog.text


@pytest.mark.parametrize("content", [b"", b"not XML at all", b"\x00\x01"])
def test_a_file_that_is_no_xml_gives_nothing_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (tmp_path / "Posts.xml").write_bytes(content)
    assert read(tmp_path) == []
    assert "cannot be read on" in caplog.text


def test_compressed_posts_read_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "plain", question(1), answer(2, 1))
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "Posts.xml.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read(tmp_path / "packed") == read(tmp_path / "plain") == read(path)


def nested_entities(names: str, copies: int) -> str:
    """A document type whose last entity holds `copies` to the power of the names before it."""
    nested = (f'<!ENTITY {name} "{copies * f"&{before};"}">' for before, name in itertools.pairwise(names))
    return f'<!DOCTYPE posts [<!ENTITY {names[0]} "ten chars!">{"".join(nested)}]>'


def test_entities_are_refused_before_they_expand(tmp_path: Path) -> None:
    row = question(1, "Title='&e;'")
    (tmp_path / "Posts.xml").write_text(f"{nested_entities('abcde', 2)}<posts><row {row} /></posts>")
    with pytest.raises(InputError, match="document type declaration"):
        read(tmp_path)


def test_an_entity_bomb_is_not_expanded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = question(1, "Title='&j;'")
    (tmp_path / "Posts.xml").write_text(f"{nested_entities('abcdefghij', 10)}<posts>&j;<row {row} /></posts>")
    # Which comes first depends on libxml2, whose recent versions watch the expansion themselves.
    try:
        assert read(tmp_path) == []
        assert "cannot be read on" in caplog.text
    except InputError as error:
        assert "document type declaration" in str(error)


def test_a_file_outside_the_dump_is_not_drawn_in(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "Posts.xml").write_text(
        f'<!DOCTYPE posts [<!ENTITY s SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
        f"<posts><row {question(1)}>&s;</row></posts>"
    )
    with pytest.raises(InputError, match="document type declaration"):
        read(tmp_path)


def test_memory_stays_level_while_rows_pass(tmp_path: Path) -> None:
    long_title = f'Title="{"t" * 10_000}"'
    with (tmp_path / "Posts.xml").open("w") as file:
        file.write("<posts>\n")
        for post_id in range(8_000):
            file.write(f"<row {question(post_id, long_title)} />\n")
        file.write("</posts>")
    # The parser's memory is not Python's, so the process is asked; in kilobytes, and only ever rising.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(len(post.title) for post in read_posts(tmp_path, SITE)) == 80_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_a_missing_file_is_said_before_the_first_post_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found no Posts"):
        read_posts(tmp_path, SITE)
    with pytest.raises(InputError, match="found no Posts"):
        read_posts(tmp_path / "Posts.xml", SITE)


def test_links_are_read_and_other_kinds_and_bad_rows_left_out(tmp_path: Path) -> None:
    assert read_links(tmp_path) == []
    write(
        tmp_path,
        'Id="1" PostId="10" RelatedPostId="20" LinkTypeId="1"',
        'Id="2" PostId="11" RelatedPostId="21" LinkTypeId="3"',
        'Id="3" PostId="12" RelatedPostId="22" LinkTypeId="9"',
        'Id="4" PostId="13" LinkTypeId="1"',
        name="PostLinks",
    )
    counts = Counts()
    assert read_links(tmp_path, counts) == [Link(10, 20, duplicate=False), Link(11, 21, duplicate=True)]
    assert counts.skipped_rows == 1


def test_threads_gather_answers_wherever_they_stand_and_count_orphans(tmp_path: Path) -> None:
    orphan_without_parent = answer(6, 0).replace('ParentId="0"', "")
    write(tmp_path, answer(3, 2), question(2), question(1), answer(4, 2), answer(5, 99), orphan_without_parent)
    counts = Counts()
    found = threads(read_posts(tmp_path, SITE, counts), counts)
    assert [(t.question.post_id, [a.post_id for a in t.answers]) for t in found] == [(2, [3, 4]), (1, [])]
    assert counts == Counts(questions=2, answers=4, orphan_answers=2)


def test_dumps_are_found_themselves_or_one_level_below(tmp_path: Path) -> None:
    for site in ("b.example.com", "a.example.com"):
        write(tmp_path / "all" / site, question(1))
    (tmp_path / "all" / "archives").mkdir()
    write(tmp_path / "c.example.com", question(1))
    found = dump_folders([tmp_path / "c.example.com", tmp_path / "all"])
    assert [(site, folder.name) for site, folder in found] == [
        (site, site) for site in ("a.example.com", "b.example.com", "c.example.com")
    ]


def test_paths_without_a_dump_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found nothing; expected a folder"):
        dump_folders([tmp_path / "absent"])
    with pytest.raises(InputError, match="found neither"):
        dump_folders([tmp_path])
    path = write(tmp_path / "a.example.com", question(1))
    with pytest.raises(InputError, match="found a file"):
        dump_folders([path])
    with pytest.raises(InputError, match="each site once"):
        dump_folders([tmp_path, tmp_path / "a.example.com"])


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("site", "questions", "answers"),
    [
        ("sustainability", 440, 851),
        ("quantumcomputing", 612, 1060),
        ("matheducators", 397, 1507),
        ("coffee", 225, 327),
    ],
)
def test_real_dumps_hold_what_their_readme_says(
    real_data: Path, site: str, questions: int, answers: int, caplog: pytest.LogCaptureFixture
) -> None:
    host = f"{site}.stackexchange.com"
    counts = Counts()
    found = threads(read_posts(real_data / "stackexchange" / host, host, counts), counts)
    assert (counts.questions, counts.answers) == (questions, answers)
    assert len(found) == questions
    assert (counts.skipped_rows, counts.duplicate_ids) == (0, 0)
    assert not caplog.records
