"""Random mixtures on the line, both sides of each statement; and fits of data whose best weights are known."""

from dataclasses import dataclass
from typing import final

import numpy as np

import sfbench
from sfbench.bounds import Bound, total_variation_certificate
from sfbench.noises import torus
from synthetic import GaussianMixture, LogLinearPool, SyntheticProblem, arithmetic_mixture, make_problem

from ..common.study import Row, cell_rng, study_cells

PROCESS = sfbench.OrnsteinUhlenbeck()
WINDOW = (1e-3, 5.0)
_X = np.linspace(-25.0, 25.0, 50_001)  # laws of standard deviation 0.2 and more: their integrals are exact to rounding
_TANGENT = np.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])  # G is known there: statistics are of differences of scores
_STEP = 1e-3  # of the weights, in differences


@final
@dataclass(frozen=True)
class LawsSpec:
    """Number of a random family of three laws."""

    number: int
    root_seed: int


@final
@dataclass(frozen=True)
class FitSpec:
    """Rows of data, and the number of their draw."""

    n: int
    number: int
    root_seed: int


@study_cells(version=1, factors=(), replicate="number", name="statements/laws")
def run_laws_cell(spec: LawsSpec) -> Row:
    """Both sides of T1, T4, T8, T10, T26 and T29 for random laws, weights and another law mu."""
    rng = cell_rng(spec)
    laws = tuple(_mixture(rng) for _ in range(3))
    mu, w = _mixture(rng), rng.dirichlet(np.ones(3))
    return (
        _minimum(laws, mu, w)
        | _quadratic(laws, mu, w)
        | _curvature(laws, w)
        | _variation(rng, mu)
        | _tails(rng)
        | _uniform(rng)
    )


def _mixture(rng: np.random.Generator) -> GaussianMixture:
    m = int(rng.integers(1, 4))
    return GaussianMixture(rng.dirichlet(np.ones(m)), rng.normal(0.0, 1.5, (m, 1)), rng.uniform(0.3, 1.2, m) ** 2)


def _log(law: GaussianMixture) -> np.ndarray:
    return np.asarray(law.log_prob(_X[:, None]))


def _mean(log_density: np.ndarray, values: np.ndarray) -> float:
    return float(np.trapezoid(np.exp(log_density) * values, _X))


def _minimum(laws: tuple[GaussianMixture, ...], mu: GaussianMixture, w: np.ndarray) -> Row:
    """T1: mean KL to the auxiliaries, and KL to the pool (or the arithmetic mixture) less log Z."""
    pool, log_mu, logs = LogLinearPool(laws, w), _log(mu), np.stack([_log(law) for law in laws])
    mean_kl = _mean(log_mu, log_mu - w @ logs)
    log_z = pool.log_partition().value
    return {
        "mean_kl": mean_kl,
        "kl_to_pool_less_log_z": _mean(log_mu, log_mu - np.asarray(pool.log_prob(_X[:, None]))) - log_z,
        "kl_to_mixture_less_log_z": _mean(log_mu, log_mu - _log(arithmetic_mixture(laws, w))) - log_z,
    }


def _quadratic(laws: tuple[GaussianMixture, ...], target: GaussianMixture, w: np.ndarray) -> Row:
    """T4 at one time: J(w) from G, b and c, and from the density of the noised target; eigenvalues for differences."""
    t = 0.2
    alpha, sigma = float(PROCESS.alpha(t)), float(PROCESS.sigma(t))
    gram = sfbench.population_gram(
        SyntheticProblem("statement", target, laws, None),
        process=PROCESS,
        grid=sfbench.TimeGrid(np.array([t]), np.array([1.0])),
    )
    noised = target.diffuse(alpha, sigma)
    scores = np.stack([law.diffuse(alpha, sigma).score(_X[:, None])[:, 0] for law in laws])
    error = w @ scores - noised.score(_X[:, None])[:, 0]
    half_g2 = 0.5 * float(PROCESS.g(t)) ** 2
    products = gram.G - np.diag(np.diag(gram.G))
    spectrum, crossless = (np.linalg.eigvalsh(_TANGENT @ G @ _TANGENT.T) for G in (gram.G, products))
    return {
        "j_form": gram.value(w),
        "j_direct": half_g2 * _mean(_log(noised), error**2),
        "j_without_products": gram.value(w) - float(w @ products @ w),
        "least_eigenvalue": float(spectrum[0] / spectrum[-1]),
        "least_without_diagonal": float(crossless[0] / spectrum[-1]),
    }


