"""The stages, the pipeline and the commands beside them: one module each, read from top to bottom."""
