"""Judgments: a document's grade for a query, and why."""