def _curvature(laws: tuple[GaussianMixture, ...], w: np.ndarray) -> Row:
    """T8: second difference of log Z along ``e_1 - e_2``, and the variance of the log ratio under pool or mixture."""
    logs = np.stack([_log(law) for law in laws])
    inside = 0.9 * w + 0.1 / 3  # room for the step
    direction = np.array([1.0, -1.0, 0.0])

    def log_z(weights: np.ndarray) -> float:
        return float(np.log(np.trapezoid(np.exp(weights @ logs), _X)))

    ends = [log_z(inside + s * _STEP * direction) for s in (-1.0, 0.0, 1.0)]
    ratio = direction @ logs
    densities = {"pool": inside @ logs - ends[1], "mixture": _log(arithmetic_mixture(laws, inside))}
    variance = {name: _mean(p, ratio**2) - _mean(p, ratio) ** 2 for name, p in densities.items()}
    return {"bend": (ends[0] - 2 * ends[1] + ends[2]) / _STEP**2} | {f"variance_{k}": v for k, v in variance.items()}


def _variation(rng: np.random.Generator, mu: GaussianMixture) -> Row:
    """T10: total variation of mu and of it moved, and both bounds from their KL divergence."""
    moved = GaussianMixture(mu.weights, mu.means + np.exp(rng.uniform(-4.0, 2.0)), mu.spectrum.values[:, 0])
    p, q = _log(mu), _log(moved)
    kl = _mean(p, p - q)
    return {
        "kl": kl,
        "tv": 0.5 * float(np.trapezoid(np.abs(np.exp(p) - np.exp(q)), _X)),
        "tv_bound": total_variation_certificate(Bound(kl, "KL by quadrature", "upper", ())).value,
        "half_constant": float(np.sqrt(kl) / 2),
    }


def _tails(rng: np.random.Generator) -> Row:
    """T26: change of G and b if a normal target becomes a scale mixture of its variance, or wider."""
    laws = tuple(GaussianMixture([1.0], rng.normal(0.0, 1.5, (1, 1)), rng.uniform(0.3, 1.2, 1) ** 2) for _ in range(3))
    shares, mean, variance = rng.dirichlet(np.ones(2)), rng.normal(0.0, 1.0), rng.uniform(0.3, 1.2) ** 2
    scales = np.array([rng.uniform(0.1, 0.9), 0.0])
    scales[1] = (1.0 - shares[0] * scales[0]) / shares[1]
    targets = (
        GaussianMixture([1.0], [[mean]], variance),
        GaussianMixture(shares, [[mean], [mean]], variance * scales),
        GaussianMixture([1.0], [[mean]], 1.5 * variance),
    )
    grid = sfbench.time_grid(*WINDOW, 16)
    grams = [
        sfbench.population_gram(SyntheticProblem("statement", q, laws, None), process=PROCESS, grid=grid)
        for q in targets
    ]
    scale = float(np.abs(grams[0].G).max())
    change = [max(np.abs(gram.G - grams[0].G).max(), np.abs(gram.b - grams[0].b).max()) / scale for gram in grams]
    return {"scale_mixture_change": float(change[1]), "wider_normal_change": float(change[2])}


def _uniform(rng: np.random.Generator) -> Row:
    """T29: total variation from uniform of a point mass on the circle after a random time, and its bound."""
    spread = float(rng.uniform(1.0, 5.0))
    angles = np.linspace(0.0, 2 * np.pi, 4096, endpoint=False)
    turns = (
        2 * np.pi * np.arange(-20, 21)
    )  # the density from its definition: the bound is derived from its coefficients
    density = np.exp(-0.5 * ((angles[:, None] + turns) / spread) ** 2).sum(axis=1)
    density *= 2 * np.pi / (spread * np.sqrt(2 * np.pi))  # relative to the uniform law
    bound = torus.uniform_mismatch(torus.torus_motion(spread), 1)
    return {"spread": spread, "tv_uniform": 0.5 * float(np.mean(np.abs(density - 1.0))), "uniform_bound": bound}


@study_cells(version=1, factors=("n",), replicate="number", name="statements/fit")
def run_fit_cell(spec: FitSpec) -> Row:
    """T8: distance of fitted weights from those of the target, by likelihood and by score matching on a long window."""
    rng = cell_rng(spec)
    true = (0.3, 0.7)
    problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter", weights=true)
    x = problem.target.sample(spec.n, rng=rng)
    likely = sfbench.fuse(problem.auxiliaries, x, process=PROCESS, objective="likelihood")
    matched = sfbench.fuse(problem.auxiliaries, x, process=PROCESS, t_min=WINDOW[0], t_max=WINDOW[1], rng=rng)
    found = {"likelihood": likely, "matched": matched}
    return {"n": spec.n} | {f"error_{name}": float(abs(fit.weights[0] - true[0])) for name, fit in found.items()}
