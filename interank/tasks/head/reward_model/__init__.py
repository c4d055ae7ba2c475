"""A head that reads an explanation beside query and document, and marks it: the reward model."""
