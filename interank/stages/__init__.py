"""The four stages and the pipeline: each one story, read top to bottom."""
