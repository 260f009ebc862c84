r"""The quadratic score-matching objective as a mergeable statistic.

    J(w) = int omega(t) E ||s_w - s*||^2 dt = w'G w - 2 b'w + c      on the simplex.

Because ``sum w = 1``, statistics are kept in the **difference basis** of model 0:

    G_ij = int omega E<s_i - s_0, s_j - s_0>,   b_i = int omega E<s_i - s_0, s* - s_0>,   c = int omega E||s_0 - s*||^2,

so that row and column 0 vanish. On the simplex this is the same J, but nearly equal models lose no digits. All arrays
are float64.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from solvers import SimplexQP
from synthetic._memory import refuse_huge

from .._internal.aliases import Float64Array
from .._internal.validation import as_count, as_kind, as_number, as_real
from ..errors import GramError

_SYMMETRY = 1e-8  # largest |G - G'| over max |G|: rounding of float32 products passes, a wrong matrix does not
_SIMPLEX = 1e-6  # largest distance of the sum of weights from 1


@final
@dataclass(frozen=True, eq=False)
class Contributions:
    """Per-sample (or per-batch) terms whose means are G and b.

    Attributes
    ----------
    g : array, shape (rows, k, k)
    b : array, shape (rows, k)
    counts : array, shape (rows,)
        Samples averaged in each row.
    """

    g: Float64Array
    b: Float64Array
    counts: Float64Array

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.counts.sum())

    def __add__(self, other: "Contributions") -> "Contributions":
        """Terms of two parts of a window on the same samples: they add up."""
        return Contributions(self.g + other.g, self.b + other.b, self.counts)

    def gradient(self, weights: ArrayLike) -> Float64Array:
        """Per-row gradients of J at the weights, ``2 (g w - b)``, shape (rows, k)."""
        w = np.asarray(weights, dtype=np.float64)
        return np.asarray(2.0 * (self.g @ w - self.b))

    def gradient_covariance(self, weights: ArrayLike) -> Float64Array:
        """Covariance (k, k) of the per-sample gradient of J at the weights."""
        gradients = self.gradient(weights)
        share = self.counts[:, None] / self.counts.sum()
        centred = gradients - (share * gradients).sum(axis=0)
        return np.asarray((self.counts[:, None] * centred).T @ centred / (len(self.counts) - 1))

    def variances(self) -> tuple[Float64Array, Float64Array]:
        """Per-sample variances of the entries of g (k, k) and b (k,)."""
        scale = self.counts / self.counts.mean()

        def variance(rows: Float64Array) -> Float64Array:
            weights = scale.reshape(-1, *([1] * (rows.ndim - 1)))
            centred = rows - (weights * rows).mean(axis=0)
            return np.asarray((weights * centred**2).sum(axis=0) / (len(rows) - 1) * self.counts.mean())

        return variance(self.g), variance(self.b)


@final
@dataclass(frozen=True, eq=False)
class ScoreGram:
    """Sufficient statistics (G, b, c) of the objective; ``+`` merges statistics of disjoint samples.

    Attributes
    ----------
    G : array, shape (k, k)
    b : array, shape (k,)
    c : float or None
        Constant of the objective; None when the target's own score is not known (J is then known up to a constant).
    n : int
        Samples averaged; 0 for an exact population value.
    objective : str
        Process, window and estimator; only equal objectives merge.
    contributions : Contributions or None
        Per-sample terms, if kept: what intervals are computed from.
    """

    G: Float64Array
    b: Float64Array
    c: float | None
    n: int
    objective: str = ""
    contributions: Contributions | None = None

    def __post_init__(self) -> None:
        given = [as_real(name, getattr(self, name), GramError) for name in "Gb"]
        for name, array in zip("Gb", given, strict=True):
            refuse_huge(name, *array.shape)
        G, b = (np.array(array, np.float64) for array in given)  # frozen below
        if b.ndim != 1 or G.shape != (len(b), len(b)):
            raise GramError(f"G must be (k, k) and b (k,), got {G.shape} and {b.shape}")
        if not (np.all(np.isfinite(G)) and np.all(np.isfinite(b))):
            raise GramError("G, b and c must be finite; a model returned NaN or an infinity")
        if self.c is not None:
            as_number("c", self.c, GramError)
        skew = float(np.abs(G - G.T).max()) if G.size else 0.0
        if skew > _SYMMETRY * max(float(np.abs(G).max(initial=0.0)), np.finfo(np.float64).tiny):
            raise GramError(f"G must be symmetric, its largest |G - G'| is {skew:.3g}; pass (G + G') / 2")
        as_count("n", self.n, at_least=0, error=GramError)
        as_kind("objective", self.objective, str, GramError)
        object.__setattr__(self, "G", G)
        object.__setattr__(self, "b", b)
        for array in (G, b):
            array.setflags(write=False)

    @property
    def k(self) -> int:
        """Number of models."""
        return len(self.b)

    def __add__(self, other: "ScoreGram") -> "ScoreGram":
        if not isinstance(other, ScoreGram):
            return NotImplemented
        if self.k != other.k or self.objective != other.objective:
            raise GramError(
                f"cannot merge statistics of different objectives: k={self.k} [{self.objective}] and "
                f"k={other.k} [{other.objective}]"
            )
        if self.n == 0 or other.n == 0:
            raise GramError("a population value (n=0) cannot be merged with samples")
        n = self.n + other.n
        u, v = self.n / n, other.n / n
        c = None if self.c is None or other.c is None else u * self.c + v * other.c
        return ScoreGram(u * self.G + v * other.G, u * self.b + v * other.b, c, n, self.objective)

    def leading(self, k: int) -> "ScoreGram":
        """Statistics of the first k models: no new pass over the data."""
        if not 1 <= as_count("k", k, at_least=0, error=GramError) <= self.k:
            raise GramError(f"k must be between 1 and {self.k}, got {k}")
        return ScoreGram(self.G[:k, :k], self.b[:k], self.c, self.n, self.objective)

    def to_qp(self) -> SimplexQP:
        """The problem ``min 1/2 w'Pw + q'w + r`` with ``P = 2G``, ``q = -2b``, ``r = c``."""
        return SimplexQP(2.0 * self.G, -2.0 * self.b, self.c or 0.0)

    def value(self, weights: ArrayLike) -> float:
        """``J(w)`` at weights (k,); up to the unknown constant if c is None."""
        w = self._vector(weights)
        return float(w @ self.G @ w - 2.0 * self.b @ w + (self.c or 0.0))

    def excess(self, weights: ArrayLike, reference: ArrayLike) -> float:
        """``J(w) - J(w_ref)`` without cancellation: ``(w - w_ref)'G(w - w_ref) + gradient . (w - w_ref)``."""
        ref = self._vector(reference)
        step = self._vector(weights) - ref
        return float(step @ self.G @ step + 2.0 * (self.G @ ref - self.b) @ step)

    def _vector(self, weights: ArrayLike) -> Float64Array:
        w = as_real("weights", weights, GramError).astype(np.float64, copy=False)
        if w.shape != (self.k,):
            raise GramError(f"weights must have shape ({self.k},), got {w.shape}")
        if not abs(float(w.sum()) - 1.0) <= _SIMPLEX:  # the difference basis holds on sum w = 1 only; NaN fails too
            raise GramError(f"weights must be finite and sum to 1, their sum is {float(w.sum()):.9g}")
        return w

    def __repr__(self) -> str:
        kept = "" if self.contributions is None else f", contributions of {len(self.contributions.counts)} rows"
        return f"ScoreGram(k={self.k}, n={self.n}, c={self.c!r}, {self.objective!r}{kept})"


