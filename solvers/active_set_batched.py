r"""Block principal pivoting on many small problems at once.

The same face step as `solvers.active_set`, with the batch as the *last*, contiguous axis, so that each step of the
elimination is one numpy call over a block of problems that fits in cache. Problems that have not settled after a few
rounds, or meet a face on which P is not definite, are left to the caller.

Notation: arrays are (k, k, c) and (k, c) with c problems in a block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_ROUNDS = 12
_ROUNDING = 1e-14
_PIVOT = 1e-11  # a pivot below this (scale 1) means a nearly flat direction

Block = NDArray[np.float64]


def block_size(k: int) -> int:
    """How many problems of dimension `k` to hold in cache at once, about half a megabyte.

    0 above k = 24, where compiled code is faster one by one.
    """
    if k > 24:
        return 0
    return int(min(max(2**16 // (k * (k + 2)), 64), 4096))


def solve_block(P: Block, q: Block, rounds_allowed: int = MAX_ROUNDS) -> tuple[Block, NDArray[np.intp]]:
    """Minimise ``1/2 w'Pw + q'w`` for each problem of a block, normalised to scale about 1.

    Parameters
    ----------
    P : (k, k, c) float64, symmetric in the first two axes
    q : (k, c) float64

    Returns
    -------
    weights : (k, c)
        NaN where not settled.
    rounds : (c,) int
    """
    k, c = q.shape
    weights = np.full((k, c), np.nan)
    rounds = np.zeros(c, dtype=np.intp)
    active = np.arange(c)
    inside = np.ones((k, c), dtype=bool)
    for r in range(1, rounds_allowed + 1):
        with np.errstate(all="ignore"):  # a face that is not definite may overflow; it is discarded below
            w, definite = _stationary(P, q, inside)
        g = np.einsum("ijc,jc->ic", P, w) + q
        slack = g - (g * w).sum(axis=0)
        wrong = np.where(inside, w, slack + _ROUNDING) < 0.0
        done = definite & ~wrong.any(axis=0)
        finished = active[done]
        weights[:, finished] = w[:, done]
        rounds[finished] = r
        inside ^= wrong
        going = definite & ~done & inside.any(axis=0)
        if not going.any():
            break
        if not going.all():
            active, P, q, inside = active[going], P[:, :, going], q[:, going], inside[:, going]
    return weights, rounds


def _stationary(P: Block, q: Block, inside: NDArray[np.bool_]) -> tuple[Block, NDArray[np.bool_]]:
    """Stationary point (k, c) of each face `inside` (k, c), summing to 1, and whether its face is definite."""
    k = len(q)
    mask = inside.astype(np.float64)
    centre: Block = mask / mask.sum(axis=0)
    system = np.empty((k, k + 2, q.shape[1]))
    np.add(P, 1.0, out=system[:, :k])
    system[:, :k] *= mask[:, None]
    system[:, :k] *= mask[None, :]
    diagonal = np.arange(k)
    system[diagonal, diagonal] += 1.0 - mask
    system[:, k] = (np.einsum("ijc,jc->ic", P, centre) + q) * mask
    system[:, k + 1] = mask
    definite = np.ones(q.shape[1], dtype=bool)
    for j in range(k):
        pivot = system[j, j]
        good = pivot > _PIVOT
        if not good.all():
            definite &= good
            pivot[~good] = 1.0
        if j + 1 < k:
            ratio = system[j, j + 1 : k] / pivot * good
            system[j + 1 :, j + 1 :] -= ratio[:, None] * system[j, None, j + 1 :]
    solution = np.empty((k, 2, q.shape[1]))
    for j in range(k - 1, -1, -1):
        known = system[j, k:]
        if j + 1 < k:
            known = known - (system[j, j + 1 : k, None] * solution[j + 1 :]).sum(axis=0)
        solution[j] = known / system[j, j]
    newton, ones = solution[:, 0], solution[:, 1]
    centre += ones * (newton.sum(axis=0) / ones.sum(axis=0)) - newton
    return centre * mask, definite
