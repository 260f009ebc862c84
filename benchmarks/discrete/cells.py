"""Cells of :mod:`benchmarks.discrete`: pure functions of frozen specs."""

from dataclasses import dataclass
from functools import cache
from typing import Any, final

import numpy as np
import scipy

from sfbench.discrete import (
    DiscreteNoise,
    ExactRates,
    FusedRates,
    MaskedNoise,
    UniformNoise,
    certificate,
    chain_law,
    fuse,
    sample,
)
from sfbench.discrete.exact_laws import noised_law
from sfbench.discrete.terms import population_terms
from solvers import solve
from synthetic.discrete import (
    DiscreteProblem,
    DiscreteTable,
    all_states,
    discrete_total_variation,
    make_discrete_problem,
)

from ..common.fits import quietly
from ..common.study import Row, cell_rng, study_cells
from .clamped import clamped_sample

PROBLEMS: dict[str, tuple[str, dict[str, Any]]] = {
    "chains, 4 states": ("markov_chains", {"alphabet": 2, "length": 2, "contrast": 3.0, "rng": 1}),
    "mixtures, 9 states": ("product_mixtures", {"alphabet": 3, "length": 2, "contrast": 2.0, "rng": 1}),
    "Potts, 8 states": ("potts_chains", {"alphabet": 2, "length": 3, "coupling": 1.5, "contrast": 1.0, "rng": 2}),
    "Ising 2 x 2": ("ising_lattices", {"rows": 2, "columns": 2, "coupling": 1.0, "contrast": 0.6, "rng": 3}),
}
WEIGHTS = (0.2, 0.5, 0.3)
WINDOW = (-10.0, 10.0)
FIT_WINDOW = (-6.0, 6.0)


def problem_of(name: str) -> DiscreteProblem:
    """A problem of the table above."""
    family, options = PROBLEMS[name]
    return make_discrete_problem(family, weights=WEIGHTS, **options)


def noise_of(name: str, alphabet: int) -> DiscreteNoise:
    """``uniform`` or ``masked``."""
    return UniformNoise(alphabet) if name == "uniform" else MaskedNoise(alphabet)


def rates_of(problem: DiscreteProblem, noise: DiscreteNoise, weights: Any = WEIGHTS) -> FusedRates:
    """Exact fused rates."""
    return FusedRates(tuple(ExactRates(law, noise) for law in problem.auxiliaries), weights)


def clean_part(noise: DiscreteNoise, table: np.ndarray, length: int) -> np.ndarray:
    """The part of a noised table without masks, normalised."""
    kept = table[np.all(all_states(noise.symbols, length) < noise.alphabet, axis=1)]
    return np.asarray(kept / kept.sum())


@cache
def _exact_law(problem: str, noise: str, law: Any) -> np.ndarray:
    """Law of a chain on all states, the same for all seeds."""
    found = problem_of(problem)
    kind = noise_of(noise, found.auxiliaries[0].alphabet)
    return clean_part(kind, chain_law(rates_of(found, kind), WINDOW, law, tol=1e-6), found.target.length)


@final
@dataclass(frozen=True)
class LawSpec:
    """One problem, noise and seed."""

    problem: str
    noise: str
    n: int
    seed: int


@study_cells(version=1, factors=("problem", "noise"), name="discrete/laws")
def run_law_cell(spec: LawSpec) -> Row:
    """Exact distances of the three chains to the pool, samples of each, and log Z."""
    problem = problem_of(spec.problem)
    noise = noise_of(spec.noise, problem.auxiliaries[0].alphabet)
    fused, pool = rates_of(problem, noise), problem.target
    truth = np.exp(pool.log_prob(all_states(pool.alphabet, pool.length)))
    row: Row = {"problem": spec.problem, "noise": spec.noise, "n": spec.n, "seed": spec.seed}
    laws: tuple[Any, ...] = ("fused", "switched", "corrected")
    for law in laws:
        exact = _exact_law(spec.problem, spec.noise, law)
        row[f"exact_{law}"] = 0.5 * float(np.abs(exact - truth).sum())
        drawn = sample(fused, spec.n, law, n_steps=24, rng=cell_rng(spec))
        found = DiscreteTable.from_samples(drawn.x, pool.alphabet, weights=drawn.weights).probs
        row[f"tv_{law}"] = 0.5 * float(np.abs(found - truth).sum())
        row[f"own_{law}"] = 0.5 * float(np.abs(found - exact).sum())
        if drawn.diagnostics.log_partition is not None:
            estimate = drawn.diagnostics.log_partition
            row |= {"log_z": estimate.value, "log_z_error": estimate.stderr, "truth": pool.log_partition().value}
    direct = DiscreteTable.from_samples(pool.sample(spec.n, rng=cell_rng(spec)), pool.alphabet).probs
    return row | {"floor": 0.5 * float(np.abs(direct - truth).sum())}


@final
@dataclass(frozen=True)
class FitSpec:
    """One fit."""

    noise: str
    objective: str
    n: int
    seed: int


