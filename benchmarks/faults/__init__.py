"""The study ``python -m benchmarks.faults``."""
