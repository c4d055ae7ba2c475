"""Pairs in, judgments and rejections out, by a language model."""
