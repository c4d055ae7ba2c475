"""The engine on vLLM, in this process: for teachers too large for transformers, and for rollouts."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interank.engines.adapters import ADAPTER_WEIGHTS, check_fits
from interank.engines.models import PEFT, ModelFiles, device
from interank.engines.prompts import Prompt
from interank.engines.protocol import Ability, Completion, LabelLogits, Sampling, content_seed
from interank.engines.soundness import ROUNDING
from interank.engines.weights import model_weights, read_config, weight_names
from interank.engines.work import Work, flops, positions_attended, work_of_writing
from interank.errors import InputError, ModelError
from interank.threads import as_the_user_set_it

_MISSING = (
    "engine vllm needs vLLM, which is not installed: pip install 'interank[vllm]' on a machine with a GPU, "
    "`make vllm` for its build for CPUs; or choose another engine"
)
_DEAD = "vLLM's process ended during a call: it was killed, or ran out of memory; see its own log"
_SEED_STRIDE = 1_000_003
_SEEDS = 2**31
# Room for a label after the prompt, and for the token that vLLM then generates.
SPARE = 8
# The largest ranks for which vLLM can be set up.
_LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
_TOKENS_AT_ONCE = 4096
# vLLM counts less of the files' cache as free memory than the system does.
_OF_FREE = 0.8


@dataclass(frozen=True, slots=True)
class VllmOptions:
    """How vLLM is set up; see the recipe's section of that name."""

    max_length: int
    tensor_parallel: int = 1
    quantisation: str | None = None
    dtype: str = "auto"
    gpu_memory: float = 0.9
    seed: int = 0
    lora_rank: int = 0
    """The largest rank of the adapters that it will take; 0 takes none."""


