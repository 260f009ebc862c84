"""Mis-wirings of trained networks, each to be found with its cause."""
