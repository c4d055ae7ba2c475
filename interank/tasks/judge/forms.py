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
"""Describes an exported folder."""
SENTENCE_TRANSFORMERS: dict[Numbers, str] = {"float32": "5.5", "bfloat16": "6.2"}
"""The oldest version that opens an export; to keep layers in float32 after bfloat16 weights takes the later one."""
GRADES = {0: "irrelevant", 1: "partially relevant", 2: "relevant"}
VLLM_PREFIX = "Interank"
"""Begins the names of the architectures that the vLLM plugin registers."""
_IDENTITY, _SIGMOID = "torch.nn.modules.linear.Identity", "torch.nn.modules.activation.Sigmoid"
_SOFTPLUS = "torch.nn.modules.activation.Softplus"


@dataclass(frozen=True, slots=True)
class Export:
    """The description of an exported folder."""

    to: JudgeForm
    form: Literal["exact"]
    """The score is interank's own, not an approximation."""
    numbers: Numbers
    longest: int
    """The most tokens of query, document and frame together; the document is cut to fit, as interank cuts it."""
    query_tokens: int
    document_tokens: int
    """The judge itself also cuts a query and a document at these lengths; the export cuts by `longest` alone."""


def read_form(folder: Path) -> Export | None:
    """The description of an exported folder; None where there is none.

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
    """Write a judge, in float32 and with its adapter merged, in another tool's form.

    Args:
        model: The causal language model; changed in place where `numbers` is bfloat16.
        encoder: Makes its prompts.
        folder: An existing folder to write to.
        to: The form.
        numbers: The dtype of the weights before the head.

    Raises:
        InputError: The form cannot hold its prompts or its head.
        ModelError: The form cannot hold its architecture or its tokenizer.
    """
    head = grade_head(model, encoder.label_ids)
    require_form(head, encoder, to, numbers)
    export = describe(encoder, to, numbers)
    save_sealed(encoder.tokenizer, encoder.graded, folder, length=export.longest)
    pad = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))["pad_token"]
    index = encoder.tokenizer.convert_tokens_to_ids(pad)
    if to == "onnx":
        write_judge_graph(model, head, folder / ONNX)
        _write_json(folder / "config.json", _onnx_config(model, index, export.longest))
    else:
        classifier = _classifier(model, head, index)
        if numbers == "bfloat16":
            classifier.to(torch.bfloat16)
            # The grades' head stays in float32.
            classifier.score.weight = torch.nn.Parameter(head.weight)
        classifier.save_pretrained(folder)
        _write_modules(head, folder, export)
    if to == "vllm":
        _as_vllm(folder)
    _write_json(folder / FILE, asdict(export))
    return export


def describe(encoder: PromptEncoder, to: JudgeForm, numbers: Numbers) -> Export:
    """The description of an export."""
    settings, frame = encoder.settings, encoder.graded
    # `max_length` includes room for a whole answer; an export needs room for the label's lead alone.
    whole = settings.max_length - LABEL_ROOM + len(encoder.label_lead)
    around = sum(len(part) for part in frame)
    longest = min(whole, around + encoder.query_room(settings.instruction) + settings.max_document_tokens)
    return Export(to, "exact", numbers, longest, encoder.query_room(settings.instruction), settings.max_document_tokens)


def by_length(encoder: PromptEncoder) -> PromptEncoder:
    """An encoder whose prompts are those of an export's tokenizer: cut by their whole length alone.

    Other tools limit a pair as a whole and have no `max_query_tokens` or `max_document_tokens`.
    """
    whole = describe(encoder, "onnx", "float32").longest - len(encoder.label_lead) + LABEL_ROOM
    settings = encoder.settings.model_copy(update={"max_length": whole, "max_document_tokens": whole})
    # An instruction's tokens count as the query's.
    alone = settings.model_copy(update={"max_query_tokens": 1, "instruction": ""})
    room = PromptEncoder(encoder.tokenizer, alone).longest_query
    return PromptEncoder(encoder.tokenizer, settings.model_copy(update={"max_query_tokens": room}))


def require_form(head: GradeHead, encoder: PromptEncoder, to: JudgeForm, numbers: Numbers) -> None:
    """Refuse a form that cannot hold the judge exactly.

    Raises:
        InputError: The form has no place for the prompts, the head or the dtype.
    """
    if encoder.settings.fence:
        raise InputError(
            "this judge was trained with prompt.fence, which takes lines out of documents, and no other tool does "
            "that; distill one without the fence to export it"
        )
    if to == "onnx" and numbers != "float32":
        raise InputError("an ONNX graph is written in float32, and bfloat16 was asked for; leave --numbers out")
    if to != "onnx" and not head.linear:
        trait = f"caps its logits at {head.cap:g}" if head.cap is not None else "has a bias"
        raise InputError(f"the head of this model {trait}, which {to} has no place for; use --to onnx, which has one")


def _classifier(model: Any, head: GradeHead, pad: int) -> Any:
    """The model as a sequence classifier: a head of the three grades' rows in place of the vocabulary's."""
    config = copy.deepcopy(model.config)
    kind = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    prefix = model.base_model_prefix
    if kind is None:
        raise ModelError(
            f"transformers has no classifier for models of the kind {config.model_type}; use --to onnx, or the model "
            "in interank"
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
            "model; use --to onnx, or the model in interank"
        )
    setattr(classifier, prefix, backbone)
    classifier.score = torch.nn.Linear(head.weight.shape[1], len(GRADES), bias=False)
    classifier.score.weight = torch.nn.Parameter(head.weight)
    classifier.config = config
    return classifier


def _write_modules(head: GradeHead, folder: Path, export: Export) -> None:
    """Write sentence-transformers' modules behind the backbone: last-token pooling, two margins, their difference."""
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
        "processing_kwargs": {"text": {"truncation": "only_second", "max_length": export.longest}},
    }
    _write_json(folder / "sentence_bert_config.json", reading)
    mixed = export.numbers == "bfloat16"
    whole = {
        "model_type": "CrossEncoder",
        "activation_fn": _IDENTITY,
        "requirements": {"sentence-transformers": f">={SENTENCE_TRANSFORMERS[export.numbers]}"},
        **({"keep_in_fp32_modules": ["2.linear", "3.linear"]} if mixed else {}),
    }
    _write_json(folder / "config_sentence_transformers.json", whole)
    pooling = {"embedding_dimension": width, "pooling_mode": "lasttoken", "include_prompt": True}
    _write_json(_new_folder(folder / "1_Pooling") / "config.json", pooling)
    ln2 = torch.full((2,), 2.0).log()
    _write_dense(folder / "2_Dense", head.margins, ln2, _SOFTPLUS, "sentence_embedding", "margins")
    last = torch.tensor([[1.0, -1.0]])
    _write_dense(folder / "3_Dense", last, None, _IDENTITY, "margins", "scores")


