"""The study ``python -m benchmarks.sampling_error``."""
