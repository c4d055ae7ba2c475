"""Heads: one number for a query and a document."""
