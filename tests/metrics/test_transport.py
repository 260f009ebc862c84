"""Exact transport by the network simplex (POT) and by linear programming: the same distances, or a clear refusal."""

import numpy as np
import pytest

from sfbench.errors import SfbenchError
from sfbench.metrics import transport, wasserstein, wasserstein1_1d


def clouds(seed, n=30, m=22, d=3):
    rng = np.random.default_rng(seed)
    return (
        {"x": rng.standard_normal((n, d)), "y": rng.standard_normal((m, d)) + 0.4},
        {"x_log_weights": rng.standard_normal(n), "y_log_weights": rng.standard_normal(m)},
    )


@pytest.fixture
def without_pot(monkeypatch):
    monkeypatch.setattr(transport, "_pot", lambda: None)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("options", [{}, {"order": 2}, {"clip": 1.5}], ids=["W1", "W2", "clipped"])
def test_network_simplex_and_linear_program_agree(seed, options, monkeypatch):
    points, weights = clouds(seed)
    by_pot = wasserstein(**points, **weights, **options)
    assert "POT" in by_pot.method
    monkeypatch.setattr(transport, "_pot", lambda: None)
    by_program = wasserstein(**points, **weights, **options)
    assert "linear program" in by_program.method
    assert by_pot.value == pytest.approx(by_program.value, rel=1e-9)
    # The comparison has teeth: other weights, or no weights, give another distance.
    assert abs(wasserstein(**points, **options).value - by_pot.value) > 1e-3


@pytest.mark.parametrize("order", [1, 2])
def test_both_agree_with_the_monotone_coupling(order, monkeypatch):
    rng = np.random.default_rng(5)
    x, y, logs = rng.standard_normal((40, 1)), rng.standard_normal((25, 1)) - 1.0, rng.standard_normal(40)
    found = [wasserstein(x, y, order=order, x_log_weights=logs).value]
    monkeypatch.setattr(transport, "_pot", lambda: None)
    found.append(wasserstein(x, y, order=order, x_log_weights=logs).value)
    if order == 1:
        truth = wasserstein1_1d(x, y, x_log_weights=logs).value
    else:  # quantile functions on a grid as fine as the weights allow
        w = np.exp(logs) / np.exp(logs).sum()
        a, b = np.argsort(x[:, 0]), np.sort(y[:, 0])
        edges = np.unique(np.concatenate([[0.0], np.cumsum(w[a]), np.arange(1, 26) / 25])).clip(0, 1)
        middle = 0.5 * (edges[1:] + edges[:-1])
        qx = x[a, 0][np.minimum(np.searchsorted(np.cumsum(w[a]), middle), 39)]
        qy = b[np.minimum((middle * 25).astype(int), 24)]
        truth = np.sqrt(np.diff(edges) @ (qx - qy) ** 2)
    np.testing.assert_allclose(found, truth, rtol=1e-9)


def test_large_weighted_problems_without_pot_are_refused_with_the_mend(without_pot):
    x = np.random.default_rng(0).standard_normal((300, 2))
    with pytest.raises(SfbenchError, match=r"pip install 'sfbench\[ot\]'"):
        wasserstein(x, x[:200])
    assert wasserstein(x[:200], x[100:]).method.endswith("assignment")


def test_an_unsolved_plan_is_an_error(monkeypatch):
    class Failing:
        @staticmethod
        def emd(v, w, cost, **options):
            return np.outer(v, w), {"warning": "numItermax reached before optimality"}

    monkeypatch.setattr(transport, "_pot", lambda: Failing)
    points, weights = clouds(0)
    with pytest.raises(SfbenchError, match="numItermax"):
        wasserstein(**points, **weights)
