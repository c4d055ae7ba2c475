"""Engines that run language models, for teacher, student, policy and reranker alike."""
