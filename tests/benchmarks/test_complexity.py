"""The sample-complexity study end to end, at a tiny size."""

import json
from pathlib import Path

import pytest

from benchmarks.common.claims import read_claims, within
from benchmarks.common.study import read_rows
from benchmarks.complexity.__main__ import main
from benchmarks.complexity.cells import CellSpec, run_cell


def test_a_cell_depends_on_its_spec_alone_and_its_bounds_hold() -> None:
    specs = [CellSpec("n", "shifted_gaussians", 4, 3, (64, 128), s, 0, "antithetic", ("active_set",)) for s in range(3)]
    forwards, backwards = run_cell(specs), run_cell(specs[::-1])
    weights = [[row["weights"] for row in record] for record in forwards]
    assert weights == [[row["weights"] for row in record] for record in reversed(backwards)]
    assert weights[0] != weights[1]
    for row in (row for record in forwards for row in record):
        assert row["certificate_holds"]
        assert row["kl"] > row["certificate_kl"] / 2  # half the bound would be violated
        assert row["slow_holds"]
        assert row["gap"] <= 1e-8 * row["scale"]
        assert row["rounded_gap"] > 1e-8 * row["scale"]


@pytest.mark.parametrize(
    ("problem", "figures"),
    [
        ("shifted_gaussians", {"1_samples", "2_dimension", "3_auxiliaries", "4_estimators", "5_solvers"}),
        ("paper_mixture_1d", {"1_samples", "4_estimators", "5_solvers"}),
    ],
)
def test_a_small_study_writes_its_tables_and_figures(problem: str, figures: set[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "3_auxiliaries.png").write_text("of an earlier study")
    sizes = ["--n", "64,256", "--d", "4,16", "--k", "2,4", "--seeds", "3", "--jobs", "1", "--out", str(out)]
    code = main(["--problem", problem, "--solver", "active_set", "piqp", *sizes])
    assert {path.stem for path in out.glob("*.png")} == {path.stem for path in out.glob("*.pdf")} == figures
    assert all(path.stat().st_size > 10_000 for path in out.glob("*.png"))
    rows, claims = read_rows(out, "cells"), read_claims(out)
    assert code == (0 if all(claim.stands for claim in claims) else 1)
    assert {row["n"] for row in rows if row["study"] == "n"} == {64, 256}
    assert all(0 <= row["tv"] <= 1 and row["tv_stderr"] >= 0 for row in rows if "tv" in row)
    by_name = {claim.name: claim for claim in claims}
    assert all(claim.value == 0 for name, claim in by_name.items() if name.startswith("violations"))
    windows = [claim for name, claim in by_name.items() if name.startswith("population weight")]
    assert len(windows) == 4
    assert all(claim.stands for claim in windows)
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["arguments"]["problem"] == problem


def test_a_claim_whose_control_passes_does_not_hold() -> None:
    assert within("x", 1.0, low=0.0, high=2.0, control=5.0).stands
    assert not within("x", 1.0, low=0.0, high=2.0, control=1.5).stands
    assert not within("x", 3.0, low=0.0, high=2.0, control=5.0).stands
    assert not within("x", float("nan")).stands


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--problem", "shifted"], "unknown problem"),
        (["--solver", "magic"], "solver 'magic' is not available"),
        (["--n", "8:4"], "1 <= A <= B"),
        (["--d", "four"], "whole numbers"),
        (["--k", "0"], "at least 1"),
        (["--seeds", "1"], "--seeds must be at least 2"),
    ],
)
def test_bad_arguments_exit_with_2_and_say_why(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_an_output_folder_that_cannot_be_written_is_refused_before_computing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["--out", str(blocked / "inside")]) == 2
    assert "cannot write to output folder" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [blocked]


@pytest.mark.slow
def test_a_family_of_ones_own_reaches_the_study_in_worker_processes(tmp_path: Path) -> None:
    """Named by the file that it lies in; without d, so that only the study of n takes place."""
    source = tmp_path / "ring_families.py"
    source.write_text(
        "import numpy as np\n"
        "from synthetic import GaussianMixture, LogLinearPool, SyntheticProblem, family\n\n"
        "@family\n"
        "def ring(*, rng, k: int = 3):\n"
        "    angles = 2 * np.pi * (np.arange(k) / k + rng.random())\n"
        "    laws = [GaussianMixture([1.0], [[np.cos(a), np.sin(a)]], 0.3) for a in angles]\n"
        "    return SyntheticProblem('ring', LogLinearPool(laws, np.full(k, 1 / k)), laws, np.full(k, 1 / k))\n"
    )
    sizes = ["--n", "64,128", "--seeds", "3", "--jobs", "2", "--out", str(tmp_path / "out")]
    main(["--problem", f"{source}:ring", "--solver", "active_set", *sizes])  # three seeds need not show every claim
    rows = read_rows(tmp_path / "out", "cells")
    assert {row["problem"] for row in rows} == {f"{source}:ring"}
    assert {(row["study"], row["k"], row["n"]) for row in rows} == {("n", 4, 64), ("n", 4, 128)}
