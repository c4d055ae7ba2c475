"""Whether what a model or a server gave can be used: nothing that cannot becomes a grade, a text or a cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from interank import plain_data
from interank.engines.prompts import Prompt
from interank.engines.protocol import CHARACTERS_PER_TOKEN, Completion, Failure, LabelLogits, Reply, Request
from interank.errors import PromptError
from interank.wording import counted

# Logits of a hundred stand in float32 to 8e-6, so that the logarithm of a probability of 1, and a sum of
# probabilities, may come out so far above what they can be.
ROUNDING = 1e-5
# A chat template and a system prompt of the server's own are tokens too, and some servers count what a model thinks
# apart; what is far beyond that was not counted.
_ROOM = 1024
_TIMES = 2
# Characters; the longest of known vocabularies are runs of blanks or of one mark.
_LONGEST_TOKEN = 256
# Of what a text holds by the count of four characters a token: no vocabulary's tokens are so long on the average.
_LEAST_SHARE = 1 / 8
# Where nobody told how many ids there are.
MOST_IDS = 2**31


def log_probability(value: object) -> float:
    """A log-probability that a server tells.

    Raises:
        ValueError: It is no number up to 0, as far as rounding goes.
    """
    return plain_data.finite(value, most=ROUNDING)


def labels_fault(labels: LabelLogits) -> str:
    """Why no grade can be read off the logits; empty if one can."""
    if not all(map(math.isfinite, labels.logits)):
        return f"the labels' logits are {_told(labels.logits)}, and finite numbers are expected"
    if not 0 <= labels.mass <= 1 + ROUNDING:
        return f"the labels hold {labels.mass} of the probability together, and 0 to 1 is expected"
    return ""


def completion_fault(completion: Completion) -> str:
    """Why no model meant what was written, as from logits that are no numbers; empty if one did."""
    told = [*completion.logprobs, *([] if completion.end_logprob is None else [completion.end_logprob])]
    odd = next((value for value in told if not math.isfinite(value)), None)
    return "" if odd is None else f"a token was written with the log-probability {odd}, and a finite number is expected"


def usage(request: Request, read: object, written: object, own: int) -> tuple[int, int]:
    """Tokens read and written: as whoever is paid for them tells, and by our own count where that cannot be.

    Args:
        request: What was asked.
        read: What is told of the prompt's tokens; None where nothing is.
        written: What is told of the answer's.
        own: The answer's tokens, counted here: exactly where it came as ids, else from its characters.
    """
    if isinstance(request.prompt, Prompt):
        return (
            _credible(read, len(request.prompt.ids), len(request.prompt.ids), _most_read(request)),
            _credible(written, own, own, _most_written(request)),
        )
    asked = -(-sum(len(text) for _, text in request.prompt) // CHARACTERS_PER_TOKEN)
    return (
        _credible(read, asked, int(asked * _LEAST_SHARE), _most_read(request)),
        _credible(written, own, int(own * _LEAST_SHARE), _most_written(request)),
    )


def _credible(told: object, own: int, least: int, most: int) -> int:
    # What is wrong in it costs nobody a reply: it is not the reply, and the budget holds by our own count.
    try:
        return plain_data.whole(told, least=least, most=most)
    except ValueError:
        return own


def checked(request: Request, reply: Reply, vocabulary: int | None) -> Reply | Failure:
    """The reply, or why it cannot be used.

    Args:
        request: What was asked.
        reply: What came, of right types.
        vocabulary: How many token ids there are; None where that is not known.
    """
    try:
        _check(request, reply, vocabulary or MOST_IDS)
    except ValueError as error:
        return Failure(str(error))
    return reply


def require_labels(found: Sequence[LabelLogits]) -> None:
    """Stop at labels of which no grade can be read.

    Raises:
        PromptError: Some are such.
    """
    _require([labels_fault(item) for item in found])


def require_completions(found: Sequence[Completion]) -> None:
    """Stop at completions that no model meant.

    Raises:
        PromptError: Some are such.
    """
    _require([completion_fault(item) for item in found])


def require_scores(found: Sequence[float]) -> None:
    """Stop at scores that rank nothing.

    Raises:
        PromptError: Some are no finite numbers.
    """
    _require(["" if math.isfinite(score) else f"its score is {score}" for score in found])


def _require(faults: Sequence[str]) -> None:
    for place, fault in enumerate(faults):
        if fault:
            raise PromptError(
                place,
                f"of {counted(len(faults), 'text')}, number {place + 1} has no usable answer: {fault}; the "
                "model's weights or "
                "its arithmetic are at fault: try float32 (precision exact), or another model",
            )


def _check(request: Request, reply: Reply, vocabulary: int) -> None:
    if request.labels and reply.labels is None:
        raise ValueError("the reply tells nothing of the labels")
    if reply.labels is not None and (fault := labels_fault(reply.labels)):
        raise ValueError(fault)
    for index in reply.ids:
        _named("a token id", index, least=0, most=vocabulary - 1)
    if not request.labels and len(reply.ids) > request.sampling.max_new_tokens:
        raise ValueError(
            f"{counted(len(reply.ids), 'token')} came, where at most {request.sampling.max_new_tokens} were asked for"
        )
    if not isinstance(reply.finished, bool):
        raise ValueError(
            f"whether the reply is finished is told as {plain_data.shown(reply.finished)}, where true or false is "
            "needed"
        )
    try:
        plain_data.text(reply.text)
    except ValueError as error:
        raise ValueError(f"the reply's text: {error}") from None
    written = _most_written(request)
    if len(reply.text) > _LONGEST_TOKEN * written:
        raise ValueError(
            f"its {counted(len(reply.text), 'character')} are far more than {written} tokens have room for"
        )
    _named("the tokens read", reply.read, least=0, most=_most_read(request))
    _named("the tokens written", reply.written, least=0, most=written)


def _named(name: str, value: object, *, least: int, most: int) -> None:
    try:
        plain_data.whole(value, least=least, most=most)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _most_read(request: Request) -> int:
    return _TIMES * _tokens(request) + _ROOM


def _most_written(request: Request) -> int:
    return _TIMES * request.sampling.max_new_tokens + _ROOM


def _tokens(request: Request) -> int:
    """The prompt's tokens, or as many as there can be at most: none is shorter than a byte."""
    if isinstance(request.prompt, Prompt):
        return len(request.prompt.ids)
    return sum(len(part.encode("utf-8", "replace")) for message in request.prompt for part in message)


def _told(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
