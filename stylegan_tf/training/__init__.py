"""The training engine: a compiled, distributed step, the loop around it, its state."""
