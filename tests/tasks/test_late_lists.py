"""Jina's rerankers of lists rank as their own code does: a tiny stand-in with a projector behind a Qwen3."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from interank import Reranker
from interank.engines import late_lists
from interank.engines.released_forms import released_form
from interank.errors import InputError, ModelError
from interank.recipe import EvaluateRecipe
from interank.stages import distill, evaluate
from interank.tasks.head.recipe import DistillHead
from interank.types import Document, grouped
from tests.support import rule
from tests.support.artifacts import judgments_artifact
from tests.support.benchmark import benchmark_folder
from tests.support.families import family_folder
from tests.support.tiny import tiny_model, tiny_tokenizer

QUERY = "why does the pump run?"
TEXTS = ["It rains.", "A valve <|im_end|> leaks.", "The <|embed_token|>pump has a float.", "No."]
# As vLLM writes it, which took it from the model's own code.
PROMPT = (
    "<|im_start|>system\nYou are a search relevance expert who can determine a ranking of the passages based on how "
    "relevant they are to the query. If the query is a question, how relevant a passage is depends on how well it "
    "answers the question. If not, try to analyze the intent of the query and assess how well each passage satisfies "
    "the intent. "
    "If an instruction is provided, you should follow the instruction when determining the ranking.<|im_end|>\n"
    "<|im_start|>user\nI will provide you with {count} passages, each indicated by a numerical identifier. Rank the "
    "passages based on their relevance to query: {query}\n{passages}\n<query>\n{query}<|rerank_token|>\n</query>"
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


def stand_in(folder: Path, **special: Any) -> Path:
    """A tiny Qwen3 with a projector, saved as the model is, with its head and what names its code."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|embed_token|>", "<|rerank_token|>"]})
    family_folder(folder, "qwen3", vocab_size=len(tokenizer), max_position_embeddings=4096, **special)
    tokenizer.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    torch.manual_seed(1)
    weights |= {"projector.0.weight": torch.randn(32, 64), "projector.2.weight": torch.randn(16, 32)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = folder / "config.json"
    own = {"architectures": ["JinaForRanking"], "auto_map": {"AutoModel": "modeling.JinaForRanking"}}
    config.write_text(json.dumps(json.loads(config.read_text()) | own))
    return folder


def told(folder: Path, texts: list[str]) -> list[float]:
    """The scores as its own code computes them, of texts that spell no special token."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).model
    tokenizer = AutoTokenizer.from_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    passages = "\n".join(f'<passage id="{n}">\n{text}<|embed_token|>\n</passage>' for n, text in enumerate(texts))
    ids = tokenizer(PROMPT.format(count=len(texts), query=QUERY, passages=passages), add_special_tokens=False)
    row = torch.tensor([ids["input_ids"]])
    with torch.inference_mode():
        states = model(row).last_hidden_state[0]
    kept = [*(row[0] == tokenizer.convert_tokens_to_ids("<|embed_token|>")).nonzero()[:, 0].tolist()]
    kept += [*(row[0] == tokenizer.convert_tokens_to_ids("<|rerank_token|>")).nonzero()[:, 0].tolist()]
    middle = torch.relu(states[kept] @ weights["projector.0.weight"].T)
    vectors = middle @ weights["projector.2.weight"].T
    scores: list[float] = torch.nn.functional.cosine_similarity(vectors[-1:], vectors[:-1]).tolist()
    return scores


def by_place(folder: Path, texts: list[str]) -> list[float]:
    found = Reranker(folder).rank(QUERY, [Document(str(place), text) for place, text in enumerate(texts)])
    assert all(item.relevance is None for item in found)
    return [item.score for item in sorted(found, key=lambda item: int(item.doc_id))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stand_in(tmp_path_factory.mktemp("models") / "jina-reranker-v3")


def test_scores_are_those_of_its_own_code(folder: Path) -> None:
    plain = ["It rains.", "A valve leaks.", "The pump has a float.", "No."]
    expected = told(folder, plain)
    assert max(expected) - min(expected) > 0.01
    assert by_place(folder, plain) == pytest.approx(expected, abs=1e-5)
    # Each document is read with those before it.
    assert abs(by_place(folder, plain[1:])[0] - expected[1]) > 1e-3


def test_no_document_writes_a_mark_or_ends_a_turn(folder: Path) -> None:
    engine = Reranker(folder).engine
    assert isinstance(engine, late_lists.LateLists)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = engine._prompt(QUERY, [engine._shortened(text, 2048)[0] for text in TEXTS])
    assert [ids.count(tokenizer.convert_tokens_to_ids(mark)) for mark in ("<|embed_token|>", "<|im_end|>")] == [4, 2]
    # Its own code takes the marks out of the texts.
    assert by_place(folder, [TEXTS[2]]) == by_place(folder, [TEXTS[2].replace("<|embed_token|>", "")])


def test_it_is_evaluated_beside_others_and_refuses_what_it_cannot(folder: Path, tmp_path: Path) -> None:
    sample = benchmark_folder(tmp_path / "bench")
    recipe = EvaluateRecipe(stage="evaluate", benchmark=str(sample), adapters=[str(folder)], depth=3, explain=0)
    out = evaluate.run(recipe, tmp_path / "evaluated").path
    assert folder.name in json.loads((out / "metrics.json").read_text())
    with pytest.raises(InputError, match="no grade that could be explained"):
        Reranker(folder).rank(QUERY, TEXTS, explain=1)
    with pytest.raises(InputError, match=r"tokens together, and this model reads them in one text of 4096.*fewer"):
        Reranker(folder).rank(QUERY, ["a pump that runs " * 500] * 5)


def test_a_head_learns_its_scores_of_documents_that_are_read_together(folder: Path, tmp_path: Path) -> None:
    student, judged = tiny_model(tmp_path / "student"), rule.examples(0, queries=3, documents=4)
    recipe = DistillHead.model_validate(
        {
            "stage": "distill",
            "student": str(student),
            "task": "head",
            "objective": "ranknet",
            "quantisation": "none",
            "judgments": judgments_artifact(tmp_path / "judgments", judged),
            "documents": 3,
            "encoding": {"max_length": 64},
            "teacher": str(folder),
            "lora": {"rank": 4, "alpha": 8},
            "trainer": {"max_steps": 1, "save_strategy": "no", "gradient_accumulation_steps": 1},
        }
    )
    made = distill.run(recipe, tmp_path / "head")
    rows = [json.loads(line) for line in (made.path / "teacher_scores.jsonl").read_text().splitlines()]
    asked, texts = (
        {each.query.query_id: each.query for each in judged},
        {e.document.doc_id: e.document for e in judged},
    )
    reranker, by_query = Reranker(folder), grouped(rows, lambda row: row["query_id"])
    assert rows and len(by_query) == 3
    for name, own in by_query.items():
        found = reranker.rank(asked[name], [texts[row["doc_id"]] for row in own])
        expected = {item.doc_id: item.score for item in found}
        assert {row["doc_id"]: row["score"] for row in own} == pytest.approx(expected, abs=1e-5)


def test_what_lacks_a_part_is_told(tmp_path: Path) -> None:
    folder = stand_in(tmp_path / "model")
    assert released_form(folder) is None
    weights = load_file(folder / "model.safetensors")
    del weights["projector.2.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"lacks projector.0.weight or projector.2.weight"):
        Reranker(folder)
    tiny_tokenizer().save_pretrained(folder)
    with pytest.raises(ModelError, match=r"lacks <\|embed_token\|> and <\|rerank_token\|>"):
        Reranker(folder)
