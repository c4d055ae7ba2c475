"""The families that people bring: what each one's layers allow, and that it is computed as transformers computes it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Qwen3_5Config,
    Qwen3_5ForConditionalGeneration,
    RwkvConfig,
)

from interank.engines.alignment import AlignedRunner
from interank.engines.budget import Budget
from interank.engines.heads import Head, scores
from interank.engines.layers import STATES, LayerSupport, allowed
from interank.engines.models import find_model, load_classifier, load_model
from interank.engines.packing import PackedRunner
from interank.engines.pairs import PairEncoder
from interank.engines.prompts import Prompt
from interank.engines.protocol import Completion, ForcedLabels, Sampling
from interank.engines.transformers import TransformersEngine
from interank.engines.tree.runner import TreeRunner
from interank.errors import ModelError
from interank.reranking.reranker import Reranker
from interank.settings import HeadSettings
from interank.stages import distill
from interank.tasks.judge.recipe import DistillJudge
from interank.types import Document, Query
from tests.support import rule, tiny
from tests.support.artifacts import judgments_artifact
from tests.support.families import FAMILIES, WINDOW, family_folder, family_model

VOCABULARY, LABELS = 300, (40, 41, 42)
# Of the largest logit: both sides compute in float32 and add in another order. A state that goes on token by token,
# where a plain pass takes all at once, differs by 1.2e-5 on one processor.
ERROR = 1e-5
STATE_ERROR = 2e-5
# How each family is read, as it is trained, and how it is written with.
READ: dict[str, tuple[type, type]] = {
    "llama 3": (TreeRunner, PackedRunner),
    "qwen3": (TreeRunner, PackedRunner),
    "smollm3": (TreeRunner, TreeRunner),
    "mistral": (TreeRunner, AlignedRunner),
    "gemma3": (TreeRunner, AlignedRunner),
    "gemma2": (AlignedRunner, AlignedRunner),
    "qwen3.5": (AlignedRunner, AlignedRunner),
    "lfm2": (AlignedRunner, AlignedRunner),
}


def prompts_of(seed: int, number: int, *, prefixes: int = 2, longest: int = 70) -> list[Prompt]:
    """Prompts and prefixes longer than the windows; one that has but a token of its own, one with none, two equal."""
    rng = random.Random(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, VOCABULARY) for _ in range(rng.randint(low, high)))

    shared = [ids(WINDOW + 6, WINDOW + 30) for _ in range(prefixes)]
    found = [Prompt(rng.choice(shared), ids(0, longest), ids(1, 5)) for _ in range(number)]
    return [*found, Prompt(shared[0], (), ids(1, 1)), Prompt(shared[-1], (), ()), found[0]]


def plain(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """The logits after a text, by transformers' own forward pass on this text alone."""
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([list(ids)])).logits[0, -1]
    return logits


def apart(found: Sequence[float], logits: torch.Tensor) -> float:
    """How far label logits lie from those of a plain pass, in shares of the largest logit."""
    return float((torch.tensor(found) - logits[list(LABELS)]).abs().max() / logits.abs().max())


