"""Tests of noises other than Gaussian on R^d: angles, and Student's t."""
