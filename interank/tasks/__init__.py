"""What differs by task: judge grades one document, order puts a list in order, head gives one number."""
