"""Clients as their own documents have them called, and what each raises when it is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.contracts.clients.expectations import MODEL

Ranked = list[tuple[int, float]]
"""Places of the texts, best first, with what the client says of each."""
Ask = Callable[[str, str, str, list[str]], Ranked]
"""Takes a server's address, a key, a query and texts."""


@dataclass(frozen=True, slots=True)
class Client:
    """One client."""

    name: str
    needs: str
    """Its package; before that of one for Node stands npm."""
    ask: Ask
    error: str
    """The class of what it raises, or one that this class is made of."""
    raw: bool = False
    """Whether it tells s and not sigmoid(s)."""
    heard: bool = True
    """Whether its error has the server's words."""


def _http(url: str, key: str, query: str, texts: list[str]) -> Ranked:
    body = json.dumps({"query": query, "documents": texts}).encode()
    with urlopen(Request(f"{url}/v2/rerank", body, {"Authorization": f"Bearer {key}"})) as reply:
        return [(each["index"], each["relevance_score"]) for each in json.load(reply)["results"]]


def _cohere(kind: str) -> Ask:
    def ask(url: str, key: str, query: str, texts: list[str]) -> Ranked:
        import cohere

        found = getattr(cohere, kind)(api_key=key, base_url=url).rerank(model=MODEL, query=query, documents=texts)
        return [(each.index, each.relevance_score) for each in found.results]

    return ask


def _voyageai(url: str, key: str, query: str, texts: list[str]) -> Ranked:
    import voyageai

    found = voyageai.Client(api_key=key, base_url=f"{url}/voyage/v1").rerank(query, texts, MODEL)
    return [(each.index, each.relevance_score) for each in found.results]


def _litellm(provider: str, path: str = "") -> Ask:
    def ask(url: str, key: str, query: str, texts: list[str]) -> Ranked:
        import litellm

        found = litellm.rerank(f"{provider}/{MODEL}", query, texts, api_key=key, api_base=url + path)
        return [(each["index"], each["relevance_score"]) for each in found.results]

    return ask


def _infinity(url: str, key: str, query: str, texts: list[str]) -> Ranked:
    from infinity_client import AuthenticatedClient
    from infinity_client.api.default import rerank
    from infinity_client.errors import UnexpectedStatus
    from infinity_client.models import RerankInput

    client = AuthenticatedClient(base_url=url, token=key, raise_on_unexpected_status=True)
    found: Any = rerank.sync(client=client, body=RerankInput(query=query, documents=texts, model=MODEL))
    if not hasattr(found, "results"):
        # It gives back a refusal that says what is malformed, and raises the others.
        raise UnexpectedStatus(422, str(found).encode())
    return [(each.index, each.relevance_score) for each in found.results]


def _rerankers(provider: str, path: str) -> Ask:
    def ask(url: str, key: str, query: str, texts: list[str]) -> Ranked:
        from rerankers.models.api_rankers import APIRanker

        ranker = APIRanker(MODEL, api_key=key, api_provider=provider, verbose=0, url=url + path)
        return [(each.document.doc_id, each.score) for each in ranker.rank(query, texts).results]

    return ask


def _langchain(make: Callable[[str, str], Any]) -> Ask:
    def ask(url: str, key: str, query: str, texts: list[str]) -> Ranked:
        from langchain_core.documents import Document

        given = [Document(page_content=text, metadata={"place": place}) for place, text in enumerate(texts)]
        found = make(url, key).compress_documents(given, query)
        return [(each.metadata["place"], each.metadata["relevance_score"]) for each in found]

    return ask


def _langchain_cohere(url: str, key: str) -> Any:
    from langchain_cohere import CohereRerank

    return CohereRerank(model=MODEL, cohere_api_key=key, base_url=url, top_n=None)


def _langchain_nvidia(url: str, key: str) -> Any:
    from langchain_nvidia_ai_endpoints import NVIDIARerank

    return NVIDIARerank(model=MODEL, api_key=key, base_url=f"{url}/v1", max_batch_size=4096)


def _llama_index(make: Callable[[str, str], Any]) -> Ask:
    def ask(url: str, key: str, query: str, texts: list[str]) -> Ranked:
        from llama_index.core.schema import NodeWithScore, TextNode

        nodes = [NodeWithScore(node=TextNode(text=text, id_=str(n)), score=0.0) for n, text in enumerate(texts)]
        found = make(url, key).postprocess_nodes(nodes, query_str=query)
        return [(int(each.node.node_id), each.score) for each in found]

    return ask


def _llama_index_cohere(url: str, key: str) -> Any:
    from llama_index.postprocessor.cohere_rerank import CohereRerank

    return CohereRerank(top_n=9, model=MODEL, api_key=key, base_url=url, max_retries=2)


def _llama_index_jina(url: str, key: str) -> Any:
    from llama_index.postprocessor.jinaai_rerank import JinaRerank

    return JinaRerank(top_n=9, model=MODEL, api_key=key, base_url=f"{url}/v1")


def _llama_index_tei(url: str, key: str) -> Any:
    from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

    return TextEmbeddingInference(top_n=9, base_url=url, auth_token=f"Bearer {key}")


def _llama_index_nvidia(url: str, key: str) -> Any:
    from llama_index.postprocessor.nvidia_rerank import NVIDIARerank

    return NVIDIARerank(model=MODEL, api_key=key, base_url=f"{url}/v1", top_n=9, max_batch_size=4096)


def _llama_index_voyage(url: str, key: str) -> Any:
    import voyageai
    from llama_index.postprocessor.voyageai_rerank import VoyageAIRerank

    made = VoyageAIRerank(model=MODEL, api_key=key)
    # It takes no address of its own.
    made._client = voyageai.Client(api_key=key, base_url=f"{url}/voyage/v1")
    return made


