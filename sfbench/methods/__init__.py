"""Methods that turn auxiliaries and data into points of the target, by name and within a budget of evaluations.

``known_methods()`` lists them, ``run_method(name, auxiliaries, x, process=..., n=..., budget=...)`` runs one; the
meter, not the method, counts. One's own: a :class:`Method`, ``register_method`` or the entry-point group
``sfbench.methods``, and :func:`sfbench.methods.testing.check_method`.
"""

from .base import BudgetError, Meter, Method, MethodOutcome, MethodRun, NotApplicableError, Task, run_method
from .registry import Fusion, as_method, known_methods, register_method
from .testing import check_method

__all__ = [
    "BudgetError",
    "Fusion",
    "Meter",
    "Method",
    "MethodOutcome",
    "MethodRun",
    "NotApplicableError",
    "Task",
    "as_method",
    "check_method",
    "known_methods",
    "register_method",
    "run_method",
]
