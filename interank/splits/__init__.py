"""Questions to train, dev and test: what can be split, which questions stay together, and what the parts are."""
