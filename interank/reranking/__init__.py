"""Candidates in, ranking out, by a model that grades documents."""
