"""Fits and samples of networks against bare forward passes of the same networks."""
