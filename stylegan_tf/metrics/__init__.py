"""Numbers about a generator: what its pictures are like beside the real ones."""
