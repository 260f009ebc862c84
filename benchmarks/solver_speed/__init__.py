"""The study ``python -m benchmarks.solver_speed``."""
