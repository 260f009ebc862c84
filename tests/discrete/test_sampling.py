"""Samplers against the exact laws of their chains; certificates cell by cell, with controls that must fail."""

from typing import Any

import numpy as np
import pytest
import scipy

from sfbench.discrete import (
    DiscreteNoise,
    ExactRates,
    FusedRates,
    MaskedNoise,
    UniformNoise,
    certificate,
    chain_law,
    fuse,
    sample,
)
from sfbench.discrete.exact_laws import noised_law, start_law
from sfbench.errors import GridError, ModelError, SfbenchError
from synthetic.discrete import DiscreteTable, ProductMixture, all_states, make_discrete_problem

PROBLEM = make_discrete_problem("markov_chains", alphabet=2, length=2, contrast=2.0, rng=1)
WEIGHTS = (0.2, 0.5, 0.3)
POOL = PROBLEM.barycenter(WEIGHTS)
NOISES: list[DiscreteNoise] = [UniformNoise(2), MaskedNoise(2, "linear")]
WINDOW = (-12.0, 12.0)
N = 2500


def fused(noise: DiscreteNoise, weights: Any = WEIGHTS) -> FusedRates:
    return FusedRates([ExactRates(law, noise) for law in PROBLEM.auxiliaries], weights)


def clean(noise: DiscreteNoise, table: np.ndarray) -> np.ndarray:
    """The part of a noised table without masks, normalised."""
    kept = table[np.all(all_states(noise.symbols, 2) < 2, axis=1)]
    return np.asarray(kept / kept.sum())


@pytest.fixture(scope="module")
def laws() -> dict[tuple[DiscreteNoise, str], np.ndarray]:
    kinds: tuple[Any, ...] = ("fused", "switched", "corrected")
    return {(noise, law): chain_law(fused(noise), WINDOW, law, tol=1e-6) for noise in NOISES for law in kinds}


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_the_corrected_law_is_the_barycenter_and_its_mass_is_z(noise: DiscreteNoise, laws: Any) -> None:
    pool = np.exp(POOL.log_prob(all_states(2, 2)))
    law = laws[noise, "corrected"]
    assert 0.5 * np.abs(clean(noise, law) - pool).sum() < 2e-5
    assert np.log(law.sum()) == pytest.approx(POOL.log_partition().value, abs=2e-5)
    for other in ("fused", "switched"):  # controls: other laws, of mass one
        assert 0.5 * np.abs(clean(noise, laws[noise, other]) - pool).sum() > 0.01
        assert laws[noise, other].sum() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("law", ["fused", "switched", "corrected"])
@pytest.mark.parametrize("scheme", ["uniformisation", "tau_leaping"])
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_samplers_follow_the_law_they_name(noise: DiscreteNoise, scheme: Any, law: Any, laws: Any) -> None:
    result = sample(fused(noise), N, law, scheme=scheme, n_steps=32, rng=0)
    found = DiscreteTable.from_samples(result.x, 2, weights=result.weights).probs
    exact = clean(noise, laws[noise, law])
    steps = 0.0 if scheme == "uniformisation" else 0.03  # leaping errs by about 1 / n_steps
    assert np.abs(found - exact).max() <= 4.5 * np.sqrt(0.25 / N) + steps
    assert ("barycenter" in result.law) == (law == "corrected")
    log_z = result.diagnostics.log_partition
    assert (log_z is None) == (law != "corrected")
    if log_z is not None:
        assert abs(log_z.value - POOL.log_partition().value) <= 4.5 * log_z.stderr + steps
        assert result.diagnostics.trustworthy
    again = sample(fused(noise), 50, law, scheme=scheme, n_steps=8, rng=np.random.default_rng(3)).x
    np.testing.assert_array_equal(again, sample(fused(noise), 50, law, scheme=scheme, n_steps=8, rng=3).x)


