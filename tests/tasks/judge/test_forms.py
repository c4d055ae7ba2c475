"""An exported judge gives its own score in other tools, whatever the batch, the side of padding and the document."""

from __future__ import annotations

import json
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from interank import Reranker, judging
from interank.cli.app import main
from interank.diagnosis.exports import fitting, hostile, read_export, readers
from interank.diagnosis.golden import golden_set, read_golden
from interank.diagnosis.parity import difference
from interank.diagnosis.variants import ParityTargets
from interank.engines import vllm_plugin
from interank.engines.grade_head import GradeScore, grade_head
from interank.engines.models import load_model
from interank.engines.prompts import PromptEncoder
from interank.engines.sealed_tokenizer import open_sealed, save_sealed, sealed_ids
from interank.engines.transformers import TransformersEngine
from interank.engines.use import Use, save_use
from interank.errors import ArtifactError, InputError, ModelError
from interank.ir.trec import read_run
from interank.settings import PromptSettings
from interank.stages import export_judge
from interank.stages.export import export
from interank.stages.parity import check_parity
from interank.tasks.judge.forms import Export, read_form
from interank.tasks.judge.ranker import judge_encoder
from interank.tasks.sources import find_source
from interank.types import Document, Query
from tests.support.benchmark import benchmark_folder
from tests.support.families import family_folder
from tests.support.tiny import strong_adapter, tiny_tokenizer

