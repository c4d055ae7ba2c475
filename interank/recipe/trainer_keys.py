"""The fields of TRL's and transformers' trainer configurations, read from their source: importing it loads torch."""

from __future__ import annotations

import ast
import difflib
import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from interank.errors import InputError

# Base classes last: a subclass's annotation replaces its base's.
_SOURCES = {
    "SFTConfig": ("trl/trainer/sft_config.py", "trl/trainer/base_config.py", "transformers/training_args.py"),
    "GRPOConfig": (
        "trl/trainer/grpo_config.py",
        "trl/trainer/base_config.py",
        "transformers/training_args.py",
    ),
    "TrainingArguments": ("transformers/training_args.py",),
}
_CLASSES = frozenset({"SFTConfig", "GRPOConfig", "_BaseConfig", "TrainingArguments"})
_SIMPLE: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str, "None": type(None)}

# The log-probabilities that the loss compares are those of the whole distribution.
_WHOLE = "completions are sampled from all tokens at `temperature`"
# What a stage decides itself; a recipe that sets it would silently lose or break resume.
OWNED = {
    "output_dir": "it is the stage's --out",
    "seed": "set the recipe's `seed`",
    "data_seed": "set the recipe's `seed`",
    "max_length": "set `prompt.max_length`",
    "packing": "examples are trained unpacked",
    "remove_unused_columns": "the columns are interank's",
    "resume_from_checkpoint": "use --resume",
    "max_completion_length": "set `max_completion_tokens`",
    "reward_weights": "give each reward its `weight`",
    "use_vllm": "set `rollouts.engine`",
    **dict.fromkeys(("top_p", "top_k", "min_p", "repetition_penalty", "generation_kwargs"), _WHOLE),
    "trust_remote_code": "models load without remote code",
    "load_best_model_at_end": "set the recipe's `validation`",
    "eval_strategy": "set the recipe's `validation`",
    "eval_steps": "set `validation.every`",
    "eval_on_start": "the untrained student is tried too",
    "metric_for_best_model": "it is nDCG@10 on the validation questions",
    "greater_is_better": "it is nDCG@10 on the validation questions",
    "restore_callback_states_from_checkpoint": "it is, where `validation.patience` needs it",
    "logging_nan_inf_filter": "a loss that is not a number ends the training",
    "dataset_kwargs": "the rows are interank's",
    "save_total_limit": "the last complete checkpoint and the best one are kept until the stage ends",
}


def trainer_faults(config: str, given: Mapping[str, Any], where: str) -> list[str]:
    """What is wrong with a recipe's `trainer:` section: unknown keys, keys that are not free, simple wrong types."""
    fields = trainer_fields(config)
    faults = []
    for key, value in given.items():
        if key.startswith("vllm_"):
            faults.append(f"{where}.{key}: not free, what concerns vLLM stands under `rollouts`")
        elif key in OWNED:
            faults.append(f"{where}.{key}: not free, {OWNED[key]}")
        elif key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            library = "transformers" if config == "TrainingArguments" else "trl"
            faults.append(f"{where}.{key}: {library}.{config} has no such field{hint}")
        elif not _fits(value, fields[key]):
            faults.append(f"{where}.{key}: {value!r} was found, {fields[key]} is expected")
    return faults


@cache
def trainer_fields(config: str) -> dict[str, str]:
    """Field name to annotation of `trl.SFTConfig`, `trl.GRPOConfig` or `transformers.TrainingArguments`.

    Raises:
        InputError: trl or transformers is not installed.
    """
    fields: dict[str, str] = {}
    for source in reversed(_SOURCES[config]):
        tree = ast.parse(_installed(source).read_text("utf-8"))
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and node.name in _CLASSES:
                fields.update(
                    (item.target.id, ast.unparse(item.annotation))
                    for item in node.body
                    if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
                )
    return fields


def _installed(source: str) -> Path:
    package, _, rest = source.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the package {package} is not installed, so `trainer:` cannot be checked; pip install {package}"
        )
    return Path(spec.submodule_search_locations[0]) / rest


def _fits(value: Any, annotation: str) -> bool:
    """Whether the value has one of the annotation's simple types; anything beyond simple types is left to TRL."""
    names = [name.strip() for name in annotation.split("|")]
    if not all(name in _SIMPLE for name in names):
        return True
    allowed = {_SIMPLE[name] for name in names}
    if float in allowed:
        allowed.add(int)
    return type(value) in allowed
