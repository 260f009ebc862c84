r"""Euclidean projection onto the simplex.

.. math:: \Pi(v) = \arg\min_{w \in \Delta} \|w - v\|^2 = (v - \theta 1)_+ , \qquad \sum_i (v_i - \theta)_+ = 1 .

With v sorted in decreasing order, theta = (v_1 + ... + v_m - 1) / m for the largest m with v_m > theta (Held, Wolfe and
Crowder 1974).
"""

from __future__ import annotations

import numpy as np

from .problem import Vector


def project_simplex(v: Vector) -> Vector:
    """Closest point of the simplex to `v` (..., k), along the last axis. Cost: one sort, O(k log k) each."""
    ordered = np.sort(v, axis=-1)[..., ::-1]
    # Shifting by the largest entry changes nothing and keeps the sums small.
    top = ordered[..., :1]
    thresholds = (np.cumsum(ordered - top, axis=-1) - 1.0) / np.arange(1, v.shape[-1] + 1)
    count = ((ordered - top) > thresholds).sum(axis=-1, keepdims=True)
    theta = np.take_along_axis(thresholds, count - 1, axis=-1)
    return np.asarray(np.maximum(v - top - theta, 0.0), dtype=np.float64)


def uniform(k: int) -> Vector:
    """The centre of the simplex, (k,)."""
    return np.full(k, 1.0 / k)