FAMILIES = ("llama 3", "qwen3", "smollm3")
LONG = Document("long", " ".join(["a pump that runs without rain"] * 700))


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two queries of the golden set: an export of a trained model reads them all, which takes a minute here."""
    monkeypatch.setattr(export_judge, "golden_set", lambda: SOME)


SOME = [(query, documents[:5]) for query, documents in golden_set()[:2]]


def hostile_too(encoder: PromptEncoder) -> Any:
    """Some of the golden set and what spells special tokens, as far as they are read whole."""
    return [*fitting(encoder, SOME), *fitting(encoder, [hostile(encoder)])]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_reader_gives_the_judges_scores(tmp_path: Path, family: str) -> None:
    source = find_source(family_folder(tmp_path / "model", family))
    encoder = judge_encoder(source)
    asked = hostile_too(encoder)
    own = read_golden(TransformersEngine(load_model(source.files, precision="float32")), encoder, asked)
    assert max(item.score for item in own) - min(item.score for item in own) > 0.1
    for to in ("cross-encoder", "onnx"):
        out = tmp_path / to
        export(source.name, out, to=to)  # type: ignore[arg-type]
        told = read_form(out)
        assert told is not None and told.form == "exact"
        for reader in readers(told):
            for batch, side in ((1, "right"), (32, "right"), (32, "left")):
                seen = difference(own, read_export(out, encoder, asked, reader=reader, batch=batch, side=side))
                assert seen.largest < 1e-4 and seen.tau > 0.999 and not seen.prompts, (reader, batch, side)
    graph_is_a_classifier_of_one_label(tmp_path / "onnx")


def graph_is_a_classifier_of_one_label(folder: Path) -> None:
    """What servers of ONNX ask: one output in float32 of any number of pairs, and a configuration that says so."""
    graph = pytest.importorskip("onnxruntime").InferenceSession(folder / "model.onnx")
    (output,) = graph.get_outputs()
    assert (output.name, output.type, output.shape) == ("logits", "tensor(float)", ["pairs", 1])
    given = {each.name: (each.type, each.shape) for each in graph.get_inputs()}
    rows = ("tensor(int64)", ["pairs", "tokens"])
    assert given == {"input_ids": rows, "attention_mask": rows}
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"][0].endswith("ForSequenceClassification") and config["id2label"] == {"0": "score"}
    assert not json.loads((folder / "tokenizer.json").read_text())["added_tokens"]


def test_an_adapter_ranks_in_sentence_transformers_as_here_and_is_cut_in_the_same_place(tmp_path: Path) -> None:
    cross_encoder = pytest.importorskip("sentence_transformers").CrossEncoder
    adapter = strong_adapter(tmp_path)
    assert main(["export", str(adapter), "--to", "cross-encoder", "--out", str(tmp_path / "st"), "--quiet"]) == 0
    texts = [document.full_text for _, documents in golden_set()[:2] for document in documents]
    query = "why does the pump run?"
    documents = [Document(str(place), text) for place, text in enumerate(texts)] + [LONG]
    own = {item.doc_id: item for item in Reranker(adapter).rank(query, documents)}
    assert own["long"].truncated > 0
    ranked = cross_encoder(str(tmp_path / "st"), device="cpu").rank(query, [each.text for each in documents])
    assert [item["score"] for item in ranked] == sorted((item["score"] for item in ranked), reverse=True)
    for item in ranked:
        assert float(item["score"]) == pytest.approx(own[documents[item["corpus_id"]].doc_id].score, abs=1e-4)


def test_a_query_that_leaves_no_room_is_refused_by_the_tool(tmp_path: Path) -> None:
    cross_encoder = pytest.importorskip("sentence_transformers").CrossEncoder
    export(family_folder(tmp_path / "model", "llama 3"), tmp_path / "st")
    model = cross_encoder(str(tmp_path / "st"), device="cpu")
    with pytest.raises(Exception, match="too short to respect"):
        model.predict([(LONG.text, LONG.text)], show_progress_bar=False)


def test_no_document_writes_a_special_token_in_rust(tmp_path: Path) -> None:
    """Also of a tokenizer whose special tokens stand in the list of added ones alone, as Llama 3's and Qwen's do."""
    folder = family_folder(tmp_path / "model", "qwen3", vocab_size=len(tiny_tokenizer()) + 8)
    own = PreTrainedTokenizerFast.from_pretrained(folder)
    own.add_special_tokens({"additional_special_tokens": ["<|vision|>", "<|turn|>"]})
    own.add_tokens(["<think>"])
    own.save_pretrained(folder)
    assert "<|turn|>" not in json.loads((folder / "tokenizer.json").read_text())["model"]["vocab"]
    export(folder, tmp_path / "st")
    sealed = Tokenizer.from_file(str(tmp_path / "st" / "tokenizer.json"))
    forbidden = set(own.added_tokens_decoder)
    frame = set(judge_encoder(find_source(folder)).graded.before)
    assert frame & forbidden
    plain = sealed.encode("q", "d").ids
    for token in own.added_tokens_decoder.values():
        ids = sealed.encode("q", f"d {token.content} d").ids
        assert [i for i in ids if i in forbidden] == [i for i in plain if i in forbidden], token
    # As it was, the same text is the token itself.
    assert (
        own.convert_tokens_to_ids("<|turn|>")
        in Tokenizer.from_file(str(folder / "tokenizer.json")).encode("<|turn|>").ids
    )


def test_a_graphs_folder_has_what_tei_asks_and_is_cut_there_as_here(tmp_path: Path) -> None:
    """By TEI's source: what its configuration has to hold, and the cut that it asks its tokenizer for."""
    pytest.importorskip("onnxscript", reason="interank[onnx] is not installed")
    folder = family_folder(tmp_path / "model", "llama 3")
    save_use(folder, Use(PromptSettings(max_length=400, max_query_tokens=40), ("score",)))
    export(folder, tmp_path / "graph", to="onnx")
    config = json.loads((tmp_path / "graph" / "config.json").read_text())
    assert config["architectures"][0].endswith("Classification") and len(config["id2label"]) == 1
    assert {type(config[name]) for name in ("hidden_size", "num_hidden_layers", "pad_token_id")} == {int}
    told = read_form(tmp_path / "graph")
    assert told is not None and config["max_position_embeddings"] == told.longest < 400
    tokenizer = Tokenizer.from_file(str(tmp_path / "graph" / "tokenizer.json"))
    tokenizer.enable_truncation(config["max_position_embeddings"], strategy="longest_first")
    found = tokenizer.encode("why does the pump run?", LONG.text).ids
    assert len(found) == told.longest and found == sealed_ids(tmp_path / "graph", "why does the pump run?", LONG.text)


def test_prompts_that_are_shorter_than_what_spells_all_special_tokens_are_exported(tmp_path: Path) -> None:
    from interank.engines.use import Use, save_use

    folder = family_folder(tmp_path / "model", "llama 3")
    encoder = judge_encoder(find_source(folder))
    around = sum(len(part) for part in encoder.graded)
    save_use(folder, Use(PromptSettings(max_length=around + 40, max_query_tokens=12), ("score",)))
    assert export(folder, tmp_path / "st").largest < 1e-4


