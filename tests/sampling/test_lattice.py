"""Lattice noise: exact normals one by one, far better means together, honest errors from islands."""

import numpy as np
import pytest
from scipy import stats

from sfbench.errors import SfbenchError
from sfbench.processes import OrnsteinUhlenbeck
from sfbench.sampling import CorrectedSampler, sample
from sfbench.sampling.lattice import (
    FEWEST_PER_ISLAND,
    N_ISLANDS,
    LatticeNoise,
    _generator,
    _sorted_rows,
    islands,
    lattice_table,
)
from sfbench.scores import AnalyticScore, FusedScore, ProductScore
from synthetic import LogLinearPool

OU = OrnsteinUhlenbeck()
FEWEST = N_ISLANDS * FEWEST_PER_ISLAND
quiet = pytest.mark.filterwarnings("ignore::sfbench.sampling.TrustWarning")


@pytest.mark.parametrize("n", [1, 7, FEWEST, 1000, 20_011])
def test_islands_share_all_particles_nearly_evenly(n):
    sizes = np.diff(islands(n))
    assert sizes.sum() == n
    assert len(sizes) == (N_ISLANDS if n >= FEWEST else 1)
    assert np.ptp(sizes) <= 1


@pytest.mark.parametrize("size", [1, 2, 3, 89, 1250, 4096])
def test_generators_have_no_common_divisor(size):
    assert np.gcd(_generator(size), size) == 1


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rows_sort_the_column_within_islands(dtype):
    column = np.random.default_rng(0).standard_cauchy(1000).astype(dtype)
    rows = _sorted_rows(column, np.arange(1000), [0, 300, 300, 1000])
    assert set(rows[:300]) == set(range(300))
    assert np.all(np.diff(column[rows[:300]]) >= 0)
    assert np.all(np.diff(column[rows[300:]]) >= 0)


@pytest.mark.parametrize("size", [1, 32, 1250, 20_000])
def test_tables_hold_mean_variance_and_every_cell_once(size):
    table = lattice_table(size)
    first = table[:, :size]
    np.testing.assert_array_equal(first, table[:, size:])
    assert first.size >= 1 << 14
    assert first.mean() == pytest.approx(0.0, abs=1e-12)
    assert first.var() == pytest.approx(1.0, abs=1e-12)
    cells = np.sort(stats.norm.cdf(first.ravel()))
    np.testing.assert_allclose(cells, (np.arange(cells.size) + 0.5) / cells.size, atol=1e-4)


@pytest.mark.slow
def test_many_steps_do_not_add_up_to_an_error_that_islands_miss(problem):
    """At a vertex the weights are one; the mean of 16 independent islands must scatter as the runs do."""
    fused = FusedScore(problem.auxiliaries, (0.5, 0.5), process=OU)
    quick = CorrectedSampler(check_steps=False)
    runs = [sample(fused, 768, quick, steps=700, rng=s).diagnostics for s in range(7)]
    stated = np.mean([run.log_partition_errors["sampling"] for run in runs])
    assert 0.4 * stated < np.std([run.log_partition.value for run in runs], ddof=1) < 1.8 * stated


def test_every_particle_gets_an_exact_normal():
    """Each draw is standard normal whatever its rank: Kolmogorov-Smirnov over many lattices, p above 1e-6."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 1))
    for row in (0, 17):
        draws = [LatticeNoise(rng)(x, islands(40), np.empty_like(x))[row, 0] for _ in range(2000)]
        assert stats.kstest(draws, "norm").pvalue > 1e-6
        assert stats.kstest(np.array(draws) * 1.4, "norm").pvalue < 1e-6  # the test has teeth


def test_neighbours_complement_one_another():
    """The mean over particles of a function of (point, noise) is far better than with independent noise."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2000, 1))
    noise = LatticeNoise(rng)

    def mean(z):
        return float(np.tanh(x + 0.5 * z).mean())

    by_lattice = [mean(noise(x, np.array([0, 2000]), np.empty_like(x))) for _ in range(100)]
    by_chance = [mean(rng.standard_normal(x.shape)) for _ in range(100)]
    assert np.mean(by_lattice) == pytest.approx(np.mean(by_chance), abs=5 * np.std(by_chance) / 10)
    assert np.std(by_lattice) < 0.1 * np.std(by_chance)


@pytest.mark.slow
def test_the_barycenter_to_three_digits_and_an_honest_error(problem):
    """10 runs of 6,000 particles: far less spread than independent noise, and the islands' error covers it."""
    fused = FusedScore(problem.auxiliaries, (0.5, 0.5), process=OU)
    truth = LogLinearPool(problem.auxiliaries, (0.5, 0.5)).log_partition().value
    spread = {}
    for noise in ("lattice", "independent"):
        quick = CorrectedSampler(noise=noise, check_steps=False)
        runs = [sample(fused, 6000, quick, steps=48, rng=s).diagnostics for s in range(10)]
        values = np.array([run.log_partition.value for run in runs])
        stated = float(np.mean([run.log_partition_errors["sampling"] for run in runs]))
        spread[noise] = values.std(ddof=1)
        assert 0.5 * stated < spread[noise] < 2.0 * stated
        assert values.mean() == pytest.approx(truth, abs=0.05)  # 48 steps: discretisation
        assert ("islands" in runs[0].log_partition.method) == (noise == "lattice")
    assert spread["lattice"] < 0.35 * spread["independent"]


def test_blocks_come_out_independent(problem):
    """Sorted resampling within blocks must not couple them: joint law, not marginals alone."""
    factors = [ProductScore(AnalyticScore(p, OU), 3) for p in problem.auxiliaries]
    fused = FusedScore(factors, (0.5, 0.5), process=OU)
    for noise in ("lattice", "independent"):
        x = sample(fused, 4000, CorrectedSampler(blocks=factors[0].blocks, noise=noise), steps=48, rng=0).x
        correlation = np.corrcoef(x.T)[np.triu_indices(3, 1)]
        assert np.abs(correlation).max() < 5 / np.sqrt(4000)
        assert np.corrcoef(np.sort(x, axis=0).T)[0, 1] > 0.9  # what sorted blocks would show


@quiet
def test_lattice_where_it_cannot_be(problem):
    fused = FusedScore(problem.auxiliaries, (0.5, 0.5), process=OU)
    with pytest.raises(SfbenchError, match="at least 512"):
        sample(fused, 100, CorrectedSampler(noise="lattice"), steps=4, rng=0)
    with pytest.raises(SfbenchError, match="unknown noise 'sobol'"):
        CorrectedSampler(noise="sobol")
    assert "genealogy" in sample(fused, 100, CorrectedSampler(), steps=64, rng=0).diagnostics.log_partition.method
