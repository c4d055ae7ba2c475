"""Adapters from a `Reranker` to other toolkits, one module per toolkit; none imports another's toolkit.

Each module checks its toolkit's version even if the import fails, since older versions lack some of the names.
"""
