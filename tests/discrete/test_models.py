"""Noise and rate models against chains that are enumerated and integrated by brute force."""

import itertools
from typing import Any

import numpy as np
import pytest
import scipy

from sfbench.discrete import DiscreteNoise, ExactRates, FusedRates, MaskedNoise, RatiosAsRates, UniformNoise
from sfbench.errors import GridError, ModelError, NotFiniteError, ProcessMismatchError, SfbenchError
from synthetic.discrete import DiscreteLaw, all_states, make_discrete_problem

NOISES: list[DiscreteNoise] = [kind(3, s) for kind in (UniformNoise, MaskedNoise) for s in ("exponential", "linear")]
LAW = make_discrete_problem("markov_chains", length=2).auxiliaries[0]


def generator(noise: DiscreteNoise, sites: int) -> np.ndarray:
    """Forward rate matrix (N, N) of all sites at beta = 1, written out state by state."""
    states = list(itertools.product(range(noise.symbols), repeat=sites))
    out = np.zeros((len(states), len(states)))
    for i, a in enumerate(states):
        for j, b in enumerate(states):
            moved = [s for s in range(sites) if a[s] != b[s]]
            if len(moved) == 1:
                value = b[moved[0]]
                masks = isinstance(noise, MaskedNoise)
                out[i, j] = float(value == noise.alphabet) if masks else 1.0 / noise.alphabet
        out[i, i] = -out[i].sum()
    return out


