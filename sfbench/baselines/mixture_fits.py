r"""Training and fine-tuning where laws are Gaussian mixtures: no network is needed, and likelihoods are exact.

**Fine-tuning** (:func:`tune_mixture`) is expectation maximisation that starts at a mixture ``(pi_j, m_j, C_j)`` and is
held back by it, as if ``kappa`` rows drawn from it, each known by its component, were among the data:

    pi_j' ~ N_j + kappa pi_j,      m_j' = (sum_n r_nj x_n + kappa pi_j m_j) / (N_j + kappa pi_j),
    C_j'  = (sum_n r_nj (x_n - m_j')(x_n - m_j')' + kappa pi_j (C_j + (m_j - m_j')(m_j - m_j')')) / (N_j + kappa pi_j),

with responsibilities ``r_nj`` and ``N_j = sum_n r_nj``. ``kappa`` plays the part of early stopping: infinite is the
mixture itself. Rows left out choose it.

**From scratch** (:func:`fit_mixture`) is the same from k-means of the data, held back by their own diagonal
covariance; rows left out choose the number of components, the shape of the covariances, and ``kappa``.
"""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from synthetic import GaussianMixture

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_count, as_flag, as_generator, as_items, as_kind, as_points
from ..errors import ModelError

STRENGTHS = (1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, np.inf)
COMPONENTS = (1, 2, 3, 5)
_SHAPES = ("spherical", "diagonal", "full")
_ITERATIONS, _TOL = 50, 1e-4  # of the mean log density of one coordinate
_FOLDS, _ENOUGH = 4, 256  # from so many rows on, one part is left out in place of each in turn
_FLOOR = 1e-6  # of the variance of the data
_FEWEST = 4
_ONE = np.ones(1)


def tune_mixture(
    mixture: GaussianMixture,
    x: ArrayLike,
    *,
    strengths: Sequence[float] = STRENGTHS,
    in_order: bool = False,
    rng: SeedLike = None,
) -> GaussianMixture:
    """Fine-tune a mixture on few rows; how far it may go is chosen by rows left out.

    Parameters
    ----------
    mixture : GaussianMixture
        On R^d.
    x : array_like (n, d)
        At least four rows.
    strengths : sequence of float
        Candidates of ``kappa``, positive; infinity is the mixture itself.
    in_order : bool
        Leave out blocks of consecutive rows, for rows that resemble their neighbours, such as windows of one series.
    rng : Generator, SeedSequence, int or None
        Which rows are left out.

    Raises
    ------
    ModelError
        For data that are not points of that dimension, or candidates that are not positive.
    """
    as_kind("mixture", mixture, GaussianMixture, ModelError)
    data = _rows(x, mixture.dim)
    try:
        candidates = [float(s) for s in strengths]
    except (TypeError, ValueError):
        candidates = []
    if not candidates or not all(s > 0 for s in candidates):
        raise ModelError(f"strengths must be a sequence of positive numbers, got {strengths!r}")
    generator = as_generator(rng)
    folds = list(_folds(len(data), in_order, generator))

    def loss(strength: float) -> float:
        return -sum(float(held_back(mixture, data[a], strength).log_prob(data[b]).sum()) for a, b in folds)

    return held_back(mixture, data, min(candidates, key=loss))


