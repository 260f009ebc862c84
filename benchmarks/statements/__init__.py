"""Statements of the theory that no other study measures: ``python -m benchmarks.statements``."""
