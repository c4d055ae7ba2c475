"""Questions get their answers, their neighbours' and wrong ones, the same each time."""

import json
from collections import Counter
from collections.abc import Iterable
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from interank.errors import InputError
from interank.mining import Item, MiningResult, choosing, mine, mine_in, sites
from interank.mining.processes import parallel_map
from interank.mining.store import Store
from interank.resources import resource_dir
from interank.settings import DocumentsRecipe, MiningRecipe
from interank.types import Pair, Source

SHORT = MiningRecipe(min_document_words=1)


def short(**changed: object) -> MiningRecipe:
    """The settings for short texts with some changed."""
    return SHORT.model_copy(update=changed)


def question(post_id: int, words: str, more: str = "") -> str:
    body = escape(f"<p>{words}</p>")
    return (
        f'<row Id="{post_id}" PostTypeId="1" CreationDate="2019-01-01T00:00:00" Title="About {post_id}" '
        f'Score="1" Body="{body}" {more} />'
    )


def answer(post_id: int, parent: int, words: str, score: int = 1, more: str = "") -> str:
    body = escape(f"<p>{words}</p>")
    return (
        f'<row Id="{post_id}" PostTypeId="2" ParentId="{parent}" CreationDate="2019-01-01T00:00:00" '
        f'Score="{score}" Body="{body}" OwnerDisplayName="writer {post_id}" {more} />'
    )


def dump(folder: Path, *rows: str, links: Iterable[tuple[int, int, int]] = ()) -> Path:
    folder.mkdir(parents=True)
    (folder / "Posts.xml").write_text(f"<posts>{''.join(rows)}</posts>")
    joined = "".join(f'<row PostId="{a}" RelatedPostId="{b}" LinkTypeId="{kind}" />' for a, b, kind in links)
    (folder / "PostLinks.xml").write_text(f"<postlinks>{joined}</postlinks>")
    return folder


def made_dump(folder: Path, questions: int = 30, ask: str = "what is it") -> Path:
    """Question n, id 10 n, has answers 10 n + 1 to 3 and shares a word with its neighbours."""
    rows = []
    for n in range(1, questions + 1):
        rows.append(question(10 * n, f"topic{n} topic{n + 1} {ask}", f'AcceptedAnswerId="{10 * n + 2}"'))
        rows += [answer(10 * n + k, 10 * n, f"topic{n} word{n}{k} other{n}{k}", score=5 - k) for k in (1, 2, 3)]
    return dump(folder, *rows)


def origins_of(mined: MiningResult, query_id: str) -> list[tuple[str, str]]:
    return [(pair.origin, pair.source.post_id) for pair in mined.pairs if pair.query.query_id == query_id]


def test_a_pair_says_what_it_is_and_where_it_is_from(tmp_path: Path) -> None:
    folder = dump(
        tmp_path / "s.example.com",
        question(1, "why is <em>tea</em> hot"),
        answer(2, 1, "boiled"),
        question(3, "x"),
        answer(4, 3, "y"),
    )
    pair = mine([folder], SHORT, 1).pairs[0]
    assert pair.query.query_id == "s.example.com/1"
    assert pair.query.text == "About 1\nwhy is tea hot"
    assert (pair.document.doc_id, pair.document.text) == ("s.example.com/2", "boiled")
    assert pair.origin == "accepted_answer"
    assert pair.source == Source("s.example.com", "2", "https://s.example.com/a/2", "writer 2", "CC BY-SA 4.0")


def test_documents_are_accepted_other_linked_then_hard_and_random_negatives(tmp_path: Path) -> None:
    made = made_dump(tmp_path / "s.example.com")
    (made / "PostLinks.xml").write_text('<p><row PostId="90" RelatedPostId="50" LinkTypeId="1" /></p>')
    mined = mine([made], short(documents_per_question=7), 1)
    found = origins_of(mined, "s.example.com/50")
    assert [origin for origin, _ in found] == [
        "accepted_answer",
        "answer",
        "linked_answer",
        "hard_negative",
        "hard_negative",
        "random_negative",
        "random_negative",
    ]
    assert found[:3] == [("accepted_answer", "52"), ("answer", "51"), ("linked_answer", "92")]
    assert {post_id[0] for _, post_id in found[3:5]} == {"6"}, "they share topic6 with the question"
    assert len(set(found)) == 7


