"""Chooses the next token of each text in a batch: the most probable one, or one drawn by a seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Draw:
    """Chooses tokens for the texts of a call; each text has random numbers of its own, whatever batch it is in.

    On a CPU an exponential variate is drawn for each token of the vocabulary, as in torch's own multinomial. Other
    devices would have to be sent all these numbers, so they get one uniform number for each text and use inverse
    transform sampling. A seed therefore draws alike on all CPUs, and alike on all other devices; the two differ.
    """

    def __init__(self, texts: int, temperature: float, seed: int, before: int = 0) -> None:
        """Take the number of all texts of the call, those of other batches included; temperature 0 is greedy.

        If several processes share a call, `texts` counts the texts of all, `before` those of the processes before.
        """
        self._texts = texts
        self._before = before
        self._temperature = temperature
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, logits: torch.Tensor, places: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """The next step's tokens, and each one's log-probability at the temperature.

        Args:
            logits: Of shape (texts still written, vocabulary).
            places: Which texts of the call these are.
        """
        # Texts beyond the call's, generated only to keep processes in step, reuse the numbers of real ones.
        places = [(self._before + place) % self._texts for place in places]
        if self._temperature:
            logits = logits / self._temperature
            shares = logits.softmax(-1)
            tokens = self._raced(shares, places) if logits.device.type == "cpu" else self._inverted(shares, places)
        else:
            tokens = logits.argmax(-1)
        return tokens, logits.gather(-1, tokens[:, None])[:, 0] - logits.logsumexp(-1)

    def _raced(self, shares: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
        """The token with the largest ratio of probability to exponential variate, which samples by probability."""
        chance = torch.empty(self._texts, shares.shape[-1]).exponential_(generator=self._generator)
        return (shares / chance[list(places)]).argmax(-1)

    def _inverted(self, shares: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
        numbers = torch.rand(self._texts, dtype=torch.float64, generator=self._generator)
        return inverse(shares, numbers[list(places)].to(shares.device))


def inverse(shares: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """The token at which each row's cumulative distribution passes a uniform number (inverse transform sampling).

    Args:
        shares: Probabilities, of shape (rows, vocabulary).
        numbers: One for each row, at least 0 and less than 1.
    """
    # In float32 the error of the sum over a vocabulary would exceed the probabilities of the least likely tokens.
    sums = shares.double().cumsum(-1)
    whole = sums[:, -1]
    # Rounding may raise the product to the whole sum, which no cumulative sum exceeds.
    below = torch.minimum(numbers * whole, torch.nextafter(whole, torch.zeros_like(whole)))
    tokens = torch.searchsorted(sums, below[:, None], right=True)[:, 0]
    # No sum of NaN probabilities exceeds a number either; the caller sees NaN in the log-probability.
    return tokens.clamp(max=shares.shape[-1] - 1)
