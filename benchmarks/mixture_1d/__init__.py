"""The study ``python -m benchmarks.mixture_1d``."""
