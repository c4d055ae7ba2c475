"""Dumps are read as they come: with a BOM, with CRLF, with bad rows, cut short."""

import gzip
import itertools
import logging
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import py7zr
import pytest

from interank.errors import InputError
from interank.mining import Counts, Post, Table, find_sites, read_rows
from interank.mining.database import Database
from interank.mining.post_values import ChosenPost, PostValues
from interank.mining.stackexchange import post_from
from interank.mining.store import Store, no_users
from interank.settings import MiningRecipe

SITE = "site.example.com"
ANY_LENGTH = MiningRecipe(min_document_words=1)
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / SITE
    made.mkdir()
    return made


@dataclass(frozen=True, slots=True)
class Surveyed:
    """What is known of a site once it is stored."""

    counts: Counts
    drawn: set[int]
    pool: list[int]
    own: dict[int, list[int]]
    linked: dict[int, list[int]]
    posts: list[ChosenPost]


def survey(folder: Path, removed: Collection[int] = ()) -> Surveyed:
    [origin] = find_sites([folder], ANY_LENGTH)
    with TemporaryDirectory() as made:
        place = Path(made)
        no_users(place)
        skipped, others = origin.store(Store(place, origin.site, {origin.site: 0}, ANY_LENGTH))
        database = Database(place, [origin.site], ANY_LENGTH, 1)
        database.remove(0, removed)
        drawn, [counts], _ = database.draw()
        counts.skipped_rows, counts.other_posts = skipped, others
        database.link()
        database._run("INSERT INTO wanted SELECT site, post_id FROM posts EXCEPT FROM wanted")
        kept = PostValues(place / "posts.sqlite")
        database.keep_texts(kept)
        ids = sorted(post_id for (post_id,) in database._connection.execute("SELECT post_id FROM posts").fetchall())
        posts = [ChosenPost(*kept.get(0, post_id)) for post_id in ids]
        asked = database.answers(0)
        own = {one.post_id: list(one.own) for one in asked}
        linked = {one.post_id: [post_id for _, post_id in one.linked] for one in asked}
        found = Surveyed(counts, {one.post_id for one in drawn}, database.pool(0), own, linked, posts)
        database.close()
        kept.close()
    return found


def read(folder: Path) -> list[ChosenPost]:
    return survey(folder).posts


def parsed(folder: Path) -> list[Post | None]:
    return [post_from(row, SITE) for row in read_rows(Table(folder / "Posts.xml"))]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_every_field_of_a_question_is_read(folder: Path, newline: str) -> None:
    write(
        folder,
        'Id="7" PostTypeId="1" AcceptedAnswerId="9" CreationDate="2021-05-06T07:08:09.123" Score="-3" '
        'Body="&lt;p&gt;a &amp;amp; b &#x20AC;&#xA;&lt;/p&gt;" OwnerUserId="5" '
        'ClosedDate="2021-06-01T00:00:00" Title="Caf&#xE9; &amp; &quot;tea&quot;" '
        'Tags="&lt;hot&gt;&lt;c++&gt;" ContentLicense="CC BY-SA 4.0"',
        newline=newline,
    )
    write(folder, 'Id="5" DisplayName="Zo\u00eb"', name="Users", newline=newline)
    (post,) = parsed(folder)
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
        author="",
        owner_id="5",
        created="2021-05-06T07:08:09.123",
        licence="CC BY-SA 4.0",
        closed=True,
    )
    url = "https://site.example.com/questions/7"
    title, html = 'Caf\u00e9 & "tea"', "<p>a &amp; b \u20ac\n</p>"
    assert read(folder) == [ChosenPost(SITE, 7, 7, title, html, "Zo\u00eb", "CC BY-SA 4.0", url, False)]


def test_an_answer_knows_its_question_and_address(folder: Path) -> None:
    write(folder, answer(8, 7, 'Score="2"'))
    (post,) = parsed(folder)
    assert post
    assert (post.kind, post.parent_id, post.score, post.title, post.tags) == ("answer", 7, 2, "", ())
    assert post.url == "https://site.example.com/a/8"


def test_tags_between_bars_are_read_too(folder: Path) -> None:
    write(folder, question(1, 'Tags="|hot|cold|"'))
    (post,) = parsed(folder)
    assert post
    assert post.tags == ("hot", "cold")


