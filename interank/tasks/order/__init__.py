"""Orders: the documents of a list, best first, and why."""
