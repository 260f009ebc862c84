"""The study ``python -m benchmarks.styles``."""
