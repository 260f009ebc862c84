"""The study ``python -m benchmarks.complexity``."""
