"""Heavy tails, angles and a molecule: truths held to quadrature of other densities, and to samplers of other code."""

import numpy as np
import pytest
import scipy

import sfbench
from sfbench.noises import torus
from sfbench.truths import get_truth, known_truths, score_samples
from sfbench.truths.catalogue import CATALOGUE
from sfbench.truths.cells import find_cells, moments
from sfbench.truths.families import CIRCLE


@pytest.mark.slow
def test_pools_of_heavy_tails_are_those_of_students_densities() -> None:
    truth, params = get_truth("heavy_t4"), CATALOGUE["heavy_t4"].params
    x = np.sinh(np.linspace(-6.0, 6.0, 8001))
    each = zip(params["df"], params["location"], params["scale"], strict=True)
    logs = sum(w * scipy.stats.t.logpdf(x, *one) for w, one in zip(params["weights"], each, strict=True))
    assert truth.log_z == pytest.approx(np.log(np.trapezoid(np.exp(logs), x)), abs=2e-3)
    fused, pool = (moments(truth.laws[law], truth)[1][0] for law in ("fused", "barycenter"))
    assert fused < 0.9 * pool  # the averaged score loses tails
    assert truth.errors["fused"] < 1e-3


@pytest.mark.slow
def test_the_fused_law_of_angles_is_what_the_reverse_process_reaches() -> None:
    name = "torsion_two_wells"
    truth = get_truth(name)
    score = sfbench.FusedScore(truth.auxiliaries, truth.weights, process=CIRCLE)
    x = torus.sample(score, 3000, n_steps=200, rng=0, check_steps=False).x
    found = score_samples(name, x + 2.0 * np.pi)
    assert (found.law, found.power["fused"] > 0.99) == ("fused", True)
    weighted = torus.sample(score, 3000, "corrected", n_steps=200, rng=1, check_steps=False)
    assert score_samples(name, weighted.x, log_weights=weighted.log_weights).law != "fused"
    fused = truth.laws["fused"]
    assert np.trapezoid(np.exp(fused.log_prob(np.linspace(-np.pi, np.pi, 4001)[:, None])), dx=np.pi / 2000) == (
        pytest.approx(1.0, abs=1e-4)
    )


@pytest.mark.slow
def test_cells_of_angles_meet_at_the_ends() -> None:
    cells = find_cells(get_truth("torsion_two_wells"))
    low, high = cells.shares(np.array([[-np.pi + 1e-3], [np.pi - 1e-3]]))
    assert np.array_equal(low, high)
    assert cells.shares(np.array([[-np.pi]])).sum() == 1.0


@pytest.mark.slow
@pytest.mark.parametrize("law", ["fused", "barycenter", "mixture"])
def test_states_of_the_molecule_are_told(law: str) -> None:
    truth = get_truth("molecule_cells")
    x = truth.sample(law, 3000, rng=5)
    assert score_samples("molecule_cells", x).law == law
    assert np.abs(x.mean(axis=0) - moments(truth.laws[law], truth)[0]).max() < 5 * x.std() / 3000**0.5


def test_every_family_of_the_catalogue_is_there() -> None:
    wanted = (
        "line",
        "plane",
        "embedded",
        "product",
        "many",
        "duplicates",
        "heavy",
        "discrete",
        "molecules",
        "torsions",
    )
    assert all(known_truths(group) for group in wanted)
    assert sorted(name for name, entry in CATALOGUE.items() if entry.discrete) == sorted(
        [*known_truths("discrete"), "molecule_cells"]
    )
