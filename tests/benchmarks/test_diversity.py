"""The study of diversity: closed forms against sampling and quadrature, cells, and a small run to its claims."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.common.measures import density_and_coverage, log_vendi, log_vendi_of_samples, mixture_entropy
from benchmarks.digits.diversity import LAWS, evaluate_claims
from benchmarks.diversity import __main__ as study
from benchmarks.diversity import cells
from benchmarks.diversity.claims import second_differences
from synthetic import GaussianMixture


@pytest.mark.slow
def test_the_vendi_score_is_that_of_the_kernel_matrix() -> None:
    law = GaussianMixture([0.3, 0.7], [[0.0, 1.0], [2.0, -1.0]], [[0.5, 1.0], [1.5, 0.2]])
    x = law.sample(1500, rng=0)
    squares = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    kernel = np.exp(-squares / (2 * 2)) / len(x)
    found = -np.log(np.sum(np.linalg.eigvalsh(kernel) ** 2))
    assert log_vendi(*cells.moments(law)) == pytest.approx(found, abs=0.05)
    assert log_vendi_of_samples(x) == pytest.approx(log_vendi(*cells.moments(law)), abs=0.05)


def test_the_entropy_of_one_component_is_the_formula() -> None:
    law = GaussianMixture([1.0], [[1.0, 2.0]], [[0.5, 3.0]])
    estimate = mixture_entropy(law, 4000, np.random.default_rng(0))
    assert abs(estimate.value - cells.gaussian_entropy(np.array([0.5, 3.0]))) < 4 * estimate.stderr


def test_coverage_of_itself_is_full_and_of_something_far_is_none() -> None:
    x = np.random.default_rng(0).normal(size=(200, 3))
    assert density_and_coverage(x, x)[1] == 1.0
    assert density_and_coverage(x, x + 100.0) == (0.0, 0.0)


@pytest.mark.slow
def test_the_gradient_of_the_entropy_and_its_floor() -> None:
    laws = cells.gaussians("both", 5, 0, 3)
    w, step = np.array([0.2, 0.5, 0.3]), np.array([1e-6, -1e-6, 0.0])
    change = (cells.entropy_of(laws, w + step)[0] - cells.entropy_of(laws, w - step)[0]) / 2
    assert cells.entropy_of(laws, w)[1] @ step == pytest.approx(change, rel=1e-5)
    row = cells.run_weights_cell(cells.WeightsSpec(2, False, 0))
    assert row["without"] < row["floor"] <= row["reached"] + 1e-6
    assert row["minimax"] < row["minimax_equal"]
    assert row["kl"] < row["kl_vertex"]


@pytest.mark.slow
def test_the_middle_is_predicted_and_the_fused_law_differs() -> None:
    row = cells.run_modes_cell(cells.ModesSpec(0.01, 4.0))
    assert row["middle_p_w"] == pytest.approx(row["predicted"], abs=0.005)
    assert row["middle_P_w"] > 0.15
    alone = cells.run_modes_cell(cells.ModesSpec(0.0, 4.0))
    assert alone["middle_P_w"] == pytest.approx(alone["middle_p_w"], abs=1e-3)


def test_second_differences_see_a_bend() -> None:
    rows: list[Any] = [
        {"kind": "both", "d": 1, "seed": 0, "law": "p_w", "weight": w, "entropy": w * (1 - w)} for w in (0.0, 0.5, 1.0)
    ]
    assert second_differences(rows, "p_w").min() == pytest.approx(-0.5)


def test_digits_that_are_as_diverse_fused_as_mixed_are_no_loss() -> None:
    def rows(loss: float) -> list[Any]:
        numbers = {"middle": 0.1, "share": 0.5, "density": 1.0, "coverage": 0.5, "founders": 9.0, "trusted": False}
        laws = [*((law, 0.5) for law in (*LAWS, "real digits")), ("P_w", 0.0), ("P_w", 1.0)]
        return [
            {"law": law, "weight": w, **numbers, "log_vendi": 2.0 + 0.01 * draw - loss * (law == "P_w")}
            for draw in range(3)
            for law, w in laws
        ]

    assert evaluate_claims(rows(0.5))[0].stands
    assert not evaluate_claims(rows(-0.5))[0].holds


@pytest.mark.slow
def test_a_small_run_ends_in_claims_and_a_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiny(quick: bool, seed: int) -> dict[str, Any]:
        weights = (0.0, 0.5, 1.0)
        return {
            "gaussians": (
                cells.run_gaussian_cell,
                [cells.GaussianSpec(k, d, w, s) for k in cells.KINDS for d in (8, 32) for w in weights for s in (0, 1)],
            ),
            "modes": (cells.run_modes_cell, [cells.ModesSpec(e, 4.0) for e in (0.0, 1e-4)]),
            "weights": (cells.run_weights_cell, [cells.WeightsSpec(2, c, 0) for c in (False, True)]),
            "samples": (
                cells.run_sample_cell,
                [cells.SampleSpec(k, d, 100, 0) for k in ("shifted", "concentric") for d in (2, 16)],
            ),
        }

    monkeypatch.setattr(study, "grids", tiny)
    code = study.main(["--quick", "--jobs", "1", "--out", str(tmp_path)])
    claims = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert code == (0 if all(c["holds"] and c["control_fails"] is not False for c in claims) else 1)
    assert sum(c["holds"] for c in claims) >= len(claims) - 1  # two dimensions give a rough exponent
    assert (tmp_path / "diversity.png").stat().st_size > 10_000
