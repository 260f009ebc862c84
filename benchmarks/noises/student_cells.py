"""Cells of :mod:`benchmarks.noises` under Student noise: laws, fits, certificates, tails and shared scales."""

from dataclasses import dataclass
from typing import final

import numpy as np
import scipy

import sfbench
from sfbench.laws import fokker_planck_1d
from sfbench.noises import student
from sfbench.statistics.settings import GramSettings
from synthetic import EmbeddedMixture, GaussianMixture, student_mixture

from ..common.study import Row, cell_rng, study_cells

OU = sfbench.OrnsteinUhlenbeck()
T_MIN, T_MAX = 1e-3, 5.0
GAUSSIAN = 0.0  # degrees of freedom that stand for Gaussian noise
K = 2
_GRID = np.sinh(np.linspace(-8.0, 8.0, 4001))
_LEVELS = np.linspace(0.0, 1.0, 33)
_COMPONENTS, _TAIL = 24, 1e-5
_SCALES = 12  # of the exact fused law
_CELLS, _STEPS = 500, 80


@final
@dataclass(frozen=True)
class StudentProblem:
    """Student laws on the line, their densities, and the weights of the pool that is the target."""

    df: tuple[float, ...]
    location: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]

    @property
    def laws(self) -> tuple[GaussianMixture, ...]:
        """The laws as mixtures."""
        return tuple(
            student_mixture(*law, n_components=_COMPONENTS, tail=_TAIL)
            for law in zip(self.df, self.location, self.scale, strict=True)
        )

    def pool(self, x: np.ndarray, weights: tuple[float, ...] | np.ndarray) -> tuple[np.ndarray, float]:
        """Density of the pool on points (n,) that hold its mass, and log Z: from Student's density itself."""
        logs = sum(
            w * scipy.stats.t.logpdf(x, *law)
            for w, law in zip(weights, zip(self.df, self.location, self.scale, strict=True), strict=True)
        )
        z = float(np.trapezoid(np.exp(logs), x))
        return np.asarray(np.exp(logs) / z), float(np.log(z))


def problem_of(seed: int, df: float) -> StudentProblem:
    """K laws of about ``df`` degrees of freedom, two to four units apart."""
    rng = np.random.default_rng([seed, 17])
    gap = rng.uniform(2.0, 4.0)
    share = rng.uniform(0.3, 0.7)
    return StudentProblem(
        (df, df + 1.0),
        (-0.5 * gap, 0.5 * gap),
        tuple(rng.uniform(0.5, 1.0, K).tolist()),
        (float(share), float(1.0 - share)),
    )


def cumulated(density: np.ndarray) -> np.ndarray:
    """Distribution function on the grid."""
    steps = 0.5 * (density[1:] + density[:-1]) * np.diff(_GRID)
    return np.append(0.0, np.cumsum(steps))


def fused_density(problem: StudentProblem, df: float) -> np.ndarray:
    """The exact fused law on the grid: Fokker-Planck equations given the scale, averaged over its quantiles."""
    levels = (np.arange(_SCALES) + 0.5) / _SCALES
    scales = [1.0] if df == GAUSSIAN else scipy.stats.invgamma(0.5 * df, scale=0.5 * df).ppf(levels).tolist()
    total = np.zeros(len(_GRID))
    for s in scales:
        laws = [law.affine(1.0 / np.sqrt(s)) for law in problem.laws]
        score = sfbench.FusedScore(laws, problem.weights, process=OU)
        found = fokker_planck_1d(score, n_cells=_CELLS, steps=_STEPS, t_min=T_MIN, t_max=T_MAX)
        total += np.exp(found.log_prob((_GRID / np.sqrt(s))[:, None])) / np.sqrt(s)
    return total / len(scales)


@final
@dataclass(frozen=True)
class StudentLawSpec:
    """Noise of df degrees of freedom (0: Gaussian) on data of ``data`` ones."""

    df: float
    data: float
    n: int
    n_steps: int
    seed: int