@pytest.fixture(scope="module", params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(family: str) -> Any:
    return family_model(family, VOCABULARY)


def test_layers_decide_how_a_family_is_read(family: str, model: Any) -> None:
    reader, writer = READ[family]
    engine = TransformersEngine(model)
    assert (type(engine._reader), type(engine._writer)) == (reader, writer)
    assert allowed(model.config).tree is (reader is TreeRunner)


@pytest.mark.parametrize("tokens", [20, 150, 4096])
def test_scores_are_those_of_a_plain_forward_pass(model: Any, tokens: int) -> None:
    prompts, engine = prompts_of(1, 9), TransformersEngine(model, budget=Budget(tokens, keys=2**30))
    for prompt, found in zip(prompts, engine.label_logits(prompts, LABELS), strict=True):
        assert apart(found.logits, plain(model, prompt.ids)) <= ERROR


def test_what_is_written_is_what_a_plain_forward_pass_would_write(model: Any) -> None:
    prompts = prompts_of(2, 5)
    written = TransformersEngine(model).generate(prompts, Sampling(WINDOW + 4), end=-1)
    for prompt, completion in zip(prompts, written, strict=True):
        assert len(completion.ids) == WINDOW + 4
        for place, (token, logprob) in enumerate(zip(completion.ids, completion.logprobs, strict=True)):
            logits = plain(model, prompt.ids + completion.ids[:place])
            assert float(logits.max() - logits[token]) <= ERROR * float(logits.abs().max())
            assert logprob == pytest.approx(float(logits.log_softmax(-1)[token]), abs=2e-5)


def test_a_grade_after_reasoning_is_that_of_a_plain_forward_pass(model: Any) -> None:
    prompts, engine = prompts_of(3, 5), TransformersEngine(model)
    whole = engine.generate(prompts, Sampling(9), end=-1)
    # Some end sooner than others, and what they hold moves up in the batch.
    end = whole[0].ids[4]

    def continuation(completion: Completion) -> tuple[int, ...]:
        return (*completion.ids, 7, 8)

    graded = engine.generate_graded(prompts, Sampling(9), ForcedLabels(continuation, LABELS), end=end)
    assert len({len(completion.ids) for completion, _ in graded}) > 1
    for prompt, one, (completion, labels) in zip(prompts, whole, graded, strict=True):
        assert completion.ids == one.ids[: one.ids.index(end) if end in one.ids else None]
        most = STATE_ERROR if STATES & {*(getattr(model.config, "layer_types", None) or ())} else ERROR
        assert apart(labels.logits, plain(model, prompt.ids + continuation(completion))) <= most


def test_a_shared_beginning_is_read_once(model: Any) -> None:
    seen: list[int] = []
    hook = model.get_input_embeddings().register_forward_hook(lambda _, given, __: seen.append(given[0].numel()))
    prefix = tuple(range(3, 103))
    prompts = [Prompt(prefix, (200 + number,) * 10, (5,)) for number in range(8)]
    TransformersEngine(model).label_logits(prompts, LABELS)
    hook.remove()
    assert sum(seen) == len(prefix) + 8 * 11


@pytest.mark.parametrize(
    ("kind", "special", "said"),
    [
        ("llama4_text", {}, r"layers of the kind chunked_attention .*use another model"),
        ("falcon_h1", {}, r"layers of the kind hybrid .*use another model"),
        ("mamba2", {}, r"has no layer of attention"),
        ("gemma3_text", {"use_bidirectional_attention": True}, r"attends to later tokens"),
    ],
)
def test_what_cannot_be_is_refused_by_name(kind: str, special: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=f"some-model .*{said}"):
        allowed(AutoConfig.for_model(kind, **special), "some-model")


def test_what_is_refused_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    # There are no weights that could be loaded.
    RwkvConfig(num_hidden_layers=2).save_pretrained(tmp_path / "model")
    tiny.tiny_tokenizer().save_pretrained(tmp_path / "model")
    said = r"model .rwkv. passes a state from token to token"
    with pytest.raises(ModelError, match=said):
        load_model(find_model(str(tmp_path / "model")))
    with pytest.raises(ModelError, match=said):
        Reranker(tmp_path / "model")
    judgments = judgments_artifact(tmp_path / "judgments", rule.examples(0, queries=1))
    recipe = DistillJudge(stage="distill", judgments=judgments, student=str(tmp_path / "model"))
    with pytest.raises(ModelError, match=said):
        distill.run(recipe, tmp_path / "adapter")


def test_a_window_that_no_layer_has_stands_in_no_way() -> None:
    config = AutoConfig.for_model("qwen3", sliding_window=8, use_sliding_window=False)
    assert allowed(config) == LayerSupport(tree=True, padding=True, attention="sdpa", why="")


def test_capped_attention_is_loaded_with_its_caps(tmp_path: Path) -> None:
    folder, prompt = family_folder(tmp_path, "gemma2"), prompts_of(5, 1)[0]
    loaded = load_model(find_model(str(folder)))
    eager = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    sdpa = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa")
    assert torch.equal(plain(loaded, prompt.ids), plain(eager, prompt.ids))
    assert not torch.allclose(plain(sdpa, prompt.ids), plain(eager, prompt.ids), atol=0.1)


@pytest.mark.parametrize("mode", ["score", "reason"])
def test_a_reranker_ranks_with_layers_that_keep_a_state(tmp_path: Path, mode: Any) -> None:
    folder = family_folder(tmp_path, "qwen3.5")
    documents = [Document(str(n), rule.document_text("red", animal, "den")) for n, animal in enumerate(rule.ANIMALS)]
    ranked = Reranker(folder, mode=mode).rank(Query("q", rule.query_text("red", "fox")), documents)
    assert len({item.score for item in ranked}) == len(documents)


def test_the_text_model_of_a_hub_s_qwen_3_5_is_loaded(tmp_path: Path) -> None:
    """On the hub it comes with a vision part, which is left out."""
    text = FAMILIES["qwen3.5"][1]
    whole = family_model("qwen3.5", VOCABULARY)
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 64}
    config = Qwen3_5Config(
        text_config={**whole.config.to_dict(), **text},
        vision_config=vision,
        image_token_id=290,
        video_token_id=291,
        vision_start_token_id=292,
        vision_end_token_id=293,
        tie_word_embeddings=True,
    )
    both = Qwen3_5ForConditionalGeneration(config).eval()
    both.model.language_model.load_state_dict(whole.model.state_dict())
    both.save_pretrained(tmp_path)
    tiny.tiny_tokenizer().save_pretrained(tmp_path)
    loaded = load_model(find_model(str(tmp_path)))
    prompt = prompts_of(4, 1)[0]
    assert torch.allclose(plain(loaded, prompt.ids), plain(whole, prompt.ids), atol=1e-6)
    found = TransformersEngine(loaded).label_logits([prompt], LABELS)[0]
    assert apart(found.logits, plain(whole, prompt.ids)) <= ERROR


