"""What studies share: running cells, figures, networks, claims."""