@pytest.mark.parametrize(
    ("wanted", "origins"),
    [
        (2, ["accepted_answer", "hard_negative"]),
        (3, ["accepted_answer", "answer", "hard_negative"]),
        (4, ["accepted_answer", "answer", "hard_negative", "random_negative"]),
        (5, ["accepted_answer", "answer", "hard_negative", "hard_negative", "random_negative"]),
    ],
)
def test_however_few_documents_one_is_a_negative(tmp_path: Path, wanted: int, origins: list[str]) -> None:
    mined = mine([made_dump(tmp_path / "s.example.com")], short(documents_per_question=wanted), 1)
    assert [origin for origin, _ in origins_of(mined, "s.example.com/50")] == origins


def test_the_best_voted_answer_stands_in_for_an_accepted_one(tmp_path: Path) -> None:
    rows = [
        question(1, "tea"),
        answer(2, 1, "a", 3),
        answer(3, 1, "b", 9),
        question(4, "x"),
        answer(5, 4, "y"),
    ]
    mined = mine([dump(tmp_path / "s.example.com", *rows)], SHORT, 1)
    assert origins_of(mined, "s.example.com/1")[:2] == [("accepted_answer", "3"), ("answer", "2")]


@pytest.mark.parametrize(
    ("kinds", "best"),
    [([1, 1], "7"), ([3, 1], "5"), ([], "7")],
    ids=["by votes", "duplicates first", "links in bodies"],
)
def test_linked_questions_give_their_best_answer_and_no_negative(tmp_path: Path, kinds: list[int], best: str) -> None:
    in_body = '<a href="https://s.example.com/a/5/9">a</a> <a href="/questions/6/x">b</a>'
    rows = [
        question(1, "tea " + ("" if kinds else in_body)),
        answer(2, 1, "tea is"),
        question(4, "green tea"),
        answer(5, 4, "tea green", 3),
        question(6, "black tea"),
        answer(7, 6, "tea black", 8),
        answer(8, 6, "tea milk", 2),
        question(9, "x"),
        answer(10, 9, "stones"),
    ]
    links = [(related, 1, kind) for related, kind in zip((4, 6), kinds, strict=False)]
    mined = mine(
        [dump(tmp_path / "s.example.com", *rows, links=links)],
        short(documents_per_question=9),
        1,
    )
    assert origins_of(mined, "s.example.com/1") == [
        ("accepted_answer", "2"),
        ("linked_answer", best),
        ("random_negative", "10"),
    ]


def test_a_repeated_answer_is_no_negative(tmp_path: Path) -> None:
    words = " ".join(f"w{n}" for n in range(20))
    rows = [
        question(1, "w1 w2"),
        answer(2, 1, words),
        question(3, "w3"),
        answer(4, 3, f"{words} more"),
        question(5, "x"),
        answer(6, 5, "w1 stones"),
        answer(7, 5, "grass"),
    ]
    mined = mine([dump(tmp_path / "s.example.com", *rows)], short(documents_per_question=9), 1)
    assert origins_of(mined, "s.example.com/1") == [
        ("accepted_answer", "2"),
        ("hard_negative", "6"),
        ("random_negative", "7"),
    ]


def test_hard_negatives_are_found_by_the_stems_of_a_language(tmp_path: Path) -> None:
    rows = [question(1, "Haus"), answer(2, 1, "leer"), question(3, "x"), answer(4, 3, "Alte H\u00e4user")]
    folder = dump(tmp_path / "s.example.com", *rows, question(5, "y"), answer(6, 5, "Eule"))
    for language, origin in (("german", "hard_negative"), (None, "random_negative")):
        mined = mine([folder], short(documents_per_question=9, language=language), 1)
        assert (origin, "4") in origins_of(mined, "s.example.com/1")


