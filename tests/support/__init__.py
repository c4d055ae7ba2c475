"""Makes of the tests: tiny models of the real architecture, and a relevance rule they can learn."""
