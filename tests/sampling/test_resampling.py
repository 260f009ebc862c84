import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfbench.errors import SfbenchError
from sfbench.sampling.resampling import SCHEMES, effective_size, normalised, scheme

weights_lists = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=30).filter(lambda w: sum(w) > 1e-3)


@settings(deadline=None)
@given(weights_lists, st.sampled_from(sorted(SCHEMES)), st.integers(0, 10_000))
def test_offspring_are_n_and_near_expectation(raw, name, seed):
    w = np.array(raw) / np.sum(raw)
    ancestors = SCHEMES[name](w, np.random.default_rng(seed), None)
    assert ancestors.shape == w.shape
    counts = np.bincount(ancestors, minlength=len(w))
    assert counts.sum() == len(w)
    assert np.all(counts[w == 0] == 0)
    if name in ("systematic", "srinivasan"):
        assert np.all(np.abs(counts - len(w) * w) < 1 + 1e-9)


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(SCHEMES)), st.integers(0, 1000))
def test_offspring_are_unbiased(name, seed):
    rng = np.random.default_rng(seed)
    w = rng.dirichlet(np.ones(6))
    draws = [np.bincount(SCHEMES[name](w, rng, None), minlength=6) for _ in range(1500)]
    error = np.std(draws, axis=0) / np.sqrt(1500)
    # A particle of tiny weight may never be drawn, which shows no spread at all: Poisson's is added.
    assert np.all(np.abs(np.mean(draws, axis=0) - 6 * w) < 5.5 * np.hypot(error, np.sqrt(6 * w) / np.sqrt(1500)))


def test_systematic_has_less_variance_than_multinomial():
    rng = np.random.default_rng(0)
    w, values = rng.dirichlet(np.ones(200)), np.linspace(0, 1, 200)
    spread = {n: np.std([values[SCHEMES[n](w, rng, None)].mean() for _ in range(300)]) for n in SCHEMES}
    assert spread["systematic"] < 0.4 * spread["multinomial"]
    assert spread["stratified"] < 0.6 * spread["multinomial"]
    assert spread["srinivasan"] < 0.9 * spread["multinomial"]


def test_effective_size():
    assert effective_size(np.zeros(7)) == pytest.approx(1.0)
    assert effective_size(np.array([0.0, -1e9, -1e9, -1e9])) == pytest.approx(0.25)
    assert effective_size(np.full(4, -1e5)) == pytest.approx(1.0)
    np.testing.assert_allclose(normalised(np.log([1.0, 3.0])), [0.25, 0.75])


def test_unknown_scheme():
    with pytest.raises(SfbenchError, match="systematic"):
        scheme("residual")
