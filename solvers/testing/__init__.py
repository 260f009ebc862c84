"""Conformance suite."""