def split_terms(terms: Float64Array) -> tuple[Float64Array, Float64Array]:
    """G (..., k, k) and b (..., k) from terms (..., k, k - 1): b in the first row, rows of G in the others."""
    G = np.concatenate([np.zeros((*terms.shape[:-1], 1)), terms], axis=-1)
    b = G[..., 0, :].copy()
    G[..., 0, :] = 0.0
    return G, b


def local_gram(
    hessian: Float64Array, gradients: Float64Array, weights: Float64Array, keep: int, label: str
) -> ScoreGram:
    """The quadratic model of a likelihood at its fit, with at most ``keep`` rows of terms.

    ``G = H/2`` in the difference basis of model 0, and b such that ``2 (G w - b)`` are the gradients (n, k) by sample.
    """
    (n, k), gradients = gradients.shape, gradients - gradients[:, :1]
    G = 0.5 * (hessian - hessian[:, :1] - hessian[:1] + hessian[0, 0])
    edges = np.linspace(0, n, min(keep, n) + 1).round().astype(np.intp)
    counts = np.diff(edges).astype(np.float64)
    rows = G @ weights - 0.5 * np.add.reduceat(gradients, edges[:-1], axis=0) / counts[:, None]
    kept = Contributions(np.broadcast_to(G, (len(counts), k, k)), rows, counts)
    return ScoreGram(G, (counts[:, None] * rows).sum(axis=0) / n, None, n, label, kept)


def tangent_basis(k: int) -> Float64Array:
    """Orthonormal basis (k, k - 1) of the directions that keep ``sum w`` fixed."""
    if as_count("k", k, error=GramError) == 1:
        return np.zeros((1, 0))
    refuse_huge("a basis of k (k - 1) entries", k, k)
    return np.asarray(np.linalg.svd(np.ones((1, k)))[2][1:].T)
