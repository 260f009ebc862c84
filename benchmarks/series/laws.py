r"""Laws of series: auxiliaries as Gaussian mixtures, and what is made of them and of few rows of the target.

Mixtures are fitted by scikit-learn; number of components and shape of covariances are chosen by blocks of rows left
out. Their scores at every noise level, their likelihoods and their conditionals are exact, so what is compared are ways
to use them and not networks.

- ``fused``: the averaged score at weights of score matching over all times. Its density is that of the probability
  flow; draws follow the reverse SDE.
- ``barycenter``: the log-linear pool at weights of maximum likelihood. ``log Z(w)`` and the weights are computed on
  draws of the arithmetic mixture, where the density ratio ``prod p_i^{w_i} / sum w_i p_i`` is bounded. Draws are
  particles of the corrected sampler.
- Mixtures, the nearest auxiliary, fine-tuned and fresh mixtures are :class:`MixtureLaw`.

**Forecasts.** Given leading coordinates every auxiliary has a conditional mixture for the others, with an exact score:
the conditional scores are fused, at weights of score matching between these conditionals and the rows of the target.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, final

import numpy as np
import scipy

import sfbench
from sfbench.laws import ode_log_density
from sfbench.processes.times import TimeSteps, time_grid, time_steps
from sfbench.sampling import CorrectedSampler, TrustWarning
from sfbench.statistics import GramSettings, score_gram
from solvers import LogPartitionObjective, solve
from synthetic import Estimate, GaussianMixture, arithmetic_mixture

from ..common.study import Row
from .tasks import SeriesTask

PROCESS = sfbench.OrnsteinUhlenbeck()
SETTINGS = GramSettings(PROCESS, time_grid(1e-3, 5.0, 12), "antithetic")
NODES = 4000  # draws of the arithmetic mixture behind log Z(w)
FLOW_STEPS, SDE_STEPS, FORECAST_STEPS = 64, 64, 32
_FOLDS = 4
_CANDIDATES = (
    *(("spherical", m) for m in (2, 4, 8)),
    *(("diag", m) for m in (1, 2, 4, 8)),
    *(("full", m) for m in (1, 2)),
)


class SeriesLaw(Protocol):
    """A law of rows."""

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log density (n,) of rows (n, d)."""

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Rows (n, d)."""

    def forecast(self, given: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws (rows, n, d - g) of what follows rows (rows, g), and their weights (rows, n)."""


