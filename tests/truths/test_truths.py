"""Named problems: certificates that agree with what is computed, and laws held to independent oracles."""

import copy
import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sfbench import SfbenchError
from sfbench.errors import OutputError
from sfbench.laws import PlanarDensity
from sfbench.truths import (
    MixtureLaw,
    ProductLaw,
    certificate,
    certify,
    certifying,
    check_certificates,
    get_truth,
    known_truths,
)
from sfbench.truths.catalogue import CATALOGUE, Entry
from sfbench.truths.certifying import certificates, digest, record_check
from sfbench.truths.reference import get_reference
from sfbench.truths.truth import make_truth
from synthetic import GaussianMixture, arithmetic_mixture

CHEAP = ("gaussian_scaled_d4_ratio4", "gaussian_shifted_k4_d16", "discrete_mixture")


def test_catalogue_and_certificates_hold_the_same_problems() -> None:
    names = known_truths()
    assert len(names) == len(CATALOGUE) >= 40
    assert sorted(certificates()) == sorted(names)
    for name in names:
        record, entry = certificate(name), CATALOGUE[name]
        provenance = record["provenance"]
        assert (record["version"], provenance["family"], provenance["params"]) == (
            entry.version,
            entry.family,
            dict(entry.params),
        )
        assert record["sha256"] == digest(record)


@pytest.mark.parametrize("name", CHEAP)
def test_certificates_are_computed_again(name: str) -> None:
    assert check_certificates([name]) == {name: None}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["line_paper", "discrete_chain"])
def test_more_certificates_are_computed_again(name: str) -> None:
    assert check_certificates([name]) == {name: None}


def test_every_kept_certificate_was_checked() -> None:
    path = Path(__file__).parents[2] / "benchmarks/results/truths/checks.json"
    checks = json.loads(path.read_text(encoding="utf-8"))
    assert {name: (one["sha256"], one["difference"]) for name, one in checks.items()} == {
        name: (certificate(name)["sha256"], None) for name in known_truths()
    }


def test_records_of_checks_tell_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checks.json"
    now = certificate(CHEAP[0])
    monkeypatch.setattr(certifying, "certify", lambda name: now | {"name": name})
    assert record_check(path, CHEAP[0])["largest"] == 0.0
    now = now | {"log_z": now["log_z"] + 0.5}
    assert record_check(path, CHEAP[0])["largest"] == pytest.approx(0.5)
    assert "log_z was" in json.loads(path.read_text(encoding="utf-8"))[CHEAP[0]]["difference"]
    now = now | {"weights": now["weights"][:1]}
    assert record_check(path, CHEAP[0])["largest"] is None
    assert record_check(path, CHEAP[1])["difference"] is not None
    assert list(json.loads(path.read_text(encoding="utf-8"))) == sorted(CHEAP[:2])
    path.write_text("[", encoding="utf-8")
    with pytest.raises(OutputError, match="not a record of checks"):
        record_check(path, CHEAP[0])


def test_another_seed_is_another_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    name = CHEAP[0]
    entry = CATALOGUE[name]
    monkeypatch.setitem(CATALOGUE, name, Entry(name, entry.group, entry.family, entry.params, entry.seed + 1))
    make_truth.cache_clear()
    get_reference.cache_clear()
    difference = check_certificates([name])[name]
    make_truth.cache_clear()
    get_reference.cache_clear()
    assert difference is not None
    assert "weights" in difference


def test_a_changed_certificate_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    record = copy.deepcopy(certificate("line_paper"))
    record["log_z"] = 0.0
    monkeypatch.setitem(certificates(), "line_paper", record)
    with pytest.raises(OutputError, match="line_paper"):
        certificate("line_paper")


def test_unknown_names_list_close_ones() -> None:
    with pytest.raises(SfbenchError, match="did you mean 'line_paper'"):
        get_truth("line_papr")
    with pytest.raises(SfbenchError, match="unknown group 'lin'"):
        known_truths("lin")
    assert known_truths("product") == [name for name in known_truths() if name.startswith("product_")]


def test_reference_problem_has_the_figures_of_the_theory() -> None:
    record = certificate("line_paper")
    assert record["total_variation"]["fused, barycenter"][0] == pytest.approx(0.4016, abs=6e-4)
    assert record["laws"]["barycenter"]["mode_masses"][0] == pytest.approx(0.81, abs=3e-3)
    assert record["weights_by_window"]["[0.001, 5]"] == pytest.approx([0.59, 0.41], abs=1e-3)
    assert record["weights_by_window"]["[0.0001, 0.0002]"] == pytest.approx([0.5, 0.5], abs=1e-3)


