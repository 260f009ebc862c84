r"""Newton's method on the logarithms of the weights, for a quadratic plus an entropy.

.. math:: F(w) = \tfrac12 w'Pw + q'w + \epsilon\, KL(w \| v)

Every weight of the minimiser is positive, :math:`w_i \propto v_i \exp(-(Pw + q)_i / \epsilon)`, and may be as small as
1e-200, where Newton's method on w itself meets the boundary. With :math:`w^+ \propto w\, e^{\delta}` and
:math:`u = \sqrt{w}\, \delta`, the Newton step solves

.. math:: (\sqrt W P \sqrt W + \epsilon I)\, u = -\sqrt w\, (\nabla F - \lambda 1), \qquad \sqrt{w}{}' u = 0,

a system whose eigenvalues are at least epsilon, however small the weights. A step is halved until
:math:`\langle \nabla F(w^+), w^+ - w \rangle \le 0`, by which F has not risen (convexity; no values are compared), and
no weight grows by more than a factor of e^2.
"""

from __future__ import annotations

import numpy as np

from .base import Candidate
from .certificates import duality_gap
from .limits import Budget
from .problem import Vector
from .regularisation import EntropyRegularised

_LOWEST = float(np.log(1e-300))
_GROWTH = 2.0
_HALVINGS = 40


def log_newton(objective: EntropyRegularised, tol: float, start: Vector, budget: Budget) -> Candidate:
    """Minimise `objective`; `start` (k,) is mixed with a little of the reference, because no zero can grow."""
    from scipy.linalg import cho_factor, cho_solve

    P, entropy = objective.problem.P, objective.strength * objective.problem.scale
    target, rounding = 0.01 * tol * objective.scale, 1e-15 * objective.scale
    w = 0.999 * start + 0.001 * objective.reference
    logs = np.log(w)
    g = objective.gradient(w)
    lowest = np.inf
    for n in budget:
        root = np.sqrt(w)
        system = root[:, None] * P * root
        system.flat[:: len(w) + 1] += entropy
        factor = cho_factor(system, overwrite_a=True, check_finite=False)
        newton, ones = cho_solve(factor, np.column_stack([root * (g - g @ w), root]), check_finite=False).T
        delta = (ones * ((root @ newton) / (root @ ones)) - newton) / root
        gamma = min(1.0, _GROWTH / max(float(delta.max()), _GROWTH))
        for _ in range(_HALVINGS):
            moved = logs + gamma * delta
            moved -= moved.max()
            moved -= np.log(np.exp(moved).sum())
            np.maximum(moved, _LOWEST, out=moved)
            new = np.exp(moved)
            g_new = objective.gradient(new)
            if (g_new - g_new @ new) @ (new - w) <= rounding:
                break
            gamma *= 0.5
        w, logs, g = new, moved, g_new
        gap = duality_gap(w, g)
        # Quadratic convergence ends at rounding: stop when the gap is small and no longer falls.
        if gap <= target or (gap <= tol * objective.scale and gap >= 0.5 * lowest):
            return Candidate(w, n)
        lowest = min(lowest, gap)
    return budget.spent(w)
