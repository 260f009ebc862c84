r"""A discrete Feynman-Kac sampler with clamps, as such schemes are described: the peer to compare with.

Masked noise, ``alpha = 1 - t``, Euler steps of equal length h down from t = 1. Written from a description, not from
code: a masked site jumps with probability ``min(1, h R / max(t, 3 h))``, R the total of ``prod_i P_i^{w_i}`` there; the
log weight of a step is ``-h V / max(t, 3 h)``; particles are resampled when their effective share falls below a half;
masks that are left at the end are filled at once. The constant 3 keeps ``1/t`` from diverging: what we call the clamp.
"""

import numpy as np

from sfbench.discrete import FusedRates
from sfbench.sampling.resampling import effective_size, normalised, systematic
from synthetic.discrete.law import draw_columns

CLAMP = 3.0


def clamped_sample(
    fused: FusedRates, n: int, n_steps: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, float]:
    """States (n, L), normalised weights (n,) and the estimate of log Z."""
    noise, step = fused.noise, 1.0 / n_steps
    x, logs = noise.prior(n, fused.length, rng), np.zeros(n)
    weights = fused.weights[fused.active]
    for j in range(n_steps):
        t = 1.0 - j * step
        masked = x == noise.alphabet
        each = np.stack(fused.posteriors(x, 0.0))  # of masked models: the same at every time
        mean = np.exp(np.einsum("a,anls->nls", weights, np.log(each + 1e-300))) * masked[..., None]
        pace = step / max(t, CLAMP * step)
        lost = masked.sum(axis=1) - mean.sum(axis=(1, 2))
        jump = masked & (rng.random(x.shape) < np.minimum(pace * mean.sum(axis=2), 1.0))
        x = np.where(jump, draw_columns(mean + 1e-300, rng), x)
        logs -= pace * lost
        if effective_size(logs) < 0.5:
            top = logs.max()
            kept = systematic(normalised(logs), rng)
            x, logs = x[kept], np.full(n, top + np.log(np.exp(logs - top).mean()))
    each = np.stack(fused.posteriors(x, 0.0))
    mean = np.exp(np.einsum("a,anls->nls", weights, np.log(each + 1e-300)))
    x = np.where(x == noise.alphabet, draw_columns(mean, rng), x)
    top = logs.max()
    return x, normalised(logs), float(top + np.log(np.exp(logs - top).mean()))
