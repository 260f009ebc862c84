"""The study ``python -m benchmarks.discrete``."""
