"""What the whole package uses and nobody outside: checks of arguments, kinds of arrays, names imported on first use."""
