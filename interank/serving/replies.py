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


def _number(request: RerankRequest, result: Result) -> float:
    return result.score if request.raw else result.relevance


def _also(request: RerankRequest, result: Result) -> dict[str, Any]:
    """The keys that interank adds to a result; `relevant_spans` only on request."""
    extra = dict(result.extra)
    spans: Any = extra.pop("relevant_spans", None)
    if request.spans and spans is not None:
        extra["relevant_spans"] = spans[: request.most_spans]
    return {**extra, "truncated": result.truncated}


def _document(request: RerankRequest, result: Result, *, flat: bool) -> dict[str, Any]:
    if not request.texts:
        return {}
    return {"document": result.document.text if flat else {"text": result.document.text}}


def _result(request: RerankRequest, result: Result, *, flat: bool) -> dict[str, Any]:
    score = {"index": result.index, "relevance_score": _number(request, result)}
    return score | _document(request, result, flat=flat) | _also(request, result)


def _results(request: RerankRequest, response: RerankResponse, *, flat: bool) -> list[dict[str, Any]]:
    return [_result(request, result, flat=flat) for result in best_first(response.results, request.top)]


def _begun(kind: str, response: RerankResponse) -> dict[str, Any]:
    return {"id": response.request_id, "object": kind, "created": response.created, "model": response.model}


def _ended(request: RerankRequest, response: RerankResponse, **meta: Any) -> dict[str, Any]:
    about = {"interank": dict(response.about)} if response.about else {}
    return {
        "usage": {"prompt_tokens": response.tokens, "total_tokens": response.tokens},
        "meta": {**meta, "warnings": all_warnings(request, response), **about},
        **response.extra,
    }


def superset(request: RerankRequest, response: RerankResponse) -> Json:
    """The reply with all keys that clients of Cohere, Jina, vLLM and LiteLLM read."""
    return {
        **_begun("rerank", response),
        "results": _results(request, response, flat=False),
        **_ended(
            request,
            response,
            api_version={"version": "2"},
            billed_units={"search_units": 1},
            tokens={"input_tokens": response.tokens, "output_tokens": response.about.get("tokens_written", 0)},
        ),
    }


def infinity(request: RerankRequest, response: RerankResponse) -> Json:
    """Infinity's reply, in which documents are plain strings."""
    results = _results(request, response, flat=True)
    return {**_begun("rerank", response), "results": results, **_ended(request, response)}


def voyage(request: RerankRequest, response: RerankResponse) -> Json:
    """Voyage's reply, with the results in `data`."""
    data = _results(request, response, flat=True)
    return {"object": "list", "data": data, "model": response.model, **_ended(request, response)}


def tei(request: RerankRequest, response: RerankResponse) -> Json:
    """TEI's reply, a bare list."""
    return [
        {"index": r.index, "score": _number(request, r)}
        | ({"text": r.document.text} if request.texts else {})
        | _also(request, r)
        for r in best_first(response.results, request.top)
    ]


def sglang(request: RerankRequest, response: RerankResponse) -> Json:
    """SGLang's reply, a bare list of results, each with `meta_info`."""
    return [
        {"score": _number(request, r), "index": r.index, "meta_info": {"id": response.request_id}}
        | _document(request, r, flat=True)
        | _also(request, r)
        for r in best_first(response.results, request.top)
    ]


def nim(request: RerankRequest, response: RerankResponse) -> Json:
    """NIM's reply, in which `logit` is the score s."""
    ranked = best_first(response.results, request.top)
    rankings = [{"index": r.index, "logit": r.score} | _also(request, r) for r in ranked]
    return {"rankings": rankings, **_ended(request, response)}


def scores(request: RerankRequest, response: RerankResponse) -> Json:
    """The reply of vLLM's `/score`, in request order."""
    data = [
        {"index": r.index, "object": "score", "score": _number(request, r)} | _also(request, r)
        for r in response.results
    ]
    return {**_begun("list", response), "data": data, **_ended(request, response)}


def explanations(request: RerankRequest, response: RerankResponse) -> Json:
    """The reply of `/v1/explain`, in request order."""
    results = [_result(request, r, flat=False) for r in response.results]
    return {**_begun("explanations", response), "results": results, **_ended(request, response)}


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
