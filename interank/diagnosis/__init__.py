"""Tests of a finished model: the agreement of its variants, and the ranks that attacks gain."""
