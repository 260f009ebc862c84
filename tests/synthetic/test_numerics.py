"""Range, precision, memory and reproducibility of the evaluation kernel."""

import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic import CovarianceError, GaussianMixture, NotFiniteError

from .examples import KINDS, LAYOUTS, examined, mixture_parts, random_mixture, random_parts
from .oracles import exact

FLOAT32_JOINT = 4e-3  # the documented tolerance of a log joint in float32
MEBIBYTE = 1 << 20


def spread_of_pulls(law: GaussianMixture) -> float:
    """How much an error of the responsibilities can matter to the score, and its square to the divergence."""
    precision = 1.0 / law.spectrum.values.min()
    return float(precision * (1.0 + np.ptp(law.means, axis=0).max()) + np.sqrt(precision))


# ---------------------------------------------------------------------- far away
@pytest.mark.parametrize("distance", [1e2, 1e4, 1e6, 1e12, 1e100])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [1, 2])
def test_far_points_equal_extended_precision(d: int, layout: str, distance: float) -> None:
    parts = random_parts(3, layout, 3, d)
    x = distance * np.array([[1.0, 0.3], [-0.2, 1.0], [0.0, -1.0]])[:, :d]
    law = GaussianMixture(*parts)
    for computed, true in zip((law.log_prob(x), law.score(x), law.divergence(x)), exact(*parts, x), strict=True):
        np.testing.assert_allclose(computed, true, rtol=1e-9)


@pytest.mark.parametrize("covariance", [1.0, [[1.0, 3.0]] * 2, [[[2.0, 0.5], [0.5, 1.0]]] * 2])
def test_far_points_between_two_modes_keep_both_responsibilities(covariance: Any) -> None:
    """On the bisector of two modes, 1e6 standard deviations out, neither mode wins: rounding must not decide."""
    parts = np.array([0.4, 0.6]), np.array([[-1.0, 0.1], [0.7, 0.35]]), np.asarray(covariance)
    law = GaussianMixture(*parts)
    normal = np.linalg.solve(law.spectrum.dense()[0], parts[1][1] - parts[1][0])
    x = 1e6 * np.array([[-normal[1], normal[0]]]) + [[0.1, 0.0]]
    _, score, divergence = exact(*parts, x)
    np.testing.assert_allclose(law.divergence(x), divergence, rtol=1e-8)
    np.testing.assert_allclose(law.score(x), score, rtol=0, atol=1e-9 * np.abs(score).max())


@examined
@given(mixture_parts, st.floats(0.0, 12.0), st.integers(0, 100))
def test_everything_is_finite_at_any_distance(parts: Any, exponent: float, seed: int) -> None:
    law = GaussianMixture(*parts)
    x = 10.0**exponent * np.random.default_rng(seed).standard_normal((5, law.dim))
    assert all(np.all(np.isfinite(out)) for out in (law.log_prob(x), law.score(x), law.divergence(x)))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sigma", [1e-3, 1e-8, 1e-30])
def test_score_survives_vanishing_noise(layout: str, sigma: float) -> None:
    """A sharp law seen from the distance: covariances of 1e-60 up, points many of its standard deviations away."""
    weights, means, covariances = random_parts(4, layout, 3, 2)
    parts = weights, means, sigma**2 * np.asarray(covariances)
    x = np.concatenate([means + sigma, [[0.3, -0.4], [5.0, 1.0]]])
    computed = GaussianMixture(*parts).score(x)
    assert np.all(np.isfinite(computed))
    np.testing.assert_allclose(computed, exact(*parts, x)[1], rtol=1e-6, atol=1e-6 * np.abs(computed).max())


# ---------------------------------------------------------------------- float32
@examined
@given(mixture_parts, st.sampled_from([0.0, 100.0, 1e4]))
def test_float32_equals_float64_within_the_documented_tolerance(parts: Any, offset: float) -> None:
    weights, means, covariances = parts
    law = GaussianMixture(weights, means + offset, covariances)
    x = law.sample(50, rng=0).astype(np.float32)
    singles = law.log_prob(x), law.score(x), law.divergence(x)
    doubles = [f(x.astype(np.float64)) for f in (law.log_prob, law.score, law.divergence)]
    reach = spread_of_pulls(law)
    for single, double, scale in zip(singles, doubles, (1.0, reach, reach**2 + np.abs(doubles[2]).max()), strict=True):
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, double, rtol=1e-5, atol=FLOAT32_JOINT * scale)


