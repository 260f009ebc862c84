r"""The tie-break: among all minimisers, the one of smallest Euclidean norm.

With w a minimiser and N (k, m) an orthonormal basis of the directions along which the objective is constant, the
minimisers are :math:`\{ w + N y \ge 0 \}`, and the shortest solves the least-distance problem

.. math:: \min_y \tfrac12 \|N y + w\|^2 \quad \text{s.t.} \quad N y \ge -w .

Its dual is the non-negative least-squares problem :math:`\min_{\mu \ge 0} \| N'\mu - z \|^2` in disguise
(Lawson and Hanson 1974, ch. 23), solved here by ``scipy.optimize.nnls`` and polished on the active set it identifies.
Equal auxiliaries therefore share their weight equally.
"""

from __future__ import annotations

import numpy as np

from .problem import Matrix, Vector


def minimum_norm(w: Vector, directions: Matrix) -> Vector:
    """Shortest point (k,) of ``{w + directions y >= 0}``; `w` (k,) on the simplex, `directions` (k, m) orthonormal.

    Cost: one small non-negative least-squares problem of size (m + 1, rows touched).
    """
    from scipy.optimize import nnls

    if not directions.shape[1]:
        return w
    rows = np.flatnonzero(np.abs(directions).max(axis=1) > 1e-12)
    basis = directions[rows]
    fixed = w[rows] - basis @ (basis.T @ w[rows])  # the part of w that no direction can change
    if (fixed >= 0.0).all():
        out = w.copy()
        out[rows] = fixed
        return out
    # min ||z|| s.t. basis z >= -fixed  <=>  nnls with [basis'; -fixed'] mu ~ (0, ..., 0, 1).
    target = np.zeros(basis.shape[1] + 1)
    target[-1] = 1.0
    system = np.vstack([basis.T, -fixed[None, :]])
    try:
        multipliers, _ = nnls(system, target)
    except RuntimeError:  # iteration limit of nnls: the given minimiser is still a minimiser
        return w
    residual = system @ multipliers - target
    if abs(residual[-1]) < 1e-14:
        return w
    z = -residual[:-1] / residual[-1]
    active = multipliers > 0.0
    # On the identified active set the answer is a least-squares solution; this removes the rounding of nnls.
    if active.any():
        z = z + np.linalg.lstsq(basis[active], -fixed[active] - basis[active] @ z, rcond=None)[0]
    out = w.copy()
    out[rows] = np.maximum(fixed + basis @ z, 0.0)
    return out