def test_settings_leave_questions_and_answers_out(tmp_path: Path) -> None:
    rows = [
        question(1, "closed", 'ClosedDate="2020-01-01"'),
        answer(2, 1, "one two three"),
        question(3, "low").replace('Score="1"', 'Score="-1"'),
        answer(4, 3, "four five six"),
        question(5, "short answer"),
        answer(6, 5, "brief"),
        question(7, "fine"),
        answer(8, 7, "seven eight nine"),
        answer(9, 7, "ten eleven twelve"),
        question(10, "unanswered"),
        answer(11, 99, "an orphan says nothing"),
    ]
    folder = dump(tmp_path / "s.example.com", *rows)

    def taken(settings: MiningRecipe) -> list[str]:
        mined = mine([folder], settings.model_copy(update={"min_document_words": 3}), 1)
        assert not {"6", "11"} & {pair.source.post_id for pair in mined.pairs}
        return [query_id.rpartition("/")[2] for query_id, _ in groupby(p.query.query_id for p in mined.pairs)]

    assert taken(MiningRecipe()) == ["7"]
    assert taken(MiningRecipe(include_closed=True)) == ["1", "7"]
    assert taken(MiningRecipe(min_question_score=-1)) == ["3", "7"]
    assert taken(MiningRecipe(min_question_score=-1, include_closed=True, min_answers=2)) == ["7"]


def test_counts_tell_what_was_met(tmp_path: Path) -> None:
    rows = [
        question(1, "tea"),
        answer(2, 1, "hot"),
        question(3, "x"),
        answer(4, 3, "y"),
        answer(4, 3, "again"),
        answer(5, 99, "orphan"),
        '<row Id="6" PostTypeId="2" />',
        '<row Id="7" PostTypeId="5" />',
        question(8, "unanswered"),
    ]
    mined = mine([dump(tmp_path / "s.example.com", *rows)], SHORT, 1)
    assert mined.counts == {
        "s.example.com": {
            "questions": 3,
            "answers": 3,
            "other_posts": 1,
            "duplicate_ids": 1,
            "orphan_answers": 1,
            "skipped_rows": 1,
            "unfit_questions": 0,
            "few_answers_questions": 1,
            "short_answers_questions": 0,
            "declined_questions": 0,
            "undrawn_questions": 0,
            "unpaired_questions": 0,
            "repeated_questions": 0,
            "chosen_questions": 2,
            "pairs": 4,
        }
    }


def split_of(pairs: Iterable[Pair]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for pair in pairs:
        assert splits.setdefault(pair.query.query_id, pair.split) == pair.split
    return splits


def test_pairs_are_in_order_and_the_same_each_time_but_not_for_each_seed(tmp_path: Path) -> None:
    made_dump(tmp_path / "b.example.com", ask="how would one do that")
    made_dump(tmp_path / "a.example.com")
    settings = short(questions=20)
    mined = mine([tmp_path], settings, 1)
    assert mined == mine([tmp_path / "b.example.com", tmp_path / "a.example.com"], settings, 1)
    assert mined.pairs != mine([tmp_path], settings, 2).pairs
    keys = [(pair.source.site, int(pair.query.query_id.rpartition("/")[2])) for pair in mined.pairs]
    assert keys == sorted(keys)
    assert len(set(keys)) == 20
    assert {site for site, _ in keys} == {"a.example.com", "b.example.com"}


def test_a_site_does_not_depend_on_the_others(tmp_path: Path) -> None:
    alone = made_dump(tmp_path / "b.example.com", ask="how would one do that")
    made_dump(tmp_path / "a.example.com")
    together = mine([tmp_path], SHORT, 1)
    by_itself = mine([alone], SHORT, 1)
    assert [pair for pair in together.pairs if pair.source.site == "b.example.com"] == by_itself.pairs
    assert together.counts["b.example.com"] == by_itself.counts["b.example.com"]


def test_a_smaller_sample_is_part_of_a_larger_one(tmp_path: Path) -> None:
    folder = made_dump(tmp_path / "s.example.com")
    small, large = (
        {(pair.query.query_id, pair.document.doc_id) for pair in mine([folder], settings, 1).pairs}
        for settings in (short(questions=5), short(questions=15))
    )
    assert small < large


def test_a_question_that_was_asked_elsewhere_too_is_taken_once(tmp_path: Path) -> None:
    words = "how hot should water be for green tea that was picked in early spring and dried over a wood fire"
    for site, edited in (("a", words), ("b", f"{words} please"), ("c", "how cold is a stone in the deep sea")):
        rows = [question(1, edited), answer(2, 1, "hot"), question(3, f"x {site}"), answer(4, 3, "y")]
        dump(tmp_path / f"{site}.example.com", *rows)
    mined = mine([tmp_path], short(validation_share=0.5), 1)
    taken = split_of(mined.pairs)
    assert len(taken) == 5
    assert len(taken.keys() & {"a.example.com/1", "b.example.com/1"}) == 1
    assert Counter(taken.values()).keys() == {"train", "validation"}
    assert sum(counts["repeated_questions"] for counts in mined.counts.values()) == 1
    small = mine([tmp_path], short(questions=3), 1).pairs
    assert split_of(small).keys() < taken.keys()


@pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (0.1, 3), (0.5, 15), (0.001, 1)])
def test_whole_questions_are_kept_for_validation(tmp_path: Path, share: float, kept: int) -> None:
    mined = mine([made_dump(tmp_path / "s.example.com")], short(validation_share=share), 1)
    splits = Counter(split_of(mined.pairs).values())
    assert splits == Counter(train=30 - kept, validation=kept)


