"""The study ``python -m benchmarks.controlled``."""
