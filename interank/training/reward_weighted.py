"""The original InteRank's refinement: answers are sampled once, rewarded, scaled within their pair, learned by weight.

Its released code samples 8 answers, sets the teacher's beside them, takes a reward model's output, scales it to 0 to 1
within the pair, keeps what reaches 0.85 and minimises r^3 times the answer's mean cross-entropy. Its own faults (the
prompt in the loss, an end-of-turn that is never learned, a fresh adapter) are not kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import PeftModel
from trl import SFTConfig, SFTTrainer

from interank import judging
from interank.engines.prompts import PromptEncoder
from interank.engines.protocol import Engine, Sampling
from interank.engines.soundness import require_completions
from interank.judging import Order
from interank.ledger import Ledger
from interank.progress import shown, track
from interank.recipe import RewardWeightedRecipe
from interank.training.advantages import neutral
from interank.training.checkpoints import accompany, last_complete, run_to_end
from interank.training.devices import on_one_device
from interank.types import Example

IGNORED = -100
# The released code's: rate, constant schedule, clipping, decay and batch.
_DEFAULTS: dict[str, Any] = {
    "learning_rate": 2.0e-4,
    "lr_scheduler_type": "constant",
    "num_train_epochs": 1,
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 16,
    "weight_decay": 0.001,
    "max_grad_norm": 0.3,
    "logging_steps": 1,
    "save_steps": 50,
    "report_to": "none",
}


@dataclass(frozen=True, slots=True)
class Weighted:
    """An answer to learn, and how much it counts."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    weight: float


class Sampled:
    """Samples answers of whole queries, and keeps them in a ledger, so that none is sampled twice."""

    def __init__(self, encoder: PromptEncoder, order: Order, recipe: RewardWeightedRecipe, *, tokens: int) -> None:
        self.encoder, self.order, self.recipe, self.tokens = encoder, order, recipe, tokens

    def rows(self, engine: Engine, examples: Sequence[Example], ledger: Ledger, seed: int) -> list[dict[str, Any]]:
        """For each pair its answers' ids, the teacher's last, and the policy's probabilities at each one's grade."""
        known = {(row["query_id"], row["doc_id"]) for row in ledger.rows()}
        queries: dict[str, list[Example]] = {}
        for item in examples:
            if (item.query.query_id, item.document.doc_id) not in known:
                queries.setdefault(item.query.query_id, []).append(item)
        waiting = list(queries.values())
        for number, items in enumerate(track(waiting, what="sample", unit="queries", total=len(waiting))):
            ledger.append(self._answers(engine, items, seed * 1_000_003 + len(known) + number))
        return ledger.rows()

    def _answers(self, engine: Engine, items: Sequence[Example], seed: int) -> Iterator[dict[str, Any]]:
        encoder, samples = self.encoder, self.recipe.samples
        lead = encoder.label_lead if self.order == "grade_first" else ()
        prompts = [encoder.prompt(i.query, i.document, answer_tokens=self.tokens, order=self.order) for i in items]
        begun = [prompt.then(lead) for prompt in prompts for _ in range(samples)]
        sampling = Sampling(self.tokens - len(encoder.label_lead), self.recipe.temperature, seed)
        found = engine.generate(begun, sampling, end=encoder.end)
        require_completions(found)
        for place, (item, prompt) in enumerate(zip(items, prompts, strict=True)):
            own = found[place * samples : (place + 1) * samples]
            answers = [[*lead, *c.ids, *((encoder.end,) if c.finished else ())] for c in own]
            taught = encoder.answer(item.judgment, reasoning_tokens=self.tokens, order=self.order)
            yield {
                "query_id": item.query.query_id,
                "doc_id": item.document.doc_id,
                "prompt": list(prompt.ids),
                "answers": [*answers, list(taught)],
            }


