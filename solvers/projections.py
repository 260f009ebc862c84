r"""Projection onto the simplex, Euclidean and in a diagonal metric.

.. math:: \Pi_d(v) = \arg\min_{w \in \Delta} \sum_i d_i (w_i - v_i)^2 = (v - \theta / d)_+ ,
          \qquad \sum_i (v_i - \theta / d_i)_+ = 1 .

With the entries in decreasing order of d_i v_i, :math:`\theta = (\sum_{i \le m} v_i - 1) / \sum_{i \le m} 1/d_i`
for the largest m with d_m v_m > theta (Held, Wolfe and Crowder 1974 for d = 1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .errors import ShapeError
from .problem import Vector
from .validation import real_array, require_finite


def project_simplex(v: ArrayLike) -> Vector:
    """Closest point of the simplex to `v`, along the last axis.

    Parameters
    ----------
    v : (..., k) real array
        Finite; any real dtype, computed in float64.

    Returns
    -------
    (..., k) float64
        Sums to 1 to float64 rounding. Cost: one sort, O(k log k) each.

    Raises
    ------
    ShapeError, DataTypeError, NonFiniteError
    """
    points = real_array(v, "v")[0]
    if points.ndim == 0 or points.shape[-1] == 0:
        raise ShapeError(f"v must have shape (..., k) with k >= 1, got {points.shape}")
    require_finite(points, "v")
    if not points.size:
        return points.copy()
    with np.errstate(over="ignore"):  # entries of 1e308 and -1e308: what overflows is far below zero
        return euclidean(points)


def euclidean(v: Vector) -> Vector:
    """`project_simplex` without checks."""
    # Shifting by the largest entry changes nothing and keeps the sums small; what is 2 below it has no part.
    lowered = np.maximum(v - v.max(axis=-1, keepdims=True), -2.0)
    ordered = np.sort(lowered, axis=-1)[..., ::-1]
    thresholds = (np.cumsum(ordered, axis=-1) - 1.0) / np.arange(1, v.shape[-1] + 1)
    count = (ordered > thresholds).sum(axis=-1, keepdims=True)
    w: Vector = np.maximum(lowered - np.take_along_axis(thresholds, count - 1, axis=-1), 0.0)
    w /= w.sum(axis=-1, keepdims=True)
    return w


def scaled(v: Vector, d: Vector) -> Vector:
    """Closest point (k,) of the simplex to `v` (k,) in the metric of the positive weights `d` (k,)."""
    heights = v * d
    order = heights.argsort()[::-1]
    thresholds = (v[order].cumsum() - 1.0) / (1.0 / d[order]).cumsum()
    last = int(np.count_nonzero(heights[order] > thresholds)) - 1
    w: Vector = np.maximum(v - thresholds[last] / d, 0.0)
    w /= w.sum()
    return w


def uniform(k: int) -> Vector:
    """The centre of the simplex, (k,)."""
    return np.full(k, 1.0 / k)
