"""The sampling study end to end, at a tiny size: it stops, resumes, reports, and refuses to mix runs."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.study import read_rows
from benchmarks.sampling_error import __main__ as sampling_error
from benchmarks.sampling_error import cells, experiments, integrator_cells
from benchmarks.sampling_error.cells import SAMPLED, VERTEX_SAMPLERS, LawSpec, run_law_cell
from benchmarks.sampling_error.experiments import EXPERIMENTS, FULL, QUICK, Experiment
from sfbench.cli import main as sfbench
from sfbench.experiments.canonical import encode_spec
from sfbench.laws import fokker_planck_1d

TINY = replace(
    QUICK,
    particles=640,
    seeds=1,
    superdiff_steps=20,
    vertex_particles=500,
    order_particles=50,
    order_integrators=("EM", "exponential", "DDIM", "DPM-Solver++(2M)", "Heun"),
    many=640,
    budgets=(24,),
    copies=(1,),
    dims=(1,),
    weights_on_edge=1,
    n_cells=200,
    repeats=1,
    random_problems=2,
    timed=((1, 40),),
    windows=("modes of sd 0.01, OU", "data of sd 10, VE"),
)
CLAIMS = 17
SMALL = {  # where grids have one size at all scales
    "products": {"n": 2000},
    "orders": {"finest": 128},
    "embedded": {"n": 640},
    "vertices": {"n_steps": 16},
    "certificate": {"n_steps": 100, "n_cells": 200},
}


def _tiny(name: str, experiment: Experiment) -> Experiment:
    def grid(scale: Any, seed: int) -> list[Any]:
        return [replace(spec, **SMALL.get(name, {})) for spec in experiment.grid(scale, seed)]

    return replace(experiment, grid=grid)


@pytest.mark.parametrize("scale", [FULL, QUICK, TINY])
def test_grids_hold_each_cell_once_and_depend_on_the_seed(scale):
    for name, experiment in EXPERIMENTS.items():
        specs = list(experiment.grid(scale, 1))
        texts = {encode_spec(spec) for spec in specs}
        assert len(texts) == len(specs) > 0
        others = {encode_spec(spec) for spec in experiment.grid(scale, 2)}
        assert (texts == others) == (name == "certificate")  # which draws nothing


@pytest.mark.slow
def test_a_cell_depends_on_its_spec_alone():
    specs = [LawSpec((0.2, 0.8), name, 640, 20, 200, seed) for name in SAMPLED for seed in (1, 2)]
    forwards, backwards = [run_law_cell(s) for s in specs], [run_law_cell(s) for s in reversed(specs)][::-1]
    for row in (*forwards, *backwards):
        del row["sample_cpu_s"]
    assert forwards == backwards
    assert all(forwards[i]["tv_pool"] != forwards[i + 1]["tv_pool"] for i in range(0, len(specs), 2))
    assert [set(row) & {"fused_law_holds", "barycenter_holds", "log_z_holds"} for row in forwards[:4:2]] == [
        {"fused_law_holds"},
        {"barycenter_holds", "log_z_holds"},
    ]


@pytest.mark.slow
def test_a_stopped_study_goes_on_and_is_not_mixed(tmp_path: Path, monkeypatch, capsys):
    for module in (cells, integrator_cells):
        monkeypatch.setattr(module, "fokker_planck_1d", partial(fokker_planck_1d, steps=60, n_cells=200))
    monkeypatch.setattr(experiments, "WEIGHTS", experiments.WEIGHTS[:2])
    monkeypatch.setattr(sampling_error, "QUICK", TINY)
    monkeypatch.setattr(sampling_error, "EXPERIMENTS", {name: _tiny(name, e) for name, e in EXPERIMENTS.items()})
    options = ["--quick", "--jobs", "1", "--out", str(tmp_path)]
    assert sampling_error.main([*options, "--only", "laws", "--time-limit", "1e-9"]) == 3
    assert "go on with the same command" in capsys.readouterr().err
    assert not (tmp_path / "laws.jsonl").exists()
    assert sampling_error.main([*options, "--only", "laws"]) == 0
    assert "claims and figures wait for cost, products" in capsys.readouterr().out

    code = sampling_error.main(options)
    claims = json.loads((tmp_path / "claims.json").read_text())["claims"]
    assert len(claims) == CLAIMS
    assert code == (0 if all(claim["holds"] and claim["control_fails"] for claim in claims) else 1)
    assert {path.stem for path in tmp_path.glob("*.png")} == {path.stem for path in tmp_path.glob("*.pdf")}
    assert len(list(tmp_path.glob("*.png"))) == 5
    assert len(read_rows(tmp_path, "laws")) == 2 * (len(SAMPLED) + 4)
    assert len(read_rows(tmp_path, "vertices")) == 2 * len(VERTEX_SAMPLERS)

    tables = {name: (tmp_path / f"{name}.jsonl").read_bytes() for name in EXPERIMENTS}
    monkeypatch.setattr(
        "benchmarks.sampling_error.cells.reference_problem", None
    )  # finished cells are not computed again
    monkeypatch.setattr("benchmarks.sampling_error.__main__.draw_figures", lambda folder: [])
    assert sampling_error.main(options) == code
    assert tables == {name: (tmp_path / f"{name}.jsonl").read_bytes() for name in EXPERIMENTS}
    monkeypatch.undo()

    assert sfbench(["report", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert all(f"{name}, seed 1, quick (" in said for name in EXPERIMENTS)
    monkeypatch.setattr(sampling_error, "QUICK", TINY)
    assert sampling_error.main([*options, "--only", "densities", "--seed", "2"]) == 2
    assert "tables of different runs (quick with seed 1, quick with seed 2)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--seed", "-1"], "--seed must be at least 0"), (["--jobs", "0"], "--jobs"), (["--only", "x"], "invalid choice")],
)
def test_bad_arguments_are_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        sampling_error.main(arguments)
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
