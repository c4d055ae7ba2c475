"""Information retrieval: runs and qrels, measures, benchmarks, BM25, shared text, significance. No language model."""
