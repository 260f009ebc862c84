"""Cells of :mod:`benchmarks.diversity`: Gaussians in any dimension, modes on the line, weights, and samples.

``p_w`` is the KL barycenter, ``P_w`` the fused law, ``mixture`` the arithmetic mixture, ``merged`` averages parameters.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, cast, final

import numpy as np
import scipy

from sfbench import FusedScore, OrnsteinUhlenbeck, population_gram, time_grid
from sfbench.baselines import parameter_average
from sfbench.laws import affine_fused_law, fokker_planck_1d
from solvers import LogPartitionObjective, solve
from solvers.cvxpy_conic import Cvxpy
from synthetic import GaussianMixture, LogLinearPool, SyntheticProblem, arithmetic_mixture
from synthetic.quadrature import cover

from ..common.measures import Array, density_and_coverage, gaussian_entropy, log_vendi, mixture_entropy
from ..common.study import Row, cell_rng, study_cells

PROCESS = OrnsteinUhlenbeck()
LAWS = ("p_w", "P_w", "mixture", "merged")
KINDS = ("shifted", "concentric", "both")
WEIGHTS = (0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)
_SEPARATION = 4.0


def gaussians(kind: str, d: int, seed: int, k: int = 2) -> tuple[GaussianMixture, ...]:
    """k Gaussians: means 4 apart on a line (rank 1), one mean and other variances in all d coordinates, or both."""
    rng = np.random.default_rng([d, seed])
    means, variances = np.zeros((k, d)), np.ones((k, d))
    if kind == "shifted":
        means[:, 0] = _SEPARATION * (np.arange(k) - 0.5 * (k - 1))
    else:
        variances = np.exp(rng.normal(0.0, 0.7, (k, d)))
    if kind == "both":
        means = rng.normal(0.0, 0.7, (k, d))
    return tuple(GaussianMixture([1.0], m[None], v[None]) for m, v in zip(means, variances, strict=True))


def moments(law: GaussianMixture) -> tuple[Array, Array, Array]:
    """Weights (m,), means (m, d) and variances (m, d)."""
    return law.weights, law.means, np.broadcast_to(law.spectrum.values, law.means.shape)


def pool(laws: Any, weights: Array) -> GaussianMixture:
    """The KL barycenter of Gaussians, a Gaussian."""
    return cast(GaussianMixture, LogLinearPool(laws, weights).as_mixture())


def laws_at(laws: Any, weights: Array) -> dict[str, GaussianMixture]:
    """The four laws of Gaussian auxiliaries."""
    return {
        "p_w": pool(laws, weights),
        "P_w": affine_fused_law(laws, weights, process=PROCESS),
        "mixture": arithmetic_mixture(laws, weights),
        "merged": _merged(laws, weights),
    }


def _merged(laws: Any, weights: Array) -> GaussianMixture:
    means, variances = (np.stack([moments(law)[i][0] for law in laws]) for i in (1, 2))
    return GaussianMixture([1.0], (weights @ means)[None], (weights @ variances)[None])


@final
@dataclass(frozen=True)
class GaussianSpec:
    """Two Gaussian auxiliaries, and a point of the segment between them."""

    kind: str
    d: int
    weight: float
    seed: int


@study_cells(version=1, factors=("kind", "d", "weight", "law"), name="diversity/gaussians")
def run_gaussian_cell(spec: GaussianSpec) -> list[Row]:
    """Entropy and Vendi score of the four laws, the mean entropy of the auxiliaries, and log Z."""
    laws, w = gaussians(spec.kind, spec.d, spec.seed), np.array([1.0 - spec.weight, spec.weight])
    mean = float(w @ [gaussian_entropy(moments(law)[2][0]) for law in laws])
    log_z = LogLinearPool(laws, w).log_partition().value
    rows = []
    for name, law in laws_at(laws, w).items():
        if law.n_components == 1:
            entropy, error = gaussian_entropy(moments(law)[2][0]), 0.0
        else:
            estimate = mixture_entropy(law, 2000, cell_rng(spec))
            entropy, error = estimate.value, estimate.stderr
        rows.append(
            {
                "kind": spec.kind,
                "d": spec.d,
                "weight": spec.weight,
                "seed": spec.seed,
                "law": name,
                "entropy": entropy,
                "entropy_error": error,
                "log_vendi": log_vendi(*moments(law)),
                "mean_entropy": mean,
                "log_z": log_z,
            }
        )
    return rows


@final
@dataclass(frozen=True)
class ModesSpec:
    """Auxiliaries with modes at -a and a: each has the share ``shared`` in the mode of the other."""

    shared: float
    a: float


@study_cells(version=1, factors=("shared", "a"), replicate="a", name="diversity/modes")
def run_modes_cell(spec: ModesSpec) -> Row:
    """Mass between the modes (``|x| < a/2``) and entropies at equal weights; the predicted mass of ``p_w``."""
    w, e, a = np.array([0.5, 0.5]), spec.shared, spec.a
    variances = np.ones(2)
    p, q = (GaussianMixture(s, [[-a], [a]], variances) for s in ([1 - e, e], [e, 1 - e]))
    if e == 0.0:
        p, q = (GaussianMixture([1.0], [[m]], 1.0) for m in (-a, a))
    grid = cover([p, q])
    x = grid.nodes[:, 0]
    densities = {
        "p_w": np.exp(LogLinearPool((p, q), w).log_prob(grid.nodes)),
        "mixture": np.exp(arithmetic_mixture((p, q), w).log_prob(grid.nodes)),
        "merged": np.exp(parameter_average((p, q), w).log_prob(grid.nodes)),
    }
    fused = fokker_planck_1d(FusedScore((p, q), w, process=PROCESS), t_min=1e-3, t_max=PROCESS.horizon)
    densities["P_w"] = np.exp(fused.log_prob(grid.nodes))
    row: Row = {"shared": e, "a": a, "predicted": predicted_middle(e, a)}
    for name, density in densities.items():
        mass = density * grid.cell
        row[f"middle_{name}"] = float(mass[np.abs(x) < 0.5 * a].sum() / mass.sum())
        row[f"entropy_{name}"] = float(scipy.special.entr(density).sum() * grid.cell)
    own = np.exp(p.log_prob(grid.nodes))
    return row | {"entropy_auxiliary": float(scipy.special.entr(own).sum() * grid.cell), "fused_error": fused.error}


def predicted_middle(shared: float, a: float) -> float:
    """Mass of ``|x| < a/2`` under p_w at equal weights, for modes that do not overlap.

    ``sqrt(p q)`` has a bump ``sqrt(e (1 - e))`` at either mode, and one of ``(1 - e) exp(-a^2 / 2)`` in the middle.
    """
    middle, modes = (1.0 - shared) * np.exp(-0.5 * a**2), 2.0 * np.sqrt(shared * (1.0 - shared))
    share = middle / (middle + modes)
    tail = float(scipy.special.ndtr(-0.5 * a))
    return float(share * (1.0 - 2.0 * tail) + (1.0 - share) * tail)


@final
@dataclass(frozen=True)
class WeightsSpec:
    """Four Gaussian auxiliaries and a target in the interior, or (the control) the most spread auxiliary as target."""

    d: int
    control: bool
    seed: int


@study_cells(version=1, factors=("d", "control"), name="diversity/weights")
def run_weights_cell(spec: WeightsSpec) -> Row:
    """How far the fitted weights are from the most diverse ones; an entropy floor; minimax weights."""
    laws = gaussians("both", spec.d, spec.seed, 4)
    rng = cell_rng(spec)
    entropies = [gaussian_entropy(moments(law)[2][0]) for law in laws]
    true = np.eye(4)[int(np.argmax(entropies))] if spec.control else rng.dirichlet(np.full(4, 3.0))
    problem = SyntheticProblem("diversity", pool(laws, true), laws, true)
    gram = population_gram(problem, process=PROCESS, grid=time_grid(1e-3, 1e-2, 8))
    fitted = np.asarray(solve(gram.to_qp(), "active_set", tol=1e-12).weights)
    candidates = np.vstack([np.eye(4), rng.dirichlet(np.ones(4), 300)])
    pools = [moments(pool(laws, w)) for w in candidates]
    by_entropy = candidates[int(np.argmax([gaussian_entropy(v[0]) for _, _, v in pools]))]
    by_vendi = candidates[int(np.argmax([log_vendi(*m) for m in pools]))]
    row: Row = {
        "d": spec.d,
        "control": spec.control,
        "seed": spec.seed,
        "from_entropy": 0.5 * float(np.abs(fitted - by_entropy).sum()),
        "from_vendi": 0.5 * float(np.abs(fitted - by_vendi).sum()),
    }
    reached = entropy_of(laws, fitted)[0]
    floor = 0.5 * (reached + max(entropies))
    weights = with_entropy_floor(gram.to_qp(), laws, floor)
    kl = [_gaussian_kl(pool(laws, true), pool(laws, w)) for w in (weights, np.eye(4)[int(np.argmax(entropies))])]
    row |= {
        "floor": floor,
        "reached": entropy_of(laws, weights)[0],
        "without": reached,
        "kl": kl[0],
        "kl_vertex": kl[1],
    }
    return row | minimax_row(spec.seed)


def entropy_of(laws: Any, weights: Array) -> tuple[float, Array]:
    """Entropy of the pool of Gaussians and its gradient (k,) in the weights, which is convex in them.

    ``h = const - 1/2 sum_j log sum_i w_i / v_ij``.
    """
    precisions = np.stack([1.0 / moments(law)[2][0] for law in laws])
    total = weights @ precisions
    return gaussian_entropy(1.0 / total), np.asarray(-0.5 * (precisions / total).sum(axis=1))


def with_entropy_floor(problem: Any, laws: Any, floor: float) -> Array:
    """Weights of least objective among those whose pool has at least the entropy ``floor``.

    The entropy is convex in w, so the set is not convex; its tangent at weights that satisfy the floor is below it, so
    that each step keeps the floor and lowers the objective: the convex-concave procedure, from the widest auxiliary.
    """
    vertices = np.eye(len(laws))
    weights = vertices[int(np.argmax([entropy_of(laws, vertex)[0] for vertex in vertices]))]
    for _ in range(10):
        value, slope = entropy_of(laws, weights)
        limit = floor - value + float(slope @ weights)
        backend = Cvxpy(constraints=partial(_at_least, slope, limit))
        following = np.asarray(solve(problem, backend, tol=1e-6).weights)
        moved, weights = float(np.abs(following - weights).max()), following
        if moved < 1e-6:
            break
    return np.asarray(weights)


def _at_least(slope: Array, limit: float, w: Any) -> list[Any]:
    """The constraint ``<slope, w> >= limit`` of a cvxpy variable."""
    return [slope @ w >= limit]


def _gaussian_kl(p: GaussianMixture, q: GaussianMixture) -> float:
    (_, m, v), (_, c, u) = moments(p), moments(q)
    return 0.5 * float((np.log(u[0] / v[0]) + (v[0] + (m[0] - c[0]) ** 2) / u[0] - 1.0).sum())


def minimax_row(seed: int) -> Row:
    """Weights of least largest ``KL(p_w || p_i)`` for three mixtures on the line: the minimiser of log Z.

    ``min_mu max_i KL(mu || p_i) = max_w min_mu sum_i w_i KL(mu || p_i) = max_w -log Z(w)``.
    """
    rng = np.random.default_rng([9, seed])
    laws = [
        GaussianMixture(rng.dirichlet([2.0, 2.0]), rng.normal(0.0, 2.0, (2, 1)), np.exp(rng.normal(0.0, 0.3, 2)))
        for _ in range(3)
    ]
    grid = cover(laws)
    logs = np.stack([law.log_prob(grid.nodes) for law in laws], axis=1)
    objective = LogPartitionObjective(logs, np.full(len(logs), np.log(grid.cell)), np.zeros(3))

    def divergences(w: Array) -> Array:
        log_density = logs @ w
        log_density -= np.log(grid.cell * np.exp(log_density).sum())
        return np.asarray(grid.cell * np.exp(log_density) @ (log_density[:, None] - logs))

    found = solve(objective, "newton", tol=1e-10)
    best, equal = divergences(np.asarray(found.weights)), divergences(np.full(3, 1.0 / 3.0))
    active = np.asarray(found.weights) > 1e-6
    return {
        "minimax": float(best.max()),
        "minimax_spread": float(np.ptp(best[active])),
        "minimax_equal": float(equal.max()),
        "equal_spread": float(np.ptp(equal)),
    }


@final
@dataclass(frozen=True)
class SampleSpec:
    """Samples of the four laws at equal weights against samples of the auxiliaries together."""

    kind: str
    d: int
    n: int
    seed: int


@study_cells(version=1, factors=("kind", "d", "law"), name="diversity/samples")
def run_sample_cell(spec: SampleSpec) -> list[Row]:
    """Density and coverage."""
    laws, w, rng = gaussians(spec.kind, spec.d, spec.seed), np.array([0.5, 0.5]), cell_rng(spec)
    reference = arithmetic_mixture(laws, w).sample(spec.n, rng=rng)
    rows = []
    for name, law in laws_at(laws, w).items():
        density, coverage = density_and_coverage(reference, law.sample(spec.n, rng=rng))
        row = {"kind": spec.kind, "d": spec.d, "seed": spec.seed, "law": name}
        rows.append(row | {"density": density, "coverage": coverage})
    return rows