class VllmEngine:
    """Runs a causal language model in vLLM, whose prefix cache serves the prefixes that prompts share."""

    def __init__(self, folder: Path, options: VllmOptions) -> None:
        """Load the model.

        Raises:
            ModelError: vLLM is not installed, or cannot load the model as asked, or its files are no whole safetensors.
        """
        # vLLM would report usage to its makers, and mix its log with ours.
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        # The model's process is spawned and not forked, since vLLM changes the state of other modules.
        os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
        on_cpu = device() == "cpu"
        model_weights(folder)
        try:
            import vllm
        except ImportError as error:
            raise ModelError(f"{_MISSING} ({error})") from None
        try:
            with as_the_user_set_it():
                self._llm: Any = vllm.LLM(model=str(folder), **_arguments(options, on_cpu=on_cpu))
        except (ValueError, RuntimeError, OSError, ImportError) as error:
            raise ModelError(f"vLLM cannot load {folder}: {' '.join(str(error).split())[:400]}") from None
        self._max_length = options.max_length
        self.work = Work()
        self._adapter: Any = None

    @property
    def abilities(self) -> frozenset[Ability]:
        """See `Engine`."""
        return frozenset({"token_ids", "label_logits"})

    @property
    def device(self) -> str:
        """See `Engine`."""
        return device()

    def flops(self, work: Work) -> float | None:
        """See `Engine`; how much vLLM's prefix cache saves is not known, so every prompt counts whole."""
        return flops(self._llm.llm_engine.model_config.hf_config, work)

    def take_adapter(self, folder: Path) -> None:
        """See `Adapting`; vLLM's prefix cache tells adapters apart by their names, so names are not reused."""
        from vllm.lora.request import LoRARequest
        from vllm.v1.engine.exceptions import EngineDeadError

        before, number = self._adapter, self._adapter.lora_int_id + 1 if self._adapter else 1
        self._adapter = LoRARequest(f"adapter-{number}", number, str(folder))
        try:
            if before is not None:
                self._llm.llm_engine.remove_lora(before.lora_int_id)
            self._llm.llm_engine.add_lora(self._adapter)
        except EngineDeadError:
            raise ModelError(_DEAD) from None

    def close(self) -> None:
        """End the model's process, which otherwise lives as long as this one."""
        self._llm.llm_engine.engine_core.shutdown()

    def label_logits(self, prompts: Sequence[Prompt], labels: Sequence[int]) -> list[LabelLogits]:
        """See `Engine`; the logits are log-probabilities, which differ from logits by a constant."""
        settings = {"max_tokens": 1, "temperature": 0.0, "logprob_token_ids": list(labels)}
        return [
            labels_of({index: item.logprob for index, item in output.logprobs[0].items()}, labels)
            for output in self._outputs(prompts, [settings] * len(prompts))
        ]

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling, *, end: int) -> list[Completion]:
        """See `Engine`; each prompt samples from a seed of its own."""
        common = {"max_tokens": sampling.max_new_tokens, "temperature": sampling.temperature, "logprobs": 0}
        settings = [{**common, "seed": seed, "stop_token_ids": [end]} for seed in seeds_of(sampling, prompts)]
        completions = []
        for output in self._outputs(prompts, settings):
            finished = output.finish_reason == "stop"
            # vLLM counts the token it stopped at among the written ones.
            ids = tuple(output.token_ids[:-1] if finished and output.token_ids[-1:] == [end] else output.token_ids)
            logprobs = tuple(float(step[index].logprob) for step, index in zip(output.logprobs, ids, strict=False))
            end_item = output.logprobs[len(ids)].get(end) if finished and len(output.logprobs) > len(ids) else None
            completions.append(Completion(ids, logprobs, finished, float(end_item.logprob) if end_item else None))
        lengths = [len(item.ids) + item.finished for item in completions]
        self.work += work_of_writing(prompts, lengths)
        return completions

    def _outputs(self, prompts: Sequence[Prompt], settings: Sequence[dict[str, Any]]) -> list[Any]:
        """VLLM's first output of each prompt, in prompt order."""
        from vllm import SamplingParams
        from vllm.v1.engine.exceptions import EngineDeadError

        if not prompts:
            return []
        longest = max(len(prompt.ids) for prompt in prompts)
        if longest >= self._max_length:
            raise InputError(
                f"a prompt has {longest} tokens, and vLLM was opened for fewer than {self._max_length}; "
                "shorten the texts by the prompt's settings, or take a model that reads longer ones"
            )
        inputs = [{"prompt_token_ids": list(prompt.ids)} for prompt in prompts]
        # Neither the tokenizer nor generation_config.json decides where an answer ends.
        params = [SamplingParams(detokenize=False, ignore_eos=True, **one) for one in settings]
        try:
            results = self._llm.generate(inputs, params, use_tqdm=False, lora_request=self._adapter)
        except EngineDeadError:
            raise ModelError(_DEAD) from None
        lengths = [len(prompt.ids) for prompt in prompts]
        attended = sum(positions_attended(0, length) for length in lengths)
        self.work += Work(tokens_read=sum(lengths), attended=attended, projected=len(lengths))
        return [result.outputs[0] for result in results]


def _arguments(options: VllmOptions, *, on_cpu: bool) -> dict[str, Any]:
    # After a chunk of a prompt vLLM rewinds the sampling generator, which a CPU's cannot: prompts stay whole there.
    whole = {"enable_chunked_prefill": False, "max_num_batched_tokens": max(options.max_length, _TOKENS_AT_ONCE)}
    return {
        **(whole if on_cpu else {}),
        # With auto vLLM takes bfloat16 where the weights are in it; a CPU is as fast in float32, which is exact.
        "dtype": "float32" if on_cpu and options.dtype == "auto" else options.dtype,
        "quantization": options.quantisation,
        "tensor_parallel_size": options.tensor_parallel,
        "gpu_memory_utilization": memory_share(options.gpu_memory) if on_cpu else options.gpu_memory,
        "max_model_len": options.max_length,
        "enforce_eager": on_cpu,
        "enable_prefix_caching": True,
        "skip_tokenizer_init": True,
        # At the sampling temperature, as the protocol has them.
        "logprobs_mode": "processed_logprobs",
        "seed": options.seed,
        **({"enable_lora": True, "max_lora_rank": _rank(options.lora_rank)} if options.lora_rank else {}),
        "trust_remote_code": False,
        "load_format": "safetensors",
    }


