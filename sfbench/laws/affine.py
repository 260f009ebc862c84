r"""The fused law of Gaussian auxiliaries: a Gaussian, whatever their covariances and the dimension.

The score of ``N(mu_i, S_i)`` under a forward process is ``P_i (alpha mu_i - x)``, ``P_i = (alpha^2 S_i + sigma^2)^-1``.
So the fused score is affine, ``s_w(x, t) = a - B x`` with ``B = sum_i w_i P_i`` and ``a = alpha sum_i w_i P_i mu_i``,
and the reverse SDE carries the Gaussian prior through Gaussians: with time running down from T,

    dm/dt = f m - g^2 (a - B m),        dV/dt = (f + g^2 B) V + V (f + g^2 B) - g^2 I.

The barycenter's precision ``sum_i w_i S_i^{-1}`` is the limit only if all ``S_i`` are equal.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import scipy
from numpy.typing import ArrayLike

from synthetic import GaussianMixture, as_gaussian_mixture

from .._internal.aliases import Float64Array
from .._internal.validation import as_points, as_weights, as_window
from ..errors import GramError, GridError, ModelError
from ..processes import ForwardProcess
from ..processes.base import as_process
from ..scores import FusedScore, WeightsOverTime

_TOLERANCE = 1e-11


def affine_fused_law(
    auxiliaries: Sequence[GaussianMixture],
    weights: ArrayLike | WeightsOverTime,
    *,
    process: ForwardProcess,
    t_min: float = 1e-3,
    t_max: float | None = None,
) -> GaussianMixture:
    """Law at ``t_min`` of the reverse SDE driven by the fused score of Gaussians, from the prior at ``t_max``.

    Parameters
    ----------
    auxiliaries : sequence of GaussianMixture
        Each with a single component of positive weight.
    weights : array_like, shape (k,), or WeightsOverTime
    process : ForwardProcess
    t_min, t_max : float
        Window; ``t_max`` defaults to the process's horizon.

    Raises
    ------
    ModelError
        If an auxiliary is not a Gaussian.
    GridError
        If the window is not ``0 < t_min < t_max``.

    Notes
    -----
    Solves ``2 d`` equations, or ``d + d^2`` if a covariance is full, to a relative tolerance of 1e-11.
    """
    as_process(process)
    t_min, start = as_window(t_min, process.horizon if t_max is None else t_max, strict=True)
    if not np.all(np.isfinite(process.log_snr(np.array([start, t_min])))):
        raise GridError(f"the log signal-to-noise ratio of {process!r} must be finite in [{t_min:g}, {start:g}]")
    schedule = FusedScore(auxiliaries, weights, process=process).schedule  # checks weights and dimensions
    for i, law in enumerate(auxiliaries):
        mixture = as_gaussian_mixture(law)
        if mixture is None or mixture.n_components != 1:
            raise ModelError(f"auxiliaries[{i}] is {law!r}, no Gaussian: its fused law is not affine; see fused_law")
    d = auxiliaries[0].dim
    means = np.stack([law.means[0] for law in auxiliaries])
    full = any(law.spectrum.layout == "full" for law in auxiliaries)
    if full:
        spread: Float64Array = np.stack([law.spectrum.dense()[0] for law in auxiliaries])
    else:
        spread = np.stack([np.broadcast_to(law.spectrum.values[0], (d,)) for law in auxiliaries])
    identity = np.eye(d) if full else np.ones(d)

    def slope(u: float, state: Float64Array, w: Float64Array) -> Float64Array:
        t = float(np.exp(u))
        alpha, sigma = float(process.alpha(t)), float(process.sigma(t))
        f, g2 = float(process.f(t)), float(process.g(t)) ** 2
        noised = alpha**2 * spread + sigma**2 * identity
        m, V = state[:d], state[d:].reshape(identity.shape)
        if full:
            precisions = np.linalg.inv(noised)
            B = np.einsum("k,kde->de", w, precisions)
            a = alpha * np.einsum("k,kde,ke->d", w, precisions, means)
            drift = f * identity + g2 * B
            dm, dV = drift @ m - g2 * a, drift @ V + V @ drift.T - g2 * identity
        else:
            precisions = 1.0 / noised
            B, a = w @ precisions, alpha * (w @ (precisions * means))
            drift = f + g2 * B
            dm, dV = drift * m - g2 * a, 2.0 * drift * V - g2
        return t * np.concatenate([dm, dV.ravel()])

    final: Float64Array = np.concatenate([np.zeros(d), (process.prior_std(start) ** 2 * identity).ravel()])
    changes = [t for t in schedule.edges[-2:0:-1].tolist() if t_min < t < start]
    for span in itertools.pairwise([start, *changes, t_min]):
        w, logs = schedule(float(np.sqrt(span[0] * span[1]))), np.log(span)
        solution = scipy.integrate.solve_ivp(
            slope, logs, final, method="DOP853", rtol=_TOLERANCE, atol=_TOLERANCE, args=(w,)
        )
        if not solution.success:
            raise GridError(f"the fused law's equations could not be solved to t_min={t_min:g}: {solution.message}")
        final = solution.y[:, -1]
    covariance = final[d:].reshape(identity.shape)
    if full:
        covariance = 0.5 * (covariance + covariance.T)
    return GaussianMixture([1.0], final[None, :d], covariance[None])


def gaussian_fused_law(
    means: Float64Array, weights: ArrayLike, process: ForwardProcess, t_min: float, t_max: float
) -> tuple[Float64Array, float]:
    r"""Mean (d,) and variance of the fused law of unit isotropic Gaussians with the given means (k, d).

    With one covariance, ``s_w`` is the exact score of ``N(mu_w, I)`` under the process, so the reverse SDE applies the
    exact conditional law of X_delta given X_T to the prior:

        mean = alpha_d mu_w - r alpha_T mu_w,   variance = v_d - r^2 v_T + r^2 p,    r = v_d (alpha_T/alpha_d) / v_T,

    with ``v_t = alpha_t^2 + sigma_t^2`` and p the prior's variance.
    """
    as_process(process)
    t_min, t_max = as_window(t_min, t_max)
    points = as_points("means", means, error=GramError)
    mu: Float64Array = as_weights(weights, len(points), GramError) @ points
    a_d, a_T = float(process.alpha(t_min)), float(process.alpha(t_max))
    v_d, v_T = a_d**2 + float(process.sigma(t_min)) ** 2, a_T**2 + float(process.sigma(t_max)) ** 2
    r = v_d * (a_T / a_d) / v_T
    return (a_d - r * a_T) * mu, v_d + r**2 * (process.prior_std(t_max) ** 2 - v_T)
