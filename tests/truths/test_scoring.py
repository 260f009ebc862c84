"""Scores of samples: right verdicts, calibrated tests and intervals, and refusals by name."""

import json

import numpy as np
import pytest
import scipy

from sfbench import NotFiniteError, SfbenchError
from sfbench.cli import main
from sfbench.truths import get_truth, score_samples
from sfbench.truths.reference import get_reference
from sfbench.truths.scoring import kolmogorov_smirnov

N = 3000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["line_paper", "gaussian_scaled_d4_ratio4", "discrete_mixture"])
@pytest.mark.parametrize("law", ["fused", "barycenter", "mixture"])
def test_exact_draws_are_told(name: str, law: str) -> None:
    found = score_samples(name, get_truth(name).sample(law, N, rng=11))
    assert found.law == law
    assert found.power[law] > 0.99
    assert found.total_variation[law].interval(4.0)[0] < 0.0
    truth = get_reference(name)
    for other in truth.names:
        if other != law:
            exact, tv = truth.total_variation(law, other).value, found.total_variation[other]
            assert abs(tv.value - exact) < 5 * tv.stderr


@pytest.mark.slow
def test_one_law_twice_cannot_be_told() -> None:
    name = "gaussian_shifted_k4_d16"  # pooling and noise commute
    found = score_samples(name, get_truth(name).sample("fused", N, rng=1))
    assert found.law == "cannot tell"
    assert set(found.compatible) >= {"fused", "barycenter"}
    assert found.power["fused"] < 0.05


@pytest.mark.slow
def test_other_laws_are_neither() -> None:
    x = get_truth("line_paper").sample("fused", N, rng=2)
    assert score_samples("line_paper", 1.2 * x).law == "neither"
    deep = get_truth("embedded_r1_d16").sample("fused", N, rng=2)
    assert score_samples("embedded_r1_d16", deep).law == "fused"
    truth = get_truth("embedded_r1_d16")
    assert truth.subspace is not None
    outside = np.linalg.svd(truth.subspace.frame.T)[2][-1]
    moved = score_samples("embedded_r1_d16", deep + 0.1 * outside)
    assert moved.law == "neither"
    assert "complement" in moved.reasons["fused"]


@pytest.mark.slow
def test_kl_is_at_least_what_total_variation_implies() -> None:
    """Also of samples in which a continuous witness sees nothing, such as whole numbers."""
    found = score_samples("line_paper", np.random.default_rng(0).integers(0, 3, 500).astype(float))
    assert found.law == "neither"
    for law, tv in found.total_variation.items():
        assert found.kl[law].value >= 2.0 * (tv.value - 4.0 * tv.stderr) ** 2


@pytest.mark.slow
def test_weights_make_the_law() -> None:
    """Draws of the mixture, reweighted to the barycenter."""
    truth = get_truth("line_paper")
    x = truth.sample("mixture", 3 * N, rng=3)
    logs = truth.laws["barycenter"].log_prob(x) - truth.laws["mixture"].log_prob(x)
    found = score_samples("line_paper", x, log_weights=logs + 5.0, log_z=truth.log_z + 0.1, log_z_error=0.2)
    assert found.law == "barycenter"
    assert found.effective < 3 * N
    assert found.log_z_error is not None
    assert found.log_z_error.value == pytest.approx(0.1)
    assert score_samples("line_paper", x).law == "mixture"
    fewer = score_samples("line_paper", x, effective=50)
    assert fewer.effective == 50
    assert fewer.total_variation["mixture"].stderr > 5 * found.total_variation["mixture"].stderr


def test_kolmogorov_smirnov_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    x, draws = rng.standard_normal(400), rng.standard_normal(1000) + 0.05
    ours = kolmogorov_smirnov(x, np.full(400, 1 / 400), 400.0, np.sort(draws))
    theirs = scipy.stats.ks_2samp(x, draws, method="asymp")
    assert ours == pytest.approx(scipy.special.kolmogorov(np.sqrt(400 * 1000 / 1400) * theirs.statistic), rel=1e-9)
    ties = rng.integers(0, 3, 400).astype(float)
    assert kolmogorov_smirnov(ties, np.full(400, 1 / 400), 400.0, np.sort(ties)) == 1.0


