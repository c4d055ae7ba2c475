"""Adapters of a reranker to the toolkits that people build with, a module each; none imports another's toolkit.

Each holds its toolkit to a version once it is imported, or could not be: of an older one names may be missing.
"""