def _haystack(make: Callable[[str, Any], Any]) -> Ask:
    def ask(url: str, key: str, query: str, texts: list[str]) -> Ranked:
        from haystack import Document
        from haystack.utils import Secret

        given = [Document(content=text, meta={"place": place}) for place, text in enumerate(texts)]
        found = make(url, Secret.from_token(key)).run(query=query, documents=given)["documents"]
        return [(each.meta["place"], each.score) for each in found]

    return ask


def _haystack_cohere(url: str, key: Any) -> Any:
    from haystack_integrations.components.rankers.cohere import CohereRanker

    return CohereRanker(model=MODEL, api_key=key, api_base_url=url)


def _haystack_jina(url: str, key: Any) -> Any:
    from haystack_integrations.components.rankers.jina import JinaRanker

    return JinaRanker(model=MODEL, api_key=key, base_url=f"{url}/v1/rerank")


def _haystack_nvidia(url: str, key: Any) -> Any:
    from haystack_integrations.components.rankers.nvidia import NvidiaRanker

    return NvidiaRanker(model=MODEL, api_key=key, api_url=f"{url}/v1")


class NpmError(Exception):
    """What a package for Node threw."""


def _npm(client: str) -> Ask:
    def ask(url: str, key: str, query: str, texts: list[str]) -> Ranked:
        asked = {"client": client, "url": url, "key": key, "query": query, "texts": texts, "model": MODEL}
        node = ["node", str(Path(__file__).with_name("npm.cjs"))]
        done = subprocess.run(node, input=json.dumps(asked), capture_output=True, text=True, check=True)
        told = json.loads(done.stdout)
        if "error" in told:
            raise NpmError(told["error"])
        return [(index, score) for index, score in told["results"]]

    return ask


_COHERE, _VOYAGE, _RUNTIME = "cohere.core.api_error.ApiError", "voyageai.error.VoyageError", "builtins.RuntimeError"
_LITELLM, _NPM = "openai.OpenAIError", f"{__name__}.NpmError"

CLIENTS = (
    Client("http", "interank", _http, "urllib.error.HTTPError", heard=False),
    Client("cohere v1", "cohere", _cohere("Client"), _COHERE),
    Client("cohere v2", "cohere", _cohere("ClientV2"), _COHERE),
    Client("langchain cohere", "langchain-cohere", _langchain(_langchain_cohere), _COHERE),
    Client(
        "langchain nvidia",
        "langchain-nvidia-ai-endpoints",
        _langchain(_langchain_nvidia),
        "builtins.Exception",
        raw=True,
    ),
    Client("llama-index cohere", "llama-index-postprocessor-cohere-rerank", _llama_index(_llama_index_cohere), _COHERE),
    Client("llama-index jina", "llama-index-postprocessor-jinaai-rerank", _llama_index(_llama_index_jina), _RUNTIME),
    # It reads no status, and asserts as many results as there were nodes.
    Client(
        "llama-index tei",
        "llama-index-postprocessor-tei-rerank",
        _llama_index(_llama_index_tei),
        "builtins.AssertionError",
        heard=False,
    ),
    Client(
        "llama-index nvidia",
        "llama-index-postprocessor-nvidia-rerank",
        _llama_index(_llama_index_nvidia),
        "httpx.HTTPStatusError",
        raw=True,
        heard=False,
    ),
    Client(
        "llama-index voyage", "llama-index-postprocessor-voyageai-rerank", _llama_index(_llama_index_voyage), _VOYAGE
    ),
    Client("haystack cohere", "cohere-haystack", _haystack(_haystack_cohere), _COHERE),
    Client("haystack jina", "jina-haystack", _haystack(_haystack_jina), _RUNTIME),
    Client(
        "haystack nvidia",
        "nvidia-haystack",
        _haystack(_haystack_nvidia),
        "builtins.ValueError",
        raw=True,
    ),
    Client("voyageai", "voyageai", _voyageai, _VOYAGE),
    Client("litellm cohere", "litellm", _litellm("cohere"), _LITELLM),
    Client("litellm jina", "litellm", _litellm("jina_ai"), _LITELLM),
    Client("litellm vllm", "litellm", _litellm("hosted_vllm"), _LITELLM),
    Client("litellm infinity", "litellm", _litellm("infinity", "/infinity"), _LITELLM),
    Client("litellm tei", "litellm", _litellm("huggingface"), _LITELLM),
    Client("litellm voyage", "litellm", _litellm("voyage", "/voyage"), _LITELLM),
    Client("infinity", "infinity_client", _infinity, "infinity_client.errors.UnexpectedStatus"),
    # It reads no status, and looks for the results at once.
    Client("rerankers cohere", "rerankers", _rerankers("cohere", "/v1/rerank"), "builtins.KeyError", heard=False),
    Client("rerankers jina", "rerankers", _rerankers("jina", "/v1/rerank"), "builtins.KeyError", heard=False),
    Client("rerankers voyage", "rerankers", _rerankers("voyage", "/v1/rerank"), "builtins.KeyError", heard=False),
    Client(
        "rerankers tei",
        "rerankers",
        _rerankers("text-embeddings-inference", "/rerank"),
        "builtins.TypeError",
        heard=False,
    ),
    Client("npm cohere v1", "npm cohere-ai", _npm("cohere v1"), _NPM),
    Client("npm cohere v2", "npm cohere-ai", _npm("cohere v2"), _NPM),
    Client("npm voyageai", "npm voyageai", _npm("voyageai"), _NPM),
)
