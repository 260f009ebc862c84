"""The study ``python -m benchmarks.coverage``."""
