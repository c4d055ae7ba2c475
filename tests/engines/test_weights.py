"""No weights but a model's own rank: what is missing, left over, damaged or no safetensors is refused by its name."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peft import IA3Config, LoraConfig
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from interank import Reranker
from interank.cli.app import main
from interank.engines.heads import load_head
from interank.engines.models import find_model, load_classifier, load_model
from interank.engines.vllm import VllmEngine, VllmOptions, check_applied, rank_of
from interank.errors import ModelError
from interank.reranking.domains import open_domains
from interank.settings import HeadSettings, Quantisation
from tests.support.peft_kinds import shaken_adapter
from tests.support.tiny import strong_adapter
from tests.support.tiny_heads import tiny_adapter_head, tiny_base, tiny_head

Weights = dict[str, torch.Tensor]
Change = Callable[[Weights], Weights]
ADAPTER, MODEL = "adapter_model.safetensors", "model.safetensors"


def changed(folder: Path, name: str, change: Change) -> Path:
    save_file(change(load_file(folder / name)), folder / name, metadata={"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter with its base."""
    folder = tmp_path_factory.mktemp("made")
    strong_adapter(folder)
    return folder


@pytest.fixture
def adapter(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "adapter", tmp_path / "adapter"))


@pytest.fixture
def base(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "base", tmp_path / "base"))


def renamed(weights: Weights) -> Weights:
    return {name.replace("model.model.layers", "model.language_model.layers"): w for name, w in weights.items()}


def half_renamed(weights: Weights) -> Weights:
    return {name.replace("model.layers.0", "model.layers.7"): weight for name, weight in weights.items()}


def without_one(weights: Weights) -> Weights:
    return {name: weight for name, weight in weights.items() if "layers.1.self_attn.q_proj" not in name}


def with_one_more(weights: Weights) -> Weights:
    return {**weights, "base_model.model.model.layers.5.self_attn.q_proj.lora_A.weight": torch.zeros(5, 128)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            renamed,
            r"does not fit .*weights without a parameter: 28 \(base_model.*\), parameters without a weight: 28 \(",
        ),
        (
            half_renamed,
            r"weights without a parameter: 14 \(.*layers\.7.*\), parameters without a weight: 14 \(.*layers\.0",
        ),
        (without_one, r"does not fit .*base: parameters without a weight: 2 \(.*layers\.1\.self_attn\.q_proj\.lora_A"),
        (with_one_more, r"does not fit .*base: weights without a parameter: 1 \(.*layers\.5\.self_attn\.q_proj"),
        (lambda weights: {}, r"does not fit .*base: parameters without a weight: 28"),
        (lambda weights: {name: w[..., :3].clone() for name, w in weights.items()}, r"does not fit .*base: .*size"),
    ],
    ids=["renamed", "half", "one lacking", "one more", "empty", "width"],
)
def test_an_adapter_whose_weights_do_not_fit_its_base_is_refused(adapter: Path, change: Change, said: str) -> None:
    Reranker(adapter)
    changed(adapter, ADAPTER, change)
    with pytest.raises(ModelError, match=rf"{re.escape(str(adapter))} {said}" if "does" in said else said):
        Reranker(adapter)


def test_the_command_says_it_in_a_sentence(adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "d.txt").write_text("Steam softens the crumb.")
    asked = ["rerank", str(changed(adapter, ADAPTER, renamed)), "--query", "bread", str(tmp_path / "d.txt")]
    assert main([*asked, "--explain", "0", "--quiet"]) == 1
    told = capsys.readouterr()
    assert told.out == "" and "weights without a parameter: 28" in told.err and "Traceback" not in told.err


def pickled(folder: Path, name: str) -> None:
    torch.save(load_file(folder / name), folder / name.replace(".safetensors", ".bin"))
    (folder / name).unlink()


def pointer(folder: Path, name: str) -> None:
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n")


def cut(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])


FORMS = [(pickled, "lacks {}, and safetensors are the only form .*found .*bin"), (cut, "{} is damaged or cut")]
FORMS += [(pointer, "{} is a pointer of Git LFS .*run git lfs pull")]
FORMS += [(lambda folder, name: (folder / name).unlink(), "lacks {}, and safetensors are the only form")]


@pytest.mark.parametrize(("damage", "said"), FORMS)
def test_weights_in_another_form_are_refused(
    adapter: Path, base: Path, damage: Callable[[Path, str], None], said: str
) -> None:
    damage(adapter, ADAPTER)
    with pytest.raises(ModelError, match=said.format(re.escape(ADAPTER))):
        Reranker(adapter)
    damage(base, MODEL)
    with pytest.raises(ModelError, match=said.format(re.escape(MODEL))):
        Reranker(base)
    with pytest.raises(ModelError, match=said.format(re.escape(MODEL))):
        VllmEngine(base, VllmOptions(64))


@pytest.mark.parametrize("shard", ["model-2.safetensors", "../outside.safetensors", "evil.bin", 3])
def test_an_index_names_safetensors_beside_it(base: Path, tmp_path: Path, shard: object) -> None:
    shutil.move(base / MODEL, tmp_path / "outside.safetensors")
    torch.save({}, base / "evil.bin")
    (base / f"{MODEL}.index.json").write_text(json.dumps({"weight_map": {"lm_head.weight": shard}}))
    with pytest.raises(ModelError, match=r"lacks model-2|index.json (names|cannot be read)"):
        Reranker(base)


def lacking(weights: Weights) -> Weights:
    return {name: weight for name, weight in weights.items() if "q_proj" not in name}


def narrowed(weights: Weights) -> Weights:
    return {name: weight[:8].clone() if "k_proj" in name else weight for name, weight in weights.items()}


