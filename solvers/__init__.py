"""Simplex solvers."""
