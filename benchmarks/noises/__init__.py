"""Noises other than Gaussian on R^d: what survives of fusion on the torus and under Student noise."""
