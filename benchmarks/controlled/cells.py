"""Controlled and plain particles on problems of r coordinates whose barycenter is known coordinate by coordinate.

Four families. *copies*: r copies of the reference pair, on which the sampler was made; *four*: r copies of four random
mixtures of unequal weights; *different*: another random pair in every coordinate; *rotated*: the copies seen in a
random orthonormal frame, whose best function to look ahead by is no sum over coordinates.
"""

import functools
import warnings
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from sfbench import FusedScore, OrnsteinUhlenbeck, sample
from sfbench._internal.aliases import Float64Array, FloatArray
from sfbench.sampling import CorrectedSampler, TrustWarning
from sfbench.scores import AnalyticScore, ProductScore
from synthetic import GaussianMixture, LogLinearPool, make_problem

from ..common.study import Row, cell_rng, study_cells

PROCESS = OrnsteinUhlenbeck()
FAMILIES = ("copies", "four", "different", "rotated")
CELLS = 20  # of equal probability, over which total variation of a coordinate is taken
STEPS = 96
_SMALL = (2, 300, 24)  # coordinates, particles and steps where Z itself is compared


@final
@dataclass(frozen=True, eq=False)
class Coordinates:
    """The score of independent coordinates with laws of their own, in an orthonormal frame (d, d) or None."""

    factors: tuple[AnalyticScore, ...]
    frame: Float64Array | None = None

    @property
    def dim(self) -> int:
        """Dimension d."""
        return len(self.factors)

    @property
    def t_range(self) -> tuple[float, float]:
        """All times."""
        return (0.0, np.inf)

    def score(self, x: FloatArray, t: float) -> FloatArray:
        """Score at points x (n, d) and time t, shape (n, d)."""
        own = x if self.frame is None else x @ self.frame
        if all(factor is self.factors[0] for factor in self.factors):
            found = ProductScore(self.factors[0], self.dim).score(own, t)
        else:
            found = np.hstack([factor.score(own[:, [j]], t) for j, factor in enumerate(self.factors)])
        return found if self.frame is None else np.asarray(found @ self.frame.T)


@functools.lru_cache(maxsize=2)
def problem(family: str, r: int, seed: int) -> tuple[FusedScore, list[LogLinearPool], Float64Array]:
    """Fused score of r coordinates, the barycenter of each, and the frame (r, r) in which they are coordinates."""
    rng = np.random.default_rng([seed, FAMILIES.index(family), r])
    frame = np.linalg.qr(rng.standard_normal((r, r)))[0] if family == "rotated" else np.eye(r)
    k = 4 if family == "four" else 2
    weights = rng.dirichlet(np.full(k, 3.0)) if family in ("four", "different") else np.full(k, 1.0 / k)
    if family in ("copies", "rotated"):
        laws = [tuple(make_problem("paper_mixture_1d", space="raw", scale=6.0).auxiliaries)] * r
    elif family == "four":
        laws = [tuple(_mixture(rng) for _ in range(k))] * r
    else:
        laws = [tuple(_mixture(rng) for _ in range(k)) for _ in range(r)]
    known = {id(law): AnalyticScore(law, PROCESS) for row in laws for law in row}
    turned = frame if family == "rotated" else None
    models = [Coordinates(tuple(known[id(row[i])] for row in laws), turned) for i in range(k)]
    pools = {id(row): LogLinearPool(row, weights) for row in laws}
    return FusedScore(models, weights, process=PROCESS), [pools[id(row)] for row in laws], frame


def _mixture(rng: np.random.Generator) -> GaussianMixture:
    return GaussianMixture(rng.dirichlet([2, 2]), rng.standard_normal((2, 1)), rng.uniform(0.2, 0.6, 2) ** 2)


@final
@dataclass(frozen=True)
class ControlledSpec:
    """A family, its coordinates, a sampler, the particles, the run and the root seed."""

    family: str
    r: int
    method: Literal["controlled", "corrected"]
    n: int
    run: int
    root_seed: int


