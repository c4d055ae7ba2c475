"""Eleven scripts through tokeniser, counts, passages and BM25: what is searched is found, and words are words."""

from __future__ import annotations

from pathlib import Path

import pytest

from interank.errors import InputError
from interank.evaluation.candidates import CandidateSettings, load_evaluated, notes_on_candidates
from interank.ir.bm25 import Bm25
from interank.ir.bm25.first_stage import tokenize
from interank.ir.bm25.scripts import count_words, cut_words
from interank.ir.trec import read_qrels, read_run
from interank.mining.pages import passages
from interank.types import Document, Query

# By script: a question, the text that answers it, and one that does not; each with a year, as posts have.
TEXTS = {
    "Latin with marks": (
        "pourquoi le café est amer",
        "Le café amer vient d'une eau chaude. 2019",
        "Le pain. 2019",
    ),
    "Cyrillic": ("почему хлеб оседает", "Пар смягчает мякиш, и хлеб оседает. 2019", "Кофе кислый. 2019"),
    "Greek": ("γιατί πέφτει το ψωμί", "Το ψωμί πέφτει από τον ατμό. 2019", "Ο καφές. 2019"),
    "Arabic": ("لماذا يهبط الخبز", "يهبط الخبز بسبب البخار. 2019", "القهوة حامضة. 2019"),
    "Hebrew": ("למה הלחם שוקע", "הלחם שוקע בגלל האדים. 2019", "קפה חמוץ. 2019"),
    "Devanagari": ("रोटी क्यों बैठती है", "भाप से रोटी बैठती है. 2019", "कॉफ़ी खट्टी. 2019"),
    "Han": ("面包为什么会塌", "蒸汽使面包变软，所以面包会塌。2019", "咖啡是酸的。2019"),
    "Kana": ("パンがしぼむのはなぜ", "蒸気でパンがしぼむ。2019", "コーヒーはすっぱい。2019"),
    "Hangul": ("빵이 왜 꺼지나", "증기 때문에 빵이 꺼진다. 2019", "커피가 시다. 2019"),
    "Thai": ("ทำไมขนมปังยุบ", "ไอน้ำทำให้ขนมปังยุบ 2019", "กาแฟเปรี้ยว 2019"),
    "Tamil": ("ரொட்டி ஏன் சரிகிறது", "நீராவியால் ரொட்டி சரிகிறது. 2019", "காபி புளிக்கிறது. 2019"),
}


@pytest.mark.parametrize("script", TEXTS)
def test_bm25_finds_what_is_searched(script: str) -> None:
    query, right, wrong = TEXTS[script]
    index = Bm25([Document("wrong", wrong), Document("right", right)])
    run = index.rank([Query("q", query)], top_k=2)
    assert run.doc_ids("q")[:1] == ["right"]


def test_english_has_the_words_that_it_had() -> None:
    text = "Don't use_it: The x86-64's 2nd re-run, at 3.5 GHz!"
    assert tokenize(text) == [
        "don",
        "t",
        "use",
        "it",
        "the",
        "x86",
        "64",
        "s",
        "2nd",
        "re",
        "run",
        "at",
        "3",
        "5",
        "ghz",
    ]
    # As typographers set it, with signs that are no letters.
    assert tokenize("\u201cIt\u2019s 20\u00b0C \u2013 x\u00b2\u2026\u201d") == ["it", "s", "20", "c", "x"]


def test_letters_that_are_signs_part_no_words_of_other_scripts() -> None:
    assert tokenize("TGF\u03b2 and IFN-\u03b3 at 5\u00b5m") == ["tgf", "and", "ifn", "at", "5", "m"]
    # Letters with marks are letters, whether they compose with them or not.
    assert tokenize("Mu\u0308ller\u03b1 x\u0304\u03b2\u0302y Nga\u0304\u02bbi") == [
        "m\u00fcller",
        "x\u0304",
        "y",
        "ng\u0101",
        "i",
    ]
    assert tokenize("\u043f\u02bc\u044f\u0442\u044c") == ["\u043f\u02bc\u044f\u0442\u044c"]
    assert tokenize("\u03c4\u03bf \u03c8\u03c9\u03bc\u03af") == ["\u03c4\u03bf", "\u03c8\u03c9\u03bc\u03af"]


def test_marks_stay_with_their_letters_however_they_are_written() -> None:
    assert tokenize("café") == tokenize("cafe\u0301") == ["café"]
    assert tokenize("रोटी") == ["रोटी"]
    assert tokenize("Ärger") == ["ärger"]