def test_what_ends_a_prompt_is_never_padding(tmp_path: Path) -> None:
    export(family_folder(tmp_path / "model", "llama 3"), tmp_path / "st")
    tokenizer = open_sealed(tmp_path / "st")
    config = json.loads((tmp_path / "st" / "config.json").read_text())
    assert config["pad_token_id"] == tokenizer.pad_token_id != sealed_ids(tmp_path / "st", "q", "d")[-1]


def test_a_score_of_two_units_is_the_score(tmp_path: Path) -> None:
    torch.manual_seed(0)
    logits = torch.randn(500, 3, dtype=torch.float64) * 20
    expected = [judging.score(row) for row in logits.tolist()]
    assert GradeScore()(logits)[:, 0].tolist() == pytest.approx(expected, abs=1e-7)


def test_a_cap_is_folded_into_the_graph_and_refused_elsewhere(tmp_path: Path) -> None:
    folder = family_folder(tmp_path / "model", "gemma3")
    with pytest.raises(InputError, match=r"caps its logits at 30.*--to onnx"):
        export(folder, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
    assert export(folder, tmp_path / "out", to="onnx").largest < 1e-4


def test_a_bias_is_folded_into_the_graph_and_refused_elsewhere(tmp_path: Path) -> None:
    folder = biased(tmp_path / "model")
    with pytest.raises(InputError, match=r"has a bias.*--to onnx"):
        export(folder, tmp_path / "out")
    assert export(folder, tmp_path / "out", to="onnx").largest < 1e-4


def test_what_a_model_multiplies_its_logits_by_is_folded(tmp_path: Path) -> None:
    folder = scaled(tmp_path / "model")
    with pytest.raises(ModelError, match=r"no classifier for models of the kind granite.*--to onnx"):
        export(folder, tmp_path / "out")
    assert export(folder, tmp_path / "out", to="onnx").largest < 1e-4
    head = grade_head(AutoModelForCausalLM.from_pretrained(folder), [4, 5, 6])
    assert head.weight[0] == pytest.approx(
        AutoModelForCausalLM.from_pretrained(folder).lm_head.weight[4].detach().numpy() / 4, rel=1e-4
    )


def test_a_head_that_does_something_else_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model: Any = AutoModelForCausalLM.from_pretrained(family_folder(tmp_path / "model", "llama 3"))
    forward = model.forward

    def squared(*given: Any, **named: Any) -> Any:
        found = forward(*given, **named)
        found.logits = found.logits**2
        return found

    monkeypatch.setattr(model, "forward", squared)
    with pytest.raises(ModelError, match="unknown way"):
        grade_head(model, [4, 5, 6])


def test_a_fence_is_refused(tmp_path: Path) -> None:
    from interank.engines.use import Use, save_use

    folder = family_folder(tmp_path / "model", "llama 3")
    save_use(folder, Use(PromptSettings(max_length=900, max_query_tokens=64, fence=True), ("score",)))
    with pytest.raises(InputError, match="fence"):
        export(folder, tmp_path / "out")


def test_an_export_that_scores_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one whose margins are those of the linear score, which ranks otherwise."""
    from interank.tasks.judge import forms

    pytest.importorskip("sentence_transformers")
    folder = family_folder(tmp_path / "model", "llama 3")
    monkeypatch.setattr(forms, "_SOFTPLUS", "torch.nn.modules.linear.Identity")
    with pytest.raises(ModelError, match=r"sentence-transformers reads.*a score differs by"):
        export(folder, tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_bfloat16_keeps_the_head_in_float32(tmp_path: Path) -> None:
    cross_encoder = pytest.importorskip("sentence_transformers").CrossEncoder
    folder = family_folder(tmp_path / "model", "llama 3")
    found = export(folder, tmp_path / "out", numbers="bfloat16")
    assert 1e-6 < found.largest < 0.5
    model = cross_encoder(str(tmp_path / "out"), device="cpu")
    assert next(model[0].parameters()).dtype == torch.bfloat16
    scores = model.predict([("q", f"fox {place}") for place in range(40)], show_progress_bar=False)
    assert len(set(scores.tolist())) > 30
    with pytest.raises(InputError, match="float32"):
        export(folder, tmp_path / "graph", to="onnx", numbers="bfloat16")


def test_the_card_tells_what_was_checked_and_no_path(tmp_path: Path) -> None:
    export(family_folder(tmp_path / "model", "llama 3"), tmp_path / "st")
    card = (tmp_path / "st" / "README.md").read_text()
    assert "pipeline_tag: text-ranking" in card and "| transformers |" in card and "| sentence-transformers |" in card
    assert str(tmp_path) not in card


def biased(folder: Path) -> Path:
    """A model whose head has a bias, of the one kind of transformers' that grades with one and has RoPE."""
    return _special(folder, "phi", {"partial_rotary_factor": 0.5})


def scaled(folder: Path) -> Path:
    """A model that divides its logits by 4."""
    return _special(folder, "granite", {"logits_scaling": 4.0})


def _special(folder: Path, kind: str, own: dict[str, Any]) -> Path:
    from transformers import AutoConfig

    from tests.support.families import _SHAPE

    tokenizer = tiny_tokenizer()
    torch.manual_seed(0)
    shape = {**_SHAPE, "tie_word_embeddings": False, "vocab_size": len(tokenizer), **own}
    model: Any = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape), dtype=torch.float32)
    for parameter in model.parameters():
        parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("instruction", ["", "Cite statutes."])