def memory_share(share: float) -> float:
    """The share of a CPU's memory for vLLM: the given one, or most of the free memory if that is less.

    vLLM refuses to start if less memory is free than its share, as is nearly always so on a shared machine.
    """
    import psutil

    memory = psutil.virtual_memory()
    return min(share, _OF_FREE * float(memory.available / memory.total))


def _rank(rank: int) -> int:
    """The smallest of vLLM's ranks that is not below this one."""
    supported = next((each for each in _LORA_RANKS if each >= rank), None)
    if supported is None:
        raise ModelError(f"an adapter of rank {rank} is more than vLLM takes ({_LORA_RANKS[-1]}); use transformers")
    return supported


def rank_of(adapter: Path, base: ModelFiles) -> int:
    """The largest rank in a PEFT adapter, which is checked to fit its base.

    Raises:
        ModelError: vLLM is not installed, or cannot apply the adapter, which it would say only after loading the model;
            or the adapter does not fit this base, which vLLM would not say at all.
    """
    try:
        from vllm.config.lora import LoRAConfig
        from vllm.lora.peft_helper import PEFTHelper
    except ImportError as error:
        raise ModelError(f"{_MISSING} ({error})") from None
    try:
        if (kind := read_config(adapter / PEFT).get("peft_type")) != "LORA":
            raise ValueError(f"it is of the kind {kind}, and vLLM applies LORA alone")
        helper = PEFTHelper.from_local_dir(str(adapter), None)
        rank = max([helper.r, *helper.rank_pattern.values()])
        helper.validate_legal(LoRAConfig(max_lora_rank=_rank(rank)))
    except (ValueError, OSError) as error:
        raise ModelError(f"vLLM cannot apply the adapter {adapter}: {error}; use engine transformers") from None
    check_applied(weight_names(adapter / ADAPTER_WEIGHTS), str(adapter))
    check_fits(base, adapter)
    return int(rank)


def check_applied(names: Iterable[str], adapter: str) -> None:
    """Refuse an adapter of the embeddings or the head, which may be one matrix, for vLLM.

    Raises:
        ModelError: One of the adapter's weights, by these names, belongs to such a layer.
    """
    if ends := [name for name in names if "lora_embedding_" in name or ".lm_head.lora_" in name]:
        raise ModelError(
            f"{adapter} changes the embeddings or the head ({ends[0]}), which vLLM is not known to apply correctly; "
            "use engine transformers"
        )


def seeds_of(sampling: Sampling, prompts: Sequence[Prompt]) -> list[int]:
    """A seed for each prompt: independent of the prompts beside it, and different for each copy of a prompt.

    Prompts with one seed would draw the same numbers, and sample the same tokens.
    """
    seen: Counter[tuple[int, ...]] = Counter()
    seeds = []
    for prompt in prompts:
        seeds.append((sampling.seed + content_seed(prompt.ids) + seen[prompt.ids] * _SEED_STRIDE) % _SEEDS)
        seen[prompt.ids] += 1
    return seeds


def labels_of(logprobs: Mapping[int, float], labels: Sequence[int]) -> LabelLogits:
    """The labels' log-probabilities as logits, and their mass, set to 1 if rounding raises it above."""
    logits = tuple(float(logprobs[label]) for label in labels)
    # A value that is no log-probability gives a mass above 1 or NaN; a large one must not overflow.
    mass = sum(math.exp(min(value, 1.0)) for value in logits)
    return LabelLogits(logits, 1.0 if 1 < mass <= 1 + ROUNDING else mass)
