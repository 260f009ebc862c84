"""Series: windows that share no day, exact conditionals and likelihoods, scores of forecasts, GARCH, claims."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy

from benchmarks.series.__main__ import main
from benchmarks.series.cells import SeriesSpec, em_weights, run_split
from benchmarks.series.claims import comparison, evaluate_claims, interval, paired
from benchmarks.series.facts import crps, energy_score, stylised_facts
from benchmarks.series.garch import GarchLaw, fit_garch
from benchmarks.series.laws import FusedLaw, MixtureLaw, conditional, pool_weights
from benchmarks.series.tasks import STEP, make_task, series_of, windows_of_blocks
from synthetic import GaussianMixture

RNG = np.random.default_rng(0)
FULL = GaussianMixture([0.4, 0.6], RNG.normal(size=(2, 3)), np.stack([np.eye(3) + 0.5, 0.5 * np.eye(3) + 0.2]))
DIAGONAL = GaussianMixture([0.3, 0.7], RNG.normal(size=(2, 3)), [[1.0, 0.5, 2.0], [0.3, 1.0, 0.6]])
GARCH = GarchLaw(0.05, 0.1, 0.08, 0.1, 0.8, 6.0, np.array([0.5, 1.0, 3.0]), np.array([0.5, 0.3, 0.2]))


def test_splits_share_no_day() -> None:
    days = [set(range(STEP * i, STEP * i + 32)) for i in range(118)]
    for fit, held_out in windows_of_blocks(118, 32, 8):
        assert len(held_out) == 8
        assert not set().union(*(days[i] for i in fit)) & set().union(*(days[i] for i in held_out))
    series = np.random.default_rng(1).normal(size=100)
    windows = np.lib.stride_tricks.sliding_window_view(series, 32)[::STEP]
    np.testing.assert_array_equal(series_of(windows), series)


@pytest.mark.parametrize("law", [FULL, DIAGONAL])
def test_conditionals_are_those_of_the_joint_law(law: GaussianMixture) -> None:
    x = law.sample(4, rng=1)
    for row, part in zip(x, conditional(law, x[:, :2]), strict=True):
        grid = np.linspace(-12.0, 12.0, 4001)
        joint = np.exp(law.log_prob(np.column_stack([np.tile(row[:2], (4001, 1)), grid])))
        exact = joint / np.trapezoid(joint, grid)
        np.testing.assert_allclose(np.exp(part.log_prob(grid[:, None])), exact, atol=1e-8)


def test_fused_laws_at_a_vertex_are_that_auxiliary() -> None:
    laws, w = (FULL, DIAGONAL), np.array([1.0, 0.0])
    x = FULL.sample(20, rng=2)
    fused, pool = (FusedLaw(laws, w, w, log_z) for log_z in (None, pool_weights((FULL, FULL), None, RNG)[1]))
    np.testing.assert_allclose(fused.log_prob(x), FULL.log_prob(x), atol=0.05)
    np.testing.assert_allclose(pool.log_prob(x), FULL.log_prob(x), atol=1e-9)
    draws, weights = fused.forecast(x[:2, :2], 200, RNG)
    assert draws.shape == (2, 200, 1)
    expected = [law.mean()[0] for law in conditional(FULL, x[:2, :2])]
    np.testing.assert_allclose((draws[:, :, 0] * weights).sum(axis=1), expected, atol=0.35)


def test_pool_weights_and_log_z_of_gaussians() -> None:
    laws = [GaussianMixture([1.0], [[m, 0.0]], 1.0) for m in (-1.0, 1.0)]
    x = GaussianMixture([1.0], [[0.4, 0.0]], 1.0).sample(4000, rng=3)
    weights, log_z = pool_weights(laws, x, np.random.default_rng(4))  # type: ignore[arg-type]
    assert weights == pytest.approx([0.3, 0.7], abs=0.05)
    assert abs(log_z.value + 0.5 * 4.0 * weights[0] * weights[1]) < 4.0 * log_z.stderr + 1e-3
    assert em_weights(tuple(laws), laws[0].sample(500, rng=5))[0] > 0.9


def test_scores_of_forecasts() -> None:
    rng = np.random.default_rng(6)
    draws, y = rng.normal(size=(12, 200, 1)), rng.normal(size=(12, 1))
    even = np.full((12, 200), 1.0 / 200)
    exact = y * (2 * scipy.stats.norm.cdf(y) - 1) + 2 * scipy.stats.norm.pdf(y) - 1 / np.sqrt(np.pi)
    np.testing.assert_allclose(crps(draws, even, y), exact[:, 0], atol=0.2)
    assert crps(draws, even, y).mean() == pytest.approx(exact.mean(), abs=0.05)
    for worse in (draws + 0.7, 2.5 * draws):  # proper: other laws score worse
        assert energy_score(worse, even, y).mean() > energy_score(draws, even, y).mean()
    tilted = np.exp(-0.5 * draws[:, :, 0])
    moved = energy_score(draws, tilted / tilted.sum(axis=1, keepdims=True), y).mean()
    assert moved == pytest.approx(energy_score(draws - 0.5, even, y).mean(), abs=0.1)


def test_stylised_facts_of_what_is_known() -> None:
    rng = np.random.default_rng(7)
    plain = rng.normal(size=(4000, 16))
    scaled = plain * np.exp(0.6 * rng.normal(size=(4000, 1)))
    a, b = stylised_facts(plain), stylised_facts(scaled)
    assert a["kurtosis"] == pytest.approx(3.0, abs=0.1)
    assert a["absolute_autocorrelation"] == pytest.approx(0.0, abs=0.02)
    assert b["kurtosis"] == pytest.approx(3.0 * np.exp(4 * 0.36), rel=0.25)
    assert b["absolute_autocorrelation"] > 0.2
    assert abs(b["autocorrelation"]) < 0.02


def test_garch_density_and_draws_agree() -> None:
    rng = np.random.default_rng(8)
    grid = np.linspace(-30.0, 30.0, 6001)[:, None]
    assert np.trapezoid(np.exp(GARCH.log_prob(grid)), grid[:, 0]) == pytest.approx(1.0, abs=1e-4)
    x = GARCH.sample(4000, rng, 6)
    assert x.mean() == pytest.approx(0.05, abs=0.03)
    calm = GarchLaw(**{**vars(GARCH), "shares": np.array([0.98, 0.01, 0.01])})
    y = calm.sample(300, rng, 20)
    assert GARCH.tuned(y).shares[0] > 0.8
    assert GARCH.tuned(y).log_prob(y).mean() > GARCH.log_prob(y).mean()
    still, wild = np.full((1, 10), 0.05), np.array([[4.0, -4.0] * 5])
    assert GARCH.forecast(wild, 3, 800, rng).std() > 1.5 * GARCH.forecast(still, 3, 800, rng).std()


def row(method: str, split: int, log_prob: float, task: str = "mnist1d", n: int = 16, **more: Any) -> dict[str, Any]:
    energies = {"energy": 1.0, "energy_shuffled": 1.5 + 0.1 * (-1) ** split, "energy_moved": 1.5, "crps": 1.0}
    base = {"task": task, "n": n, "split": split, "method": method, "log_prob": log_prob}
    return base | energies | {"fact_kurtosis": 3.0, "fact_absolute_autocorrelation": 0.0} | more


def test_comparisons_are_paired_and_claims_can_fail() -> None:
    rows = [row("fused", s, 10.0 * s) for s in range(6)] + [row("nearest", s, 10.0 * s - 1.0) for s in range(6)]
    assert paired(rows, "mnist1d", 16, "fused", "nearest", "log_prob") == pytest.approx((1.0, 1.0, 1.0))
    assert interval([1.0]) is None
    mean, low, high = interval([0.0, 1.0, 2.0])  # type: ignore[misc]
    assert (mean, high - mean) == (1.0, pytest.approx(2.919986 / np.sqrt(3.0)))
    assert low == pytest.approx(2.0 - high)
    assert [(r["against"], r["log_prob"]) for r in comparison(rows)] == [("nearest", pytest.approx(1.0))]
    facts = [{"task": "mnist1d", "fact": "flow error", "target": 0.01, "gaussian": 2.0}]
    both = rows + [
        row(m, s, v + 0.1 * (-1) ** s) for m, v in (("fine-tuned", -1.0), ("uniform", 3.0)) for s in range(6)
    ]
    both = [r | {"log_prob": 0.0} if r["method"] == "fused" else r for r in both] + [
        row("fused", s, 0.0, n=0) for s in range(6)
    ]
    claims = evaluate_claims({"splits": both, "facts": facts})
    assert len(claims) == 5
    assert all(claim.stands for claim in claims)
    lost = [r | {"log_prob": 5.0} if r["method"] == "fine-tuned" else r for r in both]
    assert not evaluate_claims({"splits": lost, "facts": facts})[-1].holds
    wrong = [facts[0] | {"target": 0.5}]
    assert not evaluate_claims({"splits": both, "facts": wrong})[2].holds


@pytest.mark.slow
def test_one_split_from_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = run_split(SeriesSpec("toy", 0, 16, 0, 0))
    scores = {r["method"]: r["log_prob"] for r in rows}
    assert set(scores) >= {"fused", "barycenter", "uniform", "nearest", "mixture, EM", "fine-tuned", "from scratch"}
    assert all(np.isfinite(value) for value in scores.values())
    assert scores["fused"] > scores["nearest"]  # the target is between the two
    with pytest.raises(SystemExit, match="2"):
        main(["--tasks", "nowhere", "--out", str(tmp_path)])
    assert "nowhere" in capsys.readouterr().err
    task = make_task("toy")
    assert MixtureLaw(FULL).sample(3, np.random.default_rng(0)).shape == (3, 3)
    assert task.rows(0, 0, RNG).shape == (84, 12)


@pytest.mark.data
def test_returns_and_temperatures_are_split_by_date() -> None:
    returns, days = make_task("returns_sp500"), make_task("temperatures")
    assert {x.shape for x in returns.auxiliaries.values()} == {(563, 32), (562, 32)}
    assert returns.target.shape == (118, 32)
    assert returns.history is not None
    assert len(returns.history) == 4528
    assert [len(fit) for fit, _ in days.splits] == [153, 152, 153, 152, 152, 153]
    law = fit_garch(returns.history)
    assert 0.9 < law.alpha + 0.5 * law.gamma + law.beta < 1.0
