"""Synthetic problems."""