def test_float32_far_from_the_origin_is_centred_not_cancelled() -> None:
    """At an offset of 1e4 the plain expansion would be 50 % wrong; the centred one is accurate to rounding."""
    for d in (2, 12):
        law = random_mixture(1, "isotropic", 3, d).affine(1.0, 1e4 / 3)
        x = law.sample(200, rng=0).astype(np.float32)
        np.testing.assert_allclose(law.log_prob(x), law.log_prob(x.astype(np.float64)), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(law.score(x), law.score(x.astype(np.float64)), rtol=1e-4, atol=1e-4)


def test_float32_beyond_its_square_is_evaluated_in_float64() -> None:
    law = random_mixture(1, "shared", 2, 2)
    x = np.full((1, 2), 1e25, np.float32)
    np.testing.assert_allclose(law.score(x), law.score(x.astype(np.float64)), rtol=1e-6)
    with pytest.raises(NotFiniteError, match=r"x\[0\] lies too many standard deviations .* float32 result"):
        law.log_prob(x)


def test_integer_and_half_precision_points_are_evaluated_in_float64() -> None:
    law = random_mixture(1, "shared", 2, 2)
    x = np.array([[1, -2], [0, 3]])
    for points in (x, x.tolist(), x.astype(np.float16), x.astype(">f8"), x.astype(np.longdouble)):
        assert law.score(points).dtype == np.float64
        np.testing.assert_array_equal(law.score(points), law.score(x.astype(float)))


# ---------------------------------------------------------------------- same bits
@pytest.mark.parametrize("kind", KINDS)
def test_memory_layout_of_the_points_does_not_change_a_bit(kind: str) -> None:
    law = KINDS[kind]()
    x = law.sample(300, rng=0)
    wide = np.zeros((600, 2 * law.dim))
    wide[::2, ::2] = x
    frozen = x.copy()
    frozen.setflags(write=False)
    for other in (np.asfortranarray(x), wide[::2, ::2], frozen):
        before = other.copy()
        for method in (law.log_prob, law.score, law.divergence):
            np.testing.assert_array_equal(method(other), method(x))
        np.testing.assert_array_equal(other, before)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_memory_layout_of_the_parameters_does_not_change_a_bit(layout: str) -> None:
    parts = [np.asarray(part) for part in random_parts(2, layout, 3, 4)]
    law = GaussianMixture(*parts)
    x = law.sample(50, rng=0)
    copies = [np.asfortranarray(part) if part.ndim else part for part in parts]
    for part in copies:
        part.setflags(write=False)
    np.testing.assert_array_equal(GaussianMixture(*copies).score(x), law.score(x))
    parts[1][:] = np.nan  # the law owns its parameters
    assert np.all(np.isfinite(law.score(x)))


def test_parameters_of_a_law_are_read_only() -> None:
    for law in (random_mixture(1), random_mixture(1).diffuse(0.5, 0.5), random_mixture(1).affine(2.0)):
        for array in (law.weights, law.means, law.covariances):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1.0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [2, 12])
def test_rows_do_not_depend_on_their_neighbours(layout: str, d: int) -> None:
    """Across chunks, and next to a point that sends its chunk to the whitened form."""
    law = random_mixture(6, layout, 3, d)
    x = law.sample(20_000, rng=0)
    whole = law.score(x)
    np.testing.assert_allclose(law.score(x[8190:8200]), whole[8190:8200], rtol=1e-9, atol=1e-11)
    x[0] = 1e9
    np.testing.assert_allclose(law.score(x)[1:], whole[1:], rtol=1e-8, atol=1e-9)


# ---------------------------------------------------------------------- memory
@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.slow
@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(
    ("n", "d", "m", "layout", "offset"),
    [
        (200_000, 64, 16, "shared", 0.0),
        (20_000, 64, 16, "isotropic", 1e4),  # centred
        (4_000, 64, 16, "isotropic", 1e12),  # whitened
        (20_000, 64, 8, "diagonal", 0.0),
        (4_000, 32, 8, "full", 0.0),
        (4_000, 784, 4, "isotropic", 1e4),
        (4, 200_000, 2, "isotropic", 1e4),
    ],
)
def test_score_needs_little_beyond_its_output(n: int, d: int, m: int, layout: str, offset: float) -> None:
    law = random_mixture(0, layout, m, d)
    x = np.random.default_rng(0).standard_normal((n, d)) + offset
    law.score(x[:2])  # constants of the kernel
    base = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    score = law.score(x)
    assert tracemalloc.get_traced_memory()[1] - base - score.nbytes < 16 * MEBIBYTE


# ---------------------------------------------------------------------- beyond the range
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 2e150])
@pytest.mark.parametrize("dtype", [np.float64, np.longdouble])
def test_points_that_cannot_be_squared_are_named(layout: str, value: float, dtype: Any) -> None:
    law = random_mixture(1, layout, 2, 3)
    x = np.zeros((9000, 3), dtype)  # the culprit is not in the first chunk
    x[8500, 1] = value
    for method in (law.log_prob, law.score, law.divergence, law.score_and_divergence):
        with pytest.raises(NotFiniteError, match=r"x\[8500, 1\] is -?(nan|inf|2e\+150); every entry must be finite"):
            method(x)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_float32_points_that_are_not_finite_are_named(value: float) -> None:
    x = np.zeros((4, 2), np.float32)
    x[2, 0] = value
    with pytest.raises(NotFiniteError, match=r"x\[2, 0\] is (nan|inf)"):
        random_mixture(1).score(x)


def test_a_result_that_no_float_holds_is_refused() -> None:
    law = GaussianMixture([1.0], [[0.0, 0.0]], 1e-100)
    x = np.array([[1.0, 0.0], [1e120, 0.0]])
    np.testing.assert_allclose(law.score(x), -1e100 * x, rtol=1e-12)
    np.testing.assert_allclose(law.divergence(x), -2e100, rtol=1e-12)
    with pytest.raises(NotFiniteError, match=r"x\[1\] lies too many standard deviations"):
        law.log_prob(x)


@pytest.mark.parametrize(("alpha", "sigma"), [(1e-80, 0.0), (1e80, 0.0), (1.0, 1e80)])
def test_variances_out_of_range_are_refused(alpha: float, sigma: float) -> None:
    with pytest.raises(CovarianceError, match="must lie between 1e-150 and 1e"):
        random_mixture(1).diffuse(alpha, sigma)
