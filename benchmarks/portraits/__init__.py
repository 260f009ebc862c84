"""The study ``python -m benchmarks.portraits``."""
