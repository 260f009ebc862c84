r"""Sums of the terms of isotropic mixtures without any score: from distances to the means alone.

With ``rho_j = alpha mu_j - x``, responsibilities R and ``W_ij = R_ij / v_ij``, a score is ``s_i = sum_j W_ij rho_ij``,
and ``<rho_j, rho_l> = (|rho_j|^2 + |rho_l|^2 - alpha^2 D_jl) / 2`` with ``D_jl = |mu_j - mu_l|^2``. So with

    p_i = sum_j W_ij,     g_i = sum_j W_ij |rho_ij|^2,     q_i = p_i - p_0,     h_i = g_i - g_0,

    <S_i, S_l>  =  (q_i h_l + h_i q_l - alpha^2 U_i'D U_l) / 2,                              U_i = W_i - W_0,
    <S_i, s_0>  =  (q_i g_0 + h_i p_0 - alpha^2 U_i'D W_0) / 2,
    <S_i, z>    =  -alpha sum_j U_ij <x_0 - mu_j, z> - sigma q_i |z|^2,

and sums over points need ``sum_n W W'`` only: one symmetric product of as many rows as there are components in all.
Distances at every node come from ``|x_0 - mu|^2``, ``<x_0 - mu, z>`` and ``|z|^2``, which are computed once.

The form in D loses digits where differences are small beside their parts (models that are nearly equal), and distances
do where points are far away in units of a component. Such nodes are left to :class:`.terms.ChunkEvaluator`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np

from .._internal.aliases import Float64Array, FloatArray
from .settings import GramSettings
from .terms import ChunkEvaluator

_NUMBERS = 1 << 16  # of (components, rows) arrays: a handful of them stays in the second-level cache
_MOST_COMPONENTS = 256  # in all models
_TOLERANCE = 1e-11  # of log responsibilities
_LEAST_SHARE = 1e-3  # of a squared difference in the parts of which it is the sum
_LARGEST = 1e60  # variance, and its inverse, whose square is a number
_SMALLEST_LOG = -600.0  # responsibilities are cut here, or products would be subnormal and slow


def has_distances(laws: Sequence[Any], settings: GramSettings) -> bool:
    """Whether this form is exact for reduced laws and worth it: not for many components in few dimensions."""
    if not all(law.spectrum.layout == "isotropic" for law in laws) or np.dtype(settings.dtype) != np.float64:
        return False
    most = len(laws) * max(law.n_components for law in laws)
    rule = settings.rule
    noise_alone = {rule.noise_share(*node) for node in settings.coefficients} == {1.0}
    return most <= min(_MOST_COMPONENTS, 4 * laws[0].dim) and noise_alone and tuple(rule.signs) in ((1.0,), (1.0, -1.0))


@final
class IsotropicEvaluator:
    """Sums of the terms of a chunk of data and noise, node by node."""

    def __init__(self, models: tuple[Any, ...], settings: GramSettings) -> None:
        self._others = ChunkEvaluator(models, settings)
        self._nodes, self._signs = self._others.nodes, settings.rule.signs
        self._left: list[int] = []  # nodes that are left to it
        laws = [model.law for model in models]
        m, shape = max(law.n_components for law in laws), (len(laws), -1)
        # Models of fewer components repeat one, with weight zero.
        places = [np.minimum(np.arange(m), law.n_components - 1) for law in laws]
        self._means = np.concatenate([law.means[place] for law, place in zip(laws, places, strict=True)])
        values = [law.spectrum.values[place, 0] for law, place in zip(laws, places, strict=True)]
        self._variances, self._d = np.stack(values), laws[0].spectrum.dim
        weights = [np.pad(law.weights, (0, m - law.n_components)) for law in laws]
        with np.errstate(divide="ignore"):
            self._log_weights = np.maximum(np.log(np.reshape(weights, shape)), 2.0 * _SMALLEST_LOG)
        self._squares = np.vecdot(self._means, self._means)
        differences = self._means[:, None] - self._means
        self._apart = np.vecdot(differences, differences)

    def evaluate(
        self, y: FloatArray, zeta: FloatArray, block: int, first_row: int, weight: Float64Array | None = None
    ) -> Iterator[Float64Array]:
        """Sums (1, k, k - 1) over all rows: see :meth:`.terms.ChunkEvaluator.evaluate`."""
        k, c = len(self._variances), len(self._means)
        terms = np.zeros((len(self._nodes), k, k - 1))
        parts = np.zeros((len(self._nodes), k - 1))
        self._leave(self._near(y, zeta))
        rows = -(-len(y) // -(-len(y) // max(_NUMBERS // c, 64)))  # equal parts
        with np.errstate(over="ignore", invalid="ignore"):  # such nodes are left
            for start in range(0, len(y), rows):
                self._add(y[start : start + rows], zeta[start : start + rows], terms, parts)
            self._leave((np.einsum("tii->ti", terms[:, 1:]) >= _LEAST_SHARE * parts).all(axis=1))
        if self._left:
            self._others.nodes = [self._nodes[j] for j in self._left]
            for j, sums in zip(self._left, self._others.evaluate(y, zeta, block, first_row, weight), strict=True):
                terms[j] = sums.sum(axis=0)
        yield from terms[:, None]

    def _leave(self, exact: Any) -> None:
        """Leave the nodes that are not exact, (t,), from now on."""
        self._left = sorted({*self._left, *np.flatnonzero(~exact).tolist()})

    def _near(self, y: FloatArray, zeta: FloatArray) -> Any:
        """Nodes (t,) at which distances have the digits that log responsibilities need."""
        alpha, sigma = (np.array([getattr(node, name) for node in self._nodes]) for name in ("alpha", "sigma"))
        v = alpha[:, None] ** 2 * self._variances.ravel() + sigma[:, None] ** 2
        with np.errstate(over="ignore", invalid="ignore"):
            data, noise = (float(np.vecdot(values, values).max()) for values in (y, zeta))
            largest = 2.0 * (alpha**2 * (data + self._squares.max()) + sigma**2 * noise)
            budget = np.finfo(np.float64).eps * largest <= _TOLERANCE * v.min(axis=1)
        return budget & (v.min(axis=1) > 1.0 / _LARGEST) & (v.max(axis=1) < _LARGEST)

    def _add(self, y: FloatArray, z: FloatArray, terms: Float64Array, parts: Float64Array) -> None:
        """Add the sums of some rows at every node that is not left."""
        (k, m), c, n, signs = self._variances.shape, len(self._means), len(y), len(self._signs)
        distances = self._means @ y.T  # (c, n), |y - mu|^2
        distances *= -2.0
        distances += np.vecdot(y, y)
        distances += self._squares[:, None]
        along = np.subtract(np.vecdot(y, z), self._means @ z.T)  # (c, n), <y - mu, z>
        noise = np.vecdot(z, z)
        powers, repeated = np.stack([noise, np.ones(n)]), np.tile(noise, signs)
        joint, resp = np.empty((2, k, m, signs * n))
        odd, lowest = np.empty((c, n)), np.full(signs * n, _SMALLEST_LOG)
        for t, node in enumerate(self._nodes):
            if t in self._left:
                continue
            alpha, sigma = node.alpha, node.sigma
            v = alpha**2 * self._variances + sigma**2
            offset, slope = self._log_weights - 0.5 * self._d * np.log(v), -0.5 / v.reshape(c, 1)
            even = np.hstack([slope * sigma**2, offset.reshape(c, 1)]) @ powers
            even += np.multiply(distances, slope * alpha**2, out=odd)
            np.multiply(along, slope * (2.0 * alpha * sigma), out=odd)
            for out, combine in zip(joint.reshape(c, signs, n).swapaxes(0, 1), (np.add, np.subtract), strict=False):
                combine(even, odd, out=out)
            np.subtract(joint, joint.max(axis=1, keepdims=True), out=resp)
            np.maximum(resp, lowest, out=resp)
            np.exp(resp, out=resp)
            resp *= np.reciprocal(resp.sum(axis=1, keepdims=True))
            p, constant = (np.stack([1.0 / v, offset], axis=1) @ resp).swapaxes(0, 1)
            joint *= resp
            g = 2.0 * (constant - joint.sum(axis=1))  # joints are offsets less half of |rho|^2 / v
            q, h = p[1:] - p[0], g[1:] - g[0]
            flat = resp.reshape(c, -1)
            pairs = (flat @ flat.T) * self._apart / v.reshape(c, 1) / v.ravel()
            pairs = alpha**2 * pairs.reshape(k, m, k, m).sum(axis=(1, 3))
            mixed = pairs - pairs[0]
            both = mixed - mixed[:, :1]
            crossed = q @ h.T
            terms[t, 1:] += (crossed + crossed.T - both[1:, 1:]) / (2 * signs)
            parts[t] += (np.diag(pairs)[1:] + 2 * pairs[0, 1:] + pairs[0, 0]) / (2 * signs)
            base = (q @ g[0] + h @ p[0] - mixed[1:, 0]) / 2
            signed = resp.reshape(c, signs, n)
            moved = signed[:, 0] - signed[:, 1] if signs == 2 else signed[:, 0]
            pulled = (np.vecdot(moved, along).reshape(k, m) / v).sum(axis=1)
            toward = -alpha * (pulled[1:] - pulled[0]) - sigma * (q @ repeated)
            terms[t, 0] += (-toward / sigma - base) / signs
