"""Reads a model's files and checks them: configurations, whole safetensors only, a parameter for every weight."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError, safe_open

from interank.errors import ModelError

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
ONNX = "model.onnx"
"""The file of an exported graph."""
# File names of other forms of weights; those of torch can run any code.
_OTHER_FORMS = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack", "*.gguf", "*.pkl")
_POINTER = b"version https://git-lfs"
# The files of a model that are read: configurations, vocabularies, templates, weights.
_READ = (".json", ".jinja", ".model", ".safetensors", ".txt")
_SHOWN = 3


def read_config(file: Path) -> dict[str, Any]:
    """A model's or an adapter's configuration.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        facts = json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ModelError(f"{file} cannot be read ({error}); get the model or adapter anew") from None
    if not isinstance(facts, dict):
        raise ModelError(f"{file} holds no object; get the model or adapter anew")
    return facts


def model_weights(folder: Path) -> list[Path]:
    """A model's weight files, checked to be whole.

    Raises:
        ModelError: There is none, one is missing, cut or no safetensors, or the index names files elsewhere.
    """
    index = folder / _INDEX
    # As in transformers, the index counts only if there is no single file.
    names = [_WEIGHTS] if (folder / _WEIGHTS).is_file() or not index.is_file() else _indexed(index)
    for name in names:
        weight_names(folder / name)
    return [folder / name for name in names]


def weight_names(file: Path) -> list[str]:
    """The names of the weights in a safetensors file, checked to be whole.

    Raises:
        ModelError: It is missing, or is not whole.
    """
    if not file.is_file():
        others = sorted(path.name for form in _OTHER_FORMS for path in file.parent.glob(form))
        raise ModelError(
            f"{file.parent} lacks {file.name}, and safetensors are the only form that is loaded"
            + (f" (found {_first(others)})" if others else "")
            + "; get the model or adapter anew, or convert it"
        )
    refuse_pointer(file)
    try:
        with safe_open(file, "pt") as weights:
            return list(weights.keys())
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{file} is damaged or cut ({error}); get the model or adapter anew") from None


def refuse_pointer(file: Path) -> None:
    """Refuse a pointer that Git LFS leaves in place of a model's file until that is fetched.

    Raises:
        ModelError: The file is a pointer.
    """
    with file.open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            raise ModelError(
                f"{file} is a pointer of Git LFS and holds nothing of the model; run git lfs pull in its folder"
            )


def refuse_pointers(folder: Path) -> None:
    """As `refuse_pointer`, for every file of a model's or an adapter's folder that may be read.

    Raises:
        ModelError: One is a pointer.
    """
    for file in sorted(folder.iterdir()):
        if file.suffix in _READ and file.is_file():
            refuse_pointer(file)


def load_whole(kind: Any, folder: Path, *, lacks: Collection[str] = (), **options: Any) -> Any:
    """Load the model in a folder, and check that every weight comes from its files.

    Args:
        kind: One of transformers' classes.
        folder: Where the model is.
        lacks: Names of layers that the files may lack, since they are made or loaded later; if there are any, weights
            of the files outside the backbone are ignored.
        **options: What `from_pretrained` takes.

    Raises:
        ModelError: The files hold other weights than the model has, or cannot be read.
    """
    model_weights(folder)
    options = {"trust_remote_code": False, "use_safetensors": True, **options}
    if "quantization_config" in options:
        # Loading to 4 bits does not check sizes. On the meta device only names and sizes are read, and checked.
        shape = {**options, "device_map": {"": "meta"}}
        del shape["quantization_config"]
        _loaded(kind, folder, lacks, shape)
    return _loaded(kind, folder, lacks, options)


def _loaded(kind: Any, folder: Path, lacks: Collection[str], options: Mapping[str, Any]) -> Any:
    try:
        # Sizes that differ are reported below, with the other faults.
        model, report = kind.from_pretrained(folder, output_loading_info=True, ignore_mismatched_sizes=True, **options)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, StrictDataclassError) as error:
        raise ModelError(f"{folder} cannot be loaded: {' '.join(str(error).split())[:300]}") from None
    missing = [name for name in report["missing_keys"] if not {*name.split(".")} & {*lacks}]
    backbone = f"{model.base_model_prefix}." if lacks else ""
    unexpected = [name for name in report["unexpected_keys"] if name.startswith(backbone)]
    sizes = [f"{name} {tuple(found)} for {tuple(place)}" for name, found, place in report["mismatched_keys"]]
    if faults := _misfits(unexpected, missing, sizes):
        raise ModelError(
            f"{folder} is not a whole {type(model).__name__}: {faults}; it is damaged, or a model of another kind, "
            "such as an embedding model; give the whole model"
        )
    return model


def misfit(folder: Path, base: str, unexpected: Collection[str], missing: Collection[str]) -> ModelError:
    """The error for an adapter whose weights do not fit its base."""
    return ModelError(
        f"the adapter {folder} does not fit {base}: {_misfits(unexpected, missing, [])}; give the base that it was "
        "trained on, or get the adapter anew"
    )


def _misfits(unexpected: Collection[str], missing: Collection[str], sizes: Collection[str]) -> str:
    parts = [
        (unexpected, "weights without a parameter"),
        (missing, "parameters without a weight"),
        (sizes, "weights of another size"),
    ]
    return ", ".join(f"{fault}: {len(names)} ({_first(sorted(names))})" for names, fault in parts if names)


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _indexed(index: Path) -> list[str]:
    """The files that an index names, checked to lie beside it."""
    try:
        names = sorted({*json.loads(index.read_text("utf-8"))["weight_map"].values()})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{index} cannot be read ({type(error).__name__}: {error}); get the model anew") from None
    wrong = [str(name) for name in names if Path(str(name)).name != name or not name.endswith(".safetensors")]
    if wrong or not names:
        raise ModelError(
            f"{index} names {_first(wrong) or 'no file'}, where safetensors beside it are needed; get the model anew"
        )
    return names
