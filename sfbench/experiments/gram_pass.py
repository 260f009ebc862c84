"""Another name of :mod:`sfbench.statistics.sharded`: by place, not by import, for experiments import no statistics."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(import_module("sfbench.statistics.sharded"), name)
