"""The documentation's site: what makes its pages out of docs/ and out of the code."""
