"""Bad input is refused with an error that names the argument, the place, and what to do."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from synthetic import (
    CovarianceError,
    EmbeddedMixture,
    Estimate,
    GaussianMixture,
    IntractableError,
    LogLinearPool,
    NotFiniteError,
    ShapeError,
    SimplexError,
    SyntheticError,
    known_problems,
    make_problem,
)

from .examples import embedded, pool, random_mixture

W, MU, EYE = [0.25, 0.75], [[0.0, 0.0], [1.0, 1.0]], np.stack([np.eye(2)] * 2)
RAGGED: Any = [[0.0, 0.0], [1.0]]


def skewed(index: tuple[int, ...], value: float) -> Any:
    out = EYE.copy()
    out[index] = value
    return out


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "error", "message"),
    [
        ([0.5, np.nan], MU, 1.0, NotFiniteError, r"weights\[1\] is nan; every entry must be finite"),
        (W, [[0.0, 0.0], [1.0, np.inf]], 1.0, NotFiniteError, r"means\[1, 1\] is inf"),
        (W, [[0.0, 0.0], [-1e151, 1.0]], 1.0, NotFiniteError, r"means\[1, 0\] is -1e\+151; .* at most 1e\+150"),
        (W, MU, np.nan, NotFiniteError, "covariances is nan"),
        (W, MU, [1.0, -np.inf], NotFiniteError, r"covariances\[1\] is -inf"),
        (W, MU, skewed((1, 0, 1), np.nan), NotFiniteError, r"covariances\[1, 0, 1\] is nan"),
        (W, np.array(MU, object), 1.0, NotFiniteError, "means must hold real numbers, got dtype object"),
        (np.array(W, complex), MU, 1.0, NotFiniteError, "weights must hold real numbers, got dtype complex128"),
        (W, [["a", "b"], ["c", "d"]], 1.0, NotFiniteError, "means must hold real numbers, got dtype <U1"),
        (W, RAGGED, 1.0, ShapeError, "means is ragged"),
        (W, MU, RAGGED, ShapeError, "covariances is ragged"),
        ([W], MU, 1.0, ShapeError, r"weights must be a non-empty vector, got shape \(1, 2\)"),
        ([], MU, 1.0, ShapeError, r"weights must be a non-empty vector, got shape \(0,\)"),
        ([1.0], MU, 1.0, ShapeError, "weights must have length 2, got 1"),
        (W, [0.0, 1.0], 1.0, ShapeError, r"means must have shape \(m, d\) with m, d >= 1, got \(2,\)"),
        (W, np.empty((0, 2)), 1.0, ShapeError, r"m, d >= 1, got \(0, 2\)"),
        (W, np.empty((2, 0)), 1.0, ShapeError, r"m, d >= 1, got \(2, 0\)"),
        (W, MU, np.ones(3), ShapeError, r"a scalar, \(2,\), \(2, 2\) or \(2, 2, 2\) for 2 components .* got \(3,\)"),
        (W, MU, np.ones((2, 2, 1)), ShapeError, r"got \(2, 2, 1\)"),
        ([-0.1, 1.1], MU, 1.0, SimplexError, r"weights\[0\] is -0.1; weights must be non-negative"),
        ([0.5, 0.4], MU, 1.0, SimplexError, "weights sum to 0.9, not 1; divide them by their sum"),
        ([0.0, 0.0], MU, 1.0, SimplexError, "weights sum to 0, not 1"),
        (W, MU, 0.0, CovarianceError, r"covariances\[0\] is not positive definite: smallest eigenvalue 0"),
        (W, MU, 1e-200, CovarianceError, "every one must be at least 1e-150"),
        (W, MU, [1.0, -1.0], CovarianceError, r"covariances\[1\] is not positive definite"),
        (W, MU, [[1.0, 1.0], [1.0, 0.0]], CovarianceError, r"covariances\[1\] is not positive definite"),
        (W, MU, skewed((1, 1, 1), -1.0), CovarianceError, r"covariances\[1\] .* smallest eigenvalue -1"),
        (W, MU, EYE * 0.0, CovarianceError, r"covariances\[0\] is not positive definite"),
        (W, MU, np.ones((2, 2, 2)), CovarianceError, r"covariances\[\d\] is not positive definite"),
        (W, MU, skewed((1, 0, 1), 0.3), CovarianceError, r"covariances\[1\] is not symmetric: entries differ by 0.3"),
    ],
)
def test_bad_mixtures_are_named(
    weights: Any, means: Any, covariances: Any, error: type[SyntheticError], message: str
) -> None:
    with pytest.raises(error, match=message):
        GaussianMixture(weights, means, covariances)


@pytest.mark.parametrize("build", [random_mixture, lambda _: embedded(0, 2), lambda _: pool(2, d=2)])
@pytest.mark.parametrize("method", ["log_prob", "score", "divergence"])
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros(2), ShapeError, r"x must have shape \(n, 2\), got \(2,\)"),
        (np.zeros((4, 3)), ShapeError, r"x must have shape \(n, 2\), got \(4, 3\)"),
        (np.zeros((1, 4, 2)), ShapeError, r"got \(1, 4, 2\)"),
        (0.0, ShapeError, r"got \(\)"),
        (RAGGED, ShapeError, "x is ragged"),
        (np.zeros((4, 2), complex), NotFiniteError, "x must hold real numbers, got dtype complex128"),
        (np.zeros((4, 2), object), NotFiniteError, "x must hold real numbers, got dtype object"),
        ([[0.0, np.nan]], NotFiniteError, r"x\[0, 1\] is nan"),
        (np.array([[0.0, 1e151]]), NotFiniteError, r"x\[0, 1\] is 1e\+151"),
    ],
)
def test_bad_points_are_named(build: Any, method: str, x: Any, error: type[SyntheticError], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(build(0), method)(x)


def test_a_vector_of_scalars_gets_a_hint() -> None:
    with pytest.raises(ShapeError, match=r"got \(4,\); use x\[:, None\]"):
        random_mixture(0, d=1).score(np.zeros(4))


@pytest.mark.parametrize("law", [random_mixture(0), embedded(0), pool(2, d=1)], ids=repr)
@pytest.mark.parametrize(
    ("n", "message"),
    [(-1, "n must be at least 0, got -1"), (2.0, "n must be an integer, got 2.0"), (True, "must be an integer")],
)
def test_bad_counts_are_named(law: Any, n: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        law.sample(n, rng=0)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p.affine(0.0), NotFiniteError, "scale must be nonzero"),
        (lambda p: p.affine(np.nan), NotFiniteError, "scale is nan"),
        (lambda p: p.affine([1.0, 2.0]), ShapeError, r"scale must be a number, got an array of shape \(2,\)"),
        (lambda p: p.affine(1.0, [1.0, np.inf]), NotFiniteError, r"shift\[1\] is inf"),
        (lambda p: p.affine(1.0, [1.0]), ShapeError, r"shift must be a number or have shape \(2,\), got \(1,\)"),
        (lambda p: p.affine(1.0, 1e150).affine(2.0), NotFiniteError, r"means\[0, 0\] is 2e\+150"),
        (lambda p: p.diffuse(1.0, -1.0), NotFiniteError, "sigma must be at least 0"),
        (lambda p: p.diffuse(0.0, 0.0), NotFiniteError, "not both 0"),
        (lambda p: p.diffuse(np.inf, 1.0), NotFiniteError, "alpha is inf"),
        (lambda p: p.diffuse(1.0, "much"), NotFiniteError, "sigma must hold real numbers"),
        (lambda p: LogLinearPool([], []), ShapeError, "components is empty"),
        (lambda p: LogLinearPool([p, p], [1.0]), ShapeError, "weights must have length 2, got 1"),
        (lambda p: LogLinearPool([p, p], [1.5, -0.5]), SimplexError, r"weights\[1\] is -0.5"),
        (lambda p: LogLinearPool([p, p], [np.nan, 1.0]), NotFiniteError, r"weights\[0\] is nan"),
        (lambda p: LogLinearPool([p, embedded(0)], [0.5, 0.5]), ShapeError, r"one dimension, got \[2, 5\]"),
        (
            lambda p: LogLinearPool([p, p], [0.5, 0.5]).log_partition("envelope", n=1),
            ShapeError,
            "n must be at least 2",
        ),
        (lambda p: Estimate(np.nan, method="quadrature"), NotFiniteError, r"estimate by quadrature is nan \+- 0.0"),
    ],
)
def test_bad_arguments_are_named(call: Callable[[Any], Any], error: type[SyntheticError], message: str) -> None:
    with pytest.raises(error, match=message):
        call(random_mixture(0))
    assert issubclass(error, ValueError)


@pytest.mark.parametrize(
    "call",
    [
        lambda: random_mixture(0).sample(10**14, rng=0),
        lambda: embedded(0).sample(10**14, rng=0),
        lambda: pool(2, d=2).sample(10**14, rng=0),
        lambda: GaussianMixture([1.0], np.zeros((1, 10**7)), 1.0).covariance(),
        lambda: make_problem("shifted_gaussians", k=4, d=10**13),
        lambda: make_problem("embedded_mixture", d=10**13),
        lambda: make_problem("bimodal_from_unimodal", d=10**13),
        lambda: make_problem("near_duplicates", d=10**13),
        lambda: make_problem("random_mixtures", d=10**13),
        lambda: make_problem("random_mixtures", d=10**7, covariance="full"),
    ],
)
def test_huge_sizes_are_refused_up_front_with_an_estimate(call: Callable[[], Any]) -> None:
    with pytest.raises(
        IntractableError, match=r"of shape \(.*\) would take [0-9,.]+ GiB.* and this machine has [0-9.]+ GiB left"
    ):
        call()


@pytest.mark.parametrize("name", sorted(set(known_problems()) - {"paper_mixture_1d"}))
def test_millions_of_auxiliaries_are_refused_before_any_is_built(name: str) -> None:
    with pytest.raises(IntractableError, match="k must be at most 10000 auxiliaries, got 10000000"):
        make_problem(name, k=10**7)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: LogLinearPool([random_mixture(0), "a"], [0.5, 0.5]),
            r"components\[1\] is a str; it must be a Gauss",
        ),
        (lambda: LogLinearPool([pool(2)], [1.0]), r"components\[0\] is a LogLinearPool"),
        (
            lambda: LogLinearPool(random_mixture(0), [1.0]),
            "components must be a sequence of laws, got Gauss",
        ),
        (lambda: EmbeddedMixture(None, np.eye(2), 1.0, np.zeros(2)), "core must be a GaussianMixture, got a NoneType"),
        (lambda: random_mixture(0).sample(2, rng="a"), "rng must be a Generator, .* got 'a'"),
        (lambda: make_problem("random_mixtures", rng=-1), "non-negative integer seed or None, got -1"),
        (lambda: make_problem("shifted_gaussians", condition=0.5), "ratio of variances of at least 1, got 0.5"),
        (lambda: make_problem("paper_mixture_1d", weights=(0.5, 0.4)), "weights sum to 0.9"),  # though unused there
    ],
)
def test_arguments_of_a_wrong_kind_are_named(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(SyntheticError, match=message):
        call()


def test_high_dimension_is_bounded_work_not_refused() -> None:
    for name in ("shifted_gaussians", "scaled_gaussians", "embedded_mixture", "bimodal_from_unimodal"):
        problem = make_problem(name, d=100_000)
        assert problem.target.score(problem.target.sample(2, rng=0)).shape == (2, 100_000)


def test_estimates_print_with_their_origin() -> None:
    estimate = Estimate(1.25, 0.5, 100, "envelope")
    assert str(estimate) == "1.25 +- 0.5 (envelope, n=100)"
    assert str(Estimate(1.25)) == "1.25 (closed form)"
    assert (float(estimate), estimate.interval(2.0)) == (1.25, (0.25, 2.25))