def test_the_tokenizers_ids_are_the_prompts(tmp_path: Path, instruction: str) -> None:
    folder = family_folder(tmp_path / "model", "llama 3")
    save_use(folder, Use(PromptSettings(instruction=instruction), ("score",)))
    encoder = judge_encoder(find_source(folder))
    export(folder, tmp_path / "st")
    query, document = Query("q", "why?"), Document("d", "Because.", "A title")
    prompt = encoder.prompt(query, document, answer_tokens=16, order="grade_first")
    assert instruction in encoder.tokenizer.decode(prompt.prefix)
    expected = [*prompt.ids, *encoder.label_lead]
    assert sealed_ids(tmp_path / "st", query.text, document.full_text) == expected
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "st")
    assert tokenizer(query.text, document.full_text)["input_ids"] == expected


def with_added(folder: Path, names: list[Any]) -> Path:
    """A model whose tokenizer has tokens that are added and not special, as Qwen's `<think>`."""
    family_folder(folder, "qwen3", vocab_size=len(tiny_tokenizer()) + 8)
    own = PreTrainedTokenizerFast.from_pretrained(folder)
    own.add_tokens(names)
    own.save_pretrained(folder)
    return folder


def test_documents_that_spell_added_tokens_score_as_here(tmp_path: Path) -> None:
    cross_encoder = pytest.importorskip("sentence_transformers").CrossEncoder
    folder = with_added(tmp_path / "model", ["<think>", "</think>", "<think>more", "\n\n\n"])
    export(folder, tmp_path / "st")
    encoder = judge_encoder(find_source(folder))
    texts = ["<think>the pump runs</think>", "a<think>more rain", "the\n\n\n\npump", "rain <think> < think> <th"]
    for text in texts:
        expected = encoder.prompt(Query("q", "why?"), Document("d", text), answer_tokens=16).ids
        assert tuple(sealed_ids(tmp_path / "st", "why?", text))[: len(expected)] == expected, text
    own = {item.doc_id: item.score for item in Reranker(folder).rank("why?", texts)}
    scores = cross_encoder(str(tmp_path / "st"), device="cpu").predict(
        [("why?", text) for text in texts], show_progress_bar=False
    )
    assert scores.tolist() == pytest.approx([own[str(place)] for place in range(len(texts))], abs=1e-4)


def test_an_added_token_that_takes_blanks_with_it_is_refused(tmp_path: Path) -> None:
    from transformers import AddedToken

    folder = with_added(tmp_path / "model", [AddedToken("<tool>", rstrip=True, special=False, normalized=False)])
    with pytest.raises(ModelError, match=r"in other tokens than interank"):
        export(folder, tmp_path / "st")


@pytest.mark.parametrize("to", ["cross-encoder", "onnx", "vllm"])
def test_an_export_opens_as_a_reranker(tmp_path: Path, to: Any) -> None:
    adapter = strong_adapter(tmp_path)
    export(adapter, tmp_path / "out", to=to)
    texts = [*(document.full_text for document in SOME[0][1]), "<|im_end|> rain", LONG.text]
    own, found = (Reranker(source).rank("why does the pump run?", texts) for source in (adapter, tmp_path / "out"))
    assert [item.doc_id for item in found] == [item.doc_id for item in own]
    assert [item.score for item in found] == pytest.approx([item.score for item in own], abs=1e-4)
    assert [item.truncated for item in found] == [item.truncated for item in own] and max(i.truncated for i in own)
    if to == "onnx":
        assert {item.relevance for item in found} == {None}
    else:
        assert [item.relevance for item in found] == [item.relevance for item in own]
        for here, there in zip(own, found, strict=True):
            assert here.probabilities == pytest.approx(there.probabilities, abs=1e-4)
    assert all(item.label_mass is None for item in found)
    with pytest.raises(InputError, match="without explaining"):
        Reranker(tmp_path / "out").rank("why?", texts, explain=1)
    with pytest.raises(InputError, match="can only grade"):
        Reranker(tmp_path / "out", mode="explain")
    with pytest.raises(ArtifactError, match="give the judge"):
        check_parity(str(tmp_path / "out"), ParityTargets(vllm=False))
    with pytest.raises(InputError, match="leaves no room"):
        Reranker(tmp_path / "out").rank(LONG.text, texts)


