"""Fusing under noises that are not Gaussian on R^d: angles on the torus, heavy tails of Student."""
