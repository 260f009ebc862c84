"""Nothing that is passed in is written to, whatever the size of the batch; and the suite's check has teeth."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from solvers import SimplexQP, SimplexQPBatch, solve, solve_many, solve_over_time
from solvers.active_set_batched import block_size
from solvers.testing import assert_untouched, check_functions, random_qp

P1, Q1 = np.array([[[8.0, 2.0], [2.0, 6.0]]]), np.array([[0.0, -1.0]])


def test_public_functions_leave_their_arrays_alone() -> None:
    check_functions()


def test_one_problem_is_not_divided_by_its_scale() -> None:
    P, q = P1.copy(), Q1.copy()
    assert solve(SimplexQP(P[0], q[0])).value == pytest.approx(1.55, rel=1e-15)
    first = solve_many((P, q))
    assert first.values == pytest.approx([1.55], rel=1e-15)
    assert np.array_equal(P, P1)
    assert solve_many((P, q)).weights.tolist() == first.weights.tolist()
    assert solve_many([SimplexQP(P[0], q[0])]).values == pytest.approx([1.55], rel=1e-15)
    assert first[0].value == pytest.approx(1.55, rel=1e-15)
    P.setflags(write=False)
    assert solve_many((P, q)).values == pytest.approx([1.55], rel=1e-15)


@pytest.mark.parametrize("extra", [0, 1])
@pytest.mark.parametrize("k", [2, 3, 8, 24])
def test_a_block_and_one_more(k: int, extra: int) -> None:
    B = block_size(k) + extra
    problems = [random_qp(k, 2 * k, seed) for seed in range(7)]
    P = np.stack([8.0 * problems[i % 7].P for i in range(B)])
    q = np.stack([8.0 * problems[i % 7].q for i in range(B)])
    values = []

    def call(P: Any, q: Any) -> Callable[[], tuple[Any, ...]]:
        many = solve_many((P, q))
        values.append(many.values)
        return lambda: (many.weights, many.values, many[B - 1].value)

    assert_untouched(call, P, q)
    alone = [solve(SimplexQP(P[i], q[i])).value for i in range(7)]
    assert np.allclose(values[0], [alone[i % 7] for i in range(B)], rtol=1e-12)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_time_bin(smoothing: float) -> None:
    P, q = P1.copy(), Q1.copy()
    assert solve_over_time((P, q), smoothing).value == pytest.approx(1.55, rel=1e-15)
    assert np.array_equal(P, P1)


def test_batches_own_their_arrays() -> None:
    P, q, r = P1.copy(), Q1.copy(), np.ones(1)
    batch = SimplexQPBatch(P, q, r)
    P[:] = q[:] = r[:] = 3.0
    assert batch.P.tolist() == P1.tolist()
    assert batch.r.tolist() == [1.0]
    for array in (batch.P, batch.q, batch.r):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True


def test_the_check_finds_writers_and_views() -> None:
    def writes(x: Any) -> Callable[[], tuple[Any, ...]]:
        if x.flags.writeable:
            x[0] = 0.0
        return lambda: (1.0,)

    def looks(x: Any) -> Callable[[], tuple[Any, ...]]:
        return lambda: (x.sum(),)

    def freezes(x: Any) -> Callable[[], tuple[Any, ...]]:
        x.flags.writeable = False
        return lambda: (1.0,)

    for call, message in (
        (writes, "was written to"),
        (looks, "changes with the arrays"),
        (freezes, "made read-only"),
    ):
        with pytest.raises(AssertionError, match=message):
            assert_untouched(call, np.ones(3))  # type: ignore[arg-type]
