"""The study ``python -m benchmarks.switched``."""
