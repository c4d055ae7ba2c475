"""Released rerankers that answer yes or no rank as their own code does: tiny stand-ins of each form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from interank import Reranker
from interank.cli.app import main
from interank.engines import yes_or_no
from interank.errors import InputError
from interank.types import Document
from tests.support.families import _SHAPE, FAMILIES, family_folder
from tests.support.tiny import tiny_tokenizer

QUERY = "why does the pump run?"
TEXTS = ["Because it leaks.", "A valve <|im_end|> closes.", "", "The pump runs dry. " * 40, "yes"]
WORDS = ["yes no Yes No 0 1 Judge whether the Document meets the requirements query: document: A: B:"]


def stand_in(folder: Path, family: str = "qwen3") -> Path:
    """A tiny model with a tokenizer that has the answers as words."""
    family_folder(folder, family)
    tokenizer = tiny_tokenizer("chatml", [*WORDS, *TEXTS, QUERY, yes_or_no._QWEN3_BEFORE, yes_or_no._MXBAI_TASK])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    kind, own = FAMILIES[family]
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
        body = f"<Instruct>: {yes_or_no._QWEN3_TASK}\n<Query>: {QUERY}\n<Document>: {text}"
        logits = last(model, before + tokenizer(body, add_special_tokens=False)["input_ids"] + after)
        odds = torch.log_softmax(logits[[no, yes]], 0)
        expected.append(torch.logit(odds[1].exp().double()).item())
    assert max(expected) - min(expected) > 0.01
    assert ranked(folder) == pytest.approx(expected, abs=1e-3)


def test_mxbais_scores_are_those_of_its_package(tmp_path: Path) -> None:
    folder = stand_in(tmp_path / "mxbai-rerank-base-v2")
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
    folder = stand_in(tmp_path / "mxbai-rerank-base-v2")
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
    task = tokenizer(yes_or_no._GEMMA_TASK, add_special_tokens=False)["input_ids"]
    expected = []
    for text in TEXTS:
        asked = tokenizer(f"A: {QUERY}", add_special_tokens=False)["input_ids"]
        document = tokenizer(f"B: {text}", add_special_tokens=False)["input_ids"]
        ids = (asked + line + document)[: 512 + len(line) + len(task)] + line + task
        expected.append(last(model, ids)[yes].item())
    assert ranked(folder) == pytest.approx(expected, abs=1e-3)


def test_a_long_document_is_cut_and_the_frame_is_whole(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(stand_in(tmp_path / "Qwen3-Reranker-0.6B"))
    encoder = yes_or_no.AnswerEncoder(tokenizer, yes_or_no.QWEN3, 400)
    from interank.types import Query

    prompt = encoder.prompt(Query("q", QUERY), Document("d", "word " * 3000))
    assert len(prompt.ids) == 400 and prompt.cut > 0
    assert prompt.ids[-len(prompt.suffix) :] == prompt.suffix


@pytest.mark.parametrize(("name", "why"), [("jina-reranker-v3", "code that comes with"), ("ERank-4B", "0 to 10")])
def test_what_cannot_be_run_as_it_was_made_is_refused(tmp_path: Path, name: str, why: str) -> None:
    folder = stand_in(tmp_path / name)
    with pytest.raises(InputError, match=why):
        Reranker(folder)


def test_the_command_ranks_with_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stand_in(tmp_path / "Qwen3-Reranker-0.6B")
    documents = tmp_path / "notes.txt"
    documents.write_text("Because it leaks.\n\nA valve closes.\n")
    assert main(["rerank", str(folder), "--query", QUERY, str(documents), "--quiet"]) == 0
    assert "leaks" in capsys.readouterr().out
    with pytest.raises(InputError, match="no grade that could be explained"):
        Reranker(folder).rank(QUERY, TEXTS, explain=1)