def fit_mixture(
    x: ArrayLike, *, components: Sequence[int] = COMPONENTS, in_order: bool = False, rng: SeedLike = None
) -> GaussianMixture:
    """Fit a mixture to rows alone; components, shape and smoothing are chosen by rows left out.

    Parameters
    ----------
    x : array_like (n, d)
        At least four rows. Full covariances are tried up to d = 128.
    components : sequence of int
        Candidates of the number of components; those above a quarter of the rows are left out.
    in_order : bool
        Leave out blocks of consecutive rows, for rows that resemble their neighbours, such as windows of one series.
    rng : Generator, SeedSequence, int or None
        Starts, and which rows are left out.

    Raises
    ------
    ModelError
        For data that are not points, or candidates that are not counts.
    """
    data = _rows(x)
    n, d = data.shape
    given = as_items("components", components, "counts", ModelError)
    counts = sorted({m for m in given if as_count("components", m, error=ModelError) <= n // _FEWEST} | {1})
    shapes = [shape for shape in _SHAPES if (shape != "full" or 1 < d <= 128) and (shape != "diagonal" or d > 1)]
    generator = as_generator(rng)
    folds, seed = list(_folds(n, in_order, generator)), int(generator.integers(2**31))
    candidates = [(m, shape, kappa) for m in counts for shape in shapes for kappa in (float(m), 0.25 * n)]

    def loss(candidate: tuple[int, str, float]) -> float:
        return -sum(float(_from_means(data[a], *candidate, seed).log_prob(data[b]).sum()) for a, b in folds)

    return _from_means(data, *min(candidates, key=loss), seed)


def held_back(mixture: GaussianMixture, x: Float64Array, strength: float) -> GaussianMixture:
    """Expectation maximisation on rows x (n, d) from a mixture, held back by ``strength`` rows of it."""
    if np.isinf(strength):
        return mixture
    start = mixture.covariances  # (m,), (m, d) or (m, d, d): the shape that is kept
    floor = _FLOOR * float(x.var(axis=0).mean() + np.mean(mixture.spectrum.values))
    prior, before = strength * mixture.weights, -np.inf
    weights, means, covariances = mixture.weights, mixture.means, start
    for _ in range(_ITERATIONS):
        with np.errstate(divide="ignore"):
            logs = _component_logs(means, covariances, x) + np.log(weights)
        total = scipy.special.logsumexp(logs, axis=1, keepdims=True)
        value, shares = float(total.mean()), np.exp(logs - total)
        if value - before < _TOL * x.shape[1]:
            break
        before, counts = value, shares.sum(axis=0)
        amounts = counts + prior + 1e-300
        means = (shares.T @ x + prior[:, None] * mixture.means) / amounts[:, None]
        covariances = np.stack(
            [
                (_spread(x - mean, share, start.ndim) + p * (own + _spread((old - mean)[None], _ONE, start.ndim))) / a
                for mean, share, p, own, old, a in zip(
                    means, shares.T, prior, start, mixture.means, amounts, strict=True
                )
            ]
        )
        covariances += floor * np.eye(x.shape[1]) if start.ndim == 3 else floor
        weights = (counts + prior) / (len(x) + strength)
    return GaussianMixture(weights / weights.sum(), means, covariances)


def _component_logs(means: Float64Array, covariances: Float64Array, x: Float64Array) -> Float64Array:
    """Log density of every component, (n, m)."""
    n, d = x.shape
    logs = np.empty((n, len(means)))
    for j, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        if covariances.ndim == 3:
            root = np.linalg.cholesky(covariance)
            z = scipy.linalg.solve_triangular(root, (x - mean).T, lower=True, check_finite=False)
            squares, log_det = np.einsum("dn,dn->n", z, z), 2.0 * np.log(np.diag(root)).sum()
        else:
            variances = np.broadcast_to(covariance, (d,))
            squares, log_det = (x - mean) ** 2 @ (1.0 / variances), np.log(variances).sum()
        logs[:, j] = -0.5 * (squares + log_det + d * np.log(2.0 * np.pi))
    return logs


def _spread(x: Float64Array, shares: Float64Array, axes: int) -> Any:
    """Weighted sum of squares of rows x (n, d): of all coordinates (their mean), of each, or of each pair."""
    if axes == 3:
        return np.asarray((x * shares[:, None]).T @ x)
    squares = shares @ (x * x)
    return squares if axes == 2 else squares.mean()


def _rows(x: ArrayLike, dim: int | None = None) -> Float64Array:
    data = np.asarray(as_points("x", x, dim, ModelError), np.float64)
    if len(data) < _FEWEST:
        raise ModelError(f"x must hold at least {_FEWEST} rows to leave some out, got {len(data)}")
    return data


def _folds(n: int, in_order: bool, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to fit and rows to judge by."""
    ordered = as_flag("in_order", in_order, ModelError)
    parts = np.array_split(np.arange(n) if ordered else rng.permutation(n), _FOLDS)
    for part in parts[:1] if n >= _ENOUGH and not ordered else parts:
        yield np.setdiff1d(np.arange(n), part), part


def _from_means(x: Float64Array, m: int, shape: str, strength: float, seed: int) -> GaussianMixture:
    """A fit that starts at the centres of k-means and is held back by the diagonal covariance of the data."""
    variance = x.var(axis=0) + _FLOOR * float(x.var()) + 1e-300
    means = x.mean(axis=0)[None]
    if m > 1:
        scale = np.sqrt(variance)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a cluster that is empty
            means = scale * scipy.cluster.vq.kmeans2(x / scale, m, minit="++", rng=np.random.default_rng(seed))[0]
    own = variance * m ** (-2.0 / x.shape[1])
    each: Any = {"spherical": own.mean(), "diagonal": own, "full": np.diag(own)}[shape]
    return held_back(GaussianMixture(np.full(m, 1.0 / m), means, np.stack([each] * m)), x, strength)