@study_cells(version=3, factors=("noise", "objective", "n"), name="discrete/fits")
def run_fit_cell(spec: FitSpec) -> Row:
    """Cover of the intervals, and the distance of the fitted pool from that of the population minimiser."""
    problem = problem_of("Potts, 8 states")
    noise = noise_of(spec.noise, 2)
    models = rates_of(problem, noise).models
    terms = population_terms(models, problem.target, FIT_WINDOW)
    best = solve(
        terms.score_entropy() if spec.objective == "score_entropy" else terms.cross_entropy(), "newton"
    ).weights
    x = problem.target.sample(spec.n, rng=cell_rng(spec))
    fit = quietly(fuse, models, x, objective=spec.objective, rng=spec.seed)
    low, high = fit.confidence_interval(0.9).T
    halved = 0.5 * (np.stack([low, high]) + fit.weights)  # the control: each end half as far from the fit
    tv = discrete_total_variation(problem.barycenter(fit.weights), problem.barycenter(best)).value
    slope = fit.objective.gradient(np.full(3, 1.0 / 3.0))
    return {
        "noise": spec.noise,
        "objective": spec.objective,
        "n": spec.n,
        "seed": spec.seed,
        "covered": float(np.mean((low <= best) & (best <= high))),
        "covered_halved": float(np.mean((halved[0] <= best) & (best <= halved[1]))),
        "gap": fit.solver.gap,
        "gap_equal": float(slope.mean() - slope.min()),
        "tv": tv,
        "tv_truth": discrete_total_variation(problem.barycenter(best), problem.target).value,
    }


@final
@dataclass(frozen=True)
class LengthSpec:
    """A chain of some length."""

    length: int
    n: int
    seed: int


@study_cells(version=1, factors=("length",), name="discrete/lengths")
def run_length_cell(spec: LengthSpec) -> Row:
    """Masked noise, corrected and fused, against transfer matrices: log Z, and the worst pair marginal."""
    options = {"length": spec.length, "coupling": 1.5, "contrast": 1.0, "rng": 2}
    problem = make_discrete_problem("potts_chains", weights=WEIGHTS, **options)  # type: ignore[arg-type]
    fused, pool = rates_of(problem, MaskedNoise(2)), problem.target
    pairs = pool.law.pair_marginals()[1]  # type: ignore[attr-defined]
    row: Row = {"length": spec.length, "n": spec.n, "seed": spec.seed, "truth": pool.log_partition().value}
    laws: tuple[Any, ...] = ("fused", "corrected")
    row["pair_tv_floor"] = _pair_distance(pool.sample(spec.n, rng=cell_rng(spec)), np.full(spec.n, 1.0 / spec.n), pairs)
    for law in laws:
        drawn = sample(fused, spec.n, law, n_steps=24, rng=cell_rng(spec))
        row[f"pair_tv_{law}"] = _pair_distance(drawn.x, drawn.weights, pairs)
        if drawn.diagnostics.log_partition is not None:
            row |= {
                "log_z": drawn.diagnostics.log_partition.value,
                "log_z_error": drawn.diagnostics.log_partition.stderr,
                "founders": drawn.diagnostics.founders,
                "trusted": drawn.diagnostics.trustworthy,
            }
    return row


def _pair_distance(x: np.ndarray, weights: np.ndarray, pairs: np.ndarray) -> float:
    """Mean TV between the laws of neighbouring pairs of (weighted) samples and the exact ones (L - 1, 2, 2)."""
    number = 2 * x[:, :-1] + x[:, 1:]
    found = np.stack([np.bincount(column, weights, 4) for column in number.T])
    return float(0.5 * np.abs(found - pairs.reshape(-1, 4)).sum(axis=1).mean())


@final
@dataclass(frozen=True)
class PeerSpec:
    """The clamped scheme at the cost of first-hitting with n particles."""

    problem: str
    n: int
    n_steps: int
    seed: int


@study_cells(version=1, factors=("problem", "n_steps"), name="discrete/peers")
def run_peer_cell(spec: PeerSpec) -> Row:
    """Errors of both at equal numbers of evaluations."""
    problem = problem_of(spec.problem)
    pool = problem.target
    fused = rates_of(problem, MaskedNoise(pool.alphabet, "linear"))
    truth = np.exp(pool.log_prob(all_states(pool.alphabet, pool.length)))
    log_z = pool.log_partition().value
    ours = sample(fused, spec.n, "corrected", n_steps=24, rng=cell_rng(spec))
    budget = spec.n * ours.diagnostics.n_score_evaluations
    count = max(budget // spec.n_steps, 2)
    rows: Row = {"problem": spec.problem, "n_steps": spec.n_steps, "seed": spec.seed, "evaluations": budget}
    x, weights, estimate = clamped_sample(fused, count, spec.n_steps, cell_rng(spec))
    assert ours.diagnostics.log_partition is not None
    for name, states, w, z in (
        ("ours", ours.x, ours.weights, ours.diagnostics.log_partition.value),
        ("clamped", x, weights, estimate),
    ):
        found = DiscreteTable.from_samples(states, pool.alphabet, weights=w).probs
        rows |= {f"tv_{name}": 0.5 * float(np.abs(found - truth).sum()), f"log_z_{name}": abs(z - log_z)}
    return rows


@final
@dataclass(frozen=True)
class BoundSpec:
    """One cell of the certificate."""

    problem: str
    noise: str
    weights: tuple[float, ...]
    target: int


@study_cells(version=1, factors=("problem", "noise"), replicate="target", name="discrete/bounds")
def run_bound_cell(spec: BoundSpec) -> Row:
    """Exact KL of the fused chain, and of the switched one (the control), under the certificate of the fused."""
    problem = problem_of(spec.problem)
    noise = noise_of(spec.noise, problem.auxiliaries[0].alphabet)
    fused = rates_of(problem, noise, spec.weights)
    target = problem.target if spec.target < 0 else problem.auxiliaries[spec.target]
    window = (-8.0, 6.0)
    q = noised_law(target, noise, window[1])
    row: Row = {"problem": spec.problem, "noise": spec.noise, "w_1": spec.weights[0], "target": spec.target}
    laws: tuple[Any, ...] = ("fused", "switched")
    for law in laws:
        row[f"kl_{law}"] = float(scipy.special.rel_entr(q, chain_law(fused, window, law, tol=1e-7)).sum())
    return row | {"bound": certificate(fused, target, window).value}
