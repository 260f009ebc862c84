"""The study ``python -m benchmarks.judging``."""
