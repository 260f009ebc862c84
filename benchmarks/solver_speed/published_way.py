r"""One Gram pass and an exact quadratic program, against the published way of learning the weights.

The published way parametrises the weights by softmax logits and runs a stochastic gradient optimiser through the scores
for 100 epochs, on denoising score matching with a random time and noise for every sample. Both minimise the same

.. math:: J(w) = \tfrac12 \int \sigma_t^2\, E \| s_w(x_t, t) - s^*(x_t, t) \|^2\, \frac{dt}{t \log(t_1 / t_0)}

over t in [1e-3, 5] on ``paper_mixture_1d`` with an Ornstein-Uhlenbeck process, from the same 4096 samples. The Gram
pass is ``sfbench.score_gram`` with 16 Gauss-Legendre nodes in log t and 1, 2, 4 or 8 antithetic noise pairs a sample.
"sgd" returns its last iterate, as published; "sgd_averaged" and "adam_averaged" average the second half.

*Training objective*: what both minimise, J on the samples with the noise averaged over 64 fresh antithetic pairs. Its
excess over its own minimum is the error of the optimiser and of its noise, nothing else. *Population objective*: J
under the true law, by quadrature: held-out truth. Its excess has the sampling error of the data on top, the same for
every way ("samples" is the excess of the training minimiser), so ways can only differ there by what is left.

CPU times are for this mixture, whose scores cost next to nothing: the price of the steps themselves. Where the scores
are networks, their evaluations count: 100 a sample and model for the published way, 32 for each pair of the pass.

Each draw of the data is one cell of a study, so that every ratio of times is taken within one process.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from ..common.study import Row, run_cells, study_cells

if TYPE_CHECKING:
    from solvers import SimplexQP, SolverResult
    from synthetic import SyntheticProblem

Vector = NDArray[np.float64]

_T_MIN, _T_MAX, _NODES = 1e-3, 5.0, 16
PAIRS = (1, 2, 4, 8)
PUBLISHED = (("sgd", 0.1, False), ("sgd_averaged", 0.1, True), ("adam_averaged", 0.01, True))
"""Name, learning rate of the logits, and whether iterates are averaged."""


@dataclass(frozen=True)
class Mixture1D:
    """A one-dimensional Gaussian mixture whose noised score takes one noise level a point."""

    weights: Vector
    means: Vector
    variances: Vector

    def log_terms(self, x: Vector, alpha: Vector, sigma: Vector) -> tuple[Vector, Vector, Vector]:
        """Log weighted densities (n, m), offsets (n, m) and variances (n, m) at noise (alpha, sigma), each (n,)."""
        variance = alpha[:, None] ** 2 * self.variances + sigma[:, None] ** 2
        offset = alpha[:, None] * self.means - x[:, None]
        return np.log(self.weights) - 0.5 * (offset**2 / variance + np.log(2 * np.pi * variance)), offset, variance

    def score(self, x: Vector, alpha: Vector, sigma: Vector) -> Vector:
        """Score (n,) at `x` (n,)."""
        log_p, offset, variance = self.log_terms(x, alpha, sigma)
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        out: Vector = (p * offset / variance).sum(axis=1)
        return out


@dataclass(frozen=True)
class DenoisingObjective:
    """The denoising score-matching objective seen through minibatches, a `StochasticObjective`."""

    auxiliaries: tuple[Mixture1D, ...]
    data: Vector
    batch: int

    @property
    def dim(self) -> int:
        """Number of weights."""
        return len(self.auxiliaries)

    @property
    def scale(self) -> float:
        """Of order one, because each sample is weighted by its noise variance."""
        return 1.0

    def value(self, w: Vector) -> float:
        """Mean loss on the data with one fixed draw of times and noise."""
        loss, _ = self._loss(w, self.data, np.random.default_rng(0))
        return loss

    def gradient(self, w: Vector) -> Vector:
        """Gradient of `value`."""
        return self._loss(w, self.data, np.random.default_rng(0))[1]

    def minibatch_gradient(self, w: Vector, rng: np.random.Generator) -> Vector:
        """Gradient on `batch` samples drawn with replacement, with fresh times and noise."""
        return self._loss(w, self.data[rng.integers(len(self.data), size=self.batch)], rng)[1]

    def _loss(self, w: Vector, x: Vector, rng: np.random.Generator) -> tuple[float, Vector]:
        t = np.exp(rng.uniform(np.log(_T_MIN), np.log(_T_MAX), size=len(x)))
        alpha, sigma = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
        z = rng.normal(size=len(x))
        scores = np.stack([p.score(alpha * x + sigma * z, alpha, sigma) for p in self.auxiliaries])
        residual = sigma * (w @ scores) + z
        return 0.5 * float(np.mean(residual**2)), scores @ (sigma * residual) / len(x)


@final
@dataclass(frozen=True)
class Size:
    """How much work to do."""

    draws: int
    n: int
    epochs: int


FULL, QUICK = Size(draws=12, n=4096, epochs=100), Size(draws=2, n=4096, epochs=20)
_BATCH = 64


@final
@dataclass(frozen=True)
class DrawSpec:
    """One draw of the data, on which all ways are timed in one process."""

    draw: int
    n: int
    epochs: int
    root_seed: int


@study_cells(version=1, factors=("way",), replicate="draw", volatile=("cpu_s",), alone=True, name="solver_speed/draw")
def run_draw(spec: DrawSpec) -> list[Row]:
    """Fit in every way on the same data: CPU seconds and excess objectives, one row a way."""
    from solvers import solve

    problem, population, floor = _reference()
    x = problem.target.sample(spec.n, rng=np.random.default_rng([spec.root_seed, spec.draw]))
    training = gram_qp(problem, x, np.random.default_rng([spec.root_seed, spec.draw, 2]), 64)
    best = solve(training, tol=1e-12)
    rows: list[Row] = [{"draw": spec.draw, "way": "samples", "population": population.value(best.weights) - floor}]
    for way, fit in _ways(spec, problem, x).items():
        began = process_time()
        weights = fit().weights
        seconds = process_time() - began
        excess = {"population": population.value(weights) - floor, "training": training.value(weights) - best.value}
        rows.append({"draw": spec.draw, "way": way, "cpu_s": seconds, **excess})
    return rows


@functools.lru_cache(maxsize=1)
def _reference() -> tuple[SyntheticProblem, SimplexQP, float]:
    """The problem, its population objective and the least value of that; also makes a process ready to be timed."""
    from solvers import SimplexQP, solve
    from synthetic import make_problem

    problem = make_problem("paper_mixture_1d", space="raw", scale=6.0, target="mixture")
    target, *auxiliaries = (_flatten(p) for p in (problem.target, *problem.auxiliaries))
    population = SimplexQP(*_population_qp(target, auxiliaries))
    x = problem.target.sample(256, rng=np.random.default_rng(0))  # the first calls import torch and fill caches
    solve(DenoisingObjective(tuple(auxiliaries), x[:, 0], _BATCH), "torch", max_iter=2)
    _one_pass(problem, x, np.random.default_rng(0), 1)
    return problem, population, solve(population, tol=1e-12).value


def _ways(spec: DrawSpec, problem: SyntheticProblem, x: Vector) -> dict[str, Callable[[], SolverResult]]:
    from solvers import solve

    ways: dict[str, Callable[[], SolverResult]] = {
        f"gram_qp_{pairs}": partial(_one_pass, problem, x, np.random.default_rng([spec.root_seed, spec.draw, 1]), pairs)
        for pairs in PAIRS
    }
    objective = DenoisingObjective(tuple(_flatten(p) for p in problem.auxiliaries), x[:, 0], _BATCH)
    for way, lr, average in PUBLISHED:
        ways[way] = partial(
            solve,
            objective,
            "torch",
            max_iter=spec.epochs * spec.n // _BATCH,
            rng=spec.draw,
            optimizer=way.split("_")[0],
            lr=lr,
            average=average,
        )
    return ways


def run(*, seed: int, quick: bool, folder: Path | None = None) -> dict[str, Any]:
    """Fit in every way on the same data, over several draws; CPU seconds and excess objectives, one per draw.

    Draws that ``folder`` holds are not computed again.
    """
    size = QUICK if quick else FULL
    specs = [DrawSpec(draw, size.n, size.epochs, seed) for draw in range(size.draws)]
    title = f"published way, seed {seed}{', quick' if quick else ''}"
    records = run_cells(run_draw, specs, title=title, folder=folder)
    excess: dict[str, dict[str, list[float]]] = {"population": {}, "training": {}}
    cpu: dict[str, list[float]] = {}
    for row in (row for record in records for row in record):
        excess["population"].setdefault(row["way"], []).append(row["population"])
        if "training" in row:
            excess["training"].setdefault(row["way"], []).append(row["training"])
            cpu.setdefault(row["way"], []).append(row["cpu_s"])
    return {
        "kind": "published_way",
        "n": size.n,
        "epochs": size.epochs,
        "optimum": _reference()[2],
        "excess": excess,
        "cpu": cpu,
    }


def report(record: dict[str, Any]) -> list[str]:
    """The comparison as lines of text."""
    cpu, excess = record["cpu"], record["excess"]
    reference = np.array(cpu["sgd"])
    title = (
        f"published way, {record['epochs']} epochs, n = {record['n']}, {len(reference)} draws: CPU time of sgd over "
        "this way (median); mean excess of both objectives and its standard error; score evaluations a sample and model"
    )
    lines = [title, f"    {'':14}{'sgd / this':>12}{'training':>22}{'population':>22}{'evaluations':>13}"]
    for way in ("samples", *cpu):
        row = f"    {way:14}"
        row += f"{np.median(reference / np.array(cpu[way])):11.1f}x" if way in cpu else " " * 12
        row += f"{_mean(excess['training'][way]) if way in cpu else '':>22}{_mean(excess['population'][way]):>22}"
        pairs = way.removeprefix("gram_qp_")
        row += f"{32 * int(pairs) if pairs.isdigit() else record['epochs']:13d}" if way in cpu else ""
        lines.append(row)
    return [*lines, *(_verdict(record, way) for way in ("sgd", "sgd_averaged", "adam_averaged") if way in cpu)]


def _verdict(record: dict[str, Any], published: str) -> str:
    """The cheapest pass whose mean training excess is no larger than the published way's, and both paired differences.

    Ways share their data, so the sampling error that dominates the population excess cancels in the differences.
    """
    cpu, excess = record["cpu"], record["excess"]
    passes = [way for way in cpu if way.startswith("gram_qp")]
    good = [way for way in passes if np.mean(excess["training"][way]) <= np.mean(excess["training"][published])]
    if not good:
        return f"    against {published}: no pass has a training excess as low"
    best = min(good, key=lambda way: float(np.median(cpu[way])))
    ratio = float(np.median(np.array(cpu[published]) / np.array(cpu[best])))
    differences = ", ".join(
        f"{kind} {_mean((np.array(excess[kind][best]) - np.array(excess[kind][published])).tolist())}"
        for kind in ("training", "population")
    )
    text = f"    against {published}: {best} takes {ratio:.0f}x less CPU; mean excess minus that of {published}: "
    return text + differences


def _mean(values: list[float]) -> str:
    array = np.array(values)
    return f"{array.mean():.1e} +- {array.std(ddof=1) / np.sqrt(len(array)) if len(array) > 1 else np.nan:.0e}"


def gram_qp(problem: SyntheticProblem, x: Vector, rng: np.random.Generator, n_pairs: int) -> SimplexQP:
    """The quadratic program of one pass over the data `x` (n, 1) with `n_pairs` antithetic noise pairs a sample."""
    from sfbench import GramSettings, OrnsteinUhlenbeck, score_gram
    from sfbench.processes.times import time_grid

    process = OrnsteinUhlenbeck()

    def weighting(t: Vector) -> Vector:
        return np.asarray(0.5 * process.sigma(t) ** 2 / (t * np.log(_T_MAX / _T_MIN)))

    settings = GramSettings(process, time_grid(_T_MIN, _T_MAX, _NODES), weighting=weighting, n_noise=n_pairs)
    return score_gram(problem.auxiliaries, x, settings, rng=rng).to_qp()


def _one_pass(problem: SyntheticProblem, x: Vector, rng: np.random.Generator, n_pairs: int) -> SolverResult:
    from solvers import solve

    return solve(gram_qp(problem, x, rng, n_pairs))


def _flatten(p: Any) -> Mixture1D:
    return Mixture1D(p.weights, p.means[:, 0], np.broadcast_to(p.covariances, p.weights.shape).astype(np.float64))


def _time_nodes() -> tuple[Vector, Vector]:
    """Nodes and weights of the average over log t."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    low, high = np.log(_T_MIN), np.log(_T_MAX)
    return np.exp(0.5 * (high + low) + 0.5 * (high - low) * nodes), 0.5 * weights


def _population_qp(target: Mixture1D, auxiliaries: list[Mixture1D]) -> tuple[Vector, Vector, float]:
    """The same with the expectation over the target by quadrature on a wide grid, and the true score."""
    k = len(auxiliaries)
    P, q, r = np.zeros((k, k)), np.zeros(k), 0.0
    x = np.linspace(-12.0, 12.0, 20_001)
    for t, weight in zip(*_time_nodes(), strict=True):
        alpha, sigma = np.full(len(x), np.exp(-t)), np.full(len(x), np.sqrt(-np.expm1(-2 * t)))
        density = np.exp(target.log_terms(x, alpha, sigma)[0]).sum(axis=1) * (x[1] - x[0]) * weight * sigma**2
        truth = target.score(x, alpha, sigma)
        scores = np.stack([p.score(x, alpha, sigma) for p in auxiliaries])
        P += (scores * density) @ scores.T
        q -= (scores * density) @ truth
        r += 0.5 * float(density @ truth**2)
    return 0.5 * (P + P.T), q, r
