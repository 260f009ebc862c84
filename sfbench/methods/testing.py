"""The conformance suite of methods, for those of one's own too: ``check_method("my_method")``.

What is required of a method whatever it does:

- points of the shape asked for, finite where they have weight; weights on the simplex;
- the budget is kept, and a hopeless one ends in :class:`BudgetError`, not in points;
- the same seed gives the same bits, and numpy's global generator is left alone;
- neither data nor models are written into;
- auxiliaries that are all one law come out as that law.
"""

from typing import Any

import numpy as np

from synthetic import Estimate, GaussianMixture

from ..errors import ModelError
from ..metrics import total_variation_from_samples
from ..processes import OrnsteinUhlenbeck
from .base import BudgetError, Method, MethodRun, NotApplicableError, run_method

_LAW = GaussianMixture([0.35, 0.65], [[-1.0], [1.4]], 0.4)
_OTHER = GaussianMixture([0.5, 0.5], [[-0.8], [1.2]], 0.6)
_N, _BUDGET = 800, 800 * 2 * 96
_LARGEST_DISTANCE = 0.09  # of 800 points to their law, floor included


def check_method(method: str | Method, *, seed: int = 0) -> Estimate:
    """Hold a method to what is required of all.

    Returns
    -------
    Estimate
        Total variation of its points to the common law of the auxiliaries, floor included.

    Raises
    ------
    ModelError
        Says what the method does not do.
    """
    x = _LAW.sample(200, rng=seed)
    kept, state = x.copy(), np.random.get_state(legacy=False)  # noqa: NPY002  # the generator that must not be used
    first, again = (_run(method, (_LAW, _OTHER), x, _BUDGET, seed) for _ in range(2))
    _require(np.array_equal(x, kept), method, "writes into its data")
    _require(_same(state, np.random.get_state(legacy=False)), method, "uses numpy's global generator")  # noqa: NPY002
    _require(first.evaluations <= _BUDGET, method, "spends more than its budget")
    _require(
        np.array_equal(first.outcome.x, again.outcome.x, equal_nan=True), method, "is not reproducible from a seed"
    )
    _require(bool(first.outcome.law), method, "does not name its law")
    try:
        _run(method, (_LAW, _OTHER), x, 50, seed)
    except BudgetError:
        pass
    else:
        raise ModelError(f"method {method!r} returns {_N} points for 50 evaluations")
    same = _run(method, (_LAW, _LAW), x, _BUDGET, seed).outcome
    found = total_variation_from_samples(same.x, _LAW, log_weights=same.log_weights)
    if found.value > _LARGEST_DISTANCE:
        raise ModelError(f"method {method!r} makes another law of auxiliaries that are all one: TV {found}")
    return found


def _run(method: str | Method, laws: Any, x: np.ndarray, budget: int, seed: int) -> MethodRun:
    try:
        return run_method(method, laws, x, process=OrnsteinUhlenbeck(), n=_N, budget=budget, rng=seed)
    except NotApplicableError as error:
        raise ModelError(f"method {method!r} does not treat two mixtures on the line: {error}") from None


def _require(holds: bool, method: object, what: str) -> None:
    if not holds:
        raise ModelError(f"method {method!r} {what}")


def _same(a: Any, b: Any) -> bool:
    return bool(np.array_equal(a["state"]["key"], b["state"]["key"]) and a["state"]["pos"] == b["state"]["pos"])
