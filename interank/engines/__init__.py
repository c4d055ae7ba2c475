"""What runs a language model, for teacher, student, policy and reranker alike."""
