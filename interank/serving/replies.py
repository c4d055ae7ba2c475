"""Replies and errors as JSON in each dialect."""

from __future__ import annotations

from typing import Any

from interank.serving.requests import Refusal, RerankRequest, RerankResponse, Result, all_warnings, best_first

Json = dict[str, Any] | list[dict[str, Any]]
"""The JSON of a reply: an object, or a list of objects."""

_TEI_TYPES = {
    "empty": "Empty",
    "invalid": "Validation",
    "too_large": "Validation",
    "overloaded": "Overloaded",
    "unavailable": "Unhealthy",
}


def _number(asked: RerankRequest, result: Result) -> float:
    return result.score if asked.raw else result.relevance


def _also(asked: RerankRequest, result: Result) -> dict[str, Any]:
    """The keys that interank adds to a result; `relevant_spans` only on request."""
    extra = {key: value for key, value in result.extra.items() if key != "relevant_spans" or asked.spans}
    return {**extra, "truncated": result.truncated}


def _document(asked: RerankRequest, result: Result, *, flat: bool) -> dict[str, Any]:
    if not asked.texts:
        return {}
    return {"document": result.document.text if flat else {"text": result.document.text}}


def _result(asked: RerankRequest, result: Result, *, flat: bool) -> dict[str, Any]:
    score = {"index": result.index, "relevance_score": _number(asked, result)}
    return score | _document(asked, result, flat=flat) | _also(asked, result)


def _results(asked: RerankRequest, answered: RerankResponse, *, flat: bool) -> list[dict[str, Any]]:
    return [_result(asked, result, flat=flat) for result in best_first(answered.results, asked.top)]


def _begun(kind: str, answered: RerankResponse) -> dict[str, Any]:
    return {"id": answered.request, "object": kind, "created": answered.created, "model": answered.model}


def _ended(asked: RerankRequest, answered: RerankResponse, **meta: Any) -> dict[str, Any]:
    about = {"interank": dict(answered.about)} if answered.about else {}
    return {
        "usage": {"prompt_tokens": answered.tokens, "total_tokens": answered.tokens},
        "meta": {**meta, "warnings": all_warnings(asked, answered), **about},
        **answered.extra,
    }


def superset(asked: RerankRequest, answered: RerankResponse) -> Json:
    """The reply with all keys that clients of Cohere, Jina, vLLM and LiteLLM read."""
    return {
        **_begun("rerank", answered),
        "results": _results(asked, answered, flat=False),
        **_ended(
            asked,
            answered,
            api_version={"version": "2"},
            billed_units={"search_units": 1},
            tokens={"input_tokens": answered.tokens, "output_tokens": answered.about.get("tokens_written", 0)},
        ),
    }


def infinity(asked: RerankRequest, answered: RerankResponse) -> Json:
    """Infinity's reply, in which documents are plain strings."""
    results = _results(asked, answered, flat=True)
    return {**_begun("rerank", answered), "results": results, **_ended(asked, answered)}


def voyage(asked: RerankRequest, answered: RerankResponse) -> Json:
    """Voyage's reply, with the results in `data`."""
    data = _results(asked, answered, flat=True)
    return {"object": "list", "data": data, "model": answered.model, **_ended(asked, answered)}


def tei(asked: RerankRequest, answered: RerankResponse) -> Json:
    """TEI's reply, a bare list."""
    return [
        {"index": r.index, "score": _number(asked, r)}
        | ({"text": r.document.text} if asked.texts else {})
        | _also(asked, r)
        for r in best_first(answered.results, asked.top)
    ]


def sglang(asked: RerankRequest, answered: RerankResponse) -> Json:
    """SGLang's reply, a bare list of results, each with `meta_info`."""
    return [
        {"score": _number(asked, r), "index": r.index, "meta_info": {"id": answered.request}}
        | _document(asked, r, flat=True)
        | _also(asked, r)
        for r in best_first(answered.results, asked.top)
    ]


def nim(asked: RerankRequest, answered: RerankResponse) -> Json:
    """NIM's reply, in which `logit` is the score s."""
    ranked = best_first(answered.results, asked.top)
    rankings = [{"index": r.index, "logit": r.score} | _also(asked, r) for r in ranked]
    return {"rankings": rankings, **_ended(asked, answered)}


def scores(asked: RerankRequest, answered: RerankResponse) -> Json:
    """The reply of vLLM's `/score`, in request order."""
    data = [
        {"index": r.index, "object": "score", "score": _number(asked, r)} | _also(asked, r) for r in answered.results
    ]
    return {**_begun("list", answered), "data": data, **_ended(asked, answered)}


def explanations(asked: RerankRequest, answered: RerankResponse) -> Json:
    """The reply of `/v1/explain`, in request order."""
    results = [_result(asked, r, flat=False) for r in answered.results]
    return {**_begun("explanations", answered), "results": results, **_ended(asked, answered)}


def any_error(refusal: Refusal, status: int) -> dict[str, Any]:
    """The usual error: Cohere reads `message`, Jina `detail`, vLLM, Infinity and LiteLLM `error`."""
    return {
        "message": refusal.message,
        "detail": refusal.message,
        "error": {"message": refusal.message, "type": refusal.why, "param": refusal.field, "code": status},
    }


def infinity_error(refusal: Refusal, status: int) -> Json:
    """Infinity's error: for status 422 its client reads `detail` as a list of faults, otherwise as a text."""
    usual = any_error(refusal, status)
    if status != 422:
        return usual
    place = ["body", *([] if refusal.field is None else [refusal.field])]
    return usual | {"detail": [{"loc": place, "msg": refusal.message, "type": refusal.why}]}


def voyage_error(refusal: Refusal, status: int) -> Json:
    """Voyage's error, only `detail`: an `error` that is an object crashes voyageai before 0.5."""
    return {"detail": refusal.message}


def tei_error(refusal: Refusal, status: int) -> Json:
    """TEI's error, with a string `error` and one of TEI's names as `error_type`."""
    return {"error": refusal.message, "error_type": _TEI_TYPES.get(refusal.why, "Backend")}
