"""Studies that measure what the library claims; run as ``python -m benchmarks.NAME``."""