def flow_times(t_min: float | None, coarser: int = 1) -> TimeSteps:
    """Times of a probability flow from ``t_min``, twice as many where that is given."""
    steps = FLOW_STEPS if t_min is None else 2 * FLOW_STEPS
    return time_steps(PROCESS, steps // coarser, t_min=t_min)


def fit_auxiliaries(task: SeriesTask) -> tuple[GaussianMixture, ...]:
    """A mixture for every auxiliary of the task."""
    return tuple(_fitted(task.name, name, x.tobytes(), x.shape) for name, x in task.auxiliaries.items())


@lru_cache(maxsize=16)
def _fitted(task: str, name: str, content: bytes, shape: tuple[int, int]) -> GaussianMixture:
    from sklearn.mixture import GaussianMixture as Fit

    x = np.frombuffer(content).reshape(shape)
    parts = np.array_split(np.arange(len(x)), _FOLDS)

    def fit(rows: np.ndarray, covariances: str, m: int) -> "Fit":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fits that have not settled
            return Fit(m, covariance_type=covariances, reg_covar=1e-4, random_state=0).fit(x[rows])

    def held_out(candidate: tuple[str, int]) -> float:
        return float(sum(fit(np.setdiff1d(np.arange(len(x)), part), *candidate).score(x[part]) for part in parts))

    best = fit(np.arange(len(x)), *max(_CANDIDATES, key=held_out))
    return GaussianMixture(best.weights_ / best.weights_.sum(), best.means_, best.covariances_)


def conditional(mixture: GaussianMixture, given: np.ndarray) -> list[GaussianMixture]:
    """The law of the other coordinates given the leading ones, for every row of ``given`` (rows, g)."""
    g, (m, d) = given.shape[1], mixture.means.shape
    if mixture.covariances.ndim == 3:
        S = mixture.covariances
        gain = np.linalg.solve(S[:, :g, :g], S[:, :g, g:])  # (m, g, h)
        seen: np.ndarray = S[:, :g, :g]
        rest: np.ndarray = S[:, g:, g:] - np.einsum("mgh,mgi->mhi", S[:, :g, g:], gain)
    else:
        variances = np.broadcast_to(mixture.covariances.reshape(m, -1), (m, d))
        gain, seen, rest = np.zeros((m, g, d - g)), variances[:, :g], variances[:, g:]
    parts = [GaussianMixture([1.0], mu[None, :g], s[None]) for mu, s in zip(mixture.means, seen, strict=True)]
    with np.errstate(divide="ignore"):
        logs = np.stack([part.log_prob(given) for part in parts], axis=1) + np.log(mixture.weights)
    shares = scipy.special.softmax(logs, axis=1)
    means = mixture.means[:, g:] + np.einsum("rmg,mgh->rmh", given[:, None] - mixture.means[:, :g], gain)
    return [GaussianMixture(p / p.sum(), mu, rest) for p, mu in zip(shares, means, strict=True)]


@final
@dataclass(frozen=True, eq=False)
class MixtureLaw:
    """A Gaussian mixture."""

    mixture: GaussianMixture

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Exact."""
        return np.asarray(self.mixture.log_prob(x))

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Exact."""
        return self.mixture.sample(n, rng=rng)

    def forecast(self, given: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws of the exact conditionals."""
        draws = np.stack([law.sample(n, rng=rng) for law in conditional(self.mixture, given)])
        return draws, np.full(draws.shape[:2], 1.0 / n)


@final
@dataclass(frozen=True, eq=False)
class FusedLaw:
    """The averaged score, or with ``pooled`` the log-linear pool.

    Attributes
    ----------
    auxiliaries : tuple of GaussianMixture
    weights, forecast_weights : array (k,)
    log_z : Estimate or None
        Of the pool at ``weights``.
    t_min : float or None
        Start of the probability flow; see :class:`SeriesTask`.
    """

    auxiliaries: tuple[GaussianMixture, ...]
    weights: np.ndarray
    forecast_weights: np.ndarray
    log_z: Estimate | None = None
    t_min: float | None = None

    @property
    def record(self) -> Row:
        """What a table says of it: both weights, and the error of log Z."""
        weights = {
            "weights": self.weights.round(6).tolist(),
            "forecast_weights": self.forecast_weights.round(6).tolist(),
        }
        return weights | {"log_z_stderr": None if self.log_z is None else self.log_z.stderr}

    @property
    def pooled(self) -> bool:
        """Whether it is the barycenter."""
        return self.log_z is not None

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Of the pool, or of the probability flow of the averaged score."""
        if self.log_z is not None:
            logs = np.stack([law.log_prob(x) for law in self.auxiliaries], axis=1)
            return np.asarray(logs @ self.weights) - self.log_z.value
        score = sfbench.FusedScore(self.auxiliaries, self.weights, process=PROCESS)
        return ode_log_density(score, x, steps=flow_times(self.t_min)).values

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """By the reverse SDE; particles of the pool are resampled to equal weights."""
        x, weights = self._drawn(self.auxiliaries, self.weights, n, SDE_STEPS, rng)
        return x if not self.pooled else x[rng.choice(n, size=n, p=weights)]

    def forecast(self, given: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws by fused conditional scores."""
        laws = [conditional(law, given) for law in self.auxiliaries]
        found = [self._drawn(row, self.forecast_weights, n, FORECAST_STEPS, rng) for row in zip(*laws, strict=True)]
        return np.stack([x for x, _ in found]), np.stack([weights for _, weights in found])

    def _drawn(
        self, laws: Sequence[GaussianMixture], weights: np.ndarray, n: int, steps: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        score = sfbench.FusedScore(laws, weights, process=PROCESS)
        sampler = CorrectedSampler(check_steps=False) if self.pooled else "fused"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)  # forecasts are judged by what happened
            found = sfbench.sample(score, n, sampler, steps=steps, check_steps=False, rng=rng)
        return np.asarray(found.x), found.weights / found.weights.sum()


def score_matching_weights(laws: Sequence[GaussianMixture], x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Weights of score matching over all times."""
    return np.asarray(solve(score_gram(laws, x, SETTINGS, rng=rng).to_qp(), "active_set").weights)


def forecast_weights(
    laws: Sequence[GaussianMixture], x: np.ndarray, given: int, rng: np.random.Generator
) -> np.ndarray:
    """Weights of score matching between conditionals and what followed in rows x (n, d)."""
    conditionals = zip(*(conditional(law, x[:, :given]) for law in laws), strict=True)
    total = None
    for row, follows in zip(conditionals, x[:, given:], strict=True):
        gram = score_gram(row, follows[None], SETTINGS, rng=rng)
        total = gram if total is None else total + gram
    assert total is not None
    return np.asarray(solve(total.to_qp(), "active_set").weights)


def pool_weights(
    laws: Sequence[GaussianMixture], x: np.ndarray | None, rng: np.random.Generator
) -> tuple[np.ndarray, Estimate]:
    """Weights of maximum likelihood of the pool on rows x (n, d), equal ones without rows; and log Z there."""
    k = len(laws)
    even = arithmetic_mixture(list(laws), np.full(k, 1.0 / k))
    nodes = even.sample(NODES, rng=rng)
    logs = np.stack([law.log_prob(nodes) for law in laws], axis=1)
    volumes = -np.asarray(even.log_prob(nodes)) - np.log(NODES)
    weights = np.full(k, 1.0 / k)
    if x is not None:
        mean = np.mean([law.log_prob(x) for law in laws], axis=1)
        weights = np.asarray(solve(LogPartitionObjective(logs, volumes, mean), "auto").weights)
    terms = logs @ weights + volumes
    ratio = np.exp(terms - terms.max()) * NODES
    relative = float(ratio.std(ddof=1) / ratio.mean() / np.sqrt(NODES))
    value = float(scipy.special.logsumexp(terms))
    return weights, Estimate(value, relative, NODES, "draws of the arithmetic mixture")
