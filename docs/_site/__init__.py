"""What `make docs` generates before Sphinx reads the pages: the reference, the gallery's settings, pages of results."""
