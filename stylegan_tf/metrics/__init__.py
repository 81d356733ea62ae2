"""Scores of a generator against real images."""