@pytest.mark.slow
def test_distances_at_draws_are_those_of_quadrature() -> None:
    truth, reference = get_truth("line_paper"), get_reference("line_paper")
    fused = truth.laws["fused"]
    for other in ("barycenter", "mixture"):
        exact = fused.total_variation(truth.laws[other]).value  # type: ignore[attr-defined]
        found = reference.total_variation("fused", other)
        assert abs(found.value - exact) < 4 * found.stderr + 1e-4


def test_products_and_mixtures_are_the_mixtures_that_they_are() -> None:
    factor = GaussianMixture([0.3, 0.7], [[-1.0], [2.0]], [0.5, 1.5])
    means = [[a, b] for a in (-1.0, 2.0) for b in (-1.0, 2.0)]
    stds = [[a, b] for a in (0.5, 1.5) for b in (0.5, 1.5)]
    whole = GaussianMixture([0.09, 0.21, 0.21, 0.49], means, np.array(stds))
    x = np.random.default_rng(0).standard_normal((50, 2)) * 2
    product = ProductLaw(factor, 2)
    assert_allclose(product.log_prob(x), whole.log_prob(x), rtol=1e-10)
    noised = product.diffuse(0.6, 0.8)
    assert_allclose(noised.score(x), whole.diffuse(0.6, 0.8).score(x), rtol=1e-8, atol=1e-10)
    assert_allclose(noised.divergence(x), whole.diffuse(0.6, 0.8).divergence(x), rtol=1e-8, atol=1e-10)
    assert_allclose(product.affine(2.0).log_prob(x), whole.affine(2.0).log_prob(x), rtol=1e-10)
    other = GaussianMixture([1.0], [[0.0, 1.0]], 1.0)
    mixed = MixtureLaw((whole, other), [0.25, 0.75])
    full = GaussianMixture([1.0], [[0.0, 1.0]], np.ones((1, 2)))
    assert_allclose(mixed.log_prob(x), arithmetic_mixture([whole, full], [0.25, 0.75]).log_prob(x), rtol=1e-10)
    draws = mixed.sample(20_000, rng=0)
    assert_allclose(draws.mean(axis=0), 0.25 * whole.mean() + 0.75 * other.mean(), atol=0.05)


def test_planar_density_draws_what_it_says() -> None:
    law = GaussianMixture([0.4, 0.6], [[-1.0, 0.5], [1.5, -0.5]], 0.6)
    edges = np.linspace(-7, 7, 141)
    middles = 0.5 * (edges[1:] + edges[:-1])
    grid = np.stack(np.meshgrid(middles, middles, indexing="ij"), axis=-1).reshape(-1, 2)
    density = np.exp(law.log_prob(grid)).reshape(140, 140)
    planar = PlanarDensity(edges, edges, density / density.sum() / 0.01, 0.0, "by hand")
    x = law.sample(200, rng=0)
    assert_allclose(planar.log_prob(x), law.log_prob(x), atol=0.03)
    draws = planar.sample(40_000, rng=1)
    assert_allclose(draws.mean(axis=0), law.mean(), atol=0.03)
    assert_allclose(np.cov(draws.T), law.covariance(), atol=0.05)
    assert planar.log_prob([[20.0, 0.0]])[0] == -np.inf


@pytest.mark.slow
def test_every_law_has_the_moments_that_are_certified() -> None:
    """The moments come from grids and closed forms, these from draws."""
    for name in ("gaussian_scaled_d4_ratio4", "discrete_mixture"):
        truth, record = get_truth(name), certificate(name)
        for law, about in record["laws"].items():
            y = np.asarray(truth.laws[law].sample(20_000, rng=3), np.float64)
            assert_allclose(y.mean(axis=0), about["mean"], atol=5 * y.std(axis=0).max() / 20_000**0.5)
            assert_allclose(y.std(axis=0), about["std"], rtol=0.04)


def test_certify_holds_plain_values() -> None:
    record = certify("gaussian_scaled_d1_ratio4")
    assert record["difficulty"]["k"] == 2
    assert record == certificate("gaussian_scaled_d1_ratio4")
