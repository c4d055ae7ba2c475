"""Train, evaluate and use small language models that reason about relevance."""

__version__ = "0.1.0"
