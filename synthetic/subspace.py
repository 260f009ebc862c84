r"""The subspace in which a set of laws differ.

If laws ``p_1 .. p_k`` are ``core_i (x) complement`` with one common complement, then densities, scores, pools, total
variation, KL and score-matching objectives all reduce to the cores:

- embedded mixtures with one frame, variance and shift reduce by construction;
- isotropic mixtures whose components all have one variance reduce to the span of their means;
- other mixtures on R^1 and R^2 are their own cores;
- a pool reduces as the mixtures that it is made of.

Laws say what they are made of (``law.components``), and what they are in given coordinates (``law.core_in``), so this
module knows none of their classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import ArrayLike

from ._memory import refuse_huge
from ._typing import Float64Array, FloatArray
from ._validation import as_finite, as_laws, as_points, finite_result
from .errors import IntractableError
from .law import Law, components_of

if TYPE_CHECKING:
    from .gaussian_mixture import GaussianMixture

_RANK_TOLERANCE = 1e-12


@final
@dataclass(frozen=True, eq=False)
class Subspace:
    """Common coordinates ``y = frame' (x - shift)`` of laws that share an isotropic complement.

    Attributes
    ----------
    frame : array, shape (d, r)
        Orthonormal columns.
    shift : array, shape (d,)
        Origin.
    variance : float or None
        That of the shared complement; None when the frame spans the whole space.
    plain : bool
        Whether the laws themselves are isotropic mixtures of that variance, not embedded ones.
    cores : tuple of GaussianMixture
        The components of the laws that the subspace was made for, in its coordinates.
    """

    frame: Float64Array
    shift: Float64Array
    variance: float | None
    plain: bool = False
    cores: "tuple[GaussianMixture, ...]" = ()

    @property
    def rank(self) -> int:
        """Dimension r of the cores."""
        return int(self.frame.shape[1])

    @property
    def dim(self) -> int:
        """Dimension d of the space."""
        return len(self.frame)

    def core_of(self, law: Law) -> Law:
        """The law in these coordinates: a mixture, or a pool, on R^r.

        Raises
        ------
        IntractableError
            If the law does not have this complement.
        """
        if not hasattr(law, "core_in"):
            raise IntractableError(
                f"law is a {type(law).__name__}, which does not say what it is in a subspace (`core_in`)"
            )
        core: Law = law.core_in(self)
        return core

    def is_same(self, other: "Subspace | None") -> bool:
        """Whether another subspace has the same coordinates and complement."""
        return other is self or (
            other is not None
            and self.variance == other.variance
            and np.array_equal(self.frame, other.frame)
            and np.array_equal(self.shift, other.shift)
        )

    def project(self, x: ArrayLike) -> FloatArray:
        """Coordinates (n, r) of points (n, d)."""
        return self._product("x", as_points(x, self.dim), self.shift)

    def project_direction(self, z: ArrayLike) -> FloatArray:
        """Coordinates (n, r) of displacement vectors (n, d): the shift does not apply."""
        return self._product("z", as_points(z, self.dim, "z"))

    def _product(self, name: str, x: FloatArray, shift: Float64Array | None = None) -> FloatArray:
        refuse_huge(f"the coordinates of {name}", *x.shape)
        with np.errstate(over="ignore", invalid="ignore"):
            return finite_result(name, x, (x if shift is None else x - shift) @ self.frame)

    def lift(self, y: ArrayLike, rng: np.random.Generator) -> Float64Array:
        """Points (n, d) with the given coordinates (n, r) and a freshly drawn complement."""
        points = as_finite("y", as_points(y, self.rank, "y"))
        refuse_huge("the points at y", len(points), self.dim, beside=2 * len(points) * self.dim)
        if self.variance is None:
            return points
        noise = np.sqrt(self.variance) * rng.standard_normal((len(points), self.dim))
        return np.asarray(self.shift + noise + (points - noise @ self.frame) @ self.frame.T)


def common_subspace(laws: Sequence[Law]) -> Subspace | None:
    """Return the subspace in which laws differ, or None if no shared complement is known.

    Raises
    ------
    ShapeError, SyntheticError
        If there are no laws, or one is not a law.
    """
    parts_of_laws = [
        components_of(law) if hasattr(law, "core_in") else () for law in as_laws("laws", laws, alike=False)
    ]
    parts = [part for parts in parts_of_laws for part in parts]
    if not all(parts_of_laws) or len({part.dim for part in parts}) > 1:
        return None
    embeddings = [part.embedding for part in parts]
    if any(embedding is not None for embedding in embeddings):
        first = embeddings[0]
        if first is None or not all(first.is_same(embedding) for embedding in embeddings):
            return None
        return _holding(first, parts)
    dim = parts[0].dim
    whole = Subspace(np.eye(dim), np.zeros(dim), None, plain=True) if dim <= 2 else None
    variances = {part.shared_variance for part in parts}
    if None not in variances and len(variances) == 1:
        shift, frame = span_of(np.concatenate([part.means for part in parts]), at_least=1)  # type: ignore[union-attr]
        if frame.shape[1] < dim:
            return _holding(Subspace(frame, shift, variances.pop(), plain=True), parts)
    return None if whole is None else _holding(whole, parts)


def _holding(subspace: Subspace, parts: Sequence[Law]) -> Subspace:
    cores = tuple(subspace.core_of(part) for part in parts)
    return Subspace(subspace.frame, subspace.shift, subspace.variance, subspace.plain, cores)  # type: ignore[arg-type]


def span_of(means: Float64Array, *, at_least: int = 0) -> tuple[Float64Array, Float64Array]:
    """Centre (d,) of points (K, d), and an orthonormal frame (d, r) of the span of what they differ by.

    Directions lost in rounding, of the differences or of the points themselves, do not count.
    """
    shift = means.mean(axis=0)
    _, singular, rows = np.linalg.svd(means - shift, full_matrices=False)
    rounding = 4 * np.finfo(np.float64).eps * np.linalg.norm(means)
    rank = int(np.sum(singular > max(_RANK_TOLERANCE * singular[0], rounding)))
    return shift, np.ascontiguousarray(rows[: max(rank, at_least)].T)
