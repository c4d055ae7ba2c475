"""The fields of TRL's and transformers' trainer configurations, read from source, since importing would load torch."""

from __future__ import annotations

import ast
import difflib
import importlib.util
import math
from collections.abc import Mapping
from dataclasses import dataclass
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
    "RewardConfig": ("trl/trainer/reward_config.py", "trl/trainer/base_config.py", "transformers/training_args.py"),
    "TrainingArguments": ("transformers/training_args.py",),
}
_CLASSES = frozenset({"SFTConfig", "GRPOConfig", "RewardConfig", "_BaseConfig", "TrainingArguments"})
_SIMPLE: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str, "None": type(None)}

# The loss compares log-probabilities of the whole distribution.
_WHOLE = "completions are sampled from all tokens at `temperature`"
_WHOLE_WEIGHTS = "each of several processes has the whole base weights, and DDP averages the adapter's gradients"
_HUB = (
    "push_to_hub",
    "hub_model_id",
    "hub_strategy",
    "hub_token",
    "hub_private_repo",
    "hub_always_push",
    "hub_revision",
)
# Fields that a stage sets itself; a recipe's value would be overwritten or break resuming.
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
    "restore_callback_states_from_checkpoint": "it is set where `validation.patience` needs it",
    "logging_nan_inf_filter": "a loss that is not a number ends the training",
    **dict.fromkeys(("fsdp", "fsdp_config", "deepspeed", "parallelism_config"), _WHOLE_WEIGHTS),
    "accelerator_config": "rows are drawn by the recipe's `seed`, and interank divides them among processes",
    **dict.fromkeys(("ddp_backend", "ddp_timeout"), "the process group is formed before the trainer is made"),
    "dataset_kwargs": "the rows are interank's",
    **dict.fromkeys(
        ("push_to_hub", *_HUB), "nothing is uploaded during training; `interank push` uploads a finished output"
    ),
    "save_total_limit": "the last complete checkpoint and the best one are kept until the stage ends",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The range of numbers with which a trainer works."""

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf
    """The number has to be greater than this one."""
    below: float = math.inf
    """The number has to be less than this one."""
    or_also: float | None = None
    """One further number, the trainer's default for "not set"."""

    def hold(self, value: float) -> bool:
        """Whether the value is within; NaN and infinities never are."""
        inside = self.least <= value <= self.most and self.above < value < self.below
        return math.isfinite(value) and (inside or value == self.or_also)

    def __str__(self) -> str:
        """The range in words."""
        parts = [
            f"{word} {bound:g}"
            for word, bound in (
                ("at least", self.least),
                ("at most", self.most),
                ("greater than", self.above),
                ("less than", self.below),
            )
            if math.isfinite(bound)
        ]
        return " and ".join(parts) + (f", or {self.or_also:g}" if self.or_also is not None else "")


_COUNT, _AMOUNT, _POSITIVE = Bounds(least=1), Bounds(least=0), Bounds(above=0)
_SHARE = Bounds(least=0, most=1)
# Beyond these, TRL, transformers or torch fail halfway, divide by zero, or train nothing of use.
BOUNDS: dict[str, Bounds] = {
    **dict.fromkeys(("per_device_train_batch_size", "per_device_eval_batch_size"), _COUNT),
    **dict.fromkeys(("gradient_accumulation_steps", "eval_accumulation_steps"), _COUNT),
    **dict.fromkeys(("num_iterations", "steps_per_generation", "generation_batch_size"), _COUNT),
    **dict.fromkeys(("num_generations", "num_generations_eval"), Bounds(least=2)),
    **dict.fromkeys(("ref_model_sync_steps", "torch_empty_cache_steps", "dataloader_prefetch_factor"), _COUNT),
    **dict.fromkeys(("temperature", "num_train_epochs", "save_steps", "logging_steps", "adam_epsilon"), _POSITIVE),
    **dict.fromkeys(("learning_rate", "weight_decay", "max_grad_norm", "warmup_steps", "beta", "delta"), _AMOUNT),
    **dict.fromkeys(("epsilon", "epsilon_high", "entropy_coef", "dataloader_num_workers", "eval_delay"), _AMOUNT),
    **dict.fromkeys(("adam_beta1", "adam_beta2", "label_smoothing_factor"), Bounds(least=0, below=1)),
    **dict.fromkeys(("top_entropy_quantile", "ref_model_mixup_alpha"), _SHARE),
    "max_steps": Bounds(least=1, or_also=-1),
    "neftune_noise_alpha": _AMOUNT,
}


def trainer_faults(config: str, trainer: Mapping[str, Any], where: str) -> list[str]:
    """List the faults of a recipe's `trainer:` section: unknown keys, wrong types, and numbers out of range."""
    fields = trainer_fields(config)
    faults = []
    for key, value in trainer.items():
        if key.startswith("vllm_"):
            faults.append(f"{where}.{key}: cannot be set here; settings of vLLM are under `rollouts`")
        elif key in OWNED:
            faults.append(f"{where}.{key}: cannot be set here; {OWNED[key]}")
        elif key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            library = "transformers" if config == "TrainingArguments" else "trl"
            faults.append(f"{where}.{key}: {library}.{config} has no such field{hint}")
        elif not _fits(value, fields[key]):
            faults.append(f"{where}.{key}: {value!r} was found, {fields[key]} is expected")
        elif (choices := _choices().get(fields[key].partition(" | ")[0])) and value not in choices:
            faults.append(f"{where}.{key}: {_as_written(value)} was found, one of {', '.join(choices)} is expected")
        elif key in BOUNDS and type(value) in (int, float) and not BOUNDS[key].hold(value):
            faults.append(f"{where}.{key}: {value!r} was found, a number {BOUNDS[key]} is expected")
    return faults


@cache
def trainer_fields(config: str) -> dict[str, str]:
    """The annotations by field name of one of `trl`'s configurations, or of `transformers.TrainingArguments`.

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


@cache
def _choices() -> dict[str, tuple[str, ...]]:
    """The values of transformers' enumerations, by the enumeration's name."""
    choices = {}
    for source in ("transformers/trainer_utils.py", "transformers/training_args.py"):
        for node in ast.parse(_installed(source).read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base) == "ExplicitEnum" for base in node.bases):
                values = (item.value for item in node.body if isinstance(item, ast.Assign))
                choices[node.name] = tuple(str(item.value) for item in values if isinstance(item, ast.Constant))
    return choices


def _as_written(value: Any) -> str:
    """The value in a message, with a note where YAML read a bare word as false."""
    return f"{value!r} (YAML's reading of a bare no or off; write \"'no'\")" if value is False else repr(value)


def _installed(source: str) -> Path:
    package, _, rest = source.partition("/")
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            f"the package {package} is not installed, so `trainer:` cannot be checked; pip install {package}"
        )
    return Path(spec.submodule_search_locations[0]) / rest


def _fits(value: Any, annotation: str) -> bool:
    """Whether the value has one of the annotation's simple types; other annotations are left to TRL."""
    names = [name.strip() for name in annotation.split("|")]
    if not all(name in _SIMPLE for name in names):
        return True
    allowed = {_SIMPLE[name] for name in names}
    if float in allowed:
        allowed.add(int)
    return type(value) in allowed
