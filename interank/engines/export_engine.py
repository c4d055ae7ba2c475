"""The engine of an exported judge: its own tokenizer, then transformers or onnxruntime."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForSequenceClassification

from interank import machine
from interank.engines.models import device
from interank.engines.sealed_tokenizer import FILE, open_sealed
from interank.engines.weights import load_whole
from interank.engines.work import Work, flops, positions_attended
from interank.errors import InputError, ModelError
from interank.types import GRADES

# The tokenizer's number of the document among the texts of a pair.
_DOCUMENT = 1
# Tokens of a batch, padding included.
_BATCH_TOKENS = 16384
# Inputs and outputs of an exported graph, with onnxruntime's names of their types.
_INPUTS = {"input_ids": "tensor(int64)", "attention_mask": "tensor(int64)"}
_OUTPUTS = {"logits": "tensor(float)"}


@dataclass(frozen=True, slots=True)
class SealedPair:
    """A query and a document as an export's tokenizer writes them."""

    ids: tuple[int, ...]
    cut: int
    """Tokens at the document's end that there was no room for."""


class ExportEngine:
    """Runs an export on pairs: it gives three logits for each, or one score if it is a graph."""

    def __init__(self, folder: Path, graph: str | None = None) -> None:
        """Load the export in float32: from the ONNX file `graph` in its folder if given, else from safetensors.

        Raises:
            InputError: onnxruntime is not installed, which runs the graph.
            ModelError: A file cannot be read, or holds something else than an export does.
        """
        if graph is not None and importlib.util.find_spec("onnxruntime") is None:
            raise InputError(f"{folder} is an ONNX graph, and onnxruntime is not installed; pip install onnxruntime")
        self.work = Work()
        self._lock = threading.RLock()
        self._folder = folder
        self._model: Any = None
        try:
            self._cutting = Tokenizer.from_file(str(folder / FILE))
            self._whole = Tokenizer.from_file(str(folder / FILE))
            padding = open_sealed(folder).pad_token_id
            self._config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            if graph is not None:
                self._session: Any = _session(folder / graph)
        except Exception as error:
            if machine.fault(error):
                raise
            # The libraries report a broken file by a plain Exception.
            raise self._unlike(" ".join(str(error).split())[:300]) from error
        length = (self._cutting.truncation or {}).get("max_length")
        if length is None or padding is None:
            raise self._unlike(f"its tokenizer names no {'length' if length is None else 'token for padding'}")
        self._longest, self._pad = int(length), int(padding)
        self._whole.no_truncation()
        if graph is None:
            kind, classes = AutoModelForSequenceClassification, len(GRADES)
            self._model = load_whole(kind, folder, dtype=torch.float32, num_labels=classes).to(device()).eval()

    @property
    def device(self) -> str:
        """See `Working`."""
        return "cpu" if self._model is None else str(self._model.device.type)

    def flops(self, work: Work) -> float | None:
        """See `Working`."""
        return flops(self._config, work)

    def pair(self, query: str, document: str) -> SealedPair:
        """The pair's tokens, the document cut to fit as other tools cut it.

        Raises:
            InputError: The query leaves no room for a document.
        """
        query, document = (text.encode("utf-8", "replace").decode("utf-8") for text in (query, document))
        whole = self._whole.encode(query, document)
        cut = len(whole.ids) - self._longest
        if cut <= 0:
            return SealedPair(tuple(whole.ids), 0)
        if whole.sequence_ids.count(_DOCUMENT) <= cut:
            raise InputError(
                f"the query {query[:60]!r} leaves no room for a document in the {self._longest} tokens that this "
                "export reads; shorten it"
            )
        return SealedPair(tuple(self._cutting.encode(query, document).ids), cut)

    @torch.inference_mode()
    def read(self, pairs: Sequence[SealedPair]) -> list[tuple[float, ...]]:
        """Each pair's logits of the three grades, or its score alone, in the order of the pairs."""
        outputs: list[tuple[float, ...]] = [()] * len(pairs)
        with self._lock:
            for places in _batches(pairs):
                rows = self._rows([pairs[place].ids for place in places])
                for place, numbers in zip(places, self._numbers(rows), strict=True):
                    outputs[place] = tuple(numbers)
            lengths = [len(pair.ids) for pair in pairs]
            self.work += Work(tokens_read=sum(lengths), attended=sum(positions_attended(0, count) for count in lengths))
        return outputs

    def _rows(self, texts: Sequence[tuple[int, ...]]) -> dict[str, torch.Tensor]:
        ids = torch.full((len(texts), max(map(len, texts))), self._pad)
        mask = torch.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        return {"input_ids": ids, "attention_mask": mask}

    def _numbers(self, rows: dict[str, torch.Tensor]) -> list[list[float]]:
        if self._model is None:
            try:
                scores = self._session.run(list(_OUTPUTS), {name: value.numpy() for name, value in rows.items()})[0]
            except Exception as error:
                if machine.fault(error):
                    raise
                # onnxruntime's exceptions have no other class in common.
                raise self._unlike(" ".join(str(error).split())[:300]) from error
            if scores.shape != (len(rows["input_ids"]), 1):
                raise self._unlike(f"its graph gives {scores.shape} numbers, where one for each text is expected")
            numbers: list[list[float]] = scores.tolist()
            return numbers
        inputs = {name: value.to(self._model.device) for name, value in rows.items()}
        logits: list[list[float]] = self._model(**inputs).logits.double().tolist()
        return logits

    def _unlike(self, reason: str) -> ModelError:
        return ModelError(
            f"{self._folder} cannot be read as an export: {reason}; export the judge anew with interank export"
        )


def _session(graph: Path) -> Any:
    """Open a graph in onnxruntime.

    Raises:
        ValueError: Its inputs or outputs are not those of a judge's graph.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    inputs, outputs = (
        {each.name: each.type for each in ends} for ends in (session.get_inputs(), session.get_outputs())
    )
    if inputs != _INPUTS or outputs != _OUTPUTS:
        raise ValueError(f"its graph takes {inputs} and gives {outputs}, where {_INPUTS} and {_OUTPUTS} are expected")
    return session


def _batches(pairs: Sequence[SealedPair]) -> Iterator[list[int]]:
    """Batches of pairs of similar length, as places in `pairs`."""
    batch: list[int] = []
    for place in sorted(range(len(pairs)), key=lambda place: len(pairs[place].ids)):
        if batch and len(pairs[place].ids) * (len(batch) + 1) > _BATCH_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