@study_cells(version=1, factors=("family", "r", "method"), replicate="run", name="controlled/products")
def run_controlled_cell(spec: ControlledSpec) -> Row:
    """Errors of the coordinates and of log Z, and whether the result is trusted."""
    score, pools, frame = problem(spec.family, spec.r, spec.root_seed)
    sampler = CorrectedSampler(noise="independent") if spec.method == "corrected" else "controlled"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        result = sample(score, spec.n, sampler, steps=STEPS, rng=cell_rng(spec))
    found = result.diagnostics
    assert found.log_partition is not None
    assert found.ess is not None
    marks = {id(pool): _marks(pool) for pool in pools}
    own = result.x @ frame
    errors = [_error(own[:, j], result.weights, marks[id(pool)]) for j, pool in enumerate(pools)]
    return {
        "tv_worst": max(errors),
        "tv_mean": float(np.mean(errors)),
        "tv_floor": _floor(spec.n, spec.r),
        "founders": found.founders,
        "ess_min": float(np.min(found.ess)),
        "log_z_gap": found.log_partition.value - sum(pool.log_partition().value for pool in pools),
        "log_z_error": found.log_partition.stderr,
        "trustworthy": found.trustworthy,
        "messages": " / ".join(found.messages),
    }


@final
@dataclass(frozen=True)
class PartitionSpec:
    """A family, the number of runs of each sampler, and the root seed."""

    family: str
    runs: int
    root_seed: int


@study_cells(version=1, factors=("family",), name="controlled/partition")
def run_partition_cell(spec: PartitionSpec) -> Row:
    """Mean of Z over runs of few particles and few steps, controlled and plain, whose chains have one Z: over the plain
    mean, with standard errors. Means of log Z, which are biased, are the control.
    """
    r, n, steps = _SMALL
    score, _, _ = problem(spec.family, r, spec.root_seed)
    logs: dict[str, Float64Array] = {}
    for method in ("controlled", "corrected"):
        sampler = CorrectedSampler(noise="independent", threshold=0.7) if method == "corrected" else method
        found = []
        for run in range(spec.runs):
            rng = np.random.default_rng([spec.root_seed, FAMILIES.index(spec.family), run, method == "corrected"])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TrustWarning)
                result = sample(score, n, sampler, steps=steps, check_steps=False, rng=rng)
            assert result.diagnostics.log_partition is not None
            found.append(result.diagnostics.log_partition.value)
        logs[method] = np.array(found)
    top = float(np.mean(logs["corrected"]))
    z = {method: np.exp(values - top) for method, values in logs.items()}
    plain = float(z["corrected"].mean())
    errors = {method: float(values.std(ddof=1)) / np.sqrt(spec.runs) / plain for method, values in z.items()}
    error = float(np.hypot(*errors.values()))
    ratio = float(z["controlled"].mean()) / plain
    row: Row = {"ratio": ratio, "error": error, "deviations": abs(ratio - 1.0) / error}
    return row | {"spread_controlled": errors["controlled"], "spread_plain": errors["corrected"]}


def _marks(pool: LogLinearPool) -> Float64Array:
    """Ends of cells of equal probability of a law on the line."""
    fine = np.linspace(-8.0, 8.0, 32_001)
    density = np.exp(pool.log_prob(fine[:, None]))
    below = np.concatenate([[0.0], np.cumsum(0.5 * (density[1:] + density[:-1]) * np.diff(fine))])
    return np.interp(np.arange(1, CELLS) / CELLS, below / below[-1], fine)


def _error(values: FloatArray, weights: Float64Array, marks: Float64Array) -> float:
    shares = np.bincount(np.searchsorted(marks, values), weights=weights, minlength=CELLS)
    return 0.5 * float(np.abs(shares - 1.0 / CELLS).sum())


@functools.lru_cache(maxsize=8)
def _floor(n: int, r: int) -> float:
    """Worst error of r coordinates of n independent points, on average."""
    shares = np.random.default_rng(0).multinomial(n, np.full(CELLS, 1.0 / CELLS), (200, r)) / n
    return float((0.5 * np.abs(shares - 1.0 / CELLS).sum(axis=2)).max(axis=1).mean())
