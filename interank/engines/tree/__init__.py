"""What texts share, computed once: tokens that stand in a tree, and attention along it."""
