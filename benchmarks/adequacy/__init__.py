"""Level and power of the misfit test of fits."""
