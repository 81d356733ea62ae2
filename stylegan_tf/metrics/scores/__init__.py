"""Scores as pure functions of features, labels and distances."""
