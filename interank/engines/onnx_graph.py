"""Pointwise heads and judges as ONNX graphs: written by PyTorch's exporter, run by onnxruntime."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import Dim

from interank.engines.grade_head import GradeHead, GradeScore
from interank.engines.heads import Head
from interank.errors import ModelError
from interank.versions import require

# The versions of the extra `onnx` in pyproject.toml.
_PACKAGES = {"onnx": "1.20", "onnxscript": "0.7", "onnxruntime": "1.23"}
# A protobuf file holds 2 GiB at most; the weights of larger models go into a file of their own.
_ONE_FILE_BYTES = 1.5 * 2**30
# Rows and tokens of the example that the exporter traces; the graph takes any number of either.
_ROWS, _TOKENS = 2, 12


def require_onnx() -> None:
    """Check that the packages that write and run graphs are installed.

    Raises:
        InputError: One is not installed, or too old.
    """
    for package, works in _PACKAGES.items():
        require(package, works, "onnx")


class LastState(torch.nn.Module):
    """Maps ids and mask to the final hidden state of each row's last real token; padding may be on either side."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.backbone = getattr(model, model.base_model_prefix)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """States of shape (rows, width)."""
        # With padding on the left, the first real token still has position 0.
        positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
        states = self.backbone(
            input_ids=input_ids, attention_mask=attention_mask, position_ids=positions, use_cache=False
        ).last_hidden_state
        columns = torch.arange(1, attention_mask.shape[1] + 1, device=attention_mask.device)
        places = (attention_mask * columns).argmax(1)
        chosen: torch.Tensor = states.gather(1, places[:, None, None].expand(-1, 1, states.shape[-1]))[:, 0]
        return chosen


class LastToken(torch.nn.Module):
    """Maps ids and mask to a head's logits."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.state, self.score = LastState(model), model.score

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """One logit a row."""
        logits: torch.Tensor = self.score(self.state(input_ids, attention_mask))[:, 0]
        return logits


class Grades(torch.nn.Module):
    """Maps ids and mask to a judge's scores, bias and cap of its head included."""

    def __init__(self, model: Any, head: GradeHead) -> None:
        super().__init__()
        self.state = LastState(model)
        self.rows = torch.nn.Linear(head.weight.shape[1], head.weight.shape[0], bias=head.bias is not None)
        self.rows.weight = torch.nn.Parameter(head.weight)
        if head.bias is not None:
            self.rows.bias = torch.nn.Parameter(head.bias)
        self.score = GradeScore(head.cap)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Scores of shape (rows, 1), as servers of classifiers expect them."""
        scores: torch.Tensor = self.score(self.rows(self.state(input_ids, attention_mask)))
        return scores


class OwnPooling(torch.nn.Module):
    """Maps an encoder's inputs to its own head's logits."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """One logit a row."""
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        logits: torch.Tensor = self.model(input_ids=input_ids, attention_mask=attention_mask, **types).logits[:, 0]
        return logits


def write_graph(head: Head, file: Path) -> None:
    """Write a head in float32, its adapter merged into the base, for any number of rows and tokens.

    Raises:
        ModelError: PyTorch cannot turn this architecture into a graph.
    """
    last = head.settings.pooling == "last"
    graph = LastToken(head.model) if last else OwnPooling(head.model)
    _write(graph.eval(), _example(types=not last and getattr(head.model.config, "type_vocab_size", 0) > 1), file)


def write_judge_graph(model: Any, head: GradeHead, file: Path) -> None:
    """Write a judge in float32 as `write_graph` does a head; its one output `logits` is the score.

    Raises:
        ModelError: PyTorch cannot turn this architecture into a graph.
    """
    _write(Grades(model, head).eval(), _example(types=False), file)


def _write(graph: torch.nn.Module, example: dict[str, torch.Tensor], file: Path) -> None:
    rows, tokens = Dim("pairs"), Dim("tokens")
    size = sum(weight.nbytes for weight in graph.parameters())
    # The exporter warns of its own deprecated code, of inputs that share axes, and of missing packages.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                graph,
                kwargs=example,
                f=file,
                input_names=list(example),
                output_names=["logits"],
                dynamic_shapes={name: {0: rows, 1: tokens} for name in example},
                external_data=size > _ONE_FILE_BYTES,
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"PyTorch cannot write this model as ONNX ({reason}); use another form") from None


def graph_logits(file: Path, rows: Mapping[str, Any]) -> list[float]:
    """The logits that onnxruntime computes on the CPU from a tokenizer's arrays."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    inputs = {item.name: rows[item.name] for item in session.get_inputs()}
    logits: list[float] = session.run(["logits"], inputs)[0].tolist()
    return logits


def _example(*, types: bool) -> dict[str, torch.Tensor]:
    """The rows that the exporter traces: one is padded, and no two inputs are equal, which it would merge into one."""
    ids = torch.arange(_ROWS * _TOKENS).reshape(_ROWS, _TOKENS) % 7 + 1
    mask = torch.ones_like(ids)
    mask[0, _TOKENS // 2 :] = 0
    example = {"input_ids": ids, "attention_mask": mask}
    return example | {"token_type_ids": (torch.arange(_TOKENS) % 2).expand_as(ids).clone()} if types else example
