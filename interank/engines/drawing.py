"""Chooses the next token of every text that is written together: the best one, or one drawn by a seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch


class Draw:
    """Chooses tokens for the texts of a call; each has its own part of chance, whoever is written beside it.

    On a CPU a race is run, as in torch's own multinomial: an exponential variate for each token of the vocabulary. On
    other devices that many numbers would have to get there: they are given one uniform number a text and invert the
    distribution. So a seed means the same on every CPU, and the same on every other device.
    """

    def __init__(self, texts: int, temperature: float, seed: int, before: int = 0) -> None:
        """Take the number of all texts of the call, those of other batches included; temperature 0 is greedy.

        Of a call that several processes share out, `texts` are those of all, `before` those of the processes before.
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
        # What is written to keep another process company has the part of a text that counts.
        places = [(self._before + place) % self._texts for place in places]
        if self._temperature:
            logits = logits / self._temperature
            shares = logits.softmax(-1)
            tokens = self._raced(shares, places) if logits.device.type == "cpu" else self._inverted(shares, places)
        else:
            tokens = logits.argmax(-1)
        return tokens, logits.gather(-1, tokens[:, None])[:, 0] - logits.logsumexp(-1)

    def _raced(self, shares: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
        """The probability over an exponential variate is largest with that probability."""
        chance = torch.empty(self._texts, shares.shape[-1]).exponential_(generator=self._generator)
        return (shares / chance[list(places)]).argmax(-1)

    def _inverted(self, shares: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
        numbers = torch.rand(self._texts, dtype=torch.float64, generator=self._generator)
        return inverse(shares, numbers[list(places)].to(shares.device))


def inverse(shares: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """The token at which each row's distribution passes a number, so that uniform numbers draw by it.

    Args:
        shares: Probabilities, of shape (rows, vocabulary).
        numbers: Of each row, from 0 up to but not 1.
    """
    # In float32 the sum over a vocabulary would be off by more than the least likely tokens weigh.
    sums = shares.double().cumsum(-1)
    whole = sums[:, -1]
    # A product that is rounded up to the whole would be passed by no token.
    below = torch.minimum(numbers * whole, torch.nextafter(whole, torch.zeros_like(whole)))
    tokens = torch.searchsorted(sums, below[:, None], right=True)[:, 0]
    # Where probabilities are no numbers none is passed either; who called is told by the log-probability.
    return tokens.clamp(max=shares.shape[-1] - 1)
