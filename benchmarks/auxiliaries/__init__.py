"""The study ``python -m benchmarks.auxiliaries``."""
