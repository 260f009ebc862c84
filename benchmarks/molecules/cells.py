"""Cells with exact forces: the reference, annealed runs, fits of the weights. No networks here."""

from dataclasses import dataclass
from typing import final

import numpy as np

import sfbench
from sfbench.data.alanine import WATER, AlanineScore, torsions

from ..common.study import Row, cell_rng, study_cells
from .data import (
    LINE,
    OWN,
    REFERENCE,
    SOLVENTS,
    chain,
    difference,
    differences,
    histogram,
    inside,
    law,
    line,
    points,
    variation,
)
from .free_energy import anneal, bennett, normalised

_PROCESS = sfbench.OrnsteinUhlenbeck()
_T_MIN, _T_MAX = 1e-9, 4e-9  # noise far below the vibrations, where scores are forces


@final
@dataclass(frozen=True)
class ReferenceSpec:
    """The reference of everything; it has no options."""

    half: str = "reference"


@final
@dataclass(frozen=True)
class AnnealedSpec:
    """One run along the line, from points of one vacuum chain."""

    chain: int
    run: int
    particles: int
    levels: int
    steps: int
    seed: int


@final
@dataclass(frozen=True)
class WeightSpec:
    """Weights from n points of the mixed solvent, with exact scores."""

    n: int
    draw: int
    seed: int


@study_cells(version=2, factors=("half",), replicate="half", name="molecules/reference")
def run_reference(spec: ReferenceSpec) -> Row:
    """Free energies with the jackknife over chains; torsion laws of the solvents; distances and their floor.

    ``pool`` and ``water``: ``log Z_(1/2)`` of the pool and ``A(1)``; also from the other half of the chains (``own_*``)
    and from vacuum and water alone (``pair_*``), which never saw the mixed solvent.
    """
    found, errors = _free_energies(list(REFERENCE))
    own, own_errors = _free_energies(list(OWN))
    whole = line(list(REFERENCE))
    weights = normalised(whole.log_weights(0.5))
    angles = np.concatenate([torsions(points(s, REFERENCE)) for s in SOLVENTS])
    law_of_target = histogram(angles, weights)
    single = {s: histogram(torsions(points(s, OWN))) for s in SOLVENTS}
    auxiliaries = _auxiliaries_alone()
    mixture = 0.5 * (single["vacuum"] + single["water"])
    energies = np.sort(law(0.5).energy(points("mixed", REFERENCE)))
    return {
        "half": spec.half,
        "pool": found[0],
        "pool_error": errors[0],
        "water": found[1],
        "water_error": errors[1],
        "own_pool": own[0],
        "own_pool_error": own_errors[0],
        "own_water": own[1],
        "own_water_error": own_errors[1],
        "counts": {s: len(points(s, REFERENCE)) for s in SOLVENTS},
        "torsions": law_of_target.tolist(),
        "floor": variation(single["mixed"], law_of_target),
        "floors": [variation(histogram(torsions(chain("mixed", c))), law_of_target) for c in OWN],
        "tv": {name: variation(masses, law_of_target) for name, masses in single.items()}
        | {"mixture": variation(mixture, law_of_target), "pooled": variation(auxiliaries, law_of_target)},
        "energies": np.quantile(energies, (np.arange(200) + 0.5) / 200).round(4).tolist(),
    }


def _free_energies(chains: list[int]) -> tuple[list[float], list[float]]:
    """``log Z_(1/2)`` and ``A(1)``, and their jackknife errors over chains."""

    def both(kept: list[int]) -> np.ndarray:
        states = line(kept)
        return np.array([states.pool(0.5), states.log_partition(1.0) - states.log_partition(0.0)])

    left = np.array([both([c for c in chains if c != out]) for out in chains])
    m = len(chains)
    return both(chains).tolist(), np.sqrt((m - 1) / m * ((left - left.mean(axis=0)) ** 2).sum(axis=0)).tolist()


def _auxiliaries_alone() -> np.ndarray:
    """Torsions of the pool from samples of vacuum and water, reweighted to w = 1/2."""
    samples = [np.concatenate([differences(s, c) for c in OWN]) for s in ("vacuum", "water")]
    states = bennett(samples, (LINE[0], LINE[2]))
    angles = np.concatenate([torsions(points(s, OWN)) for s in ("vacuum", "water")])
    return histogram(angles, normalised(states.log_weights(0.5)))


@study_cells(version=1, factors=("particles", "levels", "steps"), replicate="run", name="molecules/annealed")
def run_annealed(spec: AnnealedSpec) -> Row:
    """Free energies and torsions of one annealed run, and what it would say without correction.

    ``uncorrected``: the mean of V in vacuum in place of the mean of its exponential (first order); ``one_step``: the
    exponential mean in a single step, without moves.
    """
    rng = cell_rng(spec)
    start = chain("vacuum", spec.chain)
    x = start[rng.choice(len(start), spec.particles, replace=spec.particles > len(start))]

    def move(x: np.ndarray, w: float, rng: np.random.Generator) -> np.ndarray:
        return law(w).move(x, spec.steps, rng=rng)

    run = anneal(x, difference, move, inside, n_levels=spec.levels, rng=rng)
    half, whole = run.log_partition[spec.levels // 2], run.log_partition[-1]
    v = difference(x)
    one = [float(np.log(np.mean(np.exp(-w * v + w * v.min()))) - w * v.min()) for w in (0.5, 1.0)]
    return {
        "chain": spec.chain,
        "run": spec.run,
        "particles": spec.particles,
        "levels": spec.levels,
        "steps": spec.steps,
        "pool": float(half - 0.5 * whole),
        "water": float(whole),
        "one_step_pool": one[0] - 0.5 * one[1],
        "one_step_water": one[1],
        "uncorrected_water": -float(v.mean()),
        "least_ess": float(run.ess.min()),
        "undone": run.undone,
        "torsions": histogram(torsions(run.halfway), normalised(run.log_weights)).tolist(),
        "unweighted": histogram(torsions(x)).tolist(),
    }


@study_cells(version=1, factors=("n",), replicate="draw", name="molecules/exact_weights")
def run_weights(spec: WeightSpec) -> Row:
    """Weight of water from exact scores at n points of the mixed solvent (true: 1/2); the control: at n of water."""
    rng = cell_rng(spec)
    models = [AlanineScore(1.0, _PROCESS), AlanineScore(WATER, _PROCESS)]
    found: Row = {"n": spec.n, "draw": spec.draw}
    for solvent in ("mixed", "water"):
        pool = points(solvent, OWN)
        x = pool[rng.choice(len(pool), spec.n, replace=False)]
        fit = sfbench.fuse(models, x, process=_PROCESS, t_min=_T_MIN, t_max=_T_MAX, n_nodes=2, rng=rng)
        found[solvent] = float(fit.weights[1])
    return found
