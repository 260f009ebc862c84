r"""Covariances of mixture components as spectra, so that adding noise never refactorises.

A component covariance is ``S_j = U_j diag(L_j) U_j'``. Scaling by ``a`` and adding ``N(0, s^2 I)`` gives
``U_j diag(a^2 L_j + s^2) U_j'``: only the eigenvalues change. The three storage layouts are

========== ================ ==================
layout     eigenvalues      basis
========== ================ ==================
isotropic  (m, 1)           none
diagonal   (m, d)           none
full       (m, d)           (m, d, d), columns
========== ================ ==================
"""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
from numpy.typing import ArrayLike

from ._memory import refuse_huge
from ._typing import Float64Array, FloatArray, IntArray
from ._validation import LARGEST, as_finite, as_real
from .errors import CovarianceError, ShapeError

Layout = Literal["isotropic", "diagonal", "full"]
_SYMMETRY_TOLERANCE = 1e-10
SMALLEST_VARIANCE = 1 / LARGEST


@final
@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues (m, 1) or (m, d) of m covariances, and their eigenvectors (m, d, d) if not axis-aligned."""

    values: Float64Array
    dim: int
    basis: Float64Array | None = None

    @property
    def layout(self) -> Layout:
        """Name of the storage layout."""
        if self.basis is not None:
            return "full"
        return "isotropic" if self.values.shape[1] == 1 else "diagonal"

    def noised(self, alpha: float, sigma: float) -> "Spectrum":
        """Spectrum of ``alpha X + sigma Z``."""
        values = alpha * alpha * self.values + sigma * sigma
        low, high = float(values.min()), float(values.max())
        if not (low >= SMALLEST_VARIANCE and high <= LARGEST):
            raise CovarianceError(
                f"alpha (or scale) = {alpha!r} and sigma = {sigma!r} make variances from {low:.3g} to {high:.3g}; "
                f"they must lie between {SMALLEST_VARIANCE:g} and {LARGEST:g}"
            )
        return Spectrum(values, self.dim, self.basis)

    def subset(self, index: IntArray) -> "Spectrum":
        """Spectrum of some of the components."""
        return Spectrum(self.values[index], self.dim, None if self.basis is None else self.basis[index])

    def log_det(self) -> Float64Array:
        """Log determinants, (m,)."""
        logs: Float64Array = np.log(self.values).sum(axis=1)
        return logs * self.dim if self.values.shape[1] == 1 else logs

    def precision_trace(self) -> Float64Array:
        """Traces of the precisions, (m,)."""
        traces: Float64Array = (1.0 / self.values).sum(axis=1)
        return traces * self.dim if self.values.shape[1] == 1 else traces

    def whiten(self, residual: FloatArray, j: int) -> FloatArray:
        """Map residuals ``x - mu_j`` (n, d) to standard coordinates (n, d)."""
        if self.basis is not None:
            residual = residual @ self.basis[j]
        out: FloatArray = residual / np.sqrt(self.values[j])
        return out

    def unwhiten_precision(self, y: FloatArray, j: int) -> FloatArray:
        """Map standard coordinates y to ``S_j^{-1} (x - mu_j)``."""
        out: FloatArray = y / np.sqrt(self.values[j])
        return out if self.basis is None else out @ self.basis[j].T

    def colour(self, z: FloatArray, j: int) -> FloatArray:
        """Map standard normals (n, d) to draws from N(0, S_j)."""
        out: FloatArray = z * np.sqrt(self.values[j])
        return out if self.basis is None else out @ self.basis[j].T

    def dense(self) -> Float64Array:
        """Covariances as (m, d, d)."""
        values = np.broadcast_to(self.values, (len(self.values), self.dim))
        if self.basis is None:
            return np.asarray(values[:, :, None] * np.eye(self.dim))
        return np.asarray(np.einsum("mde,me,mfe->mdf", self.basis, values, self.basis))

    def covariances(self) -> Float64Array:
        """Covariances in the smallest array that holds them: (m,), (m, d) or (m, d, d)."""
        if self.basis is not None:
            return self.dense()
        return self.values[:, 0] if self.values.shape[1] == 1 else self.values


def spectrum_from(covariances: ArrayLike, m: int, d: int) -> Spectrum:
    """Validate covariances given as scalar, (m,), (m, d) or (m, d, d) and return their spectrum."""
    given = as_real("covariances", covariances)
    if given.shape not in ((), (m,), (m, d), (m, d, d)):
        shapes = f"a scalar, ({m},), ({m}, {d}) or ({m}, {d}, {d})"
        raise ShapeError(f"covariances must be {shapes} for {m} components in {d} dimensions, got {given.shape}")
    if given.ndim == 3:
        refuse_huge("covariances", *given.shape, beside=2 * given.size)  # their eigenvectors, and the work of that
    array = as_finite("covariances", given)
    basis: Float64Array | None = None
    if array.shape == (m, d, d):
        scale = np.abs(array).max(axis=(1, 2))
        asymmetry = np.abs(array - array.transpose(0, 2, 1)).max(axis=(1, 2))
        if np.any(asymmetry > _SYMMETRY_TOLERANCE * scale):
            j = int(np.argmax(asymmetry - _SYMMETRY_TOLERANCE * scale))
            raise CovarianceError(f"covariances[{j}] is not symmetric: entries differ by {asymmetry[j]:.3g}")
        values, basis = np.linalg.eigh((array + array.transpose(0, 2, 1)) / 2)
    elif array.shape == (m, d):
        values = array
    else:
        values = np.broadcast_to(array, (m,)).copy()[:, None]
    floor = np.full(m, SMALLEST_VARIANCE)
    if basis is not None:
        floor = np.maximum(floor, values.max(axis=1) * np.finfo(np.float64).eps * d)
    smallest = values.min(axis=1)
    if np.any(smallest < floor):
        j = int(np.argmin(smallest - floor))
        raise CovarianceError(
            f"covariances[{j}] is not positive definite: smallest eigenvalue {smallest[j]:.3g}; "
            f"covariances are variances, and every one must be at least {floor[j]:.3g}"
        )
    return Spectrum(values, d, basis)