def deeper(weights: Weights) -> Weights:
    own = {name: weight for name, weight in weights.items() if "layers.1." in name}
    return {**weights, **{name.replace("layers.1.", "layers.2."): weight.clone() for name, weight in own.items()}}


DAMAGES = [
    (lacking, r"parameters without a weight: 2 \(model\.layers\.0\.self_attn\.q_proj\.weight, model\.layers\.1"),
    (narrowed, r"weights of another size: 2 \(model\.layers\.0\.self_attn\.k_proj\.weight \(8, \d+\) for \(\d+"),
    (deeper, r"weights without a parameter: 9 \(model\.layers\.2\.input_layernorm\.weight"),
]


@pytest.mark.parametrize(("change", "said"), DAMAGES)
@pytest.mark.parametrize("quantisation", ["none", "nf4"])
def test_a_language_model_has_all_its_weights_and_no_others(
    base: Path, change: Change, said: str, quantisation: Quantisation
) -> None:
    load_model(find_model(str(base)), quantisation=quantisation)
    changed(base, MODEL, change)
    with pytest.raises(ModelError, match=rf"base is not a whole LlamaForCausalLM: {said}"):
        load_model(find_model(str(base)), quantisation=quantisation)


@pytest.mark.parametrize(("change", "said"), DAMAGES)
@pytest.mark.parametrize("whole", [True, False])
def test_a_head_has_all_its_weights_and_no_others(tmp_path: Path, change: Change, said: str, whole: bool) -> None:
    base = tiny_base(tmp_path / "base")
    settings = HeadSettings(max_length=120)
    head = tmp_path / "head"
    if whole:
        base = tiny_head(head, base, settings)
    else:
        tiny_adapter_head(head, base, settings)
    load_head(head)
    changed(base, MODEL, change)
    with pytest.raises(ModelError, match=rf"is not a whole LlamaForSequenceClassification: {said}"):
        load_head(head)


def test_a_head_is_made_up_only_where_it_is_to_be_trained(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    load_classifier(find_model(str(base)), headless=True)
    with pytest.raises(ModelError, match=r"without a parameter: 1 \(lm_head.*without a weight: 1 \(score"):
        load_classifier(find_model(str(base)))
    head = tiny_head(tmp_path / "head", base, HeadSettings(max_length=120))
    changed(head, MODEL, lambda weights: {name: w for name, w in weights.items() if "score" not in name})
    with pytest.raises(ModelError, match=r"is not a whole .*: parameters without a weight: 1 \(score\.weight\)"):
        Reranker(head)
    adapter = tiny_adapter_head(tmp_path / "adapter", base, HeadSettings(max_length=120))
    changed(adapter, ADAPTER, lambda weights: {name: w for name, w in weights.items() if "score" not in name})
    with pytest.raises(ModelError, match="nor its base holds a score layer"):
        Reranker(adapter)


def test_a_model_for_embeddings_is_no_reranker(base: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    (base / "modules.json").write_text('[{"type": "sentence_transformers.models.Pooling"}]')
    with pytest.raises(ModelError, match=r"embedding model \(modules\.json\)"):
        Reranker(base)
    (base / "modules.json").unlink()
    # Its head is tied, so that none of its weights is missing.
    model.model.save_pretrained(base)
    with pytest.raises(ModelError, match=r"embedding model \(LlamaModel\)"):
        Reranker(base)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "architectures": None, "tie_word_embeddings": False}))
    with pytest.raises(ModelError, match=r"parameters without a weight: 1 \(lm_head\.weight\)"):
        Reranker(base)


def test_adapters_side_by_side_are_held_against_their_base(tmp_path: Path) -> None:
    base = tiny_base(tmp_path / "base")
    one, two = (
        tiny_adapter_head(tmp_path / name, base, HeadSettings(max_length=120), seed=seed)
        for seed, name in enumerate(("one", "two"))
    )
    open_domains({"one": one, "two": two})
    changed(two, ADAPTER, lambda w: {**w, "base_model.model.model.embed_tokens.weight": torch.zeros(1)})
    with pytest.raises(ModelError, match=r"two .*\(.*embed_tokens"):
        open_domains({"one": one, "two": two})
    shutil.copy(one / ADAPTER, two / ADAPTER)
    changed(two, ADAPTER, without_one)
    with pytest.raises(ModelError, match=r"two does not fit .*base: parameters without a weight: 2"):
        open_domains({"one": one, "two": two})


def test_vllm_is_handed_no_adapter_that_does_not_fit(made: Path, adapter: Path, tmp_path: Path) -> None:
    pytest.importorskip("vllm")
    files = find_model(str(made / "base"))
    assert rank_of(adapter, files) == 5
    with pytest.raises(ModelError, match=r"does not fit .*parameters without a weight: 28"):
        rank_of(changed(adapter, ADAPTER, renamed), files)
    for kind in ("lm_head", "embed_tokens"):
        settings = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", kind])
        shaken_adapter(tmp_path / kind, made / "base", settings)
        with pytest.raises(ModelError, match=rf"\(.*{kind}.*engine transformers"):
            rank_of(tmp_path / kind, files)
    settings = IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[])
    shaken_adapter(tmp_path / "ia3", made / "base", settings)
    with pytest.raises(ModelError, match=r"IA3.*LORA"):
        rank_of(tmp_path / "ia3", files)


def test_rollouts_hand_over_no_adapter_of_the_ends() -> None:
    check_applied(
        ["base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", "model.lm_head.weight"], "it"
    )
    for name in ("model.embed_tokens.lora_embedding_A.default", "base_model.model.lm_head.lora_A.default.weight"):
        with pytest.raises(ModelError, match="embeddings or the head"):
            check_applied([name], "it")
