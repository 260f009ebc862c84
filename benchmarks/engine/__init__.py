"""The study ``python -m benchmarks.engine``."""
