"""A user's training run: settings, run directory and reports around a trainer."""