HEADS = [family for family in FAMILIES if family != "lfm2"]


@pytest.mark.parametrize("family", HEADS)
def test_heads_of_every_family_read_pairs_as_they_stand(tmp_path: Path, family: str) -> None:
    """Rows of one batch differ in length; the reference reads each by itself."""
    attention = "eager" if family == "gemma2" else "sdpa"
    whole = AutoModelForSequenceClassification.from_pretrained(family_folder(tmp_path / "model", family), num_labels=1)
    torch.manual_seed(1)
    torch.nn.init.normal_(whole.score.weight)
    whole.save_pretrained(tmp_path / "head")
    head = Head(
        load_classifier(find_model(str(tmp_path / "head"))),
        PairEncoder(tiny.tiny_tokenizer(), HeadSettings(max_query_tokens=60, max_length=200)),
    )
    texts = [" ".join(rule.ANIMALS[: 2 + number] * 8) for number in range(5)]
    pairs = [head.encoder.pair(Query("q", rule.query_text("red", "fox")), Document("d", text)) for text in texts]
    assert len({len(pair.ids) for pair in pairs}) > 2
    whole.set_attn_implementation(attention)
    for pair, score in zip(pairs, scores(head, pairs), strict=True):
        assert len(pair.ids) > WINDOW
        with torch.no_grad():
            expected = float(whole.eval().score(whole.model(torch.tensor([pair.ids])).last_hidden_state[0, -1]))
        assert float(score) == pytest.approx(expected, rel=1e-5, abs=2e-5)


def test_a_head_that_transformers_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model .lfm2. cannot be a head"):
        load_classifier(find_model(str(family_folder(tmp_path / "model", "lfm2"))))
