"""Time grids: exact where their rule is, and refused where an objective would not make sense."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.polynomial import Polynomial

from sfbench import GridError, OrnsteinUhlenbeck, TimeGrid, VarianceExploding, time_grid
from sfbench.processes.times import binned_grid, objective_weights

windows = st.tuples(st.floats(1e-4, 1.0), st.floats(1.5, 50.0)).map(lambda pair: (pair[0], pair[0] * pair[1]))
coefficients = st.lists(st.floats(-1, 1), min_size=10, max_size=10)


@pytest.mark.slow
@given(window=windows, values=coefficients)
def test_log_grid_integrates_polynomials_in_log_t_exactly(window: tuple[float, float], values: list[float]) -> None:
    """Five nodes are exact up to degree nine for ``h(t) = p(log t) / t``."""
    low, high = window
    polynomial = Polynomial(values, domain=np.log([low, high]), window=[-1, 1])
    grid = time_grid(low, high, 5)
    exact = polynomial.integ()(np.log(high)) - polynomial.integ()(np.log(low))
    assert grid.weights @ (polynomial(np.log(grid.nodes)) / grid.nodes) == pytest.approx(exact, abs=1e-12)


def test_degree_ten_is_beyond_five_nodes() -> None:
    grid = time_grid(1.0, np.e, 5)
    error = grid.weights @ (np.log(grid.nodes) ** 10 / grid.nodes) - 1 / 11
    assert 1e-7 < abs(error) < 1e-4


def test_equal_ends_give_one_node_of_weight_one() -> None:
    grid = time_grid(0.3, 0.3, 16)
    assert (grid.nodes.tolist(), grid.weights.tolist(), len(grid)) == ([0.3], [1.0], 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 1.0), "0 < t_min <= t_max"),
        ((2.0, 1.0), "0 < t_min <= t_max"),
        ((1e-3, np.inf), "0 < t_min <= t_max"),
        ((np.nan, 1.0), "0 < t_min <= t_max"),
        ((1e-3, 1.0, 0), "n_nodes must be an integer of at least 1"),
    ],
)
def test_bad_windows_are_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(GridError, match=message):
        time_grid(*arguments)


@pytest.mark.parametrize(
    ("nodes", "weights", "message"),
    [
        ([], [], "vectors of one length"),
        ([0.1, 0.2], [1.0], "vectors of one length"),
        ([0.0, 0.2], [1.0, 1.0], "positive"),
        ([0.1, np.nan], [1.0, 1.0], "finite"),
        ([0.2, 0.1], [1.0, 1.0], "increasing"),
    ],
)
def test_bad_grids_are_refused(nodes: list[float], weights: list[float], message: str) -> None:
    with pytest.raises(GridError, match=message):
        TimeGrid(np.array(nodes), np.array(weights))


def test_objective_weights_carry_omega() -> None:
    grid, process = time_grid(0.01, 0.9, 7), VarianceExploding(5.0)
    assert objective_weights(grid, process) == pytest.approx(grid.weights * 0.5 * 25.0**grid.nodes)
    assert objective_weights(grid, process, "sigma2") == pytest.approx(grid.weights * process.sigma(grid.nodes) ** 2)
    assert objective_weights(grid, process, np.sqrt) == pytest.approx(grid.weights * np.sqrt(grid.nodes))
    for bad in ("elbo", lambda t: -t, lambda t: t * np.nan, lambda t: 1.0):
        with pytest.raises(GridError, match="weighting"):
            objective_weights(grid, OrnsteinUhlenbeck(), bad)


def test_grids_know_the_window_that_was_asked_for() -> None:
    assert time_grid(1e-3, 5.0).ends == (1e-3, 5.0)
    assert binned_grid(np.array([0.1, 1.0, 2.0]), 3).ends == (0.1, 2.0)
    assert TimeGrid(np.array([0.2, 0.4]), np.ones(2)).ends == (0.2, 0.4)
