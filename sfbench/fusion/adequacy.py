r"""Is the fused score good enough? Losses on the rows of the fit, and a test of whether the target is in the family.

**Losses** are mean squared errors of the predicted noise for each coordinate, averaged over the time nodes of the fit:
of the fit, of each model, of equal weights and of the best weights of any sign, all on the same noise.

**Misfit.** If the target is in the family of fused laws, all moments ``h(w) = A w - a`` of :mod:`sfbench.statistics.
residuals` vanish at one point w of the simplex. With S the covariance of their rows at the fit,

    T = min over the simplex of  n (A w - a)' S^-1 (A w - a)

is Hotelling's T^2 of the moments that no weights of the face of the minimum can change: given that face, however many
weights are zero, ``(n - q) T / (q (n - 1))`` follows F with (q, n - q) degrees of freedom, q the number of moments less
the dimension of the face. (A normal vector projected onto a convex cone has a residual whose length is independent of
its direction; the face is a matter of direction.) Weights are estimated anew, so nothing has to be projected out.

**What it cannot see**: fields that were not tried; models that differ from the target in directions that no field
looks at; a target that is not a fused law but whose score these rows cannot tell from one.
With rows enough every real network is refused: the size of the misfit says whether that matters.

**Size.** ``sum over bins of h'M^-1 h / d`` at the fit, M the Gram matrix of the fields, less what noise adds: what the
best combination of the fields would take off the loss; at least that lies between the fit and the target's own score.

**Weights by bin of time** are judged in each bin, on the same rows; the p-value is the least one times the number of
bins, so its level holds however the bins depend on one another.

**Guarantee**: level asymptotic in rows (measured: ``benchmarks.adequacy``). **Assumption**: i.i.d. rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, final

import numpy as np
import scipy

from solvers import SimplexQP, SolverFailureError, solve

from .._internal.aliases import Float64Array
from .._internal.arrays import take, to_host
from ..scores import ScoreModel
from ..statistics import GramSettings, as_data
from ..statistics.gram import tangent_basis
from ..statistics.passes import accumulate
from ..statistics.residuals import MOST_ROWS, Residuals, ResidualsByPart
from ..statistics.rows import LoaderSource, is_file, is_loader
from ..statistics.samples import DataSource

LEVEL = 1e-3  # of the warning: one false alarm in a thousand
_NOTICEABLE = 0.01  # of the loss: networks never fit perfectly, and smaller misfits are not worth a warning
_USABLE = 1e-7  # of the largest standard deviation of a moment
_SMALLEST = 0.3  # eigenvalue of the moments' correlation matrix; rows along smaller ones are skewed (measured)
_ZERO = 1e-9
_FEWEST_EXACT, _EXACT_NUMBERS = 512, 1 << 13
_Z = float(scipy.special.ndtri(0.95))


@final
@dataclass(frozen=True, eq=False)
class Adequacy:
    """How good a fit is.

    Attributes
    ----------
    fused, equal, unconstrained, linear : float
        Denoising losses of the fit, of equal weights, of the best weights of any sign, and of the best isotropic
        Gaussian; a model that predicts no noise has 1.
    single : array, shape (k,)
        Loss of each model.
    over_linear, over_single : array, shape (3,)
        Losses of the isotropic Gaussian and of the best single model minus that of the fit, with 90 % intervals.
    p_value : float
        Of the misfit test; NaN if there are too few rows.
    statistic : float
        Hotelling's T^2.
    n_moments, dimension : int
        Moments that were tested, and the dimension of the face of the weights that fit them best.
    misfit : float
        What the test fields would take off the loss of the fit: a lower estimate of what separates it from the least
        possible loss; NaN if there are too few rows.
    n : int
        Rows.
    """

    fused: float
    equal: float
    unconstrained: float
    linear: float
    single: Float64Array
    over_linear: Float64Array
    over_single: Float64Array
    p_value: float
    statistic: float
    n_moments: int
    dimension: int
    misfit: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """As values that JSON has; unknown numbers are None."""
        values = {f.name: np.asarray(getattr(self, f.name)).tolist() for f in fields(self)}
        return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in values.items()}

    def doubts(self) -> tuple[str, ...]:
        """Warnings: worse than a linear predictor; or a misfit, where it is worth a word."""
        if self.over_linear[2] < 0.0:
            losses = f"loss {self.fused:.4f}, its {self.linear:.4f}"
            text = f"the fit denoises these data worse than a linear predictor ({losses})"
            return (f"{text}: the models were made for other data, or are called wrongly",)
        if self.p_value < LEVEL and self.misfit > _NOTICEABLE * self.fused:
            text = f"misfit: no weights of these models give the target's score (p = {self.p_value:.1g})"
            return (f"{text}; a better model would take about {self.misfit / self.fused:.1%} or more off the loss",)
        return ()

    def verdict(self, labels: tuple[str, ...]) -> str:
        """One line in words."""
        best = int(np.argmin(self.single))
        alone = "" if len(self.single) == 1 else f", best single model {labels[best]} {self.single[best]:.4f}"
        if self.n < 2:  # a linear predictor knows a single row by heart
            return f"adequate: not known, loss {self.fused:.4f}{alone}; too few rows"
        ratio = self.fused / self.linear
        if not np.isfinite(self.p_value):
            word, test = "not known", "too few rows for a test of misfit"
        elif self.p_value < LEVEL:
            size = f"a better model would take about {self.misfit:.2g} or more off the loss"
            word, test = "in part", f"misfit p = {self.p_value:.1g}: {size}"
        else:
            word, test = "yes", f"misfit p = {self.p_value:.3f}: these rows show none"
        word = "no" if self.over_linear[2] < 0.0 else word
        others = f"{alone}, best weights of any sign {self.unconstrained:.4f}" if alone else ""
        return f"adequate: {word}, loss {self.fused:.4f} ({ratio:.1%} of a linear predictor's{others}); {test}"


def adequacy(residuals: Residuals | ResidualsByPart, weights: Float64Array) -> Adequacy:
    """Losses and misfit of fitted weights.

    Parameters
    ----------
    residuals : Residuals or ResidualsByPart
        Filled by the pass of the fit.
    weights : array, shape (k,), or (bins, k) for residuals by part

    Returns
    -------
    Adequacy
    """
    if isinstance(residuals, ResidualsByPart):
        return _over_time(residuals, weights)
    k, n = len(weights), residuals.n_rows
    mean = np.tensordot(residuals.weight, residuals.losses, 1) / n
    equal, basis = np.full(k, 1.0 / k), tangent_basis(k)
    corners = [_combination(corner) for corner in np.eye(k)]
    lower = np.vstack([np.zeros(k), mean[1:]])  # half the gradient of the loss at u is lower @ u
    inverse = np.linalg.pinv(basis[1:].T @ mean[1:, 1:] @ basis[1:], rcond=1e-12, hermitian=True)
    free = equal - basis @ (inverse @ (basis.T @ lower @ _combination(equal)))
    fused, balanced, unconstrained = (_combination(w) for w in (weights, equal, free))
    single = np.array([corner @ mean @ corner for corner in corners])
    best = corners[int(single.argmin())]
    rows = [np.einsum("i,nij,j->n", u, residuals.losses, u) for u in (fused, best)]
    return Adequacy(
        float(fused @ mean @ fused),
        float(balanced @ mean @ balanced),
        float(unconstrained @ mean @ unconstrained),
        float(residuals.weight @ residuals.linear) / n,
        single,
        _interval(residuals.linear - rows[0], residuals.weight),
        _interval(rows[1] - rows[0], residuals.weight),
        *_misfit(residuals, weights),
        n,
    )


def _over_time(residuals: ResidualsByPart, weights: Float64Array) -> Adequacy:
    """Losses averaged over bins as over nodes; the least p-value of the bins, times their number."""
    parts, shares = residuals.parts, np.diff(residuals.edges) / residuals.edges[-1]
    found = [adequacy(part, w) for part, w in zip(parts, weights, strict=True)]

    def mean(name: str) -> Any:
        return np.tensordot(shares, np.array([getattr(one, name) for one in found]), 1)

    single, k = np.asarray(mean("single")), weights.shape[1]
    best = np.tile(np.eye(k)[single.argmin()], (len(parts), 1))
    rows = [
        sum(
            share * np.einsum("i,nij,j->n", u, part.losses, u)
            for share, part, u in zip(shares, parts, map(_combination, each), strict=True)
        )
        for each in (weights, best)
    ]
    linear = np.tensordot(shares, np.stack([part.linear for part in parts]), 1)
    p_values = np.array([one.p_value for one in found])
    known = p_values[np.isfinite(p_values)]
    values: dict[str, Any] = {
        **{name: float(mean(name)) for name in ("fused", "equal", "unconstrained", "linear", "misfit")},
        **{name: sum(getattr(one, name) for one in found) for name in ("statistic", "n_moments", "dimension")},
    }
    return Adequacy(
        **values,
        single=single,
        over_linear=_interval(linear - rows[0], parts[0].weight),
        over_single=_interval(rows[1] - rows[0], parts[0].weight),
        p_value=min(1.0, float(known.min()) * len(known)) if known.size else np.nan,
        n=residuals.n_rows,
    )


def _interval(rows: Float64Array, weight: Float64Array) -> Float64Array:
    rows = weighted_rows(rows, weight)
    half = _Z * float(rows.std(ddof=1)) / np.sqrt(len(rows)) if len(rows) > 1 else np.nan
    return np.asarray(rows.mean() + np.array([0.0, -half, half]))


def weighted_rows(rows: Float64Array, weight: Float64Array) -> Float64Array:
    """Rows (..., n) whose mean and its standard error are those of the weighted mean; weights of mean 1."""
    if np.all(weight == 1.0):
        return rows
    mean = np.asarray((rows * weight).mean(axis=-1))[..., None]
    return np.asarray(mean + weight * (rows - mean))


def judged_later(
    models: tuple[ScoreModel, ...],
    x: Any,
    settings: GramSettings,
    weights: Float64Array,
    sample_weight: Float64Array | None = None,
    edges: Sequence[int] | None = None,
) -> Callable[[], Adequacy]:
    """The adequacy of exact scores, whose pass sees few coordinates only: asked in all of them, on few rows, if wanted.

    Costs up to 4096 rows in one dimension, 512 in sixteen and more; their noise is that of seed 0.
    """
    most = min(MOST_ROWS, max(_FEWEST_EXACT, _EXACT_NUMBERS // models[0].dim))
    if is_file(x) or is_loader(x):  # a loader is begun once more
        source = LoaderSource(x) if is_loader(x) else x
        places = np.arange(min(most, source.n))
        rows = to_host(as_data(source.rows(0, len(places)), models[0].dim))
    else:
        whole = as_data(x, models[0].dim)
        places = np.arange(len(whole)) if sample_weight is None else np.flatnonzero(sample_weight)
        places = places[:: -(-len(places) // most)]
        rows = to_host(take(whole, places))
    weight = None if sample_weight is None else sample_weight[places]
    return partial(_judged, models, np.array(rows, np.float64), settings, weights, weight, edges)


def _judged(
    models: tuple[ScoreModel, ...],
    rows: Float64Array,
    settings: GramSettings,
    weights: Float64Array,
    sample_weight: Float64Array | None,
    edges: Sequence[int] | None,
) -> Adequacy:
    residuals = Residuals(settings) if edges is None else ResidualsByPart(settings, edges)
    source = DataSource(models, rows, None, settings, np.random.default_rng(0))
    source.sample_weight = sample_weight
    accumulate(source, settings, [len(rows)], residuals=residuals)
    return adequacy(residuals, weights)


def _combination(w: Float64Array) -> Float64Array:
    """``e_w`` in terms of ``T_0, ..., T_(k-1)``."""
    return np.concatenate([[-1.0], w[1:]])


def _misfit(residuals: Residuals, weights: Float64Array) -> tuple[float, float, int, int, float]:
    """P-value, statistic, moments, dimension of the face, size."""
    if residuals.moments is None:
        return np.nan, np.nan, 0, 0, np.nan
    tested = residuals.tested
    moments = residuals.moments[tested] * residuals.weight[tested, None, None, None]
    n, bins, m, k = moments.shape
    moments = moments.reshape(n, bins * m, k)
    at_fit = moments @ _combination(weights)
    centred = at_fit - at_fit.mean(axis=0)
    covariance = centred.T @ centred / (n - 1)
    scale = np.sqrt(np.diag(covariance))
    usable = scale > _USABLE * scale.max(initial=0.0)
    scale = np.where(usable, scale, 1.0)
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale) * np.outer(usable, usable))
    kept = values > _SMALLEST
    whiten = (vectors[:, kept] / np.sqrt(values[kept])).T / scale * np.sqrt(n)
    mean = moments.mean(axis=0)
    a, A = -whiten @ mean[:, 0], whiten @ mean
    A[:, 0] = 0.0  # h = A w + h_0, h_0 = -T_0's
    try:
        answer = solve(SimplexQP(2.0 * A.T @ A, 2.0 * A.T @ a, float(a @ a)), tol=1e-10)
    except SolverFailureError:
        return np.nan, np.nan, int(kept.sum()), 0, np.nan
    w = np.asarray(answer.weights)
    statistic = float(((A @ w + a) ** 2).sum())
    face = np.flatnonzero(w > _ZERO)
    directions = A[:, face] @ tangent_basis(len(face))
    dimension = int(np.linalg.matrix_rank(directions)) if directions.size else 0
    q = int(kept.sum()) - dimension
    if q < 1 or n <= q:
        return np.nan, statistic, int(kept.sum()), dimension, np.nan
    p = float(scipy.stats.f.sf(statistic * (n - q) / (q * (n - 1)), q, n - q))
    return p, statistic, int(kept.sum()), dimension, _size(residuals, at_fit)


def _size(residuals: Residuals, at_fit: Float64Array) -> float:
    """What the fields take off the loss, averaged over bins, less what noise adds; at least 0."""
    assert residuals.moments is not None
    n, m, total = len(at_fit), residuals.moments.shape[2], 0.0
    for b, share in enumerate(residuals.shares):
        rows = at_fit[:, b * m : (b + 1) * m]
        inverse = np.linalg.pinv(residuals.fields[b], rcond=1e-9, hermitian=True)
        h = rows.mean(axis=0)
        noise = float((inverse * np.cov(rows.T)).sum()) / n
        total += share * (float(h @ inverse @ h) - noise)
    return max(total / residuals.dim, 0.0)