def test_nothing_to_take_is_an_error(tmp_path: Path) -> None:
    lonely = dump(tmp_path / "a.example.com", question(1, "tea"), answer(2, 1, "hot"))
    with pytest.raises(InputError, match="none of 1 question of 1 site "):
        mine([lonely], SHORT, 1)
    with pytest.raises(InputError, match="min_question_score"):
        mine([made_dump(tmp_path / "b.example.com")], short(min_question_score=99), 1)


def test_the_sample_dump_is_mined() -> None:
    mined = mine([resource_dir("data") / "stackexchange"], MiningRecipe(), 42)
    counts = mined.counts["sample.example.com"]
    assert (counts["questions"], counts["answers"], counts["skipped_rows"]) == (83, 174, 0)
    assert {pair.origin for pair in mined.pairs} == {
        "accepted_answer",
        "answer",
        "linked_answer",
        "hard_negative",
        "random_negative",
    }


def test_counts_of_each_origin_can_be_given(tmp_path: Path) -> None:
    wanted = DocumentsRecipe(answer=0, low_answer=2, linked_answer=0, hard_negative=0, random_negative=2)
    mined = mine([made_dump(tmp_path / "s.example.com")], short(documents=wanted), 1)
    found = origins_of(mined, "s.example.com/50")
    assert found[:3] == [("accepted_answer", "52"), ("low_answer", "53"), ("low_answer", "51")]
    assert [origin for origin, _ in found[3:]] == ["random_negative"] * 2
    none = DocumentsRecipe(hard_negative=0, random_negative=0)
    mined = mine([made_dump(tmp_path / "t.example.com")], short(documents=none), 1)
    assert origins_of(mined, "t.example.com/50") == [("accepted_answer", "52"), ("answer", "51")]


def test_tags_lengths_and_quotas_choose_questions(tmp_path: Path) -> None:
    rows = [
        question(1, "tea hot", 'Tags="&lt;tea&gt;&lt;hot&gt;"'),
        question(2, "coffee is much longer than that", 'Tags="|coffee|hot|"'),
        question(3, "none"),
        *(answer(10 + n, n, f"word{n}") for n in (1, 2, 3)),
    ]
    folder = dump(tmp_path / "s.example.com", *rows)

    def taken(**changed: object) -> list[str]:
        mined = mine([folder], SHORT.model_copy(update=changed), 1)
        return sorted({pair.query.query_id.rpartition("/")[2] for pair in mined.pairs})

    assert taken(tags=("hot",)) == ["1", "2"]
    assert taken(exclude_tags=("coffee", "cold")) == ["1", "3"]
    assert taken(tags=("hot",), exclude_tags=("tea",)) == ["2"]
    assert taken(min_question_words=2) == ["1", "2"]
    assert taken(max_question_words=2) == ["1", "3"]
    assert len(taken(questions_per_site=2)) == 2


