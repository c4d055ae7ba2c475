"""A judge in the forms that other tools read: sentence-transformers' CrossEncoder, ONNX and vLLM's classifier."""

from __future__ import annotations

import copy
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors.torch import save_file
from transformers import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from interank.engines.grade_head import GradeHead, grade_head
from interank.engines.onnx_graph import write_judge_graph
from interank.engines.prompts import PromptEncoder
from interank.engines.sealed_tokenizer import save_sealed
from interank.engines.weights import ONNX
from interank.errors import ArtifactError, InputError, ModelError
from interank.tasks.judge.asking import LABEL_ROOM

JudgeForm = Literal["cross-encoder", "onnx", "vllm"]
JUDGE_FORMS: tuple[JudgeForm, ...] = get_args(JudgeForm)
Numbers = Literal["float32", "bfloat16"]

FILE = "export.json"
"""What an export says of itself."""
SENTENCE_TRANSFORMERS: dict[Numbers, str] = {"float32": "5.5", "bfloat16": "6.2"}
"""The oldest that opens an export; layers that compute in float32 behind weights in bfloat16 came later."""
GRADES = {0: "irrelevant", 1: "partially relevant", 2: "relevant"}
VLLM_PREFIX = "Interank"
"""Before the name of an architecture, as the plugin for vLLM registers it."""
_IDENTITY, _SIGMOID = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"
_SOFTPLUS = "torch.nn.modules.activation.Softplus"


@dataclass(frozen=True, slots=True)
class Export:
    """What an exported folder says of itself."""

    to: JudgeForm
    form: Literal["exact"]
    """The score is interank's own, and no approximation of it."""
    numbers: Numbers
    longest: int
    """Tokens of a query, its document and the frame; the document is cut to fit, as interank cuts it."""
    query_tokens: int
    document_tokens: int
    """Where the judge itself cuts a query or a document in any case; the export cuts by `longest` alone."""


def read_form(folder: Path) -> Export | None:
    """What an exported folder says of itself; None where it says nothing.

    Raises:
        ArtifactError: The file cannot be read.
    """
    if not (folder / FILE).is_file():
        return None
    try:
        facts = json.loads((folder / FILE).read_text("utf-8"))
        return Export(**{name: facts[name] for name in Export.__dataclass_fields__})
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(
            f"{folder / FILE} cannot be read ({type(error).__name__}); export the judge anew with interank export"
        ) from None


def write_form(
    model: Any, encoder: PromptEncoder, folder: Path, to: JudgeForm, *, numbers: Numbers = "float32"
) -> Export:
    """Write a judge, in float32 and without an adapter apart, in another tool's form.

    Args:
        model: The causal language model, which is changed where `numbers` are bfloat16.
        encoder: What makes its prompts.
        folder: Where to; it is there.
        to: Whose form.
        numbers: What the weights before the head are kept in.

    Raises:
        InputError: Its prompts or its head cannot be told to that tool.
        ModelError: Its architecture or its tokenizer cannot be.
    """
    head = grade_head(model, encoder.label_ids)
    require_form(head, encoder, to, numbers)
    told = told_of(encoder, to, numbers)
    save_sealed(encoder.tokenizer, encoder.graded, folder, length=told.longest)
    pad = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))["pad_token"]
    index = encoder.tokenizer.convert_tokens_to_ids(pad)
    if to == "onnx":
        write_judge_graph(model, head, folder / ONNX)
        _write_json(folder / "config.json", _onnx_config(model, index, told.longest))
    else:
        classifier = _classifier(model, head, index)
        if numbers == "bfloat16":
            classifier.to(torch.bfloat16)
            # What tells grades apart is written as it is.
            classifier.score.weight = torch.nn.Parameter(head.weight)
        classifier.save_pretrained(folder)
        _write_modules(head, folder, told)
    if to == "vllm":
        _as_vllm(folder)
    _write_json(folder / FILE, asdict(told))
    return told


def told_of(encoder: PromptEncoder, to: JudgeForm, numbers: Numbers) -> Export:
    """What the export will say of itself."""
    settings, frame = encoder.settings, encoder.graded
    # The answer's room is counted behind the prompt, and the label's lead stands in it.
    whole = settings.max_length - LABEL_ROOM + len(encoder.label_lead)
    around = sum(len(part) for part in frame)
    longest = min(whole, around + encoder.query_room(settings.instruction) + settings.max_document_tokens)
    return Export(to, "exact", numbers, longest, encoder.query_room(settings.instruction), settings.max_document_tokens)


def by_length(encoder: PromptEncoder) -> PromptEncoder:
    """What makes the prompts that an export's tokenizer makes: cut by their length alone.

    Other tools count a pair together, so that `max_query_tokens` and `max_document_tokens` cannot be told them.
    """
    whole = told_of(encoder, "onnx", "float32").longest - len(encoder.label_lead) + LABEL_ROOM
    settings = encoder.settings.model_copy(update={"max_length": whole, "max_document_tokens": whole})
    # An instruction's tokens are the query's.
    alone = settings.model_copy(update={"max_query_tokens": 1, "instruction": ""})
    room = PromptEncoder(encoder.tokenizer, alone).longest_query
    return PromptEncoder(encoder.tokenizer, settings.model_copy(update={"max_query_tokens": room}))


