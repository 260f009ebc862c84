"""`LogLinearPool`: four ways to log Z agree, samples are exact, and the pool is the barycenter."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from synthetic import (
    EffectiveSampleSizeError,
    EmbeddedMixture,
    GaussianMixture,
    IntractableError,
    LogLinearPool,
    UnknownNameError,
    arithmetic_mixture,
    product_envelope,
)
from synthetic.quadrature import GridLaw, cover, log_integral

from . import checks
from .examples import LAYOUTS, embedded, examined, mixtures, pool, random_frame, random_mixture
from .oracles import brute_log_z

FEW = 20_000  # envelope draws


@pytest.fixture
def crowd() -> LogLinearPool:
    """More tuples than the product envelope takes: 2^16, on the line."""
    return pool(16, layout="isotropic", m=2, d=1)


@pytest.fixture
def no_tuples(monkeypatch: pytest.MonkeyPatch) -> None:
    """No product of components is cheap enough any more."""
    monkeypatch.setattr(product_envelope, "_MOST_TUPLES", 0)


def assert_partitions_agree(law: LogLinearPool, reference: float, *methods: Any) -> None:
    """All given methods, and the deterministic bounds, agree with a reference within their own errors."""
    low, high = law.partition_bounds()
    assert low - 1e-9 <= reference <= high + 1e-9
    assert high <= 0.0
    for method in methods:
        estimate = law.log_partition(method, n=FEW)
        assert abs(estimate.value - reference) <= 5 * estimate.stderr + 1e-8, (method, str(estimate), reference)


# ---------------------------------------------------------------------- log Z
@pytest.mark.parametrize("layouts", [("shared",) * 2, ("isotropic", "diagonal"), ("full", "isotropic"), ("full",) * 2])
def test_partition_on_the_line_equals_adaptive_quadrature(layouts: tuple[str, str]) -> None:
    laws = [random_mixture(i, layout, 2 + i, 1) for i, layout in enumerate(layouts)]
    law = LogLinearPool(laws, [0.3, 0.7])
    assert_partitions_agree(law, brute_log_z(laws, law.weights), "auto", "quadrature", "envelope")


@pytest.mark.slow
@examined
@given(
    st.integers(0, 1000),
    st.lists(st.sampled_from(LAYOUTS), min_size=1, max_size=3),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_partition_by_quadrature_and_envelope_agree(seed: int, layouts: list[str], m: int, d: int) -> None:
    laws = [random_mixture(seed + i, layout, m, d) for i, layout in enumerate(layouts)]
    law = LogLinearPool(laws, np.random.default_rng(seed).dirichlet(np.ones(len(laws))))
    assert_partitions_agree(law, law.log_partition("quadrature").value, "auto", "envelope")


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_partition_of_gaussians_is_closed_and_equals_the_other_ways(layout: str, d: int) -> None:
    law = pool(3, m=1, layout=layout, d=d)
    closed = law.log_partition()
    assert (closed.method, closed.stderr) == ("closed form", 0.0)
    assert_partitions_agree(law, closed.value, "quadrature", "envelope")
    low, high = law.partition_bounds()
    np.testing.assert_allclose([low, high], closed.value, rtol=1e-12)


def test_partition_of_gaussians_with_one_covariance_by_hand() -> None:
    """``log Z = -(sum_i w_i |a_i|^2 - |sum_i w_i a_i|^2) / 2v`` for ``N(a_i, v I)``, in any dimension."""
    means, w, v = np.random.default_rng(0).standard_normal((3, 50)), np.array([0.2, 0.3, 0.5]), 1.7
    law = LogLinearPool([GaussianMixture([1.0], mu[None], v) for mu in means], w)
    by_hand = -0.5 / v * (w @ (means**2).sum(axis=1) - ((w @ means) ** 2).sum())
    np.testing.assert_allclose(law.log_partition().value, by_hand, rtol=1e-12)
    barycenter = law.as_mixture()
    assert isinstance(barycenter, GaussianMixture)
    np.testing.assert_allclose(barycenter.mean(), w @ means, atol=1e-12)
    np.testing.assert_allclose(barycenter.covariance(), v * np.eye(50), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_barycenter_of_gaussians_adds_precisions(layout: str) -> None:
    law = pool(3, m=1, layout=layout, d=4)
    barycenter = law.as_mixture()
    precisions = [np.linalg.inv(p.covariance()) for p in law.components]  # type: ignore[union-attr]
    total = np.einsum("i,ide->de", law.weights, precisions)
    assert isinstance(barycenter, GaussianMixture)
    np.testing.assert_allclose(np.linalg.inv(barycenter.covariance()), total, rtol=1e-9, atol=1e-9)
    x = barycenter.sample(20, rng=0)
    np.testing.assert_allclose(law.log_prob(x), barycenter.log_prob(x), rtol=1e-9)
    np.testing.assert_array_equal(law.sample(20, rng=0), x)


@pytest.mark.parametrize("d", [3, 20])
def test_partition_in_a_shared_complement_is_that_of_the_cores(d: int) -> None:
    laws = [embedded(i, d, 1, 2) for i in range(2)]
    law = LogLinearPool(laws, [0.4, 0.6])
    assert law.subspace is not None
    assert (law.subspace.rank, law.dim) == (1, d)
    cores = [p.core for p in laws]
    assert_partitions_agree(law, brute_log_z(cores, law.weights), "auto", "quadrature", "envelope")


def test_embedding_equals_the_dense_mixture_it_is() -> None:
    """A pool of embedded laws against the pool of the same laws with dense covariances, which knows no subspace."""
    laws = [embedded(i, 4, 1, 2) for i in range(2)]
    dense = []
    for p in laws:
        complement = p.variance * (np.eye(4) - p.frame @ p.frame.T)
        covariances = complement + p.core.covariances.reshape(-1, 1, 1) * (p.frame @ p.frame.T)
        dense.append(GaussianMixture(p.core.weights, p.shift + p.core.means @ p.frame.T, covariances))
    a, b = (LogLinearPool(kind, [0.4, 0.6]) for kind in (laws, dense))
    x = a.sample(30, rng=0)
    for p, q in ((a, b), *zip(laws, dense, strict=True)):
        np.testing.assert_allclose(p.score(x), q.score(x), rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(p.divergence(x), q.divergence(x), rtol=1e-8, atol=1e-7)
    np.testing.assert_allclose(laws[0].log_prob(x), dense[0].log_prob(x), rtol=1e-9)
    assert b.subspace is None
    assert_partitions_agree(b, a.log_partition().value, "envelope")


def test_partition_falls_to_bounds_in_any_dimension() -> None:
    """Certified bounds and a small error at d = 300, where no grid reaches; the proposals come in blocks."""
    law = pool(3, layout="diagonal", m=2, d=300)
    low, high = law.partition_bounds()
    estimate = law.log_partition(n=FEW)
    assert estimate.method == "envelope"
    assert low <= estimate.value <= high
    np.testing.assert_allclose(high - low, (1 - law.weights).sum() * np.log(2.0), rtol=1e-9)


# ---------------------------------------------------------------------- envelopes
@examined
@given(st.integers(0, 1000), st.sampled_from(LAYOUTS), st.integers(1, 3), st.sampled_from([1, 2, 5]))
def test_envelope_dominates_and_floor_holds_everywhere(seed: int, layout: str, m: int, d: int) -> None:
    law = LogLinearPool([random_mixture(seed + i, layout, m, d) for i in range(2)], [0.35, 0.65])
    x = 3.0 * np.random.default_rng(seed).standard_normal((200, d))
    ratio = law.log_prob(x, normalized=False) - law.envelope.log_mass - law.envelope.mixture.log_prob(x)
    assert law.envelope.log_floor - 1e-9 <= ratio.min()
    assert ratio.max() <= 1e-9


def test_many_auxiliaries_are_enclosed_by_cells_of_a_grid(crowd: LogLinearPool) -> None:
    assert isinstance(crowd.envelope.mixture, GridLaw)
    assert_partitions_agree(crowd, brute_log_z(crowd._cores, crowd.weights), "auto", "envelope")
    checks.draws_follow_the_density(crowd)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.usefixtures("no_tuples")
def test_grid_cells_dominate_between_the_nodes(d: int) -> None:
    law = pool(3, layout="full", d=d)
    assert isinstance(law.envelope.mixture, GridLaw)
    x = law.envelope.mixture.sample(50_000, rng=np.random.default_rng(0))
    ratio = law.log_prob(x, normalized=False) - law.envelope.log_mass - law.envelope.mixture.log_prob(x)
    assert ratio.max() <= 0.0
    assert np.exp(ratio).mean() > 0.8
    checks.draws_obey_stein(law)


def test_many_auxiliaries_embedded_in_a_line(crowd: LogLinearPool) -> None:
    frame = random_frame(3, 6, 1)
    laws = [EmbeddedMixture(p, frame, 0.5, np.ones(6)) for p in crowd._cores]
    law = LogLinearPool(laws, crowd.weights)
    np.testing.assert_allclose(law.log_partition().value, crowd.log_partition().value, rtol=1e-12)
    checks.draws_obey_stein(law)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_arithmetic_fallback_equals_the_product_envelope(layout: str, request: pytest.FixtureRequest) -> None:
    exact = pool(3, layout=layout, m=2, d=5)
    reference = exact.log_partition("envelope", n=FEW)
    request.getfixturevalue("no_tuples")
    law = pool(3, layout=layout, m=2, d=5)
    assert law.partition_bounds() == (-np.inf, 0.0)
    assert isinstance(law._cores[0], GaussianMixture)
    estimate = law.log_partition("envelope", n=10 * FEW)
    assert abs(estimate.value - reference.value) <= 5 * np.hypot(estimate.stderr, reference.stderr)
    checks.draws_obey_stein(law)


@pytest.mark.usefixtures("no_tuples")
def test_gaussians_without_a_product_are_not_mistaken_for_their_arithmetic_mixture() -> None:
    law = pool(2, m=1, layout="full", d=3)
    assert law.as_mixture() is None
    assert law.log_partition().method == "envelope"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_envelope_factorises(layout: str, k: int) -> None:
    """The sum over all tuples, which its mass comes from, is the product of k sums, which it is evaluated by."""
    law = pool(k, layout=layout, m=3, d=4)
    x = 2 * law.envelope.mixture.sample(50, rng=np.random.default_rng(0))
    over_tuples = law.envelope.log_mass + law.envelope.mixture.log_prob(x)
    np.testing.assert_allclose(law.envelope.log_bound(x), over_tuples, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("k", [70, 100])
def test_pool_of_more_gaussians_than_array_axes(k: int) -> None:
    law = pool(k, m=1, layout="diagonal", d=3)
    assert law.log_partition().method == "closed form"


def test_pool_of_thousands_of_mixtures_has_an_envelope() -> None:
    law = random_mixture(0, "isotropic", 2, 1)
    crowd = LogLinearPool([law] * 2000, np.full(2000, 1 / 2000))
    np.testing.assert_allclose(crowd.log_partition().value, 0.0, atol=1e-9)


# ---------------------------------------------------------------------- special weights and laws
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("position", [0, 2])
def test_vertex_weights_return_that_law_exactly(layout: str, position: int) -> None:
    laws = [random_mixture(i, layout, 3, 3) for i in range(3)]
    law, only = LogLinearPool(laws, np.eye(3)[position]), laws[position]
    assert law.as_mixture() is only
    assert law.log_partition().value == 0.0
    x = only.sample(20, rng=0)
    np.testing.assert_array_equal(law.sample(20, rng=0), x)
    for name in ("log_prob", "score", "divergence"):
        np.testing.assert_array_equal(getattr(law, name)(x), getattr(only, name)(x))


@examined
@given(mixtures, st.integers(2, 4))
def test_pool_of_duplicates_is_the_law(law: GaussianMixture, k: int) -> None:
    many = LogLinearPool([law] * k, np.full(k, 1 / k))
    x = law.sample(10, rng=0)
    np.testing.assert_allclose(many.log_prob(x, normalized=False), law.log_prob(x), rtol=1e-9)
    np.testing.assert_allclose(many.score(x), law.score(x), rtol=1e-9, atol=1e-12)
    assert_partitions_agree(many, 0.0, "envelope")


def test_order_of_auxiliaries_does_not_matter() -> None:
    laws, w = [random_mixture(i, d=2) for i in range(3)], np.array([0.2, 0.3, 0.5])
    a, b = LogLinearPool(laws, w), LogLinearPool(laws[::-1], w[::-1])
    x = a.sample(20, rng=0)
    np.testing.assert_allclose(a.log_prob(x), b.log_prob(x), rtol=1e-9)
    np.testing.assert_allclose(a.score(x), b.score(x), rtol=1e-9, atol=1e-12)


def test_auxiliaries_of_weight_zero_are_inert() -> None:
    laws = [random_mixture(i, d=2) for i in range(2)]
    absurd = GaussianMixture([1.0], [[1e100, 0.0]], 1e-100)
    a, b = LogLinearPool(laws, [0.4, 0.6]), LogLinearPool([laws[0], absurd, laws[1]], [0.4, 0.0, 0.6])
    x = a.sample(20, rng=0)
    np.testing.assert_array_equal(b.sample(20, rng=0), x)
    np.testing.assert_array_equal(a.log_prob(x), b.log_prob(x))


def test_components_of_weight_zero_are_inert_in_a_pool() -> None:
    clean = pool(2, m=1, layout="isotropic", d=1)
    padded = [
        GaussianMixture([1.0, 0.0], [[p.mean()[0]], [1e90]], [float(p.covariance()[0, 0]), 1e-90])  # type: ignore[union-attr]
        for p in clean.components
    ]
    law = LogLinearPool(padded, clean.weights)
    assert law.log_partition().method == "closed form"
    for method in ("auto", "quadrature"):
        np.testing.assert_allclose(law.log_partition(method).value, clean.log_partition().value, rtol=1e-10)  # type: ignore[arg-type]


def test_far_apart_gaussians_keep_their_barycenter() -> None:
    law = LogLinearPool([GaussianMixture([1.0], [[s * 1e6]], 1.0) for s in (-1, 1)], [0.5, 0.5])
    np.testing.assert_allclose(law.log_partition().value, -0.5e12, rtol=1e-12)
    np.testing.assert_allclose(law.log_prob(np.zeros((1, 1))), -0.5 * np.log(2 * np.pi), atol=1e-3)
    assert abs(law.sample(1000, rng=0).mean()) < 0.2


# ---------------------------------------------------------------------- the barycenter
@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.2, 0.8)])
def test_pool_minimises_the_averaged_divergence(weights: tuple[float, float]) -> None:
    """``sum_i w_i KL(mu || p_i) = KL(mu || p_w) - log Z`` for every mu, hence least at ``mu = p_w``."""
    laws = [random_mixture(i, "isotropic", 2, 1) for i in range(2)]
    law = LogLinearPool(laws, weights)
    x = np.linspace(-30, 30, 60_001)[:, None]
    h = x[1, 0] - x[0, 0]

    def divergence(mu: Any, p: Any) -> float:
        log_mu = mu.log_prob(x)
        return float((np.exp(log_mu) * (log_mu - p.log_prob(x))).sum() * h)

    for mu in (law, arithmetic_mixture(laws, weights), random_mixture(9, d=1)):
        averaged = sum(w * divergence(mu, p) for w, p in zip(weights, laws, strict=True))
        np.testing.assert_allclose(averaged, divergence(mu, law) - law.log_partition().value, atol=1e-8)


def test_exact_samples_follow_the_pool_to_the_moment() -> None:
    law = pool(2, layout="full", m=2, d=2)
    x = law.sample(40_000, rng=0)
    grid = cover(law._cores)
    density = np.exp(law.log_prob(grid.nodes)) * grid.cell
    np.testing.assert_allclose(density.sum(), 1.0, rtol=1e-10)
    for power in (1, 2, 3):
        checks.assert_mean(x**power, density @ grid.nodes**power)
    checks.assert_mean(x[:, :1] * x[:, 1:], [density @ (grid.nodes[:, 0] * grid.nodes[:, 1])])


def test_samples_by_different_envelopes_have_one_law(request: pytest.FixtureRequest) -> None:
    kind: Any = {"layout": "isotropic", "m": 2, "d": 1}
    a = pool(3, **kind).sample(20_000, rng=0)
    request.getfixturevalue("no_tuples")
    b = pool(3, **kind).sample(20_000, rng=1)
    assert stats.ks_2samp(a[:, 0], b[:, 0]).pvalue > checks.P_VALUE


# ---------------------------------------------------------------------- refusals
def test_unknown_and_inapplicable_methods_say_so() -> None:
    law = pool(2, d=3)
    with pytest.raises(UnknownNameError, match="did you mean 'quadrature'"):
        law.log_partition("quadratur")  # type: ignore[arg-type]
    with pytest.raises(IntractableError, match="closed form for Gaussians only"):
        law.log_partition("closed form")
    with pytest.raises(IntractableError, match="rank at most 2, got 3"):
        law.log_partition("quadrature")


def test_grid_that_would_be_too_fine_is_refused_with_its_size() -> None:
    law = LogLinearPool([GaussianMixture([0.5, 0.5], [[0.0], [1e9]], v) for v in (1.0, 2.0)], [0.5, 0.5])
    with pytest.raises(IntractableError, match=r"would need \d+ nodes \(limit 2000001\): the extent 1e\+09"):
        law.log_partition("quadrature")
    assert law.log_partition("envelope", n=FEW).stderr < 0.01


def test_pool_without_overlap_is_refused_not_sampled(no_tuples: None) -> None:
    laws = [GaussianMixture([0.5, 0.5], [[s, 0, 0], [s, 1, 1]], [1.0, 2.0]) for s in (-20, 20)]
    law = LogLinearPool(laws, [0.5, 0.5])
    with pytest.raises(EffectiveSampleSizeError, match="almost no overlap"):
        law.log_partition("envelope", n=FEW)
    with pytest.raises(EffectiveSampleSizeError, match="rejection accepted 0 of"):
        law.sample(10, rng=0)


def test_pool_across_different_frames_still_has_a_score() -> None:
    laws = [EmbeddedMixture(random_mixture(i, d=1), random_frame(i, 4, 1), 1.0, np.zeros(4)) for i in range(2)]
    law = LogLinearPool(laws, [0.5, 0.5])
    assert law.as_mixture() is None
    x = laws[0].sample(5, rng=0)
    np.testing.assert_allclose(law.score(x), (laws[0].score(x) + laws[1].score(x)) / 2, rtol=1e-12)
    assert law.log_prob(x, normalized=False).shape == (5,)
    for refused in (law.log_partition, lambda: law.log_prob(x), lambda: law.sample(3, rng=0)):
        with pytest.raises(IntractableError, match="share no subspace"):
            refused()


# ---------------------------------------------------------------------- quadrature
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("d", [1, 2])
def test_grid_integrates_a_density_to_rounding(layout: str, d: int) -> None:
    law = random_mixture(1, layout, 3, d)
    grid = cover([law])
    assert grid.shape == tuple(len(axis) for axis in grid.axes)
    assert all(len(axis) % 2 == 1 for axis in grid.axes)
    value, change = log_integral(law.log_prob(grid.nodes), grid)
    np.testing.assert_allclose([value, change], 0.0, atol=1e-12)


def test_refining_a_grid_adds_nodes() -> None:
    law = [random_mixture(1, d=1).affine(30.0)]
    assert len(cover(law, refine=2.0).nodes) > len(cover(law).nodes)
