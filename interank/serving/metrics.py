"""The server's counts and times as Prometheus metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from interank.serving.requests import RerankResponse
from interank.serving.schedule import Step

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_TOKENS = (128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536)
_MASS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "interank_requests", "Requests answered", ["route", "mode", "status"], registry=registry
        )
        self._seconds = Histogram(
            "interank_request_seconds", "From a request to its answer", ["route"], registry=registry, buckets=_SECONDS
        )
        self._queued = Histogram(
            "interank_queue_seconds", "Until a request's first step", registry=registry, buckets=_SECONDS
        )
        self._steps = Histogram(
            "interank_step_seconds", "What a step took", ["kind"], registry=registry, buckets=_SECONDS
        )
        self._batch = Histogram(
            "interank_batch_tokens", "Tokens of a step of scores", registry=registry, buckets=_TOKENS
        )
        self._documents = Counter("interank_documents", "Documents ranked", ["model"], registry=registry)
        self._truncated = Counter("interank_truncated", "Documents that were cut", ["model"], registry=registry)
        self._read = Counter("interank_tokens_read", "Tokens of prompts", ["model"], registry=registry)
        self._written = Counter("interank_tokens_written", "Tokens written", ["model"], registry=registry)
        self._mass = Histogram(
            "interank_label_mass", "Probability of the labels together", ["model"], registry=registry, buckets=_MASS
        )
        self.waiting = Gauge("interank_queue_tokens", "Tokens that are still to be computed, about", registry=registry)
        self.running = Gauge("interank_requests_running", "Requests under way", registry=registry)
        self.ready = Gauge("interank_ready", "1 until the server drains", registry=registry)

    def step(self, step: Step) -> None:
        """Record a step of the scheduler."""
        self._steps.labels(step.kind).observe(step.seconds)
        if step.kind == "score":
            self._batch.observe(step.tokens)

    def request(self, route: str, mode: str, status: int, seconds: float) -> None:
        """Record an answered or refused request."""
        self._requests.labels(route, mode, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def response(self, response: RerankResponse, queued: float) -> None:
        """Record the documents and tokens of an answered request."""
        model = response.model
        self._queued.observe(queued)
        self._documents.labels(model).inc(len(response.results))
        self._truncated.labels(model).inc(sum(1 for result in response.results if result.truncated))
        self._read.labels(model).inc(response.tokens)
        written = response.about.get("tokens_written")
        self._written.labels(model).inc(written if isinstance(written, int) else 0)
        for result in response.results:
            mass = result.extra.get("label_mass")
            if isinstance(mass, float):
                self._mass.labels(model).observe(mass)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