def weighted_answers(
    rows: Sequence[Mapping[str, Any]],
    examples: Sequence[Example],
    rewards: Sequence[tuple[Callable[..., list[float | None]], float]],
    encoder: PromptEncoder,
    settings: tuple[Order, RewardWeightedRecipe],
) -> list[Weighted]:
    """The answers that are worth learning, with their weights.

    Args:
        rows: What `Sampled.rows` gave.
        examples: The pairs they are of.
        rewards: Each with its weight in the sum.
        encoder: Reads the ids.
        settings: The order of answers, and the recipe.
    """
    order, recipe = settings
    pairs = {(item.query.query_id, item.document.doc_id): item for item in examples}
    chosen = [(row, pairs[row["query_id"], row["doc_id"]]) for row in rows]
    flat = [(item, ids) for row, item in chosen for ids in row["answers"]]
    columns: dict[str, list[Any]] = {
        "completions": [encoder.text(ids) for _, ids in flat],
        "query_id": [item.query.query_id for item, _ in flat],
        "doc_id": [item.document.doc_id for item, _ in flat],
        "query": [item.query.text for item, _ in flat],
        "document": [item.document.full_text for item, _ in flat],
        "relevance": [int(item.judgment.relevance) for item, _ in flat],
        "order": [order] * len(flat),
        "probabilities": [_certain(encoder.text(ids)) for _, ids in flat],
    }
    values = [[torch.nan if v is None else v for v in reward(**columns)] for reward, _ in rewards]
    group = recipe.samples + 1
    known = neutral(torch.tensor(values).T, group).nan_to_num(nan=0.0)
    totals = (known * torch.tensor([weight for _, weight in rewards])).sum(1).view(-1, group)
    found = []
    for (row, _), scaled in zip(chosen, scaled_within(totals).tolist(), strict=True):
        for ids, share in zip(row["answers"], scaled, strict=True):
            if share >= recipe.least and share > 0:
                found.append(Weighted(tuple(row["prompt"]), tuple(ids), share**recipe.power))
    return found


def scaled_within(totals: torch.Tensor) -> torch.Tensor:
    """Rewards of shape (pairs, answers), from 0 for a pair's lowest to 1 for its highest; 1 where all are equal."""
    low, high = totals.min(1, keepdim=True).values, totals.max(1, keepdim=True).values
    return torch.where(high > low, (totals - low) / (high - low).clamp(min=1e-9), torch.ones_like(totals))


def _certain(text: str) -> list[float]:
    """Probabilities for rewards that ask for them: an answer was written, so its grade is certain."""
    judgment = judging.parse(text)
    return [1 / 3] * 3 if judgment is None else [float(grade == judgment.relevance) for grade in range(3)]


class _Trainer(SFTTrainer):  # type: ignore[misc]  # TRL is untyped here
    """Minimises the mean over answers of weight times mean cross-entropy."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.model_accepts_loss_kwargs = False

    def compute_loss(self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any) -> torch.Tensor:
        """The batch's loss."""
        labels, weights = inputs["labels"][:, 1:], inputs["weight"]
        logits = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).logits[:, :-1].float()
        each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels, ignore_index=IGNORED, reduction="none")
        loss: torch.Tensor = (weights * each.sum(1) / (labels != IGNORED).sum(1).clamp(min=1)).mean()
        return loss


def train(
    model: PeftModel,
    tokenizer: Any,
    answers: Sequence[Weighted],
    *,
    trainer: Mapping[str, Any],
    seed: int,
    folder: Path,
) -> Mapping[str, float]:
    """Train the model's adapter in place, from the last complete checkpoint in `folder` if there is one."""
    folder.mkdir(exist_ok=True)
    config = SFTConfig(
        **{
            **_DEFAULTS,
            **dict(trainer),
            "output_dir": str(folder),
            "seed": seed,
            "max_length": None,
            "remove_unused_columns": False,
            "use_cpu": model.device.type == "cpu",
            "bf16": model.device.type != "cpu",
            "logging_nan_inf_filter": False,
            "dataset_kwargs": {"skip_prepare_dataset": True},
        }
    )
    rows = [{"prompt": list(a.prompt), "answer": list(a.answer), "weight": a.weight} for a in answers]
    sft = _Trainer(
        model=model,
        args=on_one_device(config),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        data_collator=_collated,
    )
    accompany(sft, folder.parent / "log.jsonl", bar=shown())
    checkpoint = last_complete(folder)
    return run_to_end(sft, checkpoint)


def _collated(rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    """Rows padded on the right, with loss on the answers."""
    width = max(len(row["prompt"]) + len(row["answer"]) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
    for place, row in enumerate(rows):
        begin, end = len(row["prompt"]), len(row["prompt"]) + len(row["answer"])
        ids[place, :end] = torch.tensor([*row["prompt"], *row["answer"]])
        labels[place, begin:end] = ids[place, begin:end]
        mask[place, :end] = 1
    weights = torch.tensor([float(row["weight"]) for row in rows])
    return {"input_ids": ids, "attention_mask": mask, "labels": labels, "weight": weights}
