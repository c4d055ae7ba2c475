"""What a policy is asked in GRPO: prompts that are interank's own, columns for rewards, and completions of a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trl import GRPOTrainer

from interank.engines.prompts import Prompt, PromptEncoder
from interank.engines.protocol import Sampling
from interank.engines.soundness import require_completions
from interank.settings import RolloutsRecipe
from interank.training.samplers import Sampler, TrainedWeights, sampled_rows, seed_at


class PolicyRollouts:
    """Generates completions for TRL, so that training reads what reranking will read; every token is sampled."""

    def __init__(
        self,
        encoder: PromptEncoder,
        asked: Sequence[tuple[Prompt, Mapping[str, Any]]],
        *,
        tokens: int,
        seed: int,
        settings: RolloutsRecipe | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        """Take the prompts.

        Args:
            encoder: Reads completions.
            asked: Each prompt, with the columns that rewards are given; `query_id` tells whose batch it belongs in.
            tokens: The most of a completion.
            seed: What is sampled depends on it and on the step.
            settings: The recipe's, for the trainer.
            sampler: Samples in place of the trained weights.
        """
        self.encoder = encoder
        self.prompts = [prompt for prompt, _ in asked]
        self.tokens, self.seed = tokens, seed
        self.settings = settings or RolloutsRecipe()
        self.sampler = sampler or TrainedWeights()
        self._columns = [columns for _, columns in asked]

    def columns(self) -> list[dict[str, Any]]:
        """The dataset's rows: each one's number for a prompt, and the columns that rewards are given."""
        return [{"prompt": str(number), **columns} for number, columns in enumerate(self._columns)]

    @property
    def recorded(self) -> tuple[str, ...]:
        """The columns with which a completion is recorded: all that rewards are given."""
        return tuple(self._columns[0])

    def sampling(self, trainer: GRPOTrainer) -> Sampling:
        """Of the present step."""
        before, among = getattr(trainer, "shared_rows", None) or (0, 0)
        return Sampling(self.tokens, trainer.args.temperature, seed_at(self.seed, trainer), before, among)

    def __call__(self, prompts: list[str], trainer: GRPOTrainer) -> dict[str, Any]:
        """TRL's rollout function: one completion for each row, in row order."""
        chosen = [self.prompts[int(number)] for number in prompts]
        with self.sampler.engine(trainer) as engine:
            completions = engine.generate(chosen, self.sampling(trainer), end=self.encoder.end)
            require_completions(completions)
        return sampled_rows(chosen, [()] * len(chosen), completions, end=self.encoder.end)
