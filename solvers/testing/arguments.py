"""No public function writes to an array that it was given, or keeps looking into it.

Every call is made on writable and on read-only copies of its arguments. Afterwards the copies have the bits they had
before; then they are overwritten, and the result does not change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..base import BatchSolver, Requirement, SimplexSolver
from ..batch import SimplexQPBatch
from ..log_partition import LogPartitionObjective
from ..many import solve_many
from ..over_time import solve_over_time
from ..problem import SimplexQP
from ..projections import project_simplex
from ..regularisation import EntropyRegularised, ridge, solve_path
from ..spectrum import tangent_spectrum
from .problems import random_qp

Numbers = tuple[Any, ...]
"""What a call gives back, as arrays and numbers."""


def assert_untouched(call: Callable[..., Callable[[], Numbers]], *arrays: NDArray[np.float64]) -> None:
    """Raise `AssertionError` if `call`, given copies of `arrays`, writes to one of them or its result depends on them.

    `call` returns a function without arguments that reads the numbers of its result, so that they can be read again.
    """
    answers = []
    for writeable in (True, False):
        given = [np.array(array, order="C") for array in arrays]
        for array in given:
            array.flags.writeable = writeable
        before = [array.tobytes() for array in given]
        read = call(*given)
        for i, (array, bits) in enumerate(zip(given, before, strict=True)):
            assert array.tobytes() == bits, f"argument {i} was written to ({'writable' if writeable else 'read-only'})"
            assert array.flags.writeable == writeable, (
                f"argument {i} was made {'read-only' if writeable else 'writable'}"
            )
        first = _bits(read())
        for array in given:
            array.flags.writeable = True
            array[...] = 7.0
        assert _bits(read()) == first, "the result changes with the arrays given"
        answers.append(first)
    assert answers[0] == answers[1], "read-only arrays give another answer than writable ones"


def _bits(numbers: Numbers) -> tuple[bytes, ...]:
    return tuple(np.asarray(number).tobytes() for number in numbers)


@dataclass(frozen=True)
class SmallBlocks:
    """A batch solver that takes two problems at a time, so that a few problems fill and overfill a block."""

    solver: Any
    requires: Requirement = "quadratic"

    @property
    def name(self) -> str:
        """Name of the solver behind it."""
        return str(self.solver.name)

    def block_size(self, k: int) -> int:
        """Two."""
        return 2

    def solve(self, objective: Any, **arguments: Any) -> Any:
        """See `SimplexSolver.solve`."""
        return self.solver.solve(objective, **arguments)

    def solve_block(self, P: NDArray[np.float64], q: NDArray[np.float64], **arguments: Any) -> Any:
        """See `BatchSolver.solve_block`."""
        return self.solver.solve_block(P, q, **arguments)


def check_batches(solver: SimplexSolver, tol: float) -> None:
    """`solve_many` leaves its arrays alone for one problem, a full block, and one more than a block."""
    small: Any = SmallBlocks(solver) if isinstance(solver, BatchSolver) else solver
    problems = [random_qp(3, 6, seed) for seed in range(3)]
    # Scales of 2 and 5, so that dividing by a power of two shows.
    P = np.stack([5.0 * problem.P for problem in problems])
    q = np.stack([5.0 * problem.q for problem in problems])

    def call(P: Any, q: Any, r: Any) -> Callable[[], Numbers]:
        many = solve_many((P, q, r), small, tol=tol)
        direct = [SimplexQP(p, v).value(w) for p, v, w in zip(P, q, many.weights, strict=True)]
        assert np.allclose(many.values, direct, rtol=1e-12, atol=1e-12), f"values are wrong for {len(P)} problems"
        return lambda: (many.weights, many.values, many.gaps, many[0].value, many.problems.P, many.problems.q)

    for B in (1, 2, 3):
        assert_untouched(call, P[:B], q[:B], np.zeros(B))


def _problem(P: Any, q: Any) -> Callable[[], Numbers]:
    problem = SimplexQP(P, q, 0.5)
    return lambda: (problem.P, problem.q, problem.value(np.full(3, 1 / 3)))


def _batch(P: Any, q: Any, r: Any) -> Callable[[], Numbers]:
    batch = SimplexQPBatch(P, q, r)
    return lambda: (batch.P, batch.q, batch.r)


def _projection(v: Any) -> Callable[[], Numbers]:
    w = project_simplex(v)
    return lambda: (w,)


def _over_time(P: Any, q: Any) -> Callable[[], Numbers]:
    plain, smooth = (solve_over_time((P, q), amount) for amount in (0.0, 0.1))
    return lambda: (plain.weights, plain.value, smooth.weights, smooth.value)


def _ridge(v: Any) -> Callable[[], Numbers]:
    problem = ridge(random_qp(3, 6, 0), 0.1, v)
    return lambda: (problem.P, problem.q)


def _entropy(v: Any) -> Callable[[], Numbers]:
    objective = EntropyRegularised(random_qp(3, 6, 0), 0.1, v)
    return lambda: (objective.reference, objective.value(np.full(3, 1 / 3)))


def _path(strengths: Any, v: Any) -> Callable[[], Numbers]:
    path = solve_path(random_qp(3, 6, 0), strengths, reference=v)
    return lambda: tuple(result.weights for result in path)


def _log_partition(L: Any, a: Any, mean: Any) -> Callable[[], Numbers]:
    objective = LogPartitionObjective(L, a, mean)
    return lambda: (objective.value(np.full(3, 1 / 3)), objective.gradient(np.full(3, 1 / 3)))


def _spectrum(P: Any, q: Any) -> Callable[[], Numbers]:
    spectrum = tangent_spectrum(SimplexQP(P, q))
    return lambda: (spectrum.eigenvalues,)


def check_functions() -> None:
    """Every public function and class of `solvers` that takes arrays, but for `solve` and `solve_many`."""
    rng = np.random.default_rng(0)
    problem = random_qp(3, 6, 0)
    P, q, v = 5.0 * problem.P, 5.0 * problem.q, np.array([0.5, 0.3, 0.2])
    L = rng.normal(size=(6, 3))
    assert_untouched(_problem, P, q)
    assert_untouched(_spectrum, P, q)
    for B in (1, 3):
        stack = np.stack([P] * B), np.stack([q] * B)
        assert_untouched(_batch, *stack, np.ones(B))
        assert_untouched(_batch, *stack, np.array(1.0))
        assert_untouched(_over_time, *stack)
    for points in (v, 3.0 * L):
        assert_untouched(_projection, points)
    assert_untouched(_ridge, v)
    assert_untouched(_entropy, v)
    assert_untouched(_path, np.array([1.0, 0.1]), v)
    assert_untouched(_log_partition, L, np.zeros(6), L.mean(axis=0))