def test_a_sites_quota_leaves_room_for_others(tmp_path: Path) -> None:
    made_dump(tmp_path / "a.example.com")
    made_dump(tmp_path / "b.example.com", questions=8, ask="how would one do that")
    mined = mine([tmp_path], short(questions=12, questions_per_site=5), 1)
    sizes = Counter(query_id.partition("/")[0] for query_id in split_of(mined.pairs))
    assert sizes == {"a.example.com": 5, "b.example.com": 5}


def test_links_to_other_sites_of_the_run_are_followed(tmp_path: Path) -> None:
    rows = [question(1, "tea"), answer(2, 1, '<a href="https://b.example.com/q/7/x">there</a>'), question(3, "x")]
    one = dump(tmp_path / "a.example.com", *rows, answer(4, 3, "stones"))
    other = dump(tmp_path / "b.example.com", question(7, "green"), answer(8, 7, "leaves"), answer(9, 7, "bags", 5))
    linked = ("linked_answer", "9")
    assert linked in origins_of(mine([one, other], SHORT, 1), "a.example.com/1")
    assert linked not in origins_of(mine([one], SHORT, 1), "a.example.com/1")


def test_pages_that_answers_link_to_become_documents(tmp_path: Path) -> None:
    link = '<a href="https://www.leaf.org/tea#top">that</a>'
    rows = [question(1, "why green tea"), answer(2, 1, link), question(3, "x"), answer(4, 3, "stones")]
    folder = dump(tmp_path / "s.example.com", *rows)
    text = f"{'filler ' * 30}\n\n{'green tea ' * 15}"
    (tmp_path / "pages.jsonl").write_text(json.dumps({"url": "http://leaf.org/tea", "text": text, "author": "Bo"}))
    mined = mine([folder], short(pages=tmp_path / "pages.jsonl", passage_words=30), 1)
    [pair] = [pair for pair in mined.pairs if pair.origin == "page"]
    assert (pair.query.query_id, pair.document.doc_id) == ("s.example.com/1", "http://leaf.org/tea#passage-2")
    assert pair.source == Source("leaf.org", "", "http://leaf.org/tea", "Bo", "")


def test_pairs_do_not_depend_on_the_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made_dump(tmp_path / "s.example.com", questions=150)
    alone = mine([folder], short(processes=1), 1)
    shares: list[int] = []

    def counted(work: Any, things: Any, processes: int) -> Any:
        shares.append(processes)
        return parallel_map(work, things, processes)

    monkeypatch.setattr(choosing, "_WORTH", 0)
    monkeypatch.setattr(choosing, "parallel_map", counted)
    assert mine([folder], short(processes=2), 1) == alone
    assert shares == [2, 2, 2], "the pool, the choice and the texts"


def test_a_mining_that_was_killed_goes_on_with_the_sites_that_it_had_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [made_dump(tmp_path / "a.example.com"), made_dump(tmp_path / "b.example.com", ask="how is it")]
    whole = mine(paths, SHORT, 7)
    folder = tmp_path / "rows"
    folder.mkdir()
    read: list[str] = []
    plain = sites._DumpPosts.store

    def torn(origin: Any, store: Store) -> tuple[int, int]:
        read.append(origin.site)
        if origin.site == "b.example.com":
            (store.folder / "posts-00001-2-00000000.parquet").write_bytes(b"half")
            raise KeyboardInterrupt
        return plain(origin, store)

    def told(origin: Any, store: Store) -> tuple[int, int]:
        read.append(origin.site)
        return plain(origin, store)

    monkeypatch.setattr(sites._DumpPosts, "store", torn)
    with pytest.raises(KeyboardInterrupt):
        mine_in(folder, paths, SHORT, 7)
    monkeypatch.setattr(sites._DumpPosts, "store", told)
    for _ in range(2):
        mined = mine_in(folder, paths, SHORT, 7)
        assert list(mined.pairs) == whole.pairs
        assert mined.counts == whole.counts
    assert read == ["a.example.com", "b.example.com", "b.example.com"]


