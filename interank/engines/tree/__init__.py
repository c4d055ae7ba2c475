"""Shared prefixes computed once: tokens in a prefix tree, and attention along it."""
