"""The study of noises: problems, exact bins, statements in closed form, and a small run of every cell to its claims."""

import numpy as np
import pytest
import scipy.stats

from benchmarks.noises import student_cells as student
from benchmarks.noises import torus_cells as torus
from benchmarks.noises.__main__ import cells
from benchmarks.noises.claims import shuffled, slope
from benchmarks.noises.plots import TABLES
from sfbench.errors import SfbenchError
from synthetic.torus import WrappedMixture, torus_grid


def test_bins_of_a_density_are_those_of_its_samples() -> None:
    for d in (1, 2):
        law = WrappedMixture([1.0], [[0.4] * d], 0.7)
        exact = torus.exact_masses(np.exp(law.log_prob(torus_grid(d))), d)
        drawn = torus.bin_masses(law.sample(4000, rng=0), np.full(4000, 1.0 / 4000))
        assert exact.sum() == pytest.approx(1.0, abs=1e-12)
        assert torus.tv(exact, drawn) < 0.08 < 0.2 < torus.tv(exact[::-1], drawn)


def test_further_angles_leave_the_first_alone() -> None:
    for seed in (0, 1):
        laws, weights = torus.laws_of(3, seed, rank=1)
        assert weights.sum() == pytest.approx(1.0)
        assert all(np.all(law.means[:, 1:] == 0.0) for law in laws)
    assert not np.allclose(torus.laws_of(1, 0)[0][0].means, torus.laws_of(1, 1)[0][0].means)


def test_pool_of_student_laws_and_the_shared_scale() -> None:
    problem = student.StudentProblem((3.0, 3.0), (0.0, 0.0), (1.0, 1.0), (0.3, 0.7))
    x = np.linspace(-1000.0, 1000.0, 200_001)
    density, log_z = problem.pool(x, problem.weights)
    np.testing.assert_allclose(density, scipy.stats.t.pdf(x, 3.0), rtol=1e-4)
    assert log_z == pytest.approx(0.0, abs=1e-4)
    assert student.run_shared_cell(student.SharedSpec(3.0, 0.0))["tv"] < 1e-4
    assert student.run_shared_cell(student.SharedSpec(3.0, 6.0))["tv"] > 0.1


def test_shared_scale_by_quadrature_over_the_scale() -> None:
    df, gap = 3.0, 3.0
    s = np.exp(np.linspace(-6.0, 12.0, 2001))
    weight = scipy.stats.invgamma.pdf(s, 0.5 * df, scale=0.5 * df) * np.exp(-0.25 * gap**2 / (2.0 * s)) * s
    x = np.linspace(-5.0, 5.0, 11)
    seen = np.array([(weight * scipy.stats.norm.pdf(at, 0.0, np.sqrt(s))).sum() for at in x]) / weight.sum()
    np.testing.assert_allclose(seen, scipy.stats.t.pdf(x, df, 0.0, np.sqrt((df + 0.25 * gap**2) / df)), rtol=1e-4)


def test_coupled_scales_bound_the_prior_term() -> None:
    small, large = (student.run_tail_cell(student.TailSpec(1.5, radius)) for radius in (1e3, 1e6))
    assert large["own"] > 20.0 * small["own"]
    assert large["coupled"] == pytest.approx(small["coupled"], rel=0.1)


def test_slopes() -> None:
    rows = [{"n": n, "seed": seed, "tv": n**-0.5} for n in (10, 100, 1000) for seed in range(30)]
    assert slope(rows, "tv") == pytest.approx(-0.5)
    assert abs(slope(shuffled(rows), "tv")) < 0.2


@pytest.mark.slow
def test_certificates_and_laws_of_one_problem() -> None:
    row = torus.run_bound_cell(torus.TorusBoundSpec((0.2, 0.5, 0.3), -1, 0))
    assert 0.5 * row["bound"] < row["kl_fused"] <= row["bound"]
    law = torus.run_law_cell(torus.TorusLawSpec(1, 2000, 48, 0))
    assert law["tv_corrected"] < law["tv_fused"]
    fit = torus.run_fit_cell(torus.TorusFitSpec(2, False, 250, 0))
    assert 0.0 <= fit["excess"] < fit["slow"]


def test_grid_names_every_table_of_the_figure() -> None:
    class Arguments:
        quick, seed = True, 0

    found = cells(Arguments())  # type: ignore[arg-type]
    assert tuple(found) == TABLES
    assert len({spec for _, specs in found.values() for spec in specs}) == sum(
        len(specs) for _, specs in found.values()
    )
    with pytest.raises(SfbenchError):
        torus.torus.sample(None)  # type: ignore[arg-type]
