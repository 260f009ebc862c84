"""The study ``python -m benchmarks.certificates``."""