def noised_table(noise: DiscreteNoise, law: DiscreteLaw, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Noised states and their probabilities, by the matrix exponential of the forward generator."""
    y = np.array(list(itertools.product(range(noise.symbols), repeat=law.length)))
    clean = np.all(y < noise.alphabet, axis=1)
    start = np.zeros(len(y))
    start[clean] = np.exp(law.log_prob(y[clean]))
    return y, start @ scipy.linalg.expm(-np.log(alpha) * generator(noise, law.length))


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_rates_are_those_of_the_reversed_chain(noise: DiscreteNoise) -> None:
    """r(x -> y) = Q(y, x) p_t(y) / p_t(x), per unit of log-odds (1 - alpha of a unit of -log alpha)."""
    t = 0.4
    odds = noise.log_odds(t)
    alpha = float(scipy.special.expit(odds))
    y, p = noised_table(noise, LAW, alpha)
    Q = generator(noise, 2)
    model = ExactRates(LAW, noise)
    np.testing.assert_allclose(np.exp(model.log_prob(y[p > 0], t)), p[p > 0], rtol=1e-10)
    possible = y[p > 0]
    rates = noise.rates(model.posteriors(possible, t), possible, odds)
    ratios = noise.ratios(model.posteriors(possible, t), possible, odds)
    number = {tuple(row): i for i, row in enumerate(y)}
    for row, x in enumerate(possible):
        for site, value in itertools.product(range(2), range(3)):
            other = x.copy()
            other[site] = value
            i, j = number[tuple(x)], number[tuple(other)]
            expected = (1.0 - alpha) * Q[j, i] * p[j] / p[i] if i != j else 0.0
            assert rates[row, site, value] == pytest.approx(expected, abs=1e-12)
            if expected > 0:
                assert ratios[row, site, value] == pytest.approx(p[j] / p[i], rel=1e-10)
    assert np.all(rates.sum(axis=(1, 2)) <= noise.largest_rate(possible, np.full(len(possible), odds)) + 1e-12)


@pytest.mark.parametrize("noise", NOISES, ids=str)
def test_schedules_invert_and_steps_rise(noise: DiscreteNoise) -> None:
    t = np.array([1e-9, 1e-3, 0.3, 0.9])
    np.testing.assert_allclose(noise.time_at(noise.log_odds(t)), t, rtol=1e-12)
    alpha = 1.0 - t if noise.schedule == "linear" else np.exp(-t)
    np.testing.assert_allclose(scipy.special.expit(noise.log_odds(t)), alpha, rtol=1e-9)
    steps = noise.steps(10, 1e-4, 0.9)
    assert np.all(np.diff(steps) > 0)
    with pytest.raises(GridError):
        noise.log_odds(-0.1)


@pytest.mark.parametrize("noise", NOISES[::2], ids=str)
def test_posteriors_and_ratios_are_one_another(noise: DiscreteNoise) -> None:
    rng = np.random.default_rng(0)
    x = noise.corrupt(LAW.sample(50, rng=rng), 0.3, rng)
    model = ExactRates(LAW, noise)
    t = float(noise.time_at(0.3))
    posteriors = model.posteriors(x, t)
    back = noise.posteriors(noise.ratios(posteriors, x, 0.3), x, 0.3)
    np.testing.assert_allclose(back, posteriors, atol=1e-12)
    adapter = RatiosAsRates(lambda x, t: noise.ratios(model.posteriors(x, t), x, noise.log_odds(t)), noise, 2)
    np.testing.assert_allclose(adapter.posteriors(x, t), posteriors, atol=1e-12)


@pytest.mark.parametrize("noise", NOISES[::2], ids=str)
def test_kernel_of_one_site_is_the_exact_transition(noise: DiscreteNoise) -> None:
    """For one site, p_lambda reversed by the kernel is p_mu exactly; and two steps are one."""
    law = make_discrete_problem("markov_chains", length=1).auxiliaries[0]
    low, high = -0.5, 1.2
    y, start = noised_table(noise, law, float(scipy.special.expit(low)))
    end = noised_table(noise, law, float(scipy.special.expit(high)))[1]
    t = noise.time_at(low)
    kernel = noise.kernel(ExactRates(law, noise).posteriors(y, t), y, low, high)[:, 0]
    np.testing.assert_allclose(kernel.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_allclose(start @ kernel, end, atol=1e-12)
    clean = noise.kernel(ExactRates(law, noise).posteriors(y, t), y, low, np.inf)[:, 0]
    np.testing.assert_allclose((start @ clean)[:3], np.exp(law.log_prob(all_states(3, 1))), atol=1e-12)


@pytest.mark.parametrize("noise", NOISES[::2], ids=str)
def test_corruption_follows_the_forward_chain(noise: DiscreteNoise) -> None:
    rng = np.random.default_rng(1)
    n = 40_000
    x = noise.corrupt(LAW.sample(n, rng=rng), np.full(n, 0.3), rng)
    y, p = noised_table(noise, LAW, float(scipy.special.expit(0.3)))
    found = np.array([np.all(x == row, axis=1).mean() for row in y])
    assert np.all(np.abs(found - p) <= 5 * np.sqrt(p * (1 - p) / n) + 1e-12)


@pytest.mark.parametrize("noise", NOISES[::2], ids=str)
def test_events_come_at_the_stated_rate(noise: DiscreteNoise) -> None:
    """Numbers of events in a window against the integral of the rate, the state held still."""
    rng = np.random.default_rng(2)
    x = np.full((20_000, 3), noise.symbols - 1)
    at, count = np.full(len(x), -1.0), np.zeros(len(x))
    while True:
        at = noise.next_event(x, at, rng)
        if not np.any(at < 1.0):
            break
        count += at < 1.0
    integral = scipy.integrate.quad(lambda s: float(noise.largest_rate(x[:1], np.array([s]))[0]), -1.0, 1.0)[0]
    assert count.mean() == pytest.approx(integral, abs=5 * np.sqrt(integral / len(x)))
    assert count.var() == pytest.approx(integral, rel=0.1)
    if isinstance(noise, MaskedNoise):
        assert np.all(noise.next_event(np.zeros((2, 3), dtype=np.int64), np.zeros(2), rng) == np.inf)


def test_fused_rates_are_geometric_means_and_vertices_the_models() -> None:
    problem = make_discrete_problem("markov_chains", length=2)
    for noise in NOISES[::2]:
        models = [ExactRates(law, noise) for law in problem.auxiliaries]
        x = noise.corrupt(problem.target.sample(20, rng=0), 0.0, np.random.default_rng(0))
        single = [noise.rates(m.posteriors(x, noise.time_at(0.0)), x, 0.0) for m in models]
        w = np.array([0.2, 0.5, 0.3])
        rates = FusedRates(models, w).rates(x, 0.0)
        np.testing.assert_allclose(rates.fused, np.prod([r**v for r, v in zip(single, w, strict=True)], axis=0))
        np.testing.assert_allclose(rates.mean, sum(v * r.sum(axis=(1, 2)) for v, r in zip(w, single, strict=True)))
        assert np.all(rates.mean - rates.total >= -1e-12)
        vertex = FusedRates(models, [0.0, 1.0, 0.0]).rates(x, 0.0)
        np.testing.assert_allclose(vertex.fused, single[1], rtol=1e-12)
        np.testing.assert_allclose(vertex.mean, vertex.total, rtol=1e-12)


def test_networks_are_rate_models() -> None:
    import torch

    from sfbench.discrete.networks import NetworkRates

    torch.manual_seed(0)
    table = torch.nn.Embedding(6, 5)
    noise = MaskedNoise(3)
    model = NetworkRates(table, noise, 2, tokens=[4, 2, 0, 5])
    x = np.array([[3, 0], [1, 2]])
    logits = table(torch.tensor([[5, 4], [2, 0]]))[..., [4, 2, 0]]
    np.testing.assert_allclose(model.posteriors(x, 0.5), logits.detach().double().softmax(-1).numpy(), rtol=1e-12)
    timed = NetworkRates(table, noise, 2, call=lambda net, x, t: net(x) * t[:, None, None], rows=1)
    assert FusedRates([model, timed], [0.5, 0.5]).rates(x, 0.1).fused.shape == (2, 2, 3)
    with pytest.raises(ModelError, match=r"logits \(2, 2, 3\)"):
        NetworkRates(torch.nn.Embedding(4, 2), noise, 2).posteriors(x, 0.5)
    with pytest.raises(NotFiniteError, match="not finite"):
        NetworkRates(table, noise, 2, call=lambda net, x, t: net(x) * np.nan).posteriors(x, 0.5)
    with pytest.raises(ModelError, match="4 symbols"):
        NetworkRates(table, noise, 2, tokens=[1, 2])


class Wrong:
    length = 2

    def __init__(self, change: Any, noise: DiscreteNoise = NOISES[0]) -> None:
        self.change, self.noise = change, noise

    def posteriors(self, x: np.ndarray, t: Any) -> Any:
        return self.change(np.full((*x.shape, 3), 1.0 / 3.0))


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda p: p[:, :, :2], ModelError, "shape"),
        (lambda p: 2 * p, ModelError, "sum to 1"),
        (lambda p: p * np.nan, NotFiniteError, "finite"),
        (lambda p: p - 0.5, NotFiniteError, "at least 0"),
    ],
)
def test_wrong_posteriors_are_named(change: Any, error: type[Exception], match: str) -> None:
    good = ExactRates(LAW, NOISES[0])
    with pytest.raises(error, match=rf"models\[1\].*{match}"):
        FusedRates([good, Wrong(change)], [0.5, 0.5]).rates(np.zeros((4, 2), dtype=np.int64), 0.0)
    # A model of weight zero is not asked, and masked models are not held to what they say of sites that are known.
    FusedRates([good, Wrong(change)], [1.0, 0.0]).rates(np.zeros((4, 2), dtype=np.int64), 0.0)
    if "shape" not in match:
        FusedRates([Wrong(change, MaskedNoise(3))], [1.0]).rates(np.zeros((4, 2), dtype=np.int64), 0.0)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: UniformNoise(1), SfbenchError, "alphabet"),
        (lambda: UniformNoise(3, "cosine"), SfbenchError, "schedule"),
        (lambda: UniformNoise(3, "linear").steps(4, 0.1, 1.0), GridError, "end of the schedule"),
        (lambda: UniformNoise(3, "linear").log_odds(1.5), GridError, "t must lie"),
        (lambda: ExactRates(LAW, UniformNoise(4)), ModelError, "3 values a site, the noise 4"),
        (lambda: ExactRates(object(), UniformNoise(3)), ModelError, "infer"),
        (lambda: FusedRates([], []), ModelError, "empty"),
        (lambda: FusedRates(3, []), ModelError, "sequence"),
        (lambda: FusedRates([LAW], [1.0]), ModelError, "ExactRates"),
        (
            lambda: FusedRates([ExactRates(LAW, n) for n in NOISES[:2]], [0.5, 0.5]),
            ProcessMismatchError,
            r"models\[1\]",
        ),
        (lambda: FusedRates([ExactRates(LAW, NOISES[0])], [0.5]), ModelError, "sum to 1"),
    ],
)
def test_bad_arguments_are_named(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