@study_cells(version=1, factors=("df", "data"), name="noises/student_laws")
def run_law_cell(spec: StudentLawSpec) -> Row:
    """Exact fused law, and samples of both laws, against the exact barycenter."""
    problem = problem_of(spec.seed, spec.data)
    truth, log_z = problem.pool(_GRID, problem.weights)
    fused_law = fused_density(problem, spec.df)
    levels = cumulated(truth)
    edges = np.interp(_LEVELS, levels / levels[-1], _GRID)
    edges[[0, -1]] = _GRID[[0, -1]]
    masses = {
        "pool": np.diff(np.interp(edges, _GRID, levels)),
        "fused": np.diff(np.interp(edges, _GRID, cumulated(fused_law))),
    }
    rng = cell_rng(spec)
    row: Row = {"df": spec.df, "data": spec.data, "n": spec.n, "seed": spec.seed}
    row["exact_fused"] = 0.5 * float(np.trapezoid(np.abs(fused_law - truth), _GRID))
    for name, own in masses.items():
        draws = rng.choice(len(own), spec.n, p=own / own.sum())
        row[f"floor_{name}"] = 0.5 * float(np.abs(np.bincount(draws, minlength=len(own)) / spec.n - own).sum())
    models = student.scaled_scores(problem.laws, OU)
    for name in ("fused", "corrected"):
        options = {"steps": sfbench.time_steps(OU, spec.n_steps, t_min=T_MIN, t_max=T_MAX), "check_steps": False}
        if spec.df == GAUSSIAN:
            source = sfbench.FusedScore(problem.laws, problem.weights, process=OU)
            drawn = sfbench.sample(source, spec.n, name, rng=rng, **options)  # type: ignore[arg-type]
        else:
            source = sfbench.FusedScore(models, problem.weights, process=OU)
            drawn = student.sample(source, spec.n, name, df=spec.df, strata=8, rng=rng, **options)
        found = np.histogram(np.clip(drawn.x[:, 0], edges[0], edges[-1]), edges, weights=drawn.weights)[0]
        row[f"tv_{name}"] = 0.5 * float(np.abs(found - masses["pool"]).sum())
        row[f"tv_{name}_to_fused"] = 0.5 * float(np.abs(found - masses["fused"]).sum())
    return row | {"log_z": log_z}


@final
@dataclass(frozen=True)
class StudentFitSpec:
    """One fit on a short window to n samples of the pool, embedded in d dimensions."""

    df: float
    d: int
    n: int
    seed: int


@study_cells(version=1, factors=("df", "d", "n"), name="noises/student_fits")
def run_fit_cell(spec: StudentFitSpec) -> Row:
    """Distance of the fitted barycenter from the target."""
    problem = problem_of(2, 3.0)
    density = problem.pool(_GRID, problem.weights)[0]
    rng = cell_rng(spec)
    levels = cumulated(density)
    core = np.interp(rng.random(spec.n), levels / levels[-1], _GRID)[:, None]
    laws: tuple[GaussianMixture | EmbeddedMixture, ...] = problem.laws
    x = core
    if spec.d > 1:
        frame = np.linalg.qr(np.random.default_rng(spec.d).normal(size=(spec.d, 1)))[0]
        laws = tuple(EmbeddedMixture(law, frame, 1.0, np.zeros(spec.d)) for law in problem.laws)
        noise = rng.standard_normal((spec.n, spec.d))
        x = core @ frame.T + noise - noise @ frame @ frame.T
    window = {"t_min": 1e-3, "t_max": 1e-2, "n_nodes": 4}
    if spec.df == GAUSSIAN:
        fit = sfbench.fuse(laws, x, process=OU, check_models=False, rng=rng, **window)  # type: ignore[call-overload]
    else:
        fit = student.fuse(laws, x, df=spec.df, process=OU, strata=16, rng=rng, **window)
    other = problem.pool(_GRID, fit.weights)[0]
    row: Row = {"df": spec.df, "d": spec.d, "n": spec.n, "seed": spec.seed, "weight": float(fit.weights[0])}
    low, high = fit.confidence_interval(0.9)[0]
    row["covered"] = float(low <= problem.weights[0] <= high)
    row["covered_halved"] = float(abs(fit.weights[0] - problem.weights[0]) <= 0.25 * (high - low))
    return row | {"tv": 0.5 * float(np.trapezoid(np.abs(other - density), _GRID))}


@final
@dataclass(frozen=True)
class StudentBoundSpec:
    """One cell of the certificate under noise of df degrees of freedom: the target is auxiliary 0."""

    df: float
    share: float
    seed: int