def test_an_export_is_held_to_texts_that_its_length_alone_cuts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits of a query and a document by themselves cannot be told to tools, so they are no part of an export."""
    from interank.engines.use import Use, save_use
    from interank.tasks.judge import forms

    folder = family_folder(tmp_path / "model", "llama 3")
    save_use(folder, Use(PromptSettings(max_length=700, max_query_tokens=20, max_document_tokens=50), ("score",)))
    query, text = " ".join(["why?"] * 12), " ".join(["a pump that runs without rain"] * 30)
    encoder = judge_encoder(find_source(folder))
    longest = sum(map(len, encoder.graded)) + 70
    export(folder, tmp_path / "st")
    told = read_form(tmp_path / "st")
    assert told is not None and (told.longest, told.query_tokens, told.document_tokens) == (longest, 20, 50)
    alone = forms.by_length(encoder)
    prompt = alone.prompt(Query("q", query), Document("d", text), answer_tokens=16)
    kept = encoder.prompt(Query("q", query), Document("d", text), answer_tokens=16)
    assert len(prompt.document) != len(kept.document) and len(prompt.prefix) > len(kept.prefix)
    assert sealed_ids(tmp_path / "st", query, text) == [*prompt.ids, *encoder.label_lead]

    # A tokenizer that cuts elsewhere is found out.
    monkeypatch.setattr(forms, "save_sealed", lambda *given, length: save_sealed(*given, length=length - 3))
    with pytest.raises(ModelError, match="prompt"):
        export(folder, tmp_path / "cut")


def test_the_commands_rank_with_an_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxscript", reason="interank[onnx] is not installed")
    folder = family_folder(tmp_path / "model", "llama 3")
    forms: dict[str, Any] = {"st": "cross-encoder", "graph": "onnx"}
    for name, to in forms.items():
        export(folder, tmp_path / name, to=to)
    benchmark = benchmark_folder(tmp_path / "benchmark", queries=2, documents=4)
    adapters = ",".join(str(tmp_path / name) for name in ("model", *forms))
    words = ["evaluate", "evaluate/benchmark", f"benchmark={benchmark}", "depth=4", f"adapters={adapters}", "explain=1"]
    assert main([*words, "--out", str(tmp_path / "eval"), "--quiet"]) == 0
    own, *exports = (read_run(tmp_path / "eval" / "runs" / f"{name}.trec") for name in ("model", *forms))
    for found in exports:
        for query_id in own:
            assert list(found.scores(query_id)) == list(own.scores(query_id))
    notes = tmp_path / "notes.txt"
    notes.write_text("It rains.\n\nIt leaks.\n")
    capsys.readouterr()
    assert main(["rerank", str(tmp_path / "st"), "--query", "why?", str(notes), "--quiet"]) == 0
    assert "leaks" in capsys.readouterr().out


def test_a_reader_that_is_too_old_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentence_transformers")
    monkeypatch.setattr(metadata, "version", lambda name: "6.1")
    for numbers, message in (("float32", ""), ("bfloat16", "found sentence-transformers 6.1.*needs 6.2 or later")):
        told = Export("cross-encoder", "exact", numbers, 100, 10, 50)  # type: ignore[arg-type]
        if message:
            with pytest.raises(InputError, match=message):
                readers(told)
        else:
            assert set(readers(told)) == {"transformers", "sentence-transformers"}


def test_a_vllm_that_is_built_otherwise_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    old = ModuleType("vllm")
    old.__version__ = "0.9.1"  # type: ignore[attr-defined]
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "vllm", old)
    with pytest.raises(ImportError, match=r"do not run in vLLM 0\.9\.1 \(.*\); install 0\.32"):
        vllm_plugin.InterankLlamaForSequenceClassification  # noqa: B018