@pytest.mark.slow
def test_the_true_law_is_refused_no_more_often_than_the_level() -> None:
    """At level 0.2, where 20 runs can say something. Not vacuously: a tenth of another law is noticed."""
    truth, name = get_truth("line_paper"), "line_paper"
    x = [truth.sample("barycenter", 1000, rng=[7, seed]) for seed in range(20)]
    refused = sum(score_samples(name, part, level=0.2).p_values["barycenter"] <= 0.2 for part in x)
    assert refused <= scipy.stats.binom.isf(1e-3, 20, 0.2)
    spoiled = [np.concatenate([part[:900], truth.sample("fused", 100, rng=i)]) for i, part in enumerate(x[:3])]
    assert all(score_samples(name, part, level=0.2).p_values["barycenter"] <= 0.2 for part in spoiled)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"problem": "line"}, "unknown problem 'line'"),
        ({"x": np.zeros((5, 1))}, "at least 100 points"),
        ({"x": np.zeros((200, 3))}, r"shape \(n, 1\)"),
        ({"level": 0.5}, "level"),
        ({"level": "a"}, "level"),
        ({"effective": -1.0}, "effective"),
        ({"log_weights": np.zeros(3)}, "log_weights"),
        ({"log_z": np.nan}, "log_z"),
        ({"log_z": 0.0, "log_z_error": "much"}, "log_z_error"),
        ({"log_z": 0.0, "log_z_error": -1.0}, "log_z_error is a standard error"),
        ({"log_z_error": np.nan}, "log_z_error"),
        ({"log_weights": np.repeat([1000.0, 0.0], [3, 197])}, "got 3 worth 3"),
        ({"rng": "x"}, "rng"),
    ],
)
def test_bad_input_is_refused_by_name(change: dict[str, object], match: str) -> None:
    good: dict[str, object] = {"problem": "line_bimodal_far", "x": np.random.default_rng(0).standard_normal((200, 1))}
    with pytest.raises(SfbenchError, match=match):
        score_samples(**(good | change))  # type: ignore[arg-type]


@pytest.mark.slow
def test_points_must_be_finite_states_whole() -> None:
    x = np.zeros((200, 1))
    x[3] = np.nan
    with pytest.raises(NotFiniteError, match=r"x\[3\]"):
        score_samples("line_bimodal_far", x)
    with pytest.raises(SfbenchError, match=r"whole numbers 0 \.\.\. 1"):
        score_samples("discrete_potts_6", np.full((200, 6), 0.5))


@pytest.mark.slow
def test_commands(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    assert main(["truths", "list", "--group", "gaussian"]) == 0
    assert "gaussian_scaled_d4_ratio4" in capsys.readouterr().out
    assert main(["truths", "show", "line_paper"]) == 0
    assert "-0.863094" in capsys.readouterr().out
    assert main(["truths", "check", "gaussian_scaled_d4_ratio4"]) == 0
    file, name = str(tmp_path / "x.npy"), "gaussian_scaled_d4_ratio4"
    assert main(["truths", "draw", name, "--law", "mixture", "-n", "2000", "--out", file]) == 0
    capsys.readouterr()
    assert main(["score", file, "--problem", name, "--log-z", "-1", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["law"] == "mixture"
    assert record["samples"]["shape"] == [2000, 4]
    assert main(["score", file, "--problem", name]) == 0
    assert "follow the mixture law" in capsys.readouterr().out
    assert main(["score", file, "--problem", "line_paper"]) == 2
    assert "shape (n, 1)" in capsys.readouterr().err


@pytest.mark.slow
def test_log_weights_are_read_from_the_file_of_points_too(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    name, both, other = "gaussian_scaled_d4_ratio4", tmp_path / "both.npz", tmp_path / "other.npz"
    x, logs = get_truth(name).sample("mixture", 300, rng=0), np.where(np.arange(300) < 200, 0.0, -np.inf)
    np.savez(both, x=x, log_weights=logs)
    np.savez(other, x=np.zeros(300), w=logs)  # x are points, never log weights
    np.save(tmp_path / "x.npy", x)
    for samples, options in ((both, []), (tmp_path / "x.npy", ["--log-weights", str(both)])):
        assert main(["score", str(samples), "--problem", name, *options]) == 0
        assert capsys.readouterr().out.startswith("200 points")
    assert main(["score", str(both), "--problem", name, "--log-weights", str(other)]) == 2
    assert "none called 'log_weights'" in capsys.readouterr().err
    both.write_bytes(both.read_bytes()[:900])
    assert main(["score", str(both), "--problem", name]) == 2
    assert f"SAMPLES {str(both)!r} cannot be read" in capsys.readouterr().err
    assert main(["score", str(tmp_path / "x.npy"), "--problem", name, "--log-weights", str(tmp_path / "no.npy")]) == 2
    assert "--log-weights" in capsys.readouterr().err
