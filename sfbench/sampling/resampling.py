r"""Resampling: ancestors ``a_1 .. a_n`` with ``E #{j : a_j = i} = n W_i``.

All schemes here are unbiased and give every particle ``floor(n W_i)`` or one or a few more offspring:

- ``systematic``: one uniform, ``(U + j) / n``. Least variance in practice, no proof of it, depends on the order of the
  particles; sorting 1-D particles first makes its error ``O(1/n)``. The default, because it measured best.
- ``stratified``: one uniform per stratum; never worse than multinomial.
- ``srinivasan``: pairs fractional parts until all are integers; negatively associated, consistent for every order
  (Gerber, Chopin and Whiteley 2019). The scheme to take where a proof is wanted; a Python loop, about 10x slower.
- ``multinomial``: independent draws, the control.
"""

from collections.abc import Callable

import numpy as np

from .._internal.aliases import Float64Array
from .._internal.validation import as_choice

Scheme = Callable[[Float64Array, np.random.Generator, int | None], "np.ndarray"]


def systematic(weights: Float64Array, rng: np.random.Generator, n: int | None = None) -> np.ndarray:
    """Ancestors (n,) by systematic resampling of normalised weights."""
    count = len(weights) if n is None else n
    return _invert(weights, (rng.random() + np.arange(count)) / count)


def stratified(weights: Float64Array, rng: np.random.Generator, n: int | None = None) -> np.ndarray:
    """Ancestors (n,) by stratified resampling of normalised weights."""
    count = len(weights) if n is None else n
    return _invert(weights, (rng.random(count) + np.arange(count)) / count)


def multinomial(weights: Float64Array, rng: np.random.Generator, n: int | None = None) -> np.ndarray:
    """Ancestors (n,) drawn independently from normalised weights."""
    count = len(weights) if n is None else n
    return _invert(weights, np.sort(rng.random(count)))


def srinivasan(weights: Float64Array, rng: np.random.Generator, n: int | None = None) -> np.ndarray:
    """Ancestors (n,) by Srinivasan's sampling process on the fractional parts of ``n W``."""
    count = len(weights) if n is None else n
    expected = count * weights
    offspring = np.floor(expected).astype(np.intp)
    rest = (expected - offspring).tolist()
    draws = rng.random(len(rest)).tolist()
    extra = [0] * len(rest)
    i = 0
    for j in range(1, len(rest)):
        a, b = rest[i], rest[j]
        up, down = min(1.0 - a, b), min(a, 1.0 - b)  # move mass to i, or to j
        to_i = up + down > 0.0 and draws[j] < down / (up + down)  # both parts may be integers already
        step = up if to_i else -down
        a, b = a + step, b - step
        if to_i:
            settled, i_next = (i, j) if b > 0.0 and a >= 1.0 - 1e-12 else (j, i)
        else:
            settled, i_next = (j, i) if b >= 1.0 - 1e-12 and a > 0.0 else (i, j)
        rest[i], rest[j] = a, b
        extra[settled] = 1 if rest[settled] > 0.5 else 0
        i = i_next
    offspring += np.asarray(extra, dtype=np.intp)
    offspring[i] += count - int(offspring.sum())  # the last fraction settles the total
    return np.repeat(np.arange(len(weights)), offspring)


SCHEMES: dict[str, Scheme] = {
    "systematic": systematic,
    "stratified": stratified,
    "srinivasan": srinivasan,
    "multinomial": multinomial,
}


def scheme(name: str) -> Scheme:
    """The resampling scheme of that name."""
    return SCHEMES[as_choice("resampling scheme", name, SCHEMES)]


def normalised(log_weights: Float64Array) -> Float64Array:
    """Weights that sum to one, from log weights (n,)."""
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def effective_size(log_weights: Float64Array) -> float:
    """Effective share ``(sum W)^2 / (n sum W^2)`` in (0, 1], from log weights (n,)."""
    weights = np.exp(log_weights - log_weights.max())
    return float(weights.sum() ** 2 / (len(weights) * np.dot(weights, weights)))


def _invert(weights: Float64Array, levels: Float64Array) -> np.ndarray:
    cumulative = np.cumsum(weights)
    cumulative /= cumulative[-1]
    return np.minimum(np.searchsorted(cumulative, levels, side="right"), len(weights) - 1)
