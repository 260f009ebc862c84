"""The store of results: one SQLite file whose every row carries a sha256."""
