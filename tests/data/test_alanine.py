"""The molecule whose barycenters are exact: mixing vacuum and water is the mixed solvent, to rounding."""

import pickle

import numpy as np
import pytest

import sfbench
from sfbench.data import DataError, DataUnavailable, data_entry
from sfbench.data.alanine import DIM, WATER, AlanineScore, mixed_dielectric, torsions
from sfbench.data.places import check_modules

OU = sfbench.OrnsteinUhlenbeck()


@pytest.fixture
def molecule(real_files):
    real_files("alanine")


@pytest.fixture(scope="module")
def drawn():
    return {}


@pytest.fixture
def mixed(molecule, drawn):
    """Points of the solvent half-way, simulated once for this module."""
    if "mixed" not in drawn:
        drawn["mixed"] = AlanineScore(mixed_dielectric(0.5)).sample(200, rng=0)
    return drawn["mixed"]


@pytest.mark.data
@pytest.mark.parametrize("w", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_barycenter_of_vacuum_and_water_is_the_mixed_solvent(mixed, w):
    points = mixed[::20]
    vacuum, water = AlanineScore(1.0), AlanineScore(WATER)
    barycenter = AlanineScore(mixed_dielectric(w))
    fused = sfbench.FusedScore([vacuum, water], [1 - w, w], process=OU)
    expected = barycenter.score(points)
    np.testing.assert_allclose(fused.score(points, 0.0), expected, atol=1e-12 * np.abs(expected).max())
    energy = (1 - w) * vacuum.energy(points) + w * water.energy(points)
    np.testing.assert_allclose(energy, barycenter.energy(points), atol=1e-10)
    if 0 < w < 1:  # the constants themselves do not mix like this
        naive = AlanineScore(1 - w + w * WATER).score(points)
        assert np.abs(naive - expected).max() > 1e-3 * np.abs(expected).max()


@pytest.mark.data
def test_scores_are_the_gradient_of_the_energy(mixed):
    law = AlanineScore(WATER)
    point = mixed[:1]
    for axis in (0, 31, 65):
        step = np.zeros(DIM)
        step[axis] = 1e-5
        slope = (law.energy(point + step) - law.energy(point - step)) / 2e-5
        np.testing.assert_allclose(-slope, law.score(point)[:, axis], rtol=1e-5, atol=1e-2)


@pytest.mark.data
def test_divergence_agrees_with_antithetic_pairs(mixed):
    """``E z'(s(x + h z) - s(x - h z)) / 2h`` is the divergence; 2,000 draws of z know it to 1 %."""
    law, h = AlanineScore(1.0), 1e-5
    _, divergence = law.score_and_divergence(mixed[:1])
    z = np.random.default_rng(0).standard_normal((2000, DIM))
    pairs = (z * (law.score(mixed[:1] + h * z) - law.score(mixed[:1] - h * z))).sum(axis=1) / (2 * h)
    assert abs(pairs.mean() - divergence[0]) < 4 * pairs.std() / np.sqrt(len(z))
    assert divergence[0] < -1e5


@pytest.mark.data
def test_fuse_finds_the_solvent(mixed):
    models = [AlanineScore(1.0, OU), AlanineScore(WATER, OU)]
    fitted = sfbench.fuse(models, mixed, process=OU, t_min=1e-9, t_max=4e-9, n_nodes=2, rng=0)
    assert 0.15 < fitted.weights[1] < 0.85  # 150 points know it to 0.1 (one standard deviation over six pieces)
    in_water = AlanineScore(WATER).sample(150, rng=1)  # the control: another solvent has other weights
    fitted = sfbench.fuse(models, in_water, process=OU, t_min=1e-9, t_max=4e-9, n_nodes=2, rng=0)
    assert fitted.weights[1] > 0.7


@pytest.mark.data
def test_samples_have_the_temperature_of_their_law(mixed):
    """By equipartition ``E[-x . score] = E[x . grad U] / kT`` is 63: all directions but the three of translation.

    Rotations count: the integral by parts needs no normalising constant beyond translations, which centring removes.
    """
    score = AlanineScore(mixed_dielectric(0.5)).score(mixed)
    virial = -(mixed * score).sum(axis=1)
    assert abs(virial.mean() - 63) < 5 * virial.std() / np.sqrt(len(mixed) / 2)
    np.testing.assert_allclose(mixed.reshape(-1, 22, 3).mean(axis=1), 0, atol=1e-12)


@pytest.mark.data
def test_moves_keep_the_law_and_only_it(mixed):
    law = AlanineScore(mixed_dielectric(0.5))
    moved = law.move(mixed, 50, rng=0)
    np.testing.assert_array_equal(law.move(mixed, 50, rng=0), moved)
    change = law.energy(moved) - law.energy(mixed)
    assert abs(change.mean()) < 5 * change.std() / np.sqrt(len(mixed))
    cold = np.repeat(mixed[law.energy(mixed).argmin()][None], 100, axis=0)  # the control: a point that is too cold
    warmed = law.energy(law.move(cold, 50, rng=0)) - law.energy(cold)
    assert warmed.mean() > 5 * warmed.std() / np.sqrt(len(warmed))
    with pytest.raises(DataError, match="n_steps must be at least 1, got 0"):
        law.move(mixed, 0)


@pytest.mark.data
def test_chains_come_solvent_by_solvent(molecule, monkeypatch):
    monkeypatch.setattr("sfbench.data.alanine._CHAINS", 2)
    monkeypatch.setattr("sfbench.data.alanine._PER_CHAIN", 3)
    entry = data_entry("alanine_chains")
    x, solvent, chain = entry.decode({}, "all")
    assert x.shape == (18, DIM)
    assert sorted(zip(solvent[::3].tolist(), chain[::3].tolist(), strict=True)) == [
        (s, c) for s in range(3) for c in range(2)
    ]
    assert len(entry.groups) == 10


def test_torsions_by_hand():
    """Four atoms whose last bond is turned by a known angle about the middle one."""
    x = np.zeros((3, 22, 3))
    x[:, 8] = (0.0, 0.0, 1.0)
    x[:, 4] = (1.0, 0.0, 0.0)
    for i, angle in enumerate((0.0, 1.0, -2.0)):
        x[i, 14] = (np.cos(angle), np.sin(angle), 1.0)
    x[:, 16] = (5.0, 5.0, 5.0)
    np.testing.assert_allclose(torsions(x.reshape(3, 66))[:, 0], [0.0, 1.0, -2.0], atol=1e-12)


@pytest.mark.data
def test_a_score_survives_pickling(mixed):
    law = AlanineScore(WATER, OU)
    expected = law.score(mixed[:2], 1e-9)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(law)).score(mixed[:2], 1e-9), expected)


