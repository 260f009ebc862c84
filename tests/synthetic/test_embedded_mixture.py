"""`EmbeddedMixture`: the algebra it is closed under, and equality of distances with those of its cores."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthetic import CovarianceError, EmbeddedMixture, NotFiniteError, ShapeError

from . import checks
from .examples import embedded, examined, numbers, random_frame, random_mixture


def assert_same_law(a: EmbeddedMixture, b: EmbeddedMixture) -> None:
    x = b.sample(10, rng=0)
    np.testing.assert_allclose(a.log_prob(x), b.log_prob(x), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(a.score(x), b.score(x), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(a.divergence(x), b.divergence(x), rtol=1e-8, atol=1e-8)


laws = st.builds(embedded, st.integers(0, 1000), st.sampled_from([2, 3, 12]), st.integers(1, 2), st.integers(1, 3))


@examined
@given(laws, numbers, numbers, st.floats(0.1, 2.0), st.floats(0.0, 2.0), numbers, numbers)
def test_maps_compose(law: Any, a: float, b: float, s: float, t: float, c: float, e: float) -> None:
    assert_same_law(law.diffuse(a, s).diffuse(b, t), law.diffuse(a * b, float(np.hypot(b * s, t))))
    assert_same_law(law.affine(a, c).affine(b, e), law.affine(a * b, b * c + e))


@examined
@given(laws, st.floats(0.1, 2.0), st.floats(0.1, 2.0))
def test_image_laws_stay_laws(law: Any, alpha: float, sigma: float) -> None:
    checks.score_is_gradient(law.diffuse(alpha, sigma))
    checks.divergence_is_trace_of_jacobian(law.affine(-alpha, np.arange(law.dim)))


def test_diffusion_in_law_equals_adding_noise() -> None:
    law, rng = embedded(1), np.random.default_rng(1)
    noisy = 0.6 * law.sample(20_000, rng=rng) + 0.8 * rng.standard_normal((20_000, law.dim))
    checks.assert_mean(law.diffuse(0.6, 0.8).score(noisy), 0.0)
    checks.assert_mean(np.einsum("nd,ne->nde", noisy, law.diffuse(0.6, 0.8).score(noisy)), -np.eye(law.dim))


@pytest.mark.parametrize("d", [1, 4, 64])
def test_total_variation_and_kl_are_those_of_the_cores_at_any_d(d: int) -> None:
    """The log ratio at a point is that of its coordinates, so every divergence between the laws is the cores'."""
    p, q = (EmbeddedMixture(random_mixture(i, d=1), random_frame(2, d, 1), 0.3, np.ones(d)) for i in range(2))
    x = p.sample(200, rng=0)
    y = (x - 1.0) @ p.frame
    ratio = p.core.log_prob(y) - q.core.log_prob(y)
    np.testing.assert_allclose(p.log_prob(x) - q.log_prob(x), ratio, rtol=1e-9, atol=1e-9)


def test_joint_evaluation_equals_single_ones() -> None:
    law = embedded(0, 6, 2)
    x = law.sample(10, rng=0)
    score, divergence = law.score_and_divergence(x)
    np.testing.assert_allclose(score, law.score(x), rtol=1e-12)
    np.testing.assert_allclose(divergence, law.divergence(x), rtol=1e-12)


