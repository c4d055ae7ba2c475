"""Released rerankers that answer yes or no rank as their own code does: tiny stand-ins of each form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from interank import Reranker
from interank.cli.app import main
from interank.engines import released_forms, yes_or_no
from interank.engines.released_forms import released_form
from interank.errors import InputError
from interank.ir.trec import read_run
from interank.judgments import read_judgments
from interank.recipe import EvaluateRecipe
from interank.stages import distill, evaluate
from interank.tasks import documents
from interank.tasks.head.recipe import DistillHead
from interank.types import Document
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder
from tests.support.families import _SHAPE, FAMILIES, family_folder
from tests.support.tiny import tiny_model, tiny_tokenizer

QUERY = "why does the pump run?"
TEXTS = ["Because it leaks.", "A valve <|im_end|> closes.", "", "The pump runs dry. " * 40, "yes"]
WORDS = ["yes no Yes No 0 1 Judge whether the Document meets the requirements query: document: A: B:"]


def stand_in(folder: Path, family: str = "qwen3") -> Path:
    """A tiny model with a tokenizer that has the answers as words."""
    tokenizer = tiny_tokenizer("chatml", [*WORDS, *TEXTS, QUERY, yes_or_no._QWEN3_BEFORE, yes_or_no._MXBAI_TASK])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    kind, own = FAMILIES.get(family, (family, {}))
    from transformers import AutoConfig

    config = AutoConfig.for_model(kind, **{**_SHAPE, "vocab_size": len(tokenizer), **own})
    model: Any = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(folder)
    return folder


def ranked(folder: Path) -> list[float]:
    found = Reranker(folder).rank(QUERY, [Document(str(place), text) for place, text in enumerate(TEXTS)])
    assert all(item.relevance is None for item in found)
    return [item.score for item in sorted(found, key=lambda item: int(item.doc_id))]


def last(model: Any, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(torch.tensor([ids])).logits[0, -1]
    return logits


def opened(folder: Path) -> tuple[Any, Any]:
    # Gemma 2's stand-in caps its attention, which `sdpa` would leave out.
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval(), AutoTokenizer.from_pretrained(folder, split_special_tokens=True)


def test_qwen3s_scores_are_the_log_odds_of_its_cards_probability(tmp_path: Path) -> None:
    folder = stand_in(tmp_path / "Qwen3-Reranker-0.6B")
    model, tokenizer = opened(folder)
    plain = AutoTokenizer.from_pretrained(folder)
    # As the card has it: the frame's ids around those of the pair.
    before = plain(yes_or_no._QWEN3_BEFORE, add_special_tokens=False)["input_ids"]
    after = plain(yes_or_no._QWEN3_AFTER, add_special_tokens=False)["input_ids"]
    yes, no = plain.convert_tokens_to_ids("yes"), plain.convert_tokens_to_ids("no")
    expected = []
    for text in TEXTS:
        body = f"<Instruct>: {released_forms.USUAL_TASK}\n<Query>: {QUERY}\n<Document>: {text}"
        logits = last(model, before + tokenizer(body, add_special_tokens=False)["input_ids"] + after)
        odds = torch.log_softmax(logits[[no, yes]], 0)
        expected.append(torch.logit(odds[1].exp().double()).item())
    assert max(expected) - min(expected) > 0.01
    assert ranked(folder) == pytest.approx(expected, abs=1e-3)


def test_mxbais_scores_are_those_of_its_package(tmp_path: Path) -> None:
    folder = stand_in(tmp_path / "mxbai-rerank-base-v2", "qwen2")
    model, tokenizer = opened(folder)
    plain = AutoTokenizer.from_pretrained(folder)

    def framed(text: str) -> list[int]:
        return list(plain(text, add_special_tokens=False)["input_ids"])

    def text_ids(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False)["input_ids"])

    expected = []
    for text in TEXTS:
        ids = framed(yes_or_no._MXBAI_BEFORE) + text_ids(f"query: {QUERY}") + framed("\n")
        ids += text_ids(f"document: {text}")
        ids += framed("\n") + framed(yes_or_no._MXBAI_TASK) + framed(yes_or_no._MXBAI_AFTER)
        logits = last(model, ids)
        expected.append((logits[framed("1")[0]] - logits[framed("0")[0]]).item())
    assert ranked(folder) == pytest.approx(expected, abs=1e-4)


def test_mxbais_own_code_agrees(tmp_path: Path) -> None:
    rerank = pytest.importorskip("mxbai_rerank", reason="mxbai-rerank is not installed; `make contracts` runs it")
    folder = stand_in(tmp_path / "mxbai-rerank-base-v2", "qwen2")
    model = rerank.MxbaiRerankV2(str(folder), device="cpu", torch_dtype=torch.float32)
    texts = [text for text in TEXTS if "<|" not in text]
    expected = model.predict([QUERY] * len(texts), texts).tolist()
    found = dict(zip(TEXTS, ranked(folder), strict=True))
    assert [found[text] for text in texts] == pytest.approx(expected, abs=1e-4)


def test_gemmas_score_is_the_logit_of_yes(tmp_path: Path) -> None:
    folder = stand_in(tmp_path / "bge-reranker-v2-gemma", "gemma2")
    model, tokenizer = opened(folder)
    yes = tokenizer("Yes", add_special_tokens=False)["input_ids"][0]
    line = tokenizer("\n", add_special_tokens=False)["input_ids"]
    task = tokenizer(released_forms.GEMMA_TASK, add_special_tokens=False)["input_ids"]
    expected = []
    for text in TEXTS:
        asked = tokenizer(f"A: {QUERY}", add_special_tokens=False)["input_ids"]
        document = tokenizer(f"B: {text}", add_special_tokens=False)["input_ids"]
        ids = (asked + line + document)[: 512 + len(line) + len(task)] + line + task
        expected.append(last(model, ids)[yes].item())
    assert ranked(folder) == pytest.approx(expected, abs=1e-3)


def test_a_long_document_is_cut_and_the_frame_is_whole(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(stand_in(tmp_path / "Qwen3-Reranker-0.6B"))
    encoder = yes_or_no.AnswerEncoder(tokenizer, released_forms.QWEN3, 400)
    from interank.types import Query

    prompt = encoder.prompt(Query("q", QUERY), Document("d", "word " * 3000))
    assert len(prompt.ids) == 400 and prompt.cut > 0
    assert prompt.ids[-len(prompt.suffix) :] == prompt.suffix


def test_what_cannot_be_run_as_it_was_made_is_refused(tmp_path: Path) -> None:
    folder = stand_in(tmp_path / "jina-reranker-m0")
    for mode in ("score", "reason"):
        with pytest.raises(InputError, match="code that comes with"):
            Reranker(folder, mode=mode)


def test_the_command_ranks_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stand_in(tmp_path / "Qwen3-Reranker-0.6B")
    documents = tmp_path / "notes.txt"
    documents.write_text("Because it leaks.\n\nA valve closes.\n")
    assert main(["rerank", str(folder), "--query", QUERY, str(documents), "--quiet"]) == 0
    assert "leaks" in capsys.readouterr().out
    with pytest.raises(InputError, match="no grade that could be explained"):
        Reranker(folder).rank(QUERY, TEXTS, explain=1)
    # As a judge that was never trained it would rank otherwise.
    with pytest.raises(InputError, match=r"found mode reason for .*; Qwen3-Reranker gives scores and no grades; use"):
        Reranker(folder, mode="reason")


def test_a_reranker_is_told_by_its_files_under_any_name(tmp_path: Path) -> None:
    """By a template or a card that quotes the prompt, where the model is of that kind."""
    named = stand_in(tmp_path / "Qwen3-Reranker-0.6B")
    other = stand_in(tmp_path / "snapshot")
    assert released_form(other) is None
    (other / "chat_template.jinja").write_text(yes_or_no._QWEN3_BEFORE + "{{ messages }}")
    assert released_form(other) is released_forms.QWEN3
    assert ranked(other) == ranked(named)
    (other / "chat_template.jinja").unlink()
    (other / "README.md").write_text(f'task = "{yes_or_no._MXBAI_TASK}"')
    assert released_form(other) is None


def test_what_interank_made_is_no_released_reranker_whatever_it_is_called(tmp_path: Path) -> None:
    from interank.engines.use import Use, save_use
    from interank.settings import PromptSettings

    for name in ("qwen3-reranker-of-ours", "jina-reranker-compared", "erank-4b"):
        folder = family_folder(tmp_path / name, "qwen3")
        save_use(folder, Use(PromptSettings(max_length=900, max_query_tokens=64), ("score",)))
        assert released_form(folder) is None
        assert all(item.relevance is not None for item in Reranker(folder).rank(QUERY, TEXTS[:2]))


def test_a_name_alone_makes_no_reranker(tmp_path: Path) -> None:
    folder = family_folder(tmp_path / "qwen3-reranker", "llama 3")
    with pytest.raises(InputError, match=r"called like Qwen3-Reranker, and its config.json says llama"):
        Reranker(folder)
    config = folder / "config.json"
    config.write_text(config.read_text().replace("LlamaForCausalLM", "Qwen3ForSequenceClassification"))
    assert released_form(folder) is None
    config.write_text(config.read_text().replace("Qwen3ForSequenceClassification", "JinaVLForRanking"))
    with pytest.raises(InputError, match="code that comes with"):
        released_form(folder)


def test_an_adapter_answers_as_its_base(tmp_path: Path) -> None:
    base, adapter = stand_in(tmp_path / "Qwen3-Reranker-0.6B"), tmp_path / "tickets"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(base)}))
    assert released_form(adapter) is released_forms.QWEN3


def test_evaluate_and_compare_take_one_beside_a_judge(tmp_path: Path) -> None:
    theirs, own = stand_in(tmp_path / "Qwen3-Reranker-0.6B"), tiny_model(tmp_path / "own")
    benchmark = benchmark_folder(tmp_path / "benchmark", queries=2, documents=4)
    for adapter in (theirs, own):
        recipe = EvaluateRecipe(stage="evaluate", benchmark=benchmark, depth=4, adapters=(adapter,), explain=1)
        evaluate.run(recipe, tmp_path / f"eval-{adapter.name}")
    folders = [tmp_path / f"eval-{adapter.name}" for adapter in (theirs, own)]
    run = read_run(folders[0] / "run.trec")
    queries = [json.loads(line) for line in (benchmark / "queries.jsonl").read_text().splitlines()]
    corpus = [json.loads(line) for line in (benchmark / "corpus.jsonl").read_text().splitlines()]
    texts = {row["_id"]: row["text"] for row in corpus}
    for query in queries:
        documents = [Document(name, texts[name]) for name in run.scores(query["_id"])]
        found = Reranker(theirs).rank(query["text"], documents)
        assert [item.doc_id for item in found] == [item.doc_id for item in documents]
    page = tmp_path / "page.html"
    assert main(["compare", *map(str, folders), "--out", str(page), "--quiet"]) == 0
    assert "Qwen3-Reranker-0.6B" in page.read_text()


def test_a_head_learns_its_scores(tmp_path: Path) -> None:
    theirs, student = stand_in(tmp_path / "Qwen3-Reranker-0.6B"), tiny_model(tmp_path / "student")
    judged = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=3, documents=4))
    recipe = DistillHead.model_validate(
        {
            "stage": "distill",
            "student": str(student),
            "task": "head",
            "objective": "ranknet",
            "quantisation": "none",
            "judgments": judged,
            "documents": 3,
            "encoding": {"max_length": 64},
            "teacher": str(theirs),
            "lora": {"rank": 4, "alpha": 8},
            "trainer": {"max_steps": 1, "save_strategy": "no", "gradient_accumulation_steps": 1},
        }
    )
    made = distill.run(recipe, tmp_path / "head")
    rows = [json.loads(line) for line in (made.path / "teacher_scores.jsonl").read_text().splitlines()]
    assert rows and len({row["score"] for row in rows}) > 1
    texts = {item.document.doc_id: item for item in read_judgments(judged)}
    for row in rows:
        item = texts[row["doc_id"]]
        assert row["score"] == pytest.approx(Reranker(theirs).rank(item.query, [item.document])[0].score, abs=1e-4)


def test_a_form_with_a_place_for_an_instruction_reads_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    documents._warn.cache_clear()
    found = Reranker(stand_in(tmp_path / "Qwen3-Reranker-0.6B"))
    usual = found.rank(QUERY, TEXTS)
    assert found.rank(QUERY, TEXTS, instruction=released_forms.USUAL_TASK) == usual
    assert found.rank(QUERY, TEXTS, instruction="Cite statutes.") != usual
    assert not caplog.records
    other = Reranker(stand_in(tmp_path / "mxbai-rerank-base-v2", "qwen2"))
    assert other.rank(QUERY, TEXTS, instruction="Cite statutes.") == other.rank(QUERY, TEXTS)
    assert "a mxbai-rerank-v2 reads none" in caplog.text
