r"""The contributions of :mod:`.terms` for models that take tensors: computed where the models are, in large batches.

A row block is copied to the device once for all models. All of its time nodes go through a model in one call as far as
the model's ``preferred_rows`` allow and it takes times (n,) (attribute ``takes_times``). Products of scores are summed
in float64 on the device; sums of a block over all nodes travel to the host together, which is the one time it waits.
"""

import sys
from collections.abc import Iterator
from typing import cast, final

import numpy as np

from .._internal.aliases import Array, Float64Array
from .._internal.arrays import (
    all_finite,
    astype,
    dtype_name,
    float64_on_host,
    is_accelerator,
    library,
    on_device,
    zeros,
)
from ..errors import ModelError, NotFiniteError
from ..scores import AnalyticScore, ScoreModel, score_and_divergence
from .residuals import Residuals, ResidualsByPart
from .settings import GramSettings

_DEFAULT_ROWS = 4096
_FEW_ROWS = 512  # of a node; of more, on a CPU, a call costs less than embedding a time for every row
_GROUP_NUMBERS = 1 << 16  # of a model that are held in float64 at a time, on the host


@final
class TensorEvaluator:
    """Contributions of one chunk of data and noise, node by node; as :class:`.terms.ChunkEvaluator`."""

    def __init__(
        self,
        models: tuple[ScoreModel, ...],
        settings: GramSettings,
        residuals: Residuals | ResidualsByPart | None = None,
    ) -> None:
        self.models, self.k, rule, self.residuals = models, len(models), settings.rule, residuals
        self.signs, self.times = rule.signs, settings.grid.nodes.tolist()
        self.coefficients = settings.coefficients
        self.shares = [float(rule.noise_share(*node)) for node in self.coefficients]
        wanted = [getattr(model, "preferred_rows", _DEFAULT_ROWS) for model in models]
        self.rows = min(wanted)
        self.together = all(getattr(m, "takes_times", False) for m in models) and all(s == 1.0 for s in self.shares)

    def evaluate(
        self, y: Array, zeta: Array, block: int, first_row: int, weight: Float64Array | None = None
    ) -> Iterator[Float64Array]:
        """Sums (blocks, k, k - 1) over blocks of rows, node by node: b in the first row, G in the others."""
        signs, n_nodes = len(self.signs), len(self.times)
        each = signs * len(y)
        joins = self.together and (each <= _FEW_ROWS or is_accelerator(zeta.device))
        most = max(1, min(self.rows, _DEFAULT_ROWS) // each) if joins else 1
        found, noise = [], library(zeta).stack([zeta.double() * sign for sign in self.signs])
        share = None if weight is None else on_device(weight, zeta.device)
        for first in range(0, n_nodes, most):
            nodes = range(first, min(first + most, n_nodes))
            found += self._products(self._points(y, zeta, nodes), noise, nodes, block, first_row, share)
        sums = float64_on_host(sys.modules["torch"].stack(found))
        if not np.all(np.isfinite(sums)):
            self._name_the_model(y, zeta, int(np.argmin(np.isfinite(sums).all(axis=(1, 2, 3)))), first_row)
        yield from sums

    def _points(self, y: Array, zeta: Array, nodes: range) -> Array:
        """Noised points (nodes, signs, rows, d)."""
        x, torch = y.new_empty((len(nodes), len(self.signs), *y.shape)), library(y)
        for place, node in enumerate(nodes):
            alpha, sigma = self.coefficients[node]
            for side, sign in enumerate(self.signs):
                torch.mul(y, alpha, out=x[place, side]).add_(zeta, alpha=sigma * sign)
        return x

    def _ask(self, i: int, x: Array, nodes: range) -> tuple[Array, Array | None]:
        """Scores like x (nodes, signs, rows, d), and divergences (rows,) where the estimator needs them."""
        model, flat = self.models[i], x.reshape(-1, x.shape[-1])
        divergence = None
        if len(nodes) == 1:
            t = self.times[nodes[0]]
            if self.shares[nodes[0]] == 1.0:
                value = model.score(flat, t)
            else:
                value, divergence = score_and_divergence(model, flat, t)
        else:
            value = model.score(flat, np.repeat(np.array([self.times[j] for j in nodes]), flat.shape[0] // len(nodes)))  # type: ignore[arg-type]
        if tuple(value.shape) != tuple(flat.shape):
            raise ModelError(f"model {i} returned scores of shape {tuple(value.shape)} for points {tuple(flat.shape)}")
        return value.reshape(x.shape), divergence

    def _products(
        self, x: Array, noise: Array, nodes: range, block: int, first_row: int, weight: Array | None
    ) -> list[Array]:
        """Sums (blocks, k, k - 1) of every node, float64 on the device; of points (nodes, signs, rows, d) and their
        noise (signs, rows, d) in float64.
        """
        k, (signs, rows, d) = self.k, noise.shape
        base, base_divergence = self._ask(0, x, nodes)
        others, torch = [], library(x)
        curvature = None if base_divergence is None else zeros((k - 1, signs * rows), x)
        for i in range(1, k):
            value, divergence = self._ask(i, x, nodes)
            others.append(value)
            if curvature is not None:
                curvature[i - 1] = base_divergence - cast("Array", divergence)
        n_blocks = -(-rows // block)
        group = rows if is_accelerator(x.device) else max(1, _GROUP_NUMBERS // (signs * block * d)) * block
        buffer, found = noise.new_empty((k, signs, min(group, rows), d)), []
        for place, node in enumerate(nodes):
            share, sigma = self.shares[node], self.coefficients[node][1]
            total = zeros((n_blocks, k, k - 1), x, "float64")
            for first in range(0, rows, group):
                part = slice(first, min(first + group, rows))
                terms, own = buffer[:, :, : part.stop - first], base[place, :, part]
                torch.mul(noise[:, part], -share / sigma, out=terms[0]).sub_(own)
                for value, term in zip(others, terms[1:], strict=True):
                    torch.sub(value[place, :, part], own, out=term)
                if weight is not None:
                    terms *= weight[part].sqrt()[:, None]
                for side in range(signs):
                    _add_products(total[first // block :], terms[:, side], block)
            if curvature is not None:
                bend = astype(curvature, "float64").reshape(k - 1, signs, rows).sum(1) * (1.0 - share)
                if weight is not None:
                    bend = bend * weight
                for b in range(n_blocks):
                    total[b, 0] += bend[:, b * block : (b + 1) * block].sum(1)
            found.append(total / signs)
            if self.residuals is not None:
                scores = base[place], [value[place] - base[place] for value in others]
                self.residuals.add(node, first_row, x[place], astype(noise, dtype_name(x)), *scores)
        return found

    def _name_the_model(self, y: Array, zeta: Array, node: int, first_row: int) -> None:
        x = self._points(y, zeta, range(node, node + 1))
        for i in range(self.k):
            value, _ = self._ask(i, x, range(node, node + 1))
            if not all_finite(value):
                bad = ~np.isfinite(float64_on_host(value)).all(axis=(0, 1, 3))
                raise NotFiniteError(
                    f"model {i} returned a score that is not finite at t={self.times[node]:.6g} near data row "
                    f"{first_row + int(np.argmax(bad))}"
                )
        raise NotFiniteError(
            f"products of scores, or a divergence, are not finite at t={self.times[node]:.6g} in the rows from "
            f"{first_row} on; rescale the data"
        )


def _add_products(total: Array, terms: Array, block: int) -> None:
    """Add the products of terms (k, rows, d) to the first of the sums (blocks, k, k - 1)."""
    k, rows, d = terms.shape
    whole = rows - rows % block
    for first, last, size in ((0, whole, block), (whole, rows, rows - whole)):
        if first == last:
            continue
        part = terms[:, first:last].reshape(k, -1, size * d).transpose(0, 1)
        total[first // block : first // block + part.shape[0]] += part @ part[:, 1:].transpose(1, 2)


def takes_tensors(model: ScoreModel) -> bool:
    """Whether a model can be asked with tensors: those that say on which device they compute, and exact laws."""
    return isinstance(model, AnalyticScore) or getattr(model, "device", None) is not None
