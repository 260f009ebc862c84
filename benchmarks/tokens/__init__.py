"""Masked networks of real tokens, fused: the study ``python -m benchmarks.tokens``."""
