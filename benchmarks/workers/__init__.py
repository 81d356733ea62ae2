"""Programs and parts that the commands of benchmarks/ use; none is a command itself.

To run one alone, start it from the folder benchmarks/: python -m workers.NAME ...
"""
