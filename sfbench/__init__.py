"""Fusing score models through Kullback-Leibler barycenters."""

__version__ = "0.1.0"
