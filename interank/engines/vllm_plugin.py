"""The plugin by which `vllm serve` gives an exported judge's exact score at /rerank and /score."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

PREFIX = "Interank"
_ENDING = "ForSequenceClassification"
_NAME = re.compile(rf"{PREFIX}(\w+){_ENDING}")
_WORKS = "0.32"


def register() -> None:
    """Make a judge known for each language model of vLLM's; vLLM calls this in all its processes.

    Nothing is imported but the registry: a model's class is made when vLLM first asks for it.
    """
    from vllm.model_executor.models.registry import ModelRegistry

    for name in tuple(ModelRegistry.get_supported_archs()):
        if name.endswith("ForCausalLM"):
            judge = f"{PREFIX}{name.removesuffix('ForCausalLM')}{_ENDING}"
            ModelRegistry.register_model(judge, f"{__name__}:{judge}")


def __getattr__(name: str) -> Any:
    """The class of a judge by its name, as vLLM takes it from this module."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = _judge(f"{found[1]}ForCausalLM")
    made.__name__ = made.__qualname__ = name
    made.__module__ = __name__
    globals()[name] = made
    return made


def warn_of_rounding(computed: Any, exported: Any) -> None:
    """Say that vLLM computes in 16 bits what was exported in float32, as it does by itself."""
    told = str(computed).removeprefix("torch.")
    if str(exported) == "torch.float32" and told != "float32":
        log.warning(
            "interank: vLLM computes in %s what was exported in float32, and scores move by hundredths; start it with "
            "--dtype float32 for the exact ones",
            told,
        )


def _judge(name: str) -> Any:
    """A language model with the grades' rows as its head and the score behind it.

    Raises:
        ImportError: This vLLM is built otherwise.
    """
    try:
        from vllm.model_executor.layers.linear import ReplicatedLinear
        from vllm.model_executor.layers.pooler import DispatchPooler
        from vllm.model_executor.models.adapters import as_seq_cls_model
        from vllm.model_executor.models.registry import ModelRegistry
        from vllm.model_executor.models.utils import maybe_prefix
    except ImportError as error:
        import vllm

        raise ImportError(
            f"interank's judges do not run in vLLM {vllm.__version__} ({error}); they do in {_WORKS}"
        ) from error

    from interank.engines.grade_head import GradeScore

    model: Any = ModelRegistry.models[name].load_model_cls()
    classifier: Any = as_seq_cls_model(model)
    score = GradeScore()

    class Judge(classifier):  # type: ignore[misc]
        def _init_pooler(self, vllm_config: Any, prefix: str = "") -> Any:
            configured = vllm_config.model_config
            warn_of_rounding(configured.dtype, configured.hf_config.dtype)
            self.score = ReplicatedLinear(
                configured.get_hidden_size(),
                3,
                bias=False,
                params_dtype=configured.head_dtype,
                quant_config=None,
                return_bias=False,
                prefix=maybe_prefix(prefix, "score"),
            )

            def scored(states: torch.Tensor) -> torch.Tensor:
                found: torch.Tensor = score(self.score(states))
                return found

            return DispatchPooler.for_seq_cls(configured.pooler_config, classifier=scored)

    return Judge
