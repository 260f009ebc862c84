"""The study ``python -m benchmarks.diversity``."""
