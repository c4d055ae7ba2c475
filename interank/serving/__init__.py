"""The API of `interank serve`: what clients of other rerankers send and read, told in one form."""
