"""TRL's rollout function for GRPO: interank's own prompts, the rewards' columns, and a step's completions."""

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
    """Samples completions of the prompts that reranking uses too; every token is sampled."""

    def __init__(
        self,
        encoder: PromptEncoder,
        prompts: Sequence[tuple[Prompt, Mapping[str, Any]]],
        *,
        tokens: int,
        seed: int,
        settings: RolloutsRecipe | None = None,
        sampler: Sampler | None = None,
    ) -> None:
        """Take the prompts.

        Args:
            encoder: Has the end token and the tokenizer.
            prompts: Each prompt with its columns for the rewards; prompts of one `query_id` belong in one batch.
            tokens: The most tokens of a completion.
            seed: Seeds the sampling, together with the step.
            settings: The recipe's settings of rollouts, for the trainer.
            sampler: Samples the completions; by default the trained model does.
        """
        self.encoder = encoder
        self.prompts = [prompt for prompt, _ in prompts]
        self.tokens, self.seed = tokens, seed
        self.settings = settings or RolloutsRecipe()
        self.sampler = sampler or TrainedWeights()
        self._columns = [columns for _, columns in prompts]

    def columns(self) -> list[dict[str, Any]]:
        """The dataset's rows: a number in place of the prompt, and the rewards' columns."""
        return [{"prompt": str(number), **columns} for number, columns in enumerate(self._columns)]

    @property
    def recorded(self) -> tuple[str, ...]:
        """The names of the columns recorded with a completion: those of the rewards."""
        return tuple(self._columns[0])

    def sampling(self, trainer: GRPOTrainer) -> Sampling:
        """The sampling settings of the present step."""
        before, among = getattr(trainer, "shared_rows", None) or (0, 0)
        return Sampling(self.tokens, trainer.args.temperature, seed_at(self.seed, trainer), before, among)

    def __call__(self, prompts: list[str], trainer: GRPOTrainer) -> dict[str, Any]:
        """TRL's rollout function: one completion for each row, in row order."""
        chosen = [self.prompts[int(number)] for number in prompts]
        with self.sampler.engine(trainer) as engine:
            completions = engine.generate(chosen, self.sampling(trainer), end=self.encoder.end)
            require_completions(completions)
        return sampled_rows(chosen, [()] * len(chosen), completions, end=self.encoder.end)
