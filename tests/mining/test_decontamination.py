"""Mining loses what benchmarks test: a question with its thread, a document wherever it would be used."""

import json
import random
from pathlib import Path

import pytest

from interank.errors import InputError
from interank.ir.overlap import contaminated
from interank.mining import Item, mine
from interank.mining.decontamination import Gate
from interank.resources import resource_dir
from interank.settings import MiningRecipe
from tests.support.benchmark import write_jsonl
from tests.support.dumps import checkables

RNG = random.Random(2)
WORDS = ["".join(RNG.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(3000)]
SITE = "tea.stackexchange.com"
SAMPLE = resource_dir("data") / "stackexchange" / "sample.example.com"


def text(length: int = 80) -> str:
    return " ".join(RNG.choices(WORDS, k=length))


QUERIES = {post_id: f"{text(8)}\n{text()}" for post_id in ("1", "2", "3")}
ANSWERS = {post_id: text() for post_id in ("11", "12", "21", "22", "31")}


def question(post_id: str) -> Item:
    return Item(
        f"{SITE}/{post_id}", "question", SITE, post_id, post_id, f"https://{SITE}/q/{post_id}", QUERIES[post_id]
    )


def answer(post_id: str) -> Item:
    url = f"https://{SITE}/a/{post_id}"
    return Item(f"{SITE}/{post_id}", "document", SITE, post_id, post_id[0], url, ANSWERS[post_id])


def benchmark(folder: Path, queries: dict[str, str], documents: dict[str, str] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    write_jsonl(folder / "queries.jsonl", [{"_id": name, "text": content} for name, content in queries.items()])
    if documents:
        write_jsonl(folder / "corpus.jsonl", [{"_id": name, "text": content} for name, content in documents.items()])
    return folder


def test_a_question_goes_with_its_answers_whenever_they_are_asked_for(tmp_path: Path) -> None:
    gate = Gate([benchmark(tmp_path / "b", {"q": QUERIES["1"]})])
    assert gate(question(post_id) for post_id in QUERIES) == {f"{SITE}/1"}
    assert gate(answer(post_id) for post_id in ("11", "21")) == {f"{SITE}/11"}
    assert gate([answer("12"), answer("31")]) == {f"{SITE}/12"}
    assert [(entry["post_id"], entry["how"]) for entry in gate.report()["removed"]] == [("1", "exact")]
    assert gate.summary() == {
        "benchmarks": 1,
        "removed_questions": 1,
        "removed_documents": 0,
        "remaining_overlaps": 0,
    }


def test_a_document_goes_and_leaves_its_question(tmp_path: Path) -> None:
    page = f"{text(100)} {ANSWERS['21']} {text(20)}"
    gate = Gate([benchmark(tmp_path / "b", {"q": text()}, {"d": page})])
    assert gate(question(post_id) for post_id in QUERIES) == set()
    assert gate(answer(post_id) for post_id in ANSWERS) == {f"{SITE}/21"}
    report = gate.report()
    assert [(entry["doc_id"], entry["how"]) for entry in report["removed"]] == [("d", "13-grams")]
    assert report["benchmarks"] == [
        {"name": "b", "tasks": ["b"], "queries": 1, "documents": 1, "checked_on": "queries and documents"}
    ]


def test_questions_are_kept_apart_and_a_shared_corpus_is_not(tmp_path: Path) -> None:
    """Training and test that search one knowledge base: what either asks has its answer in the same documents."""
    shared = {"a": ANSWERS["11"], "b": ANSWERS["21"], "thread": QUERIES["2"]}
    folder = benchmark(tmp_path / "b", {"q": QUERIES["1"]}, shared)
    rows = [{"id": "q", "query": QUERIES["1"], "gold_answer": ANSWERS["31"]}]
    write_jsonl(tmp_path / "b" / "queries.jsonl", rows)
    strict, apart = Gate([folder]), Gate([folder], queries_alone=True)
    assert strict(map(question, QUERIES)) == {f"{SITE}/1", f"{SITE}/2"}
    assert strict(map(answer, ANSWERS)) == {f"{SITE}/{post_id}" for post_id in ("11", "12", "21", "22", "31")}
    assert apart(map(question, QUERIES)) == {f"{SITE}/1"}
    assert apart(map(answer, ANSWERS)) == set()
    assert apart.report()["benchmarks"][0]["checked_on"] == "queries"
    assert apart.summary() == {
        "compared_with": "queries alone",
        "benchmarks": 1,
        "removed_questions": 1,
        "removed_documents": 0,
        "remaining_overlaps": 0,
    }


def test_small_overlaps_are_listed_once_and_are_no_alarm(tmp_path: Path) -> None:
    piece = " ".join(ANSWERS["31"].split()[:20])
    gate = Gate([benchmark(tmp_path / "b", {"q": f"{text()} {piece}"})])
    for _ in range(2):
        assert gate([answer("31")]) == set()
    (entry,) = gate.report()["remaining"]
    assert (entry["post_id"], entry["query_id"], entry["how"]) == ("31", "q", "13-grams")
    assert entry["overlap"] == pytest.approx(8 / 88, abs=1e-4)


def test_a_page_is_known_by_its_address(tmp_path: Path) -> None:
    gate = Gate([benchmark(tmp_path / "b", {"q": QUERIES["1"]})])
    page = Item("page/1", "document", "tea.example.org", "", "", "https://tea.example.org/x", f"see {QUERIES['1']}")
    other = page._replace(item_id="page/2", url="https://tea.example.org/y", text=text())
    assert gate([page, other]) == {"page/1"}
    (entry,) = gate.report()["removed"]
    assert (entry["site"], entry["post_id"]) == ("tea.example.org", "https://tea.example.org/x")


def test_the_report_is_written_as_it_is_read(tmp_path: Path) -> None:
    gate = Gate([benchmark(tmp_path / "b", {"q": QUERIES["3"]})])
    gate(question(post_id) for post_id in QUERIES)
    gate.write(tmp_path / "decontamination.json")
    written = json.loads((tmp_path / "decontamination.json").read_text("utf-8"))
    assert written == gate.report()
    assert written["benchmarks"][0]["checked_on"] == "queries"
    assert written["removed"] == [
        {
            "site": SITE,
            "post_id": "3",
            "benchmark": "b",
            "task": "b",
            "query_id": "q",
            "how": "exact",
            "overlap": 1.0,
        }
    ]


def test_the_sample_s_site_and_benchmark_share_nothing() -> None:
    gate = Gate([resource_dir("data") / "benchmark"])
    mined = mine([SAMPLE], MiningRecipe(), 1, contaminated=gate)
    assert gate.report()["removed"] == []
    assert mined.pairs == mine([SAMPLE], MiningRecipe(), 1).pairs


def test_contaminated_threads_are_in_no_pair_and_clean_questions_take_their_place(tmp_path: Path) -> None:
    items = checkables(SAMPLE)
    questions = [item for item in items if item.kind == "question"]
    tested = {item.post_id for item in questions[::3]}
    asked = {item.post_id: item.text for item in questions if item.post_id in tested}
    gate = Gate([benchmark(tmp_path / "b", asked)])
    settings = MiningRecipe(questions=20)
    mined = mine([SAMPLE], settings, 1, contaminated=gate)
    assert len({pair.query.query_id for pair in mined.pairs}) == 20
    owner = {item.post_id: item.thread_id for item in items}
    used = {pair.query.query_id.rpartition("/")[2] for pair in mined.pairs}
    used |= {owner[pair.source.post_id] for pair in mined.pairs}
    assert not used & tested
    removed = {entry["post_id"] for entry in gate.report()["removed"] if entry["how"] == "exact"}
    assert removed == tested
    assert mined.counts[SAMPLE.name]["contaminated_questions"] == len(tested)
    # Without the gate some of them would have been taken.
    free = mine([SAMPLE], settings, 1)
    assert {pair.query.query_id.rpartition("/")[2] for pair in free.pairs} & tested


@pytest.mark.real_data
def test_every_bright_query_among_the_real_posts_is_kept_out(real_data: Path) -> None:
    site = real_data / "stackexchange" / "sustainability.stackexchange.com"
    gate = Gate([real_data / "bright" / "topics"])
    mined = mine([site], MiningRecipe(documents_per_question=3), 1, contaminated=gate)
    whole = contaminated(checkables(site), gate.index)
    threads = {number for name, number in whole.threads if name == site.name}
    assert len(threads) >= 30
    assert mined.counts[site.name]["contaminated_questions"] == len(threads)
    assert not threads & {pair.query.query_id.rpartition("/")[2] for pair in mined.pairs}
    owner = {item.post_id: item.thread_id for item in checkables(site)}
    assert not threads & {owner[pair.source.post_id] for pair in mined.pairs}


@pytest.mark.real_data
@pytest.mark.parametrize(
    "site", ["coffee.stackexchange.com", "matheducators.stackexchange.com", "quantumcomputing.stackexchange.com"]
)
def test_sites_without_overlap_give_no_alarm(real_data: Path, site: str) -> None:
    gate = Gate([real_data / "bright" / "topics"])
    mine([real_data / "stackexchange" / site], MiningRecipe(documents_per_question=3), 1, contaminated=gate)
    assert gate.report()["removed"] == []


def test_a_folder_without_a_benchmark_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="texts"):
        Gate([tmp_path])
