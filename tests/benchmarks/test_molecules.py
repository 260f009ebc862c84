"""The molecules study on laws known in closed form: chart, free energies, compositions' methods, claims with teeth."""

import dataclasses

import numpy as np
import pytest

from benchmarks.common.rows import mean_interval
from benchmarks.molecules.claims import CLOSE, evaluate_claims, judged
from benchmarks.molecules.compositions import adapted, cross_validated, likelihood_weights, mixture_weights
from benchmarks.molecules.data import histogram, variation
from benchmarks.molecules.free_energy import anneal, bennett
from benchmarks.molecules.internal import DIM, PHI, PSI, Chart
from sfbench.data.alanine import torsions
from synthetic import GaussianMixture, LogLinearPool, arithmetic_mixture

A, B = 1.5, 2.0  # V(x) = A x + B x^2 / 2 on top of x^2 / 2


def difference(x):
    return A * x[:, 0] + 0.5 * B * x[:, 0] ** 2


def draw(w, n, rng):
    return (rng.normal(size=(n, 1)) - w * A / np.sqrt(1 + w * B)) / np.sqrt(1 + w * B)


def free_energy(w):
    """``log Z(w) - log Z(0)`` of the Gaussian line."""
    return -0.5 * np.log1p(w * B) + (w * A) ** 2 / (2 * (1 + w * B))


def molecules(n, rng):
    """Internal coordinates near those of the molecule."""
    q = np.empty((n, DIM))
    q[:, 0::3][:, 1:] = Chart().centres
    q[:, 1::3], q[:, 2::3], q[:, :2] = 0.14, 1.9, 0.14
    q += rng.uniform(-0.01, 0.01, q.shape)
    q[:, [PHI, PSI]] += rng.uniform(-1.0, 1.0, (n, 2))
    return q


def test_chart_and_back():
    q = molecules(50, np.random.default_rng(0))
    x = Chart().cartesian(q)
    np.testing.assert_allclose(Chart().internal(x), q, atol=1e-10)
    np.testing.assert_allclose(torsions(x), q[:, [PHI, PSI]], atol=1e-10)
    np.testing.assert_allclose(x.reshape(50, 22, 3).mean(axis=1), 0.0, atol=1e-12)


def test_chart_forgets_place_orientation_and_the_numbers_of_methyl_hydrogens():
    rng = np.random.default_rng(1)
    q = molecules(20, rng)
    atoms = Chart().cartesian(q).reshape(20, 22, 3)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    moved = atoms @ rotation + rng.normal(size=3)
    moved[:, [11, 12, 13]] = moved[:, [12, 13, 11]]
    moved[:, [0, 2, 3]] = moved[:, [3, 0, 2]]
    np.testing.assert_allclose(Chart().internal(moved.reshape(20, 66)), q, atol=1e-9)
    mirrored = Chart().internal(
        (atoms * [1, 1, -1]).reshape(20, 66)
    )  # the control: the mirror image is another molecule
    assert np.abs(mirrored - q).max() > 0.5


def test_acceptance_ratio_finds_the_gaussian_line():
    rng, weights = np.random.default_rng(2), (0.0, 0.5, 1.0)
    states = bennett([difference(draw(w, 4000, rng)) for w in weights], weights)
    found = [states.log_partition(w) - states.log_partition(0.0) for w in (0.25, 1.0)]
    np.testing.assert_allclose(found, [free_energy(0.25), free_energy(1.0)], atol=0.03)
    assert abs(states.pool(0.5) - (free_energy(0.5) - 0.5 * free_energy(1.0))) < 0.01
    assert states.pool(0.0) == pytest.approx(0.0, abs=1e-12)


def test_annealing_is_unbiased_where_its_weights_are_kept():
    rng = np.random.default_rng(3)
    runs = [
        anneal(
            draw(0.0, 200, rng),
            difference,
            lambda x, w, rng: draw(w, len(x), rng),
            lambda x: np.isfinite(x[:, 0]),
            n_levels=8,
            rng=rng,
        )
        for _ in range(40)
    ]
    ratio = np.exp([run.log_partition[-1] - free_energy(1.0) for run in runs])
    assert abs(ratio.mean() - 1.0) < 4 * ratio.std() / np.sqrt(len(runs)) < 0.1
    uncorrected = -difference(draw(0.0, 100_000, rng)).mean()  # the first-order answer, below by Jensen
    assert uncorrected < free_energy(1.0) - 0.5
    half = np.concatenate([run.halfway[:, 0] for run in runs])
    weights = np.exp(np.concatenate([run.log_weights for run in runs]))
    assert abs(np.average(half, weights=weights) + 0.5 * A / (1 + 0.5 * B)) < 0.05


def test_annealing_undoes_moves_that_leave_the_region():
    rng = np.random.default_rng(4)
    x = np.abs(draw(0.0, 100, rng))
    run = anneal(x, difference, lambda x, w, rng: -x, lambda x: x[:, 0] > 0, n_levels=4, threshold=0.0, rng=rng)
    assert run.undone == 1.0
    np.testing.assert_array_equal(run.halfway, x)