@pytest.mark.data
def test_refusals(molecule):
    for dielectric in (0.5, np.nan, np.inf):
        with pytest.raises(DataError, match="dielectric must be"):
            AlanineScore(dielectric)
    with pytest.raises(DataError, match=r"w is a weight.*1\.2"):
        mixed_dielectric(1.2)
    law = AlanineScore(WATER, OU)
    with pytest.raises(DataError, match=r"at t = 0\.001 the noise is 0\.045 nm"):
        law.score(np.zeros((1, DIM)), 1e-3)
    with pytest.raises(DataError, match="pass process="):
        AlanineScore(WATER).score(np.zeros((1, DIM)), 1e-9)
    with pytest.raises(DataError, match=r"shape \(n, 66\).*\(1, 3\)"):
        law.score(np.zeros((1, 3)))
    with pytest.raises(DataError, match="first in row 1"):
        law.score(np.stack([np.zeros(DIM), np.full(DIM, np.nan)]))
    with pytest.raises(DataError, match="n must be at least 1"):
        law.sample(0)


def test_without_openmm_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr("sfbench.data.places.find_spec", lambda name: None)
    with pytest.raises(DataUnavailable, match=r"'openmm', which is not installed: pip install 'sfbench\[molecules\]'"):
        check_modules(data_entry("alanine"))
