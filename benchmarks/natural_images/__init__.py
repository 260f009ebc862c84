"""Colour patches of photographs, fused: the study ``python -m benchmarks.natural_images``."""