def test_scripts_without_blanks_give_neighbours() -> None:
    assert tokenize("面包会塌") == ["面包", "包会", "会塌"]
    assert tokenize("面") == ["面"]
    assert tokenize("用Python写") == ["用", "python", "写"]
    assert tokenize("ขนม") == ["ขน", "นม"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one two  three\n", 3),
        ("", 0),
        ("почему хлеб оседает", 3),
        ("蒸汽使面包变软所以面包会塌下来了吗", 9),
        ("用 Python", 2),
    ],
)
def test_words_are_counted_where_there_are_no_blanks(text: str, words: int) -> None:
    assert count_words(text) == words


@pytest.mark.parametrize("text", ["word " * 100, "слово " * 100, "面包会塌" * 50, "ขนมปังยุบ" * 30])
def test_passages_are_no_longer_than_asked_for(text: str) -> None:
    from interank.mining.pages import Page

    page = Page("https://a.example/x", text)
    cut = [document.text for document, _ in passages(page, 20)]
    assert len(cut) > 2
    assert all(count_words(part) <= 20 for part in cut)
    assert "".join("".join(cut).split()) == "".join(text.split())
    assert cut_words("a b c", 2) == ["a b", "c"]


def benchmark(folder: Path, query_id: str = "q1") -> Path:
    folder.mkdir()
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "Steam 2019"}\n{"_id": "d2", "text": "Coffee"}\n')
    rows = f'{{"_id": "{query_id}", "text": "steam"}}\n{{"_id": "q2", "text": "почему кофе кислый"}}\n'
    (folder / "queries.jsonl").write_text(rows)
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{query_id}\td1\t1\nq2\td2\t1\n")
    return folder


def test_queries_without_candidates_are_told(tmp_path: Path) -> None:
    tasks = load_evaluated(CandidateSettings(benchmark(tmp_path / "b")), reranking=False)
    [note] = notes_on_candidates(tasks)
    assert "1 of 2 queries have no candidates, the first 'q2'" in note


def test_ids_that_trec_cannot_hold_are_refused_with_their_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"queries\.jsonl:1: the id '#1' begins with #"):
        load_evaluated(CandidateSettings(benchmark(tmp_path / "b", "#1")), reranking=False)
    with pytest.raises(InputError, match=r"queries\.jsonl:1: the id .* holds a tab"):
        load_evaluated(CandidateSettings(benchmark(tmp_path / "c", "a\\tb")), reranking=False)


@pytest.mark.parametrize("score", ["1_000.5", "\uff11\uff12.5", "\u0661", "0x1p3", "1d3"])
def test_a_score_that_other_programs_read_otherwise_is_refused_with_its_line(tmp_path: Path, score: str) -> None:
    """C, and so trec_eval, reads 1 of the first and 0 of digits of other scripts."""
    run = tmp_path / "run"
    run.write_text(f"q1 Q0 d1 1 {score} t\nq1 Q0 d2 2 0.5 t\n")
    with pytest.raises(InputError, match=r"run:1: the score is '.*', where a number is needed; mend the line"):
        read_run(run)


def test_a_query_id_that_reads_as_a_comment_is_refused_and_a_comment_is_none(tmp_path: Path) -> None:
    qrels = tmp_path / "qrels"
    for row in ("#1\td1\t1", "#1 0 d1 1"):
        qrels.write_text(f"# made by hand\n#\n#comment\nq1 0 d1 1\n{row}\n")
        with pytest.raises(InputError, match=r"qrels:5: the query id '#1' begins with #"):
            read_qrels(qrels)
    run = tmp_path / "run"
    run.write_text("#1 Q0 d1 1 2.0 t\nq1 Q0 d1 1 2.0 t\n")
    with pytest.raises(InputError, match=r"run:1: the query id '#1' begins with #"):
        read_run(run)
    run.write_text("q1 Q0 d1 1 2.0 t\n#1 Q0 d1 1 -2.5e-3 t\n")
    with pytest.raises(InputError, match=r"run:2: the query id '#1' begins with #"):
        read_run(run)
    # As people head and count their files, and put single rows out of use.
    qrels.write_text(
        "# a b c 1x\n#comment about q1\n#topics in total 50\n#queries: judged 50\n#q1 0 d2 1\n#q1\td3\t1\nq1 0 d1 1\n"
    )
    assert [row.doc_id for row in read_qrels(qrels)] == ["d1"]
    run.write_text("#qid Q0 docid rank score tag\n#q1 Q0 d2 1 3.0 t\nq1 Q0 d1 1 2.0 t\n")
    assert read_run(run).doc_ids("q1") == ["d1"]
    run.write_text("q1 Q0 d1 1 2.0 t\n#q1 Q0 d2 2 nan t\n#q2 Q0 d2 2 ? t\n")
    assert read_run(run).doc_ids("q1") == ["d1"]
