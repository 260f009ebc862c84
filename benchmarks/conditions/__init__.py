"""The study ``python -m benchmarks.conditions``."""