def test_points_that_are_not_finite_are_named_in_ambient_coordinates() -> None:
    x = np.zeros((3, 5))
    x[2, 4] = np.nan
    for method in (embedded(0).log_prob, embedded(0).score, embedded(0).divergence):
        with pytest.raises(NotFiniteError, match=r"x\[2, 4\] is nan"):
            method(x)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"frame": np.ones((5, 1))}, ShapeError, r"must be orthonormal; they miss by 4 \(use numpy.linalg.qr\)"),
        ({"frame": np.eye(5, 2)}, ShapeError, r"frame must have shape \(d, 1\) with d >= 1, got \(5, 2\)"),
        ({"frame": np.full((5, 1), np.nan)}, NotFiniteError, r"frame\[0, 0\] is nan"),
        ({"variance": 0.0}, NotFiniteError, "variance must be finite and positive, got 0.0"),
        ({"variance": "one"}, NotFiniteError, "variance must hold real numbers"),
        ({"shift": np.zeros(4)}, ShapeError, r"shift must have shape \(5,\), got \(4,\)"),
    ],
)
def test_bad_parts_are_named(change: dict[str, Any], error: type[ValueError], message: str) -> None:
    law = embedded(0)
    parts = {"core": law.core, "frame": law.frame, "variance": law.variance, "shift": law.shift}
    with pytest.raises(error, match=message):
        EmbeddedMixture(**{**parts, **change})


def test_bad_maps_are_named() -> None:
    law = embedded(0)
    with pytest.raises(ShapeError, match=r"shift must be a number or have shape \(5,\), got \(1,\)"):
        law.affine(1.0, [1.0])
    with pytest.raises(NotFiniteError, match="scale must be nonzero"):
        law.affine(0.0)
    with pytest.raises(NotFiniteError, match="not both 0"):
        law.diffuse(0.0, 0.0)
    with pytest.raises(CovarianceError, match="must lie between"):
        law.diffuse(1e-100, 0.0)


def test_parts_are_copied_and_never_modified() -> None:
    frame, shift = np.asfortranarray(random_frame(0, 5, 2)), np.zeros(5)
    kept = frame.copy()
    law = EmbeddedMixture(random_mixture(0), frame, 1.0, shift)
    x = law.sample(5, rng=0)
    score = law.score(x)
    np.testing.assert_array_equal(frame, kept)
    frame[:], shift[:] = np.nan, np.nan
    np.testing.assert_array_equal(law.score(x), score)


# ---------------------------------------------------------------------- chunks and precision
METHODS = ("log_prob", "score", "divergence")


def test_float32_points_give_float32_results_of_float64_accuracy() -> None:
    law = EmbeddedMixture(random_mixture(0, d=2), random_frame(2, 9, 2), 0.5, np.full(9, 1e4))  # cancels in float32
    x = law.sample(300, rng=0).astype(np.float32)
    for name in METHODS:
        single, exact = getattr(law, name)(x), getattr(law, name)(x.astype(np.float64))
        assert single.dtype == np.float32
        np.testing.assert_allclose(single, exact, rtol=1e-6)
    assert [out.dtype for out in law.score_and_divergence(x)] == [np.float32, np.float32]


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    law = embedded(0, 12, 2)
    x = law.sample(1000, rng=0)
    whole = [getattr(law, name)(x) for name in METHODS]
    monkeypatch.setattr("synthetic.embedded_mixture._CHUNK_NUMBERS", 12 * 64)
    for name, expected in zip(METHODS, whole, strict=True):
        np.testing.assert_allclose(getattr(law, name)(x), expected, rtol=1e-12, atol=1e-12)
    x[777, 3] = np.nan
    with pytest.raises(NotFiniteError, match=r"x\[777, 3\] is nan"):
        law.score(x)


def test_memory_beyond_the_output_does_not_grow_with_the_points() -> None:
    law = embedded(0, 64, 2)
    x = law.sample(40_000, rng=0)
    for name in METHODS:
        getattr(law, name)(x[:10])
        tracemalloc.start()
        out = getattr(law, name)(x)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak - out.nbytes < 16e6, name  # the points alone are 20 MB


def test_results_beyond_float32_are_refused_by_row() -> None:
    law = embedded(0, 5, 1)
    x = law.sample(4, rng=0).astype(np.float32)
    x[2] = 1e30
    with pytest.raises(NotFiniteError, match=r"x\[2\] lies too many standard deviations from the law for a float32"):
        law.log_prob(x)
    assert np.all(np.isfinite(law.log_prob(x.astype(np.float64))))
