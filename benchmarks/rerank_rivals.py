"""The other sides of `rerank.py`: the same model run as other programs run it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import ContinuousBatchingConfig, GenerationConfig

from interank.engines.prompts import Prompt

# As `rerankers` 0.10.0 has it in MxBaiV2Ranker.
BATCH_SIZE = 16
PAD_TO = 8
# Continuous batching's own page, and tokens of a pass.
PAGE = 256
PASS_TOKENS = 1024


@torch.inference_mode()
def plain_logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    """The logits after a text, by one forward pass of it alone."""
    logits: torch.Tensor = model(torch.tensor([list(ids)]), logits_to_keep=1).logits[0, -1]
    return logits


def generate(model: Any, ids: Sequence[int], count: int) -> list[int]:
    """So many greedy tokens after one prompt, by the model's own `generate`."""
    given = torch.tensor([list(ids)])
    written = model.generate(given, attention_mask=torch.ones_like(given), generation_config=_greedy(model, count))
    return [int(index) for index in written[0, len(ids) :]]


def continuous(model: Any, prompts: Sequence[Sequence[int]], count: int) -> list[tuple[int, ...]]:
    """So many greedy tokens after each prompt, by continuous batching."""
    # Left alone it takes nine tenths of the machine's memory for its pages; these hold every text whole.
    pages = sum((len(ids) + count) // PAGE + 2 for ids in prompts)
    paging = ContinuousBatchingConfig(page_size=PAGE, num_blocks=pages, max_batch_tokens=PASS_TOKENS)
    results = model.generate_batch(
        inputs=[list(ids) for ids in prompts],
        generation_config=_greedy(model, count),
        continuous_batching_config=paging,
    )
    return [tuple(results[key].generated_tokens) for key in sorted(results, key=lambda key: int(key.split("_")[-1]))]


def _greedy(model: Any, count: int) -> GenerationConfig:
    """No answer ends early, so that both sides write the same number of tokens."""
    model.generation_config.eos_token_id = None
    return GenerationConfig(max_new_tokens=count, do_sample=False, pad_token_id=0, use_cache=True)


class Batched:
    """Batches of 16 in the order given, padded on the left, the whole vocabulary's logits at every position.

    With the package installed its own `rank` and `_predict` run, given our tokens; otherwise the same calls in the
    same order, after `rerankers/models/mxbai_v2.py` of 0.10.0.
    """

    def __init__(self, model: Any, tokenizer: Any, prompts: Sequence[Prompt], labels: tuple[int, int]) -> None:
        self.model, self.tokenizer, self.prompts = model, tokenizer, prompts
        self.negative, self.positive = labels
        try:
            from rerankers.models.mxbai_v2 import MxBaiV2Ranker
        except ImportError:
            self._ranker = None
            self.source = "recreated after rerankers/models/mxbai_v2.py of 0.10.0"
            return
        self.source = "rerankers, MxBaiV2Ranker.rank with our tokens"

        class Ranker(MxBaiV2Ranker):  # type: ignore[misc]
            def __init__(inner) -> None:
                inner.model, inner.device, inner.batch_size, inner.verbose = model, model.device, BATCH_SIZE, 0
                inner.neg_id, inner.pos_id = labels

            def _prepare_batch(inner, queries: Any, documents: Sequence[str], instruction: Any = None) -> Any:
                return self._padded([prompts[int(document)] for document in documents])

        self._ranker = Ranker()

    def run(self) -> list[float]:
        """The scores, in prompt order."""
        places = [str(place) for place in range(len(self.prompts))]
        if self._ranker is None:
            parts = [places[begin : begin + BATCH_SIZE] for begin in range(0, len(places), BATCH_SIZE)]
            return [score for part in parts for score in self._predict(part)]
        results = self._ranker.rank("query", places, doc_ids=list(range(len(places)))).results
        scores = {result.document.doc_id: float(result.score) for result in results}
        return [scores[place] for place in range(len(places))]

    @torch.inference_mode()
    def _predict(self, places: Sequence[str]) -> list[float]:
        inputs = self._padded([self.prompts[int(place)] for place in places])
        outputs = self.model(**inputs, output_hidden_states=True)
        scores = outputs.logits[:, -1, self.positive] - outputs.logits[:, -1, self.negative]
        return [float(score) for score in scores]

    def _padded(self, prompts: Sequence[Prompt]) -> dict[str, torch.Tensor]:
        self.tokenizer.padding_side = "left"
        rows = [{"input_ids": list(p.ids), "attention_mask": [1] * len(p.ids)} for p in prompts]
        return dict(self.tokenizer.pad(rows, padding="longest", pad_to_multiple_of=PAD_TO, return_tensors="pt"))


def vllm_scorer(
    folder: Path, prompts: Sequence[Sequence[int]], labels: Sequence[int]
) -> tuple[Callable[[], list[tuple[float, ...]]] | None, str]:
    """The labels' log-probabilities by vLLM with its prefix cache, or None and why there is none."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    # In this process it would bind our threads to its cores; left to itself it would not use them all.
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
    try:
        import vllm
    except ImportError as error:
        return None, f"vllm cannot be imported here: {error}"
    model = vllm.LLM(
        model=str(folder),
        dtype="float32",
        max_model_len=max(map(len, prompts)) + 1,
        enable_prefix_caching=True,
        enforce_eager=not torch.cuda.is_available(),
        skip_tokenizer_init=True,
    )
    asked = vllm.SamplingParams(max_tokens=1, temperature=0.0, detokenize=False, logprob_token_ids=list(labels))
    given = [{"prompt_token_ids": list(ids)} for ids in prompts]

    def run() -> list[tuple[float, ...]]:
        # What an earlier round left would spare it the documents too; a query's prefix is met within the round.
        model.reset_prefix_cache()
        outputs = model.generate(given, asked, use_tqdm=False)
        return [tuple(float(o.outputs[0].logprobs[0][label].logprob) for label in labels) for o in outputs]

    return run, ""


def kendall(one: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's tau-a of two lists of scores."""
    pairs = [(i, j) for i in range(len(one)) for j in range(i)]
    agreeing = sum((one[i] - one[j]) * (other[i] - other[j]) > 0 for i, j in pairs)
    return 2 * agreeing / len(pairs) - 1


def spared(config: Any, tokens: int) -> float:
    """Operations of the last layer that `flops` counts and we leave out: all but keys and values of most tokens."""
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    matrices = 2 * config.num_attention_heads * head + 3 * config.intermediate_size
    return 2.0 * config.hidden_size * matrices * tokens


def processor() -> str:
    """The processor's name, as Linux tells it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown processor"