def test_first_hitting_costs_one_evaluation_a_site() -> None:
    result = sample(fused(MaskedNoise(2)), 2000, "corrected", rng=0)
    assert result.diagnostics.n_score_evaluations == 2
    assert result.x.max() < 2


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_at_a_vertex_every_sampler_returns_the_auxiliary(noise: DiscreteNoise) -> None:
    exact = np.exp(PROBLEM.auxiliaries[1].log_prob(all_states(2, 2)))
    for law in ("fused", "switched", "corrected"):
        result = sample(fused(noise, [0.0, 1.0, 0.0]), N, law, rng=5)  # type: ignore[arg-type]
        found = DiscreteTable.from_samples(result.x, 2, weights=result.weights).probs
        assert np.abs(found - exact).max() <= 4.5 * np.sqrt(0.25 / N)


@pytest.mark.slow
@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_the_certificate_holds_in_every_cell_and_fails_for_another_chain(noise: DiscreteNoise) -> None:
    """Tight at the best weights of an exact family; below the KL of another law's chain somewhere."""
    window = (-8.0, 6.0)
    ratios, violated = [], 0
    for weights in ((0.2, 0.5, 0.3), (0.0, 0.5, 0.5)):
        model = fused(noise, weights)
        p, other = chain_law(model, window, tol=1e-6), chain_law(model, window, "switched", tol=1e-6)
        for target in (*PROBLEM.auxiliaries, POOL):
            q = noised_law(target, noise, window[1])
            bound = certificate(model, target, window, 24).value
            observed = float(scipy.special.rel_entr(q, p).sum())
            assert observed <= bound + 1e-5
            ratios.append(observed / bound)
            violated += float(scipy.special.rel_entr(q, other).sum()) > bound + 1e-6
    assert max(ratios) > 0.8
    assert violated > 0
    vertex = certificate(fused(noise, [1.0, 0.0, 0.0]), PROBLEM.auxiliaries[0], window)
    assert vertex.value < 1e-2  # what is left is the start
    assert start_law(noise, 2, -8.0).sum() == pytest.approx(1.0)


def test_a_fit_is_sampled_like_its_rates() -> None:
    fit = fuse(PROBLEM.auxiliaries, POOL.sample(500, rng=0), noise=NOISES[0])
    np.testing.assert_array_equal(sample(fit, 20, rng=1).x, sample(fit.rates, 20, rng=1).x)


@pytest.mark.slow
def test_few_founders_and_disjoint_models_are_told() -> None:
    long = make_discrete_problem("markov_chains", alphabet=2, length=30, contrast=2.0)
    rates = FusedRates([ExactRates(law, MaskedNoise(2)) for law in long.auxiliaries], WEIGHTS)
    result = sample(rates, 600, "corrected", n_steps=8, rng=0)
    assert not result.diagnostics.trustworthy
    assert "first particles" in result.diagnostics.messages[0]
    apart = [ProductMixture([1.0], [[p, p]]) for p in ([1.0, 0.0], [0.0, 1.0])]
    nothing = FusedRates([ExactRates(law, MaskedNoise(2)) for law in apart], [0.5, 0.5])
    with pytest.raises(ModelError, match="weight zero"):
        sample(nothing, 10, "corrected", rng=0)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: sample(PROBLEM, 10), ModelError, "FusedRates"),  # type: ignore[arg-type]
        (lambda: sample(fused(NOISES[0]), 0), SfbenchError, "n must be"),
        (lambda: sample(fused(NOISES[0]), 5, "pooled"), SfbenchError, "law"),  # type: ignore[arg-type]
        (lambda: sample(fused(NOISES[0]), 5, scheme="euler"), SfbenchError, "scheme"),  # type: ignore[arg-type]
        (lambda: sample(fused(NOISES[0]), 5, reach=-1.0), GridError, "reach"),
        (lambda: sample(fused(NOISES[0]), 5, threshold=2.0), GridError, "threshold"),
        (lambda: sample(fused(NOISES[0]), 5, resampling="best"), SfbenchError, "resampling"),
    ],
)
def test_bad_arguments_are_named(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
