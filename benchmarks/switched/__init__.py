"""One model per point and step against all models: see ``python -m benchmarks.switched``."""