def test_the_author_is_the_name_kept_with_the_post_then_the_users_then_nobody(folder: Path) -> None:
    write(
        folder,
        question(1, 'OwnerDisplayName="gone"'),
        question(2, 'OwnerUserId="5"'),
        question(3, 'OwnerUserId="6"'),
        question(4),
    )
    assert [post.author for post in read(folder)] == ["gone", "", "", ""]
    write(folder, 'Id="5" DisplayName="Ana"', name="Users")
    assert [post.author for post in read(folder)] == ["gone", "Ana", "", ""]


@pytest.mark.parametrize(
    ("created", "licence"),
    [
        ("2011-04-07T23:59:59.999", "CC BY-SA 2.5"),
        ("2011-04-08T00:00:00.000", "CC BY-SA 3.0"),
        ("2018-05-01T23:59:59.999", "CC BY-SA 3.0"),
        ("2018-05-02T00:00:00.000", "CC BY-SA 4.0"),
    ],
)
def test_a_post_without_a_licence_has_its_days_licence(folder: Path, created: str, licence: str) -> None:
    write(folder, question(1, created=created))
    assert read(folder)[0].licence == licence


def test_other_post_types_are_left_out_and_not_faulted(folder: Path) -> None:
    write(folder, 'Id="1" PostTypeId="4" CreationDate="2020-01-01"', question(2), 'Id="3" PostTypeId="7"')
    assert [post.post_id for post in read(folder)] == [2]
    assert survey(folder).counts == Counts(questions=1, other_posts=2, few_answers_questions=1)


def test_bad_rows_are_skipped_and_named_by_line_in_one_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = question(5)
    write(
        folder,
        whole.replace('Id="5" ', "", 1),
        whole.replace("Body", "Text"),
        whole.replace('PostTypeId="1"', ""),
        whole.replace("CreationDate", "Date"),
        question(1_000, 'Score="1_0"'),
        question(6, 'AcceptedAnswerId="x"'),
        whole,
    )
    assert survey(folder).counts == Counts(questions=1, skipped_rows=6, few_answers_questions=1)
    (record,) = caplog.records
    assert "skipped rows: 6 (line 3: Id is missing; line 4: Body is missing;" in record.getMessage()
    assert "line 7: Score is '1_0', not an integer; ...)" in record.getMessage()
    assert [post.post_id for post in read(folder)] == [5]


def test_an_id_that_came_before_is_skipped_and_counted(folder: Path) -> None:
    write(folder, question(1, 'Title="first"'), question(1, 'Title="second"'), answer(1, 1))
    assert [post.title for post in read(folder)] == ["first"]
    assert survey(folder).counts == Counts(questions=1, duplicate_ids=2, few_answers_questions=1)


def test_a_cut_file_gives_what_stood_before_and_says_where_it_stopped(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(folder, *(question(post_id) for post_id in range(1, 4)))
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b'Id="3"') + 20])
    assert [post.post_id for post in read(folder)] == [1, 2]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "cannot be read beyond the row in line 4" in record.getMessage()


