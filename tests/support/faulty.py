"""What servers answer that must never be used: by name, the answer and what is said of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

from tests.support.stub import Content

GRADED = "Relevance Label: 1\n\nIt says so."
# Written as it is by `json.dumps`, which ends a list of hundred thousands nowhere near so.
DEEP = '{"choices": ' + "[" * 200_000

Made = Callable[[dict[str, Any]], Content]
"""What a server answers to a request's body."""


def chat(content: Any = GRADED, **more: Any) -> dict[str, Any]:
    """A chat's reply, sound unless something else is given."""
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}
    return {"choices": [choice | more.pop("choice", {})], "usage": {"prompt_tokens": 9, "completion_tokens": 8}, **more}


def tokens(ids: Any, **more: Any) -> dict[str, Any]:
    """A completion in token ids, sound unless something else is given."""
    choice = {"index": 0, "text": "", "token_ids": ids, "finish_reason": "stop"}
    usage = {"prompt_tokens": 30, "completion_tokens": 3}
    return {"choices": [choice | more.pop("choice", {})], "usage": usage, **more}


def graded(body: dict[str, Any], *logprobs: Any, **more: Any) -> dict[str, Any]:
    """The labels' log-probabilities, as vLLM tells them."""
    told = {f"token_id:{label}": value for label, value in zip(body["logprob_token_ids"], logprobs, strict=True)}
    return tokens([1], choice={"logprobs": {"top_logprobs": [told]}}, **more)


def usage(read: Any, written: Any) -> dict[str, Any]:
    return {"prompt_tokens": read, "completion_tokens": written}


BODIES: dict[str, tuple[Content, str]] = {
    "nested too deeply": (DEEP, "nested too deeply"),
    "no UTF-8": (json.dumps(chat("caf\u00e9"), ensure_ascii=False).encode("latin-1"), "not UTF-8"),
    "cut": ('{"choices": [{"mess', "no JSON that can be read"),
    "a number of 5,000 digits": ('{"choices": ' + "9" * 5000 + "}", "no JSON that can be read"),
    "a list": ("[1, 2]", "no JSON object"),
    "no choices": ({"choices": None}, "choices is None"),
    "choices that are none": ({"choices": [7]}, "where an object is needed"),
    "empty choices": ({"choices": []}, "there is no 'item 0'"),
}
USAGES: dict[str, Any] = {
    "of 10^30": usage(10**30, 10**30),
    "below 0": usage(-1_000_000, -1_000_000),
    "far beyond what was asked": usage(100_000, 100_000),
    "in words": usage("NaN", "9"),
    "without bound": usage(-math.inf, math.inf),
    "of a half": usage(5.5, 5.5),
    "that is true": usage(True, True),
    "of nothing": usage(0, 0),
    "that is none": usage(None, None),
    "that is a list": [1],
    "that is not there": None,
}
CHATS: dict[str, tuple[Content, str]] = {
    **BODIES,
    "half a character": (chat("Relevance Label: 1\n\nBecause \ud800 half."), "half a character"),
    "a number as text": (chat(5), "5 is no text"),
    "an object as text": (chat({"a": 1}), "is no text"),
    "a text far longer than was asked for": (chat("word " * 100_000), "its 500000 characters are far more"),
    "no text": (chat(None), "None is no text"),
    "no message": ({"choices": [{"finish_reason": "stop"}]}, "there is no 'message'"),
    "a list as message": (chat(choice={"message": [1]}), "message is [1]"),
    "a number as reason of the end": (chat(choice={"finish_reason": 3}), "3 is no text"),
    "no reason of the end": ({"choices": [{"message": {"content": GRADED}}]}, "there is no 'finish_reason'"),
}
WRITTEN: dict[str, tuple[Content, str]] = {
    **BODIES,
    "an id beyond the vocabulary": (tokens([10**9, 3]), "1000000000 is no integer from 0"),
    "an id of 10^30": (tokens([10**30]), "is no integer from 0"),
    "an id below 0": (tokens([5, -5]), "-5"),
    "an id that is a half": (tokens([5.5]), "5.5"),
    "an id that is true": (tokens([True]), "True"),
    "an id in words": (tokens(["5"]), "'5'"),
    "ids as text": (tokens("567"), "token_ids is '567'"),
    "no ids": (tokens(None), "token_ids is None"),
    "more ids than were asked for": (tokens([5] * 5000), "5000 tokens came"),
}
GRADES: dict[str, tuple[tuple[Any, Any, Any], str]] = {
    "NaN": ((math.nan, math.nan, math.nan), "nan"),
    "one NaN": ((-0.1, math.nan, -9.0), "nan"),
    "minus infinity": ((-math.inf, -0.1, -3.0), "-inf"),
    "above 0": ((900.0, 800.0, 700.0), "900.0"),
    "together more than 1": ((-0.1, -0.1, -0.1), "of the probability together"),
    "true": ((True, -0.1, -9.0), "True"),
    "text": (("-0.1", -9.0, -9.0), "'-0.1'"),
    "nothing": ((None, -0.1, -9.0), "None"),
}
LABELLED: dict[str, tuple[Made, str]] = {
    **{
        name: (lambda body, told=told: graded(body, *told), fault)  # type: ignore[misc]
        for name, (told, fault) in GRADES.items()
    },
    "a label is lacking": (
        lambda body: tokens([1], choice={"logprobs": {"top_logprobs": [{"token_id:0": -0.1}]}}),
        "there is no 'token_id:",
    ),
    "no log-probabilities": (lambda body: tokens([1], choice={"logprobs": None}), "logprobs is None"),
    "a number as log-probabilities": (
        lambda body: tokens([1], choice={"logprobs": {"top_logprobs": [4]}}),
        "item 0 is 4",
    ),
}
