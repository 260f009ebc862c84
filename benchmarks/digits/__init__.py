"""The study ``python -m benchmarks.digits``."""
