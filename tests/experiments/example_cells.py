"""Cells for tests, in a module that worker processes can import."""

import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from sfbench.experiments import Study, cell_rng, make_study, study_cells, study_folder


@dataclass(frozen=True)
class Spec:
    n: int
    seed: int
    solver: str = "a"
    behaviour: str = ""


@study_cells(version=1, factors=("solver", "n"), volatile=("wall_s",), bounds={"bound": "kl"})
def run_cell(spec: Spec) -> dict[str, Any]:
    if spec.behaviour == "raise":
        raise ValueError(f"unlucky seed {spec.seed}")
    if spec.behaviour == "die" and "SFBENCH_TEST_SPARE" not in os.environ:
        os._exit(9)
    if spec.behaviour == "nan":
        return {"tv": float("nan")}
    if spec.behaviour == "slow":
        time.sleep(0.05)
    z = cell_rng(spec).standard_normal((8, 8))
    tv = float(np.abs(np.linalg.eigvals(z @ z.T)).max()) / np.sqrt(spec.n)
    return {
        "n": spec.n,
        "solver": spec.solver,
        "seed": spec.seed,
        "tv": tv,
        "kl": tv**2,
        "bound": 2 * tv**2,
        "kl_holds": tv > 0,
        "wall_s": time.perf_counter(),
    }


@study_cells(version=1, group=lambda spec: spec.seed)
def run_group(specs: list[Spec]) -> list[dict[str, Any]]:
    """A shared pass: prefix means of one stream of numbers."""
    stream = np.random.default_rng(specs[0].seed).standard_normal(1000)
    if any(spec.behaviour == "raise" for spec in specs):
        raise ValueError("one of the group")
    return [{"mean": float(stream[: spec.n].mean()), "members": 1} for spec in specs]


def plain_function(spec: Spec) -> float:
    return spec.n + 0.1


def small_study(seeds: int = 10, behaviour: str = "", name: str = "rates", **settings: Any) -> Study:
    specs = [Spec(n, seed, solver, behaviour) for solver in ("a", "b") for n in (16, 64, 256) for seed in range(seeds)]
    return make_study(name, run_cell, specs)


@study_cells(version=1)
def read_input(spec: Spec) -> str:
    """What a file of the study's folder says."""
    return (study_folder() / f"input_{spec.seed}.txt").read_text()


@study_cells(version=1, alone=True)
def run_alone(spec: Spec) -> int:
    """The process that computed it."""
    return os.getpid()


@study_cells(version=1)
def sum_in_torch(spec: Spec) -> dict[str, Any]:
    """Imports torch itself: whether one thread or two add up, the last bits tell."""
    import torch

    x = torch.randn(spec.n, generator=torch.Generator().manual_seed(spec.seed))
    return {"sum": float((x * x).sum()), "threads": torch.get_num_threads()}


@dataclass(frozen=True)
class Grid:
    experiment: str
    n: int
    d: int
    seed: int


@study_cells(version=1, factors=("experiment", "n", "d"))
def run_grid(spec: Grid) -> dict[str, Any]:
    """Two experiments in one study; one of them has a result of its own."""
    row = {"experiment": spec.experiment, "n": spec.n, "d": spec.d, "seed": spec.seed, "tv": 1.0 / (spec.n + spec.seed)}
    return row if spec.experiment == "d" else row | {"extra": 0.5 * spec.n}


@study_cells(version=1, factors=("n", "shape"))
def run_odd(spec: Grid) -> dict[str, Any]:
    """Columns with names and values that a report must not stumble over."""
    return {
        "cell": 7,
        "n": spec.n,
        "shape": [1, spec.d],
        "seed": {"s": spec.seed},
        "tv": 0.5 * spec.seed,
        "big": 10**400,
    }


@study_cells(version=1)
def misbehave(spec: Spec) -> dict[str, Any]:
    """What a cell may do that once ended the run."""
    if spec.behaviour == "surrogate":
        return {"file": "caf\udce9.txt"}
    if spec.behaviour == "surrogate name":
        return {"caf\udce9": 1}
    if spec.behaviour == "surrogate error":
        raise RuntimeError("caf\udce9")
    if spec.behaviour == "generator exit":
        raise GeneratorExit
    if spec.behaviour == "system exit":
        raise SystemExit(3)
    if spec.behaviour == "escape":
        raise RuntimeError("\x1b[2J\x1b]0;owned\x07")
    return {"n": spec.n}