@study_cells(version=1, factors=("df", "share"), name="noises/student_bounds")
def run_bound_cell(spec: StudentBoundSpec) -> Row:
    """KL of the noised target, without its scale, against exact fused laws, under the mean certificate."""
    problem = problem_of(spec.seed, 4.0)
    levels = (np.arange(_SCALES) + 0.5) / _SCALES
    scales = scipy.stats.invgamma(0.5 * spec.df, scale=0.5 * spec.df).ppf(levels)
    alpha, sigma = float(OU.alpha(T_MIN)), float(OU.sigma(T_MIN))
    nodes = sfbench.time_grid(T_MIN, T_MAX, 24)
    target, noised, bound = problem.laws[0], np.zeros(len(_GRID)), 0.0
    own = {"fused": np.array([spec.share, 1.0 - spec.share]), "other": np.array([0.0, 1.0])}
    laws = dict.fromkeys(own, np.zeros(len(_GRID)))
    for s in scales:
        scaled = [law.affine(1.0 / np.sqrt(s)) for law in problem.laws]
        bound += _objective(scaled, own["fused"], nodes, float(s)) / _SCALES
        second = float(np.average(target.spectrum.values[:, 0], weights=target.weights) + target.means[0, 0] ** 2)
        last = float(OU.sigma(T_MAX)) ** 2
        bound += 0.5 * (last - 1.0 - np.log(last) + float(OU.alpha(T_MAX)) ** 2 * second / s) / _SCALES
        noised += np.exp(target.diffuse(alpha, float(np.sqrt(s)) * sigma).log_prob(_GRID[:, None])) / _SCALES
        for name, w in own.items():
            score = sfbench.FusedScore(scaled, w, process=OU)
            found = fokker_planck_1d(score, n_cells=_CELLS, steps=_STEPS, t_min=T_MIN, t_max=T_MAX)
            density = np.exp(found.log_prob((_GRID / np.sqrt(s))[:, None])) / np.sqrt(s)
            laws[name] = laws[name] + density / _SCALES
    row: Row = {"df": spec.df, "share": spec.share, "seed": spec.seed, "bound": bound}
    for name, density in laws.items():
        held = (noised > 1e-12) & (density > 0)
        gap = np.where(held, noised * np.log(np.where(held, noised / np.maximum(density, 1e-300), 1.0)), 0.0)
        row[f"kl_{name}"] = float(np.trapezoid(gap, _GRID))
    return row


def _objective(laws: list[GaussianMixture], w: np.ndarray, nodes: sfbench.TimeGrid, s: float) -> float:
    """``J(w)`` for the target ``laws[0]`` by quadrature on the grid of x."""
    y, total = _GRID[:, None] / np.sqrt(s), 0.0
    settings = GramSettings(OU, nodes)
    for (alpha, sigma), omega in zip(settings.coefficients, settings.omega, strict=True):
        noised = [law.diffuse(alpha, sigma) for law in laws]
        density, own = np.exp(noised[0].log_prob(y)), noised[0].score(y)[:, 0]
        gap = w[1] * (np.asarray(noised[1].score(y))[:, 0] - own)
        total += float(omega) * float(np.trapezoid(density * gap**2, y[:, 0]))
    return total


@final
@dataclass(frozen=True)
class TailSpec:
    """Prior mismatch of Student data of ``data`` degrees of freedom, cut at some radius."""

    data: float
    radius: float


@study_cells(version=1, factors=("data",), name="noises/tails")
def run_tail_cell(spec: TailSpec) -> Row:
    """Bounds ``E KL(X_T | x_0, s || prior)`` for noise of a scale of its own, and of one coupled to the data."""
    x = np.sinh(np.linspace(0.0, np.arcsinh(spec.radius), 20_001))
    density = 2.0 * scipy.stats.t.pdf(x, spec.data)
    density /= np.trapezoid(density, x)
    alpha, nu = float(OU.alpha(T_MAX)), 3.0
    factor = 0.5 * alpha**2
    own = factor * float(np.trapezoid(density * x**2, x))  # E 1/S = 1
    coupled = factor * float(np.trapezoid(density * x**2 * (nu + 1.0) / (nu + x**2), x))
    return {"data": spec.data, "radius": spec.radius, "own": own, "coupled": coupled}


@final
@dataclass(frozen=True)
class SharedSpec:
    """Two Student laws, a gap apart, whose scale is that of the data itself."""

    df: float
    gap: float


@study_cells(version=1, factors=("df",), name="noises/shared")
def run_shared_cell(spec: SharedSpec) -> Row:
    """TV between the pool of the augmented laws, seen on x alone, and the pool of the laws of x."""
    problem = StudentProblem((spec.df,) * K, (-0.5 * spec.gap, 0.5 * spec.gap), (1.0, 1.0), (0.5, 0.5))
    truth = problem.pool(_GRID, problem.weights)[0]
    spread = 0.25 * spec.gap**2  # sum_i w_i (m_i - m_w)^2
    seen = scipy.stats.t.pdf(_GRID, spec.df, 0.0, np.sqrt((spec.df + spread) / spec.df))
    row: Row = {"df": spec.df, "gap": spec.gap}
    return row | {"tv": 0.5 * float(np.trapezoid(np.abs(truth - seen), _GRID))}
