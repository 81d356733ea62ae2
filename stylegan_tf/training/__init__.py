"""The compiled, distributed step, the loop around it, and what the loop leaves."""