def require_form(head: GradeHead, encoder: PromptEncoder, to: JudgeForm, numbers: Numbers) -> None:
    """Stop where a form cannot hold the judge exactly.

    Raises:
        InputError: Says what to do.
    """
    if encoder.settings.fence:
        raise InputError(
            "this judge was trained with prompt.fence, which takes lines out of documents, and no other tool does "
            "that; distill one without the fence to export it"
        )
    if to == "onnx" and numbers != "float32":
        raise InputError("an ONNX graph is written in float32, and bfloat16 was asked for; leave --numbers out")
    if to != "onnx" and not head.linear:
        found = f"caps its logits at {head.cap:g}" if head.cap is not None else "has a bias"
        raise InputError(f"the head of this model {found}, which {to} has no place for; use --to onnx, which has one")


def _classifier(model: Any, head: GradeHead, pad: int) -> Any:
    """The model with the grades' rows in place of the vocabulary's head."""
    config = copy.deepcopy(model.config)
    kind = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    prefix = model.base_model_prefix
    if kind is None:
        raise ModelError(
            f"transformers has no classifier for models of the kind {config.model_type}; use --to onnx, or the model "
            "here"
        )
    config.num_labels = len(GRADES)
    config.id2label = dict(GRADES)
    config.label2id = {name: grade for grade, name in GRADES.items()}
    config.pad_token_id = pad
    config.tie_word_embeddings = False
    config.sentence_transformers = {"activation_fn": _IDENTITY}
    with torch.device("meta"):
        classifier = kind(config)
    backbone = getattr(model, prefix)
    if type(getattr(classifier, prefix, None)) is not type(backbone) or not hasattr(classifier, "score"):
        raise ModelError(
            f"transformers' classifier for models of the kind {config.model_type} is built otherwise than the language "
            "model; use --to onnx, or the model here"
        )
    setattr(classifier, prefix, backbone)
    classifier.score = torch.nn.Linear(head.weight.shape[1], len(GRADES), bias=False)
    classifier.score.weight = torch.nn.Parameter(head.weight)
    classifier.config = config
    return classifier


def _write_modules(head: GradeHead, folder: Path, told: Export) -> None:
    """Write what sentence-transformers puts behind the backbone: the last token, two margins, and their difference."""
    width = head.weight.shape[1]
    base = "sentence_transformers.base.modules"
    types = {
        "": f"{base}.transformer.Transformer",
        "1_Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
        "2_Dense": f"{base}.dense.Dense",
        "3_Dense": f"{base}.dense.Dense",
    }
    modules = [
        {"idx": place, "name": str(place), "path": path, "type": kind}
        for place, (path, kind) in enumerate(types.items())
    ]
    _write_json(folder / "modules.json", modules)
    reading = {
        "transformer_task": "feature-extraction",
        "processing_kwargs": {"text": {"truncation": "only_second", "max_length": told.longest}},
    }
    _write_json(folder / "sentence_bert_config.json", reading)
    mixed = told.numbers == "bfloat16"
    whole = {
        "model_type": "CrossEncoder",
        "activation_fn": _IDENTITY,
        "requirements": {"sentence-transformers": f">={SENTENCE_TRANSFORMERS[told.numbers]}"},
        **({"keep_in_fp32_modules": ["2.linear", "3.linear"]} if mixed else {}),
    }
    _write_json(folder / "config_sentence_transformers.json", whole)
    pooling = {"embedding_dimension": width, "pooling_mode": "lasttoken", "include_prompt": True}
    _write_json(_made(folder / "1_Pooling") / "config.json", pooling)
    ln2 = torch.full((2,), 2.0).log()
    _write_dense(folder / "2_Dense", head.margins, ln2, _SOFTPLUS, "sentence_embedding", "margins")
    last = torch.tensor([[1.0, -1.0]])
    _write_dense(folder / "3_Dense", last, None, _IDENTITY, "margins", "scores")


def _write_dense(
    folder: Path, weight: torch.Tensor, bias: torch.Tensor | None, activation: str, given: str, gives: str
) -> None:
    facts = {
        "in_features": weight.shape[1],
        "out_features": weight.shape[0],
        "bias": bias is not None,
        "activation_function": activation,
        "module_input_name": given,
        "module_output_name": gives,
    }
    _write_json(_made(folder) / "config.json", facts)
    weights = {"linear.weight": weight.contiguous()} | ({} if bias is None else {"linear.bias": bias})
    save_file(weights, folder / "model.safetensors")


def _as_vllm(folder: Path) -> None:
    """Have vLLM take the plugin's model for it, whose score is one number between 0 and 1."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["architectures"] = [VLLM_PREFIX + name for name in config["architectures"]]
    config |= {"num_labels": 1, "id2label": {"0": "score"}, "label2id": {"score": 0}}
    config["sentence_transformers"] = {"activation_fn": _SIGMOID}
    _write_json(folder / "config.json", config)
    file = folder / "config_sentence_transformers.json"
    _write_json(file, json.loads(file.read_text("utf-8")) | {"activation_fn": _SIGMOID})
    # sentence-transformers would read the same scores otherwise than vLLM, and has a form of its own.
    (folder / "modules.json").unlink()


def _onnx_config(model: Any, pad: int, longest: int) -> dict[str, Any]:
    """What servers of ONNX ask: a classifier with one label, whose texts have at most so many tokens.

    TEI does not start without the numbers of layers and positions, and cuts or refuses by the latter.
    """
    return {
        "architectures": [f"{type(model).__name__.removesuffix('ForCausalLM')}ForSequenceClassification"],
        "model_type": model.config.model_type,
        "id2label": {"0": "score"},
        "label2id": {"score": 0},
        "max_position_embeddings": longest,
        "hidden_size": model.config.hidden_size,
        "num_hidden_layers": model.config.num_hidden_layers,
        "pad_token_id": pad,
        "vocab_size": model.config.vocab_size,
    }


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _write_json(file: Path, facts: Any) -> None:
    file.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
