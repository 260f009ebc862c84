"""The study ``python -m benchmarks.diffusers_speed``."""
