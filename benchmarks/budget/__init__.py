"""The study ``python -m benchmarks.budget``."""
