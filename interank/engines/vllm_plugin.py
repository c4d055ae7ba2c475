"""The plugin with which `vllm serve` returns an exported judge's exact score at /rerank and /score."""

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
    """Register a judge for each of vLLM's language models; vLLM calls this in all its processes.

    Only the registry is imported: a judge's class is made when vLLM first asks for it.
    """
    from vllm.model_executor.models.registry import ModelRegistry

    for name in tuple(ModelRegistry.get_supported_archs()):
        if name.endswith("ForCausalLM"):
            judge = f"{PREFIX}{name.removesuffix('ForCausalLM')}{_ENDING}"
            ModelRegistry.register_model(judge, f"{__name__}:{judge}")


def __getattr__(name: str) -> Any:
    """The class of a judge by its name, which vLLM imports from this module."""
    match = _NAME.fullmatch(name)
    if match is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    judge = _judge(f"{match[1]}ForCausalLM")
    judge.__name__ = judge.__qualname__ = name
    judge.__module__ = __name__
    globals()[name] = judge
    return judge


def warn_of_rounding(computed: Any, exported: Any) -> None:
    """Warn if vLLM computes in 16 bits what was exported in float32, as it does by default."""
    dtype = str(computed).removeprefix("torch.")
    if str(exported) == "torch.float32" and dtype != "float32":
        log.warning(
            "interank: vLLM computes in %s what was exported in float32, and scores move by hundredths; start it with "
            "--dtype float32 for the exact ones",
            dtype,
        )


def _judge(name: str) -> Any:
    """A language model with the grades' rows as its head and the score behind it.

    Raises:
        ImportError: This version of vLLM lacks a module that it needs.
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
            f"interank's judges do not run in vLLM {vllm.__version__} ({error}); install {_WORKS}, in which they do"
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
                scores: torch.Tensor = score(self.score(states))
                return scores

            return DispatchPooler.for_seq_cls(configured.pooler_config, classifier=scored)

    return Judge