def _write_dense(
    folder: Path, weight: torch.Tensor, bias: torch.Tensor | None, activation: str, input_name: str, output_name: str
) -> None:
    facts = {
        "in_features": weight.shape[1],
        "out_features": weight.shape[0],
        "bias": bias is not None,
        "activation_function": activation,
        "module_input_name": input_name,
        "module_output_name": output_name,
    }
    _write_json(_new_folder(folder) / "config.json", facts)
    weights = {"linear.weight": weight.contiguous()} | ({} if bias is None else {"linear.bias": bias})
    save_file(weights, folder / "model.safetensors")


def _as_vllm(folder: Path) -> None:
    """Change the configuration so that vLLM loads the plugin's model, whose score is a number between 0 and 1."""
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["architectures"] = [VLLM_PREFIX + name for name in config["architectures"]]
    config |= {"num_labels": 1, "id2label": {"0": "score"}, "label2id": {"score": 0}}
    config["sentence_transformers"] = {"activation_fn": _SIGMOID}
    _write_json(folder / "config.json", config)
    file = folder / "config_sentence_transformers.json"
    _write_json(file, json.loads(file.read_text("utf-8")) | {"activation_fn": _SIGMOID})
    # sentence-transformers would compute other scores than vLLM from this folder, and has a form of its own.
    (folder / "modules.json").unlink()


def _onnx_config(model: Any, pad: int, longest: int) -> dict[str, Any]:
    """The configuration that ONNX servers read: a classifier with one label and a maximal length in tokens.

    TEI does not start without the numbers of layers and positions, and cuts or refuses texts by the latter.
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


def _new_folder(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _write_json(file: Path, facts: Any) -> None:
    file.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")
