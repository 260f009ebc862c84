r"""Kernel distances between samples: unbiased MMD and energy distance.

Both are U-statistics of ``h(x, x') + h(y, y') - 2 h(x, y)``: ``h = exp(-|x - x'|^2 / 2 b^2)`` for the squared MMD,
``h = -|x - x'|`` for the energy distance. They estimate 0 without bias when the laws agree, so they may be negative.
The standard error is a jackknife over ten groups.
"""

from collections.abc import Callable

import numpy as np
import scipy  # submodules load on first use
from numpy.typing import ArrayLike

from synthetic import Estimate

from .._internal.aliases import Float64Array
from .._internal.validation import as_positive
from ..errors import SfbenchError
from .from_samples import weighted_pair

Kernel = Callable[[Float64Array, Float64Array], Float64Array]
_GROUPS = 10
_BLOCK = 1 << 18  # a tenth of the numbers in one block of the kernel matrix


def squared_mmd(x: ArrayLike, y: ArrayLike, *, bandwidth: float | None = None) -> Estimate:
    """Unbiased squared maximum mean discrepancy with a Gaussian kernel.

    Parameters
    ----------
    x, y : array_like (n, d), (m, d)
        Unweighted samples of at least 20 points; cost ``(n + m)^2``, memory that of a block of rows.
    bandwidth : float, optional
        Default: the median distance between x and y.
    """
    a, b = _samples(x, y)
    if bandwidth is None:
        bandwidth = float(np.median(scipy.spatial.distance.cdist(a[:1000], b[:1000])))
    bandwidth = as_positive("bandwidth", bandwidth)
    if not 1e-150 < bandwidth < 1e150:
        raise SfbenchError(f"bandwidth must have a square that float64 holds, got {bandwidth!r}")
    scale = -0.5 / bandwidth**2

    def kernel(p: Float64Array, q: Float64Array) -> Float64Array:
        return np.asarray(np.exp(scale * scipy.spatial.distance.cdist(p, q, "sqeuclidean")))

    return _u_statistic(a, b, kernel, f"unbiased MMD^2, bandwidth {bandwidth:.3g}")


def energy_distance(x: ArrayLike, y: ArrayLike) -> Estimate:
    """Unbiased ``2 E|X - Y| - E|X - X'| - E|Y - Y'|`` of unweighted samples (n, d), (m, d) of at least 20 points."""
    a, b = _samples(x, y)
    return _u_statistic(a, b, lambda p, q: -scipy.spatial.distance.cdist(p, q), "energy distance")


def _samples(x: ArrayLike, y: ArrayLike) -> tuple[Float64Array, Float64Array]:
    a, _, b, _ = weighted_pair(x, y)
    if min(len(a), len(b)) < 2 * _GROUPS:
        raise SfbenchError(f"need at least {2 * _GROUPS} points in each sample, got {len(a)} and {len(b)}")
    return a, b


def _u_statistic(a: Float64Array, b: Float64Array, kernel: Kernel, method: str) -> Estimate:
    within_a, within_b, across = (_block_sums(kernel, p, q) for p, q in ((a, a), (b, b), (a, b)))
    group_a, group_b = np.arange(len(a)) % _GROUPS, np.arange(len(b)) % _GROUPS
    size_a, size_b = np.bincount(group_a), np.bincount(group_b)
    self_a, self_b = (float(kernel(a[:1], a[:1])[0, 0]) * size for size in (size_a, size_b))

    def value(kept: np.ndarray) -> float:
        grid = np.ix_(kept, kept)
        n, m = float(size_a[kept].sum()), float(size_b[kept].sum())
        xx = (within_a[grid].sum() - self_a[kept].sum()) / (n * (n - 1.0))
        yy = (within_b[grid].sum() - self_b[kept].sum()) / (m * (m - 1.0))
        return float(xx + yy - 2.0 * across[grid].sum() / (n * m))

    everything = np.arange(_GROUPS)
    left_out = np.array([value(np.delete(everything, g)) for g in everything])
    error = np.sqrt((_GROUPS - 1) / _GROUPS * np.sum((left_out - left_out.mean()) ** 2))
    return Estimate(value(everything), float(error), len(a) + len(b), method)


def _block_sums(kernel: Kernel, p: Float64Array, q: Float64Array) -> Float64Array:
    """Sums of the kernel over groups of rows (every tenth of p) and columns (of q), (10, 10), a block at a time."""
    columns = np.eye(_GROUPS)[np.arange(len(q)) % _GROUPS]
    sums, rows = np.zeros((_GROUPS, _GROUPS)), max(_BLOCK // len(q), 1) * _GROUPS  # blocks start at group 0
    for start in range(0, len(p), rows):
        block = kernel(p[start : start + rows], q) @ columns
        sums += np.eye(_GROUPS)[:, np.arange(len(block)) % _GROUPS] @ block
    return sums