def test_negatives_come_from_a_pool_where_the_site_is_large(tmp_path: Path) -> None:
    folder = made_dump(tmp_path / "s.example.com")
    mined = mine([folder], short(negative_pool=12), 1)
    assert mined == mine([folder], short(negative_pool=12), 1)
    negatives = {pair.document.doc_id for pair in mined.pairs if pair.origin.endswith("negative")}
    assert 3 < len(negatives) <= 12


def test_what_is_contaminated_is_left_out_with_its_thread_and_replaced(tmp_path: Path) -> None:
    folder = made_dump(tmp_path / "s.example.com")
    before = mine([folder], short(questions=10), 1)
    query_id = before.pairs[0].query.query_id
    doc_id = next(p.document.doc_id for p in before.pairs if p.query.query_id != query_id and p.origin == "answer")
    seen: list[Item] = []

    def contaminated(items: Iterable[Item]) -> set[str]:
        told = list(items)
        seen.extend(told)
        return {item.item_id for item in told} & {query_id, doc_id}

    after = mine([folder], short(questions=10), 1, contaminated=contaminated)
    used = {pair.query.query_id for pair in after.pairs} | {pair.document.doc_id for pair in after.pairs}
    assert not used & {query_id, doc_id}
    thread = query_id.rpartition("/")[2]
    assert not [pair for pair in after.pairs if pair.source.post_id[:-1] == thread[:-1]]
    assert len(split_of(after.pairs)) == 10
    assert Counter(p.query.query_id for p in after.pairs).keys() == split_of(after.pairs).keys()
    assert set(Counter(p.query.query_id for p in after.pairs).values()) == {5}
    assert after.counts["s.example.com"]["contaminated_questions"] == 1
    questions = [item for item in seen if item.kind == "question"]
    assert len(questions) == 30, "every question of the site is shown, chosen or not"
    assert questions[0] == Item(
        "s.example.com/10", "question", "s.example.com", "10", "10", "https://s.example.com/questions/10",
        "About 10\n topic1 topic2 what is it ",
    )  # fmt: skip
    documents = {item.item_id for item in seen if item.kind == "document"}
    assert {pair.document.doc_id for pair in after.pairs} <= documents


@pytest.mark.parametrize(
    ("faulty", "message"),
    [
        ({"questions": 0}, "greater than or equal to 1"),
        ({"min_question_words": 5, "max_question_words": 4}, "less than min_question_words"),
        ({"tags": ["a", "b"], "exclude_tags": ["b"]}, "both name b"),
        (
            {"documents": {"accepted_answer": 0, "answer": 0, "linked_answer": 0}},
            "no origin of relevant documents",
        ),
        ({"documents": {"accepted_answer": 2}}, "less than or equal to 1"),
        ({"passage_words": 5}, "greater than or equal to 20"),
    ],
)
def test_settings_that_cannot_be_met_are_refused(faulty: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MiningRecipe.model_validate(faulty)


@pytest.mark.real_data
def test_real_dumps_give_each_question_five_documents(real_data: Path) -> None:
    folders = [real_data / "stackexchange" / f"{site}.stackexchange.com" for site in ("coffee", "sustainability")]
    folders.append(real_data / "stackexchange" / "archives")
    settings = MiningRecipe(questions=60)
    mined = mine(folders, settings, 42)
    assert mined == mine(folders, settings, 42)
    sizes = Counter(pair.query.query_id for pair in mined.pairs)
    assert len(sizes) == 60
    assert {pair.source.site for pair in mined.pairs} >= {"coffee.stackexchange.com", "meta.avp.stackexchange.com"}
    assert set(sizes.values()) == {5}
    assert all(pair.query.text.strip() and len(pair.document.text.split()) >= 10 for pair in mined.pairs)
    negatives = [pair for pair in mined.pairs if pair.origin.endswith("negative")]
    assert {pair.query.query_id for pair in negatives} == set(sizes)