def gaussians():
    return (
        GaussianMixture([0.5, 0.5], [[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], 0.5),
        GaussianMixture([1.0], [[0.5, 1.0, 0.0]], 1.0),
    )


@pytest.mark.slow
def test_weights_of_pool_and_mixture_are_found():
    laws, rng = gaussians(), np.random.default_rng(5)
    x = LogLinearPool(laws, [0.3, 0.7]).sample(4000, rng=rng)
    assert abs(likelihood_weights(laws, x, rng)[0] - 0.3) < 0.05
    x = arithmetic_mixture(laws, [0.3, 0.7]).sample(4000, rng=rng)
    assert abs(mixture_weights(laws, x)[0] - 0.3) < 0.05


def test_adaptation_goes_from_the_start_to_the_data():
    start, rng = gaussians()[0], np.random.default_rng(6)
    x = GaussianMixture([1.0], [[0.0, 2.0, 0.0]], 0.3).sample(500, rng=rng)
    fixed, free = adapted(start, x, 1e9), adapted(start, x, 1e-3)
    np.testing.assert_allclose(fixed.means, start.means, atol=1e-4)
    assert np.mean(free.log_prob(x)) > np.mean(start.log_prob(x)) + 2.0
    chosen = cross_validated(x, [lambda v: start, lambda v: adapted(start, v, 1e-3)])
    assert np.mean(chosen.log_prob(x)) == pytest.approx(np.mean(free.log_prob(x)))


def test_histograms_keep_to_the_region():
    angles = np.array([[-0.5, 0.0], [-0.5, 0.0], [0.5, 0.0]])
    masses = histogram(angles)
    assert masses.max() == 1.0
    assert variation(masses, histogram(-angles[2:])) == 0.0
    assert variation(masses, histogram(angles[:1] + np.array([0.0, 2.0]))) == 1.0


def exact_tables(shift=0.0):
    flat = np.full(162, 1 / 162).tolist()
    peak = [1.0, *np.zeros(161)]
    reference = {
        "pool": -0.4,
        "pool_error": 0.01,
        "water": 27.0,
        "water_error": 0.02,
        "own_pool": -0.41,
        "own_pool_error": 0.01,
        "own_water": 27.0,
        "own_water_error": 0.02,
        "torsions": flat,
        "floor": 0.06,
        "tv": {"pooled": 0.05, "mixture": 0.2},
        "energies": list(range(200)),
    }
    annealed = [
        {"chain": c, "run": 0, "particles": 10, "levels": 4, "pool": -0.4 + shift + 0.002 * c, "water": 27.0 + shift}
        | {
            "one_step_pool": -0.3,
            "one_step_water": 26.0,
            "uncorrected_water": 25.0,
            "torsions": flat,
            "unweighted": peak,
        }
        for c in range(10)
    ]
    weights = [{"n": 512, "draw": d, "mixed": 0.48 + 0.01 * d, "water": 0.9} for d in range(4)]
    return {"reference": [reference], "annealed": annealed, "weights": weights}


def test_claims_have_teeth():
    assert all(claim.stands for claim in evaluate_claims(exact_tables()))
    wrong = [c for c in evaluate_claims(exact_tables(2 * CLOSE)) if not c.stands]
    assert len(wrong) == 2
    assert all("kT" in c.name for c in wrong)
    assert evaluate_claims({}) == []


def test_intervals_carry_the_error_of_what_is_subtracted():
    plain, wide = mean_interval([0.0, 1.0, 2.0])[1], mean_interval([0.0, 1.0, 2.0], extra=3.0)[1]
    assert wide[0] < plain[0] < 1.0 < plain[1] < wide[1]


def network_rows():
    tables = exact_tables()
    row = {"n": 32, "torsions": tables["reference"][0]["torsions"], "energies": list(range(5, 205)), "weight": 0.4}
    corrected = {"pool": -0.5, "pool_error": 0.02, "least_ess": 0.9}
    return tables, [
        row | {"method": method, "draw": d} | (corrected if "corrected" in method else {})
        for method in ("fused", "corrected", "corrected, true weights")
        for d in range(2)
    ]


def test_networks_are_judged_in_the_molecule():
    tables, rows = network_rows()
    found = judged(tables["reference"][0], rows)[0]
    assert (found["tv"], found["excess"]) == (0.0, 5.0)
    assert found["energy_distance"] == pytest.approx(5 / 200)
    claims = evaluate_claims(tables | {"methods": rows})
    (free,) = (c for c in claims if "corrected, true weights" in c.name)
    assert free.value == pytest.approx(-0.1)


def test_compositions_claims_have_teeth():
    def rows(gain):
        return [
            {"target": target, "n": n, "draw": d, "method": method, "nats": -6.0, "over_mixture": value}
            | {"over_mixture_stderr": 0.01}
            for target, value in (("as many N as O", gain), ("with F", -0.3))
            for n in (32, 512)
            for d in range(2)
            for method in ("pool, likelihood", "pool, score matching")
        ]

    assert all(claim.stands for claim in evaluate_claims({"compositions": rows(0.1)}))
    assert not any(claim.stands for claim in evaluate_claims({"compositions": rows(-0.1)}) if claim.required)


@pytest.mark.slow  # imports torch
def test_grids_are_specs_of_their_cells():
    from benchmarks.molecules.__main__ import composition_grid, exact_grid

    for quick in (True, False):
        specs = [s for _, cells in exact_grid(quick, 0).values() for s in cells] + composition_grid(quick, 0)
        assert all(dataclasses.is_dataclass(spec) for spec in specs)
        assert len(set(specs)) == len(specs)
