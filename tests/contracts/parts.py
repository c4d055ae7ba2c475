"""What interank takes of the libraries it trains with that these do not promise to keep, part by part."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any


@dataclass(frozen=True)
class Part:
    """A class, function or method, by the parameters that it is called or overridden with; those after are optional."""

    owner: str
    name: str
    parameters: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What a test that it fails is called."""
        return f"{self.owner}.{self.name}"

    def found(self) -> Any:
        """The part itself.

        Raises:
            ImportError: Its module is gone.
            AttributeError: It is gone from there.
        """
        return getattr(resolved(self.owner), self.name)

    def check(self) -> None:
        """Fail where it is gone, or is called otherwise."""
        given = list(inspect.signature(self.found()).parameters.values()) if self.parameters else []
        names = tuple(parameter.name for parameter in given)
        assert names[: len(self.parameters)] == self.parameters, f"{self.label} takes {names}, not {self.parameters}"
        further = given[len(self.parameters) :]
        open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        needed = [one.name for one in further if one.default is one.empty and one.kind not in open_ended]
        assert not needed, f"{self.label} asks for {needed} besides"


def resolved(owner: str) -> Any:
    """A module, or a class in one, by its dotted name."""
    module, _, kind = owner.partition(":")
    return reduce(getattr, kind.split(".") if kind else [], importlib.import_module(module))


def _parts(owner: str, given: Mapping[str, str]) -> list[Part]:
    return [Part(owner, name, tuple(parameters.split())) for name, parameters in given.items()]


TRL = [
    *_parts(
        "trl:GRPOTrainer",
        {
            "_prepare_inputs": "self generation_batch",
            "_generate_and_score_completions": "self inputs",
            "_generate": "self prompts",
            "_calculate_rewards": "self inputs prompts completions completion_ids_list",
            "_get_per_token_logps_and_entropies": "self model input_ids attention_mask logits_to_keep batch_size "
            "compute_entropy compute_aux_loss",
            "_compute_loss": "self model inputs",
            "compute_loss": "self model inputs return_outputs num_items_in_batch",
            "_load_from_checkpoint": "self resume_from_checkpoint model",
            "log": "self logs start_time",
        },
    ),
    *_parts(
        "trl.trainer.utils",
        {
            "split_tensor_dict": "tensor_dict num_chunks",
            "use_adapter": "model adapter_name",
            "add_fused_lm_head": "model temperature cast_lm_head_to_fp32 outputs",
        },
    ),
    *_parts("trl:SFTTrainer", {"compute_loss": "self model inputs return_outputs num_items_in_batch", "evaluate": ""}),
]
"""TRL's methods and functions."""

GRPO_ATTRIBUTES = (
    *("_metrics", "_step", "_buffered_inputs", "_entropy_bonus_enabled"),
    *("reward_funcs", "reward_func_names", "reward_weights", "num_generations", "num_generations_eval"),
    *("scale_rewards", "multi_objective_aggregation", "beta", "temperature", "loss_type", "top_entropy_quantile"),
    *("num_iterations", "max_completion_length", "aux_loss_enabled", "rollout_func"),
)
"""What a GRPOTrainer knows."""

SFT_ATTRIBUTES = ("_metrics", "_total_train_tokens", "aux_loss_enabled")
"""What an SFTTrainer knows."""

TRANSFORMERS = [
    *_parts(
        "transformers:Trainer",
        {
            "_save_checkpoint": "self model trial",
            "_load_best_model": "self",
            "_load_from_checkpoint": "self resume_from_checkpoint model",
            "get_batch_samples": "self epoch_iterator num_batches device",
            "compute_loss": "self model inputs return_outputs num_items_in_batch",
            "evaluate": "self",
            "get_train_dataloader": "self",
            "loss_is_scaled_for_ga": "",
        },
    ),
    *_parts(
        "transformers:PreTrainedModel",
        {
            "_is_stateful": "",
            "_can_set_attn_implementation": "",
            "is_backend_compatible": "",
            "set_attn_implementation": "self attn_implementation",
        },
    ),
    *_parts("transformers:AttentionInterface", {"register": "key value"}),
    *_parts("transformers:AttentionMaskInterface", {"register": "key value"}),
    *_parts(
        "transformers.integrations.sdpa_attention",
        {"sdpa_attention_forward": "module query key value attention_mask"},
    ),
    *_parts("transformers.masking_utils", {"sdpa_mask": ""}),
    *_parts("transformers.modeling_outputs", {"SequenceClassifierOutput": "loss logits"}),
    *_parts(
        "transformers:DynamicCache",
        {"reorder_cache": "self beam_idx", "update": "self key_states value_states layer_idx"},
    ),
]
"""transformers' methods and functions."""

TRAINER_ATTRIBUTES = (
    *("accelerator", "callback_handler", "current_gradient_accumulation_steps", "model_accepts_loss_kwargs"),
    *("state", "control", "args"),
)
"""What transformers' Trainer knows."""

PEFT = [
    *_parts("peft.tuners.tuners_utils:BaseTunerLayer", {"get_base_layer": "self"}),
    *_parts("peft.tuners.tuners_utils", {"BaseTunerLayer": ""}),
    *_parts("peft.tuners.lora", {"Linear": ""}),
    *_parts("peft.utils", {"ModulesToSaveWrapper": ""}),
    *_parts(
        "peft",
        {
            "MODEL_TYPE_TO_PEFT_MODEL_MAPPING": "",
            "load_peft_weights": "model_id device",
            "set_peft_model_state_dict": "model peft_model_state_dict adapter_name",
            "get_peft_model_state_dict": "model state_dict adapter_name",
        },
    ),
    *_parts(
        "peft:PeftModel",
        {
            "add_adapter": "self adapter_name peft_config",
            "load_adapter": "self model_id adapter_name is_trainable",
            "disable_adapter": "self",
            "get_base_model": "self",
        },
    ),
]
"""PEFT's."""

TOGETHER = [
    *_parts("torch.distributed.run", {"get_args_parser": "", "run": "args"}),
    *_parts("torch.distributed.elastic.multiprocessing.api", {"SignalException": "msg sigval"}),
    *_parts("torch.distributed.elastic.multiprocessing.errors", {"ChildFailedError": "name failures"}),
    *_parts(
        "torch.distributed",
        {
            "is_initialized": "",
            "init_process_group": "backend init_method timeout",
            "broadcast_object_list": "object_list src group device",
            "all_gather_object": "object_list obj",
        },
    ),
    *_parts("accelerate.commands.launch", {"launch_command_parser": "", "launch_command": "args"}),
    *_parts(
        "accelerate.data_loader",
        {"DataLoaderShard": "dataset", "SeedableRandomSampler": ""},
    ),
]
"""torch's and accelerate's, by which several processes train."""

PRIVATE = {
    *(part.name for part in (*TRL, *TRANSFORMERS, *PEFT)),
    *(*GRPO_ATTRIBUTES, *SFT_ATTRIBUTES, *TRAINER_ATTRIBUTES),
    *("_n_gpu", "_attn_implementation"),
}
"""The names of all."""
