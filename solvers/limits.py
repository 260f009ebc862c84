"""Iterations and seconds: the two limits of every run.

A solver of this package counts its steps with `Budget`, which ends at either limit. A library gets its own time
setting where it has one. A foreign solver is run in a thread that is given up when its time is over: Python cannot end
a thread, so a solver that hangs goes on taking a core until it returns, and one that hangs in compiled code without
releasing the interpreter lock cannot be left at all; run such a solver in a process of its own.
"""

from __future__ import annotations

import contextvars
import functools
import inspect
import math
import threading
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

from .base import Candidate, Seed, SimplexSolver
from .errors import SolverFailureError, SolverTimeoutError
from .problem import SimplexQP, Vector
from .registry import is_builtin

_BASE, _CUBIC = 10.0, 1e-7  # seconds; the second times k^3
_GRADIENTS = 20_000


class Budget:
    """Steps from 1 to `steps`, while there is time: at least one, and none that starts after `seconds` are over.

    After the loop `n` is the number of steps made and `late` says whether time, not steps, ended it.
    """

    def __init__(self, steps: int, seconds: float) -> None:
        self.steps, self.ends = steps, perf_counter() + seconds
        self.n, self.late = 0, False

    def __iter__(self) -> Iterator[int]:
        for n in range(self.n + 1, self.steps + 1):
            if n > 1 and perf_counter() >= self.ends:
                self.late = True
                return
            self.n = n
            yield n

    @property
    def seconds(self) -> float:
        """Seconds left, at least 0."""
        return max(self.ends - perf_counter(), 0.0)

    def spent(self, w: Vector) -> Candidate:
        """The candidate `w` of a run that met one of the limits."""
        return Candidate(w, self.n, exhausted=True, late=self.late)


def default_time_limit(problem: Any, seconds_per_gradient: float) -> float:
    """Seconds that a solve may take when the caller does not say.

    ``10 + 1e-7 k^3`` and 20,000 gradients; none for minibatches, where the length of the run is the caller's choice.
    """
    if hasattr(problem, "minibatch_gradient") and not isinstance(problem, SimplexQP):
        return math.inf
    return float(_BASE + _CUBIC * float(problem.dim) ** 3 + _GRADIENTS * seconds_per_gradient)


def run_within(
    solver: SimplexSolver,
    objective: Any,
    *,
    tol: float,
    max_iter: int | None,
    start: Vector | None,
    rng: Seed,
    time_limit: float,
) -> Candidate:
    """``solver.solve`` within `time_limit` seconds.

    Raises
    ------
    SolverTimeoutError
        If a foreign solver has not answered by then.
    """
    own: Any = solver.solve
    if is_builtin(solver):
        return own(  # type: ignore[no-any-return]
            objective, tol=tol, max_iter=max_iter, start=start, rng=rng, time_limit=time_limit
        )
    call = functools.partial(own, objective, tol=tol, max_iter=max_iter, start=start, rng=rng)
    if _takes_time_limit(type(solver)):
        call = functools.partial(call, time_limit=time_limit)
    candidate = call() if time_limit == math.inf else _watched(call, time_limit, solver.name)
    if not isinstance(candidate, Candidate):
        raise SolverFailureError(f"solver {solver.name!r} returned a {type(candidate).__name__}, not a Candidate")
    return candidate


def _watched(call: Callable[[], Any], seconds: float, name: str) -> Any:
    """The value of `call`, made in a thread of its own that is given up after `seconds`."""
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(call())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), name=f"solver {name}", daemon=True)
    thread.start()
    thread.join(min(seconds, threading.TIMEOUT_MAX))
    if failure:
        raise failure[0]
    if not outcome:
        raise SolverTimeoutError(
            f"solver {name!r} gave no answer within {seconds:.3g} s; raise time_limit, or use solver='auto'"
        )
    return outcome[0]


@functools.cache
def _takes_time_limit(solver: type[Any]) -> bool:
    try:
        return "time_limit" in inspect.signature(solver.solve).parameters
    except (TypeError, ValueError):  # no signature can be had
        return False
