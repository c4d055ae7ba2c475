"""Checks of what a model or a server returned, so that nothing invalid becomes a grade, a text or a cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

from interank import plain_data
from interank.engines.prompts import Prompt
from interank.engines.protocol import CHARACTERS_PER_TOKEN, Completion, Failure, LabelLogits, Reply, Request
from interank.errors import PromptError
from interank.wording import counted

# float32 resolves logits of a hundred to 8e-6, so a log-probability or a sum of probabilities may exceed its bound by
# this much.
ROUNDING = 1e-5
# A server's own chat template and system prompt are tokens too, and some servers count reasoning separately; counts far
# beyond that are wrong.
_ROOM = 1024
_TIMES = 2
# In characters; the longest tokens of known vocabularies are runs of blanks or of one mark.
_LONGEST_TOKEN = 256
# The least credible count, as a share of an estimate by four characters a token: no vocabulary's tokens average 32.
_LEAST_SHARE = 1 / 8
# For vocabularies of unknown size.
MOST_IDS = 2**31


def log_probability(value: object) -> float:
    """A log-probability from a server.

    Raises:
        ValueError: It is no number up to 0, apart from rounding.
    """
    return plain_data.finite(value, most=ROUNDING)


def labels_fault(labels: LabelLogits) -> str:
    """Why no grade can be read off the logits; empty if one can."""
    if not all(map(math.isfinite, labels.logits)):
        return f"the labels' logits are {_figures(labels.logits)}, and finite numbers are expected"
    if not 0 <= labels.mass <= 1 + ROUNDING:
        return f"the labels hold {labels.mass} of the probability together, and 0 to 1 is expected"
    return ""


def completion_fault(completion: Completion) -> str:
    """Why a completion cannot be used: a log-probability is not finite; empty if it can."""
    logprobs = [*completion.logprobs, *([] if completion.end_logprob is None else [completion.end_logprob])]
    odd = next((value for value in logprobs if not math.isfinite(value)), None)
    return "" if odd is None else f"a token was written with the log-probability {odd}, and a finite number is expected"


def usage(request: Request, read: object, written: object, own: int) -> tuple[int, int]:
    """Tokens read and written: the provider's counts if they are credible, else our own.

    Args:
        request: The request.
        read: The provider's count of the prompt's tokens; None without one.
        written: The provider's count of the answer's tokens.
        own: Our count of the answer's tokens: exact if it came as ids, else from its characters.
    """
    if isinstance(request.prompt, Prompt):
        return (
            _credible(read, len(request.prompt.ids), len(request.prompt.ids), _most_read(request)),
            _credible(written, own, own, _most_written(request)),
        )
    estimate = -(-sum(len(text) for _, text in request.prompt) // CHARACTERS_PER_TOKEN)
    return (
        _credible(read, estimate, int(estimate * _LEAST_SHARE), _most_read(request)),
        _credible(written, own, int(own * _LEAST_SHARE), _most_written(request)),
    )


def _credible(value: object, own: int, least: int, most: int) -> int:
    # A wrong count must not cost the reply; the budget then goes by our own count.
    try:
        return plain_data.whole(value, least=least, most=most)
    except ValueError:
        return own


def checked(request: Request, reply: Reply, vocabulary: int | None) -> Reply | Failure:
    """The reply, or why it cannot be used.

    Args:
        request: The request.
        reply: The reply, with values of the right types.
        vocabulary: How many token ids there are; None if that is not known.
    """
    try:
        _check(request, reply, vocabulary or MOST_IDS)
    except ValueError as error:
        return Failure(str(error))
    return reply


def require_labels(logits: Sequence[LabelLogits]) -> None:
    """Refuse labels' logits that give no grade.

    Raises:
        PromptError: Some give none.
    """
    _require([labels_fault(item) for item in logits])


def require_completions(completions: Sequence[Completion]) -> None:
    """Refuse completions with log-probabilities that are not finite.

    Raises:
        PromptError: Some have such.
    """
    _require([completion_fault(item) for item in completions])


def require_scores(scores: Sequence[float]) -> None:
    """Refuse scores that are not finite.

    Raises:
        PromptError: Some are not.
    """
    _require(["" if math.isfinite(score) else f"its score is {score}" for score in scores])


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
        raise ValueError("the reply lacks the labels' logits")
    if reply.labels is not None and (fault := labels_fault(reply.labels)):
        raise ValueError(fault)
    for index in reply.ids:
        _named("a token id", index, least=0, most=vocabulary - 1)
    if not request.labels and len(reply.ids) > request.sampling.max_new_tokens:
        raise ValueError(
            f"{counted(len(reply.ids), 'token')} came, where at most {request.sampling.max_new_tokens} were asked for"
        )
    if not isinstance(reply.finished, bool):
        raise ValueError(f"the reply's `finished` is {plain_data.shown(reply.finished)}, where true or false is needed")
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
    """The prompt's tokens, or the most that messages can have: no token is shorter than a byte."""
    if isinstance(request.prompt, Prompt):
        return len(request.prompt.ids)
    return sum(len(part.encode("utf-8", "replace")) for message in request.prompt for part in message)


def _figures(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
