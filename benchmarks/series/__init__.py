"""The study ``python -m benchmarks.series``."""
