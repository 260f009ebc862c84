"""The study ``python -m benchmarks.window_bias``."""
