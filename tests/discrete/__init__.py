"""Tests of laws on product spaces and of their fusion."""
