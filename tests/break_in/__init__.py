"""Attacks on interank, each by its name: what an enemy, or an accident, gives it, and that it says so or holds."""
