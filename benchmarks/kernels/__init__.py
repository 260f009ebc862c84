"""The study ``python -m benchmarks.kernels``."""