def test_a_cut_archive_gives_what_could_be_unpacked(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(folder, *(question(post_id) for post_id in range(5_000)))
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    (folder / "Posts.xml.gz").write_bytes(packed[: len(packed) // 2])
    post_ids = [post.post_id for post in read(folder)]
    assert 0 < len(post_ids) < 5_000
    assert post_ids == list(range(len(post_ids)))
    assert f"beyond the row in line {2 + len(post_ids)} (Compressed file ended" in caplog.text


@pytest.mark.parametrize("content", [b"", b"not XML at all", b"\x00\x01"])
def test_a_file_that_is_no_xml_gives_nothing_and_says_so(
    folder: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    (folder / "Posts.xml").write_bytes(content)
    assert read(folder) == []
    assert "cannot be read beyond" in caplog.text


def test_compressed_posts_read_the_same(folder: Path) -> None:
    path = write(folder, question(1), answer(2, 1))
    plain = read(folder)
    (folder / "Posts.xml.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert len(plain) == 2
    assert read(folder) == plain


def nested_entities(names: str, copies: int) -> str:
    """A document type whose last entity holds `copies` to the power of the names before it."""
    nested = (f'<!ENTITY {name} "{copies * f"&{before};"}">' for before, name in itertools.pairwise(names))
    return f'<!DOCTYPE posts [<!ENTITY {names[0]} "ten chars!">{"".join(nested)}]>'


def test_entities_are_refused_before_they_expand(folder: Path) -> None:
    row = question(1, "Title='&e;'")
    (folder / "Posts.xml").write_text(f"{nested_entities('abcde', 2)}<posts><row {row} /></posts>")
    with pytest.raises(InputError, match="document type"):
        read(folder)


def test_an_entity_bomb_is_not_expanded(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = question(1, "Title='&j;'")
    (folder / "Posts.xml").write_text(f"{nested_entities('abcdefghij', 10)}<posts>&j;<row {row} /></posts>")
    # Which comes first depends on libxml2, whose recent versions watch the expansion themselves.
    try:
        assert read(folder) == []
        assert "cannot be read beyond" in caplog.text
    except InputError as error:
        assert "document type" in str(error)


def test_a_file_outside_the_dump_is_not_drawn_in(folder: Path) -> None:
    (folder / "secret").write_text("secret")
    (folder / "Posts.xml").write_text(
        f'<!DOCTYPE posts [<!ENTITY s SYSTEM "{(folder / "secret").as_uri()}">]>'
        f"<posts><row {question(1)}>&s;</row></posts>"
    )
    with pytest.raises(InputError, match="document type"):
        read(folder)


# The parser's memory is not Python's, so the process is asked, in kilobytes; what it once had, it is told of for ever.
READ = """
import resource, sys
from pathlib import Path
from interank.mining import Table, read_rows
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read = sum(len(row.attributes["Title"]) for row in read_rows(Table(Path(sys.argv[1]))))
print(read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_stays_level_while_rows_pass(tmp_path: Path) -> None:
    long_title = f'Title="{"t" * 10_000}"'
    with (tmp_path / "Posts.xml").open("w") as file:
        file.write("<posts>\n")
        for post_id in range(8_000):
            file.write(f"<row {question(post_id, long_title)} />\n")
        file.write("</posts>")
    done = subprocess.run([sys.executable, "-c", READ, str(tmp_path / "Posts.xml")], capture_output=True, check=True)
    read, kilobytes = map(int, done.stdout.split())
    assert read == 80_000_000
    assert kilobytes < 20_000


def test_links_bind_threads_and_other_kinds_and_bad_rows_are_left_out(folder: Path) -> None:
    write(folder, *(row for post_id in (10, 20, 30, 40) for row in (question(post_id), answer(post_id + 1, post_id))))
    assert survey(folder).linked[10] == []
    write(
        folder,
        'Id="1" PostId="11" RelatedPostId="20" LinkTypeId="1"',
        'Id="2" PostId="30" RelatedPostId="10" LinkTypeId="3"',
        'Id="3" PostId="10" RelatedPostId="40" LinkTypeId="9"',
        'Id="4" PostId="40" LinkTypeId="1"',
        name="PostLinks",
    )
    found = survey(folder)
    assert found.linked == {10: [31, 21], 20: [11], 30: [11], 40: []}
    assert found.counts.skipped_rows == 1


def test_links_in_comments_bind_threads(folder: Path) -> None:
    write(folder, *(row for post_id in (10, 20, 30) for row in (question(post_id), answer(post_id + 1, post_id))))
    write(
        folder,
        f'Id="1" PostId="10" Text="see https://{SITE}/q/20/5 and https://else.example.com/q/30"',
        name="Comments",
    )
    assert survey(folder).linked[10] == [21]


def test_threads_gather_answers_wherever_they_stand_and_count_orphans(folder: Path) -> None:
    orphan_without_parent = answer(6, 0).replace('ParentId="0"', "")
    accepted = question(2, 'AcceptedAnswerId="8"')
    rows = [answer(3, 2), accepted, question(1), answer(4, 2, 'Score="3"'), answer(5, 99), answer(8, 2)]
    write(folder, *rows, orphan_without_parent)
    found = survey(folder)
    assert found.own == {2: [8, 4, 3]}
    assert (found.drawn, found.pool) == ({2}, [3, 4, 8])
    assert found.counts == Counts(questions=2, answers=5, orphan_answers=2, few_answers_questions=1)


def test_a_removed_question_takes_its_thread_along(folder: Path) -> None:
    write(folder, question(1), answer(2, 1), question(3), answer(4, 3))
    found = survey(folder, removed={1})
    assert (found.drawn, found.pool) == ({3}, [4])
    assert (found.counts.questions, found.counts.answers) == (2, 2)


def pack(path: Path, **members: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with py7zr.SevenZipFile(path, "w") as archive:
        for name, file in members.items():
            archive.write(file, f"{name}.xml")
    return path


def test_sites_are_found_as_folders_and_archives_themselves_or_one_level_below(tmp_path: Path) -> None:
    for site in ("b.example.com", "a.example.com"):
        write(tmp_path / "all" / site, question(1))
    (tmp_path / "all" / "empty").mkdir()
    loose = write(tmp_path / "c.example.com", question(1))
    pack(tmp_path / "all" / "d.example.com.7z", Posts=loose)
    pack(tmp_path / "all" / "e.example.com-Posts.7z", Posts=loose)
    pack(tmp_path / "all" / "e.example.com-Users.7z", Users=loose)
    found = find_sites([tmp_path / "c.example.com", tmp_path / "all"], ANY_LENGTH)
    assert [origin.site for origin in found] == [f"{letter}.example.com" for letter in "abcde"]
    assert [origin.site for origin in find_sites([tmp_path / "all" / "d.example.com.7z"], ANY_LENGTH)] == [
        "d.example.com"
    ]


def test_an_archive_reads_as_its_folder_does(tmp_path: Path) -> None:
    folder = tmp_path / SITE
    posts = write(folder, *(question(post_id, 'OwnerUserId="5"') for post_id in range(1, 400)))
    users = write(folder, 'Id="5" DisplayName="Ana"', name="Users")
    archive = pack(tmp_path / "packed" / f"{SITE}.7z", Badges=users, Posts=posts, Users=users)
    assert read(archive) == read(folder)
    assert read(archive)[0].author == "Ana"


def test_excluded_sites_are_left_out(tmp_path: Path) -> None:
    for site in ("coffee.stackexchange.com", "biology.stackexchange.com"):
        write(tmp_path / site, question(1))
    assert len(find_sites([tmp_path], MiningRecipe())) == 2
    left = find_sites([tmp_path], MiningRecipe(exclude_sites=("bright",)))
    assert [origin.site for origin in left] == ["coffee.stackexchange.com"]
    with pytest.raises(InputError, match=r"exclude_sites .*biology.*coffee"):
        find_sites([tmp_path], MiningRecipe(exclude_sites=("bright", "coffee.stackexchange.com")))


def test_paths_without_a_dump_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="StackExchange dump"):
        find_sites([tmp_path / "absent"], ANY_LENGTH)
    with pytest.raises(InputError, match=r"no Posts\.xml"):
        find_sites([tmp_path], ANY_LENGTH)
    path = write(tmp_path / "a.example.com", question(1))
    with pytest.raises(InputError, match=r"\.xml"):
        find_sites([path], ANY_LENGTH)
    with pytest.raises(InputError, match="twice"):
        find_sites([tmp_path, tmp_path / "a.example.com"], ANY_LENGTH)
    pack(tmp_path / "a.example.com.7z", Posts=path)
    with pytest.raises(InputError, match="twice"):
        find_sites([tmp_path], ANY_LENGTH)


@pytest.mark.parametrize("left", [0, 10, 40, -1])
def test_a_cut_archive_cannot_be_opened_and_says_so(tmp_path: Path, left: int) -> None:
    posts = write(tmp_path / SITE, *(question(post_id) for post_id in range(400)))
    archive = pack(tmp_path / "packed" / f"{SITE}.7z", Posts=posts)
    archive.write_bytes(archive.read_bytes()[:left])
    with pytest.raises(InputError, match=r"7z archive"):
        find_sites([archive], ANY_LENGTH)


def test_an_archive_with_damaged_data_gives_what_came_before(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    random = Random(1)
    rows = (question(post_id, f'Title="{random.getrandbits(4096):x}"') for post_id in range(4_000))
    archive = pack(tmp_path / "packed" / f"{SITE}.7z", Posts=write(tmp_path / SITE, *rows))
    data = bytearray(archive.read_bytes())
    data[len(data) * 3 // 4] ^= 0xFF
    archive.write_bytes(data)
    found = read(archive)
    assert 0 < len(found) <= 4_000
    assert [post.post_id for post in found] == list(range(len(found)))
    assert "cannot be read beyond the row in line" in caplog.text


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("dump", "questions", "answers"),
    [
        ("sustainability.stackexchange.com", 440, 851),
        ("quantumcomputing.stackexchange.com", 612, 1060),
        ("matheducators.stackexchange.com", 397, 1507),
        ("coffee.stackexchange.com", 225, 327),
        ("archives/meta.avp.stackexchange.com.7z", 132, 247),
    ],
)
def test_real_dumps_hold_what_their_readme_says(
    real_data: Path, dump: str, questions: int, answers: int, caplog: pytest.LogCaptureFixture
) -> None:
    counts = survey(real_data / "stackexchange" / dump).counts
    assert (counts.questions, counts.answers) == (questions, answers)
    assert (counts.skipped_rows, counts.duplicate_ids) == (0, 0)
    assert not caplog.records
