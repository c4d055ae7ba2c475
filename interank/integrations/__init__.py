"""Adapters of a reranker to the toolkits that people build with, a module each; none imports another's toolkit."""
