"""The statistics of a fit, gathered picture by picture from the calls of a pipeline's network."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from solvers import solve

from .._internal.aliases import Float64Array
from ..progress import Progress
from ..statistics import GramSettings, NodeStatistics
from ..statistics.gram import Contributions
from ..statistics.nodes import rows_to_keep
from ..statistics.residuals import Residuals, ResidualsByPart
from .latents import shaped
from .template import NetworkCall


@final
class ScorePass:
    """Statistics of k experts at every noise level, from pictures in any order; ``done`` of them so far.

    ``settings`` are those of one noise vector. Nodes of number ``edges`` start parts with terms of their own, the last
    edge being the number of nodes; ``by_part`` judges weights that change from part to part. ``pictures`` (m,) are
    numbers in the order in which pictures are taken, ``latents`` (m, ...) theirs.
    """

    def __init__(
        self,
        settings: GramSettings,
        edges: tuple[int, ...],
        k: int,
        pictures: np.ndarray,
        latents: Tensor,
        n_noise: int,
        rng: np.random.Generator,
        by_part: bool = False,
    ) -> None:
        self.settings, self.edges, self.n_noise, self.rng = settings, edges, n_noise, rng
        self.pictures, self.latents, self.done, self.k = pictures, latents, 0, k
        whole = replace(settings, n_noise=n_noise)
        self._residuals = ResidualsByPart(whole, edges) if by_part else Residuals(whole)
        self._part = np.searchsorted(edges, np.arange(len(settings.grid)), side="right") - 1
        self._sums = np.zeros((len(settings.grid), k, k - 1))  # b in the first row, G in the others
        self._terms = np.zeros((len(edges) - 1, len(pictures), k, k - 1))

    def add(self, call: NetworkCall, bar: Progress) -> None:
        """Evaluate the experts at noised latents of the next pictures, one for each row of the call, at every node."""
        like, start = call.points, self.done
        if not start:
            self.latents = shaped(call.handle.pipe, self.latents, like.shape)
            rows = self.latents.flatten(1).numpy()
            self._residuals.begin(SimpleNamespace(data=rows, models=[SimpleNamespace(dim=rows.shape[1])] * self.k))
        data = self.latents[start : start + len(like)].to(like.device)
        sums, terms = np.zeros_like(self._sums), np.zeros((len(self._terms), len(data), *self._terms.shape[2:]))
        signs, omega = self.settings.rule.signs, self.settings.omega
        fields = [part.fields.copy() for part in self._residuals.parts]
        levels = list(enumerate(zip(self.settings.grid.nodes.tolist(), self.settings.coefficients, strict=True)))
        try:
            for _ in range(self.n_noise):
                noise = torch.from_numpy(self.rng.standard_normal(data.shape, dtype=np.float32)).to(like.device)
                for j, (t, (alpha, sigma)) in levels:
                    a, b = call.noise_factors(t)
                    seen = []
                    for sign in signs:
                        x, z = alpha * data + sign * sigma * noise, sign * noise
                        outputs = call.at(x, t)
                        products = _products(outputs, a, b, x, z) / (sigma**2 * len(signs) * self.n_noise)
                        sums[j] += products.sum(axis=0)
                        terms[self._part[j]] += omega[j] * products
                        scores = [
                            -(a * x + b * outputs[0]) / sigma,
                            *(b / sigma * (outputs[0] - f) for f in outputs[1:]),
                        ]
                        seen.append(torch.stack([x, z, *scores]).flatten(2))
                        bar.advance(self.k * len(data))
                    x, z, base, *others = torch.stack(seen, dim=1)
                    self._residuals.add(j, start, x, z, base, others)
        except KeyboardInterrupt:
            for part, before in zip(self._residuals.parts, fields, strict=True):
                part.fields = before  # a batch counts as a whole or not at all
            raise
        self._sums += sums
        self._terms[:, start : start + len(data)] = terms
        self.done += len(data)

    def finish(self) -> NodeStatistics:
        """Statistics of the pictures so far, in their order."""
        n, k = self.done, self.k
        rows = self._terms[:, np.argsort(self.pictures[:n])]
        per_row = -(-n // rows_to_keep(k, len(rows)))
        starts = np.arange(0, n, per_row)
        counts = np.diff(np.append(starts, n)).astype(np.float64)
        rows = np.add.reduceat(rows, starts, axis=1) / counts[:, None, None]
        G, b = _split(self._sums / n)
        parts = tuple(Contributions(*_split(part), counts) for part in rows)
        return NodeStatistics(self.settings, G, b, n, self.edges, parts)

    def residuals(self) -> Residuals | ResidualsByPart:
        """Residuals of the pictures so far; ends the pass."""
        self._residuals.keep_first(self.done)
        return self._residuals

    def note(self) -> str:
        """The weights so far, in a few words."""
        weights = np.asarray(solve(self.finish().at().to_qp()).weights)
        return f"weights {np.array2string(weights, precision=2, suppress_small=True)} of {self.done} pictures"


def _split(rows: Float64Array) -> tuple[Float64Array, Float64Array]:
    """G (m, k, k) and b (m, k) of rows (m, k, k - 1) that hold both."""
    m, k, _ = rows.shape
    G, b = np.zeros((m, k, k)), np.zeros((m, k))
    b[:, 1:], G[:, 1:, 1:] = rows[:, 0], rows[:, 1:]
    return (G + G.transpose(0, 2, 1)) / 2, b


def _products(outputs: list[Tensor], a: float, b: float, x: Tensor, noise: Tensor) -> Any:
    """Inner products (n, k, k - 1) of the residual and the differences of predicted noise with these differences."""
    first = outputs[0]
    wide = torch.float64 if first.device.type != "mps" else torch.float32
    residual = noise - a * x - b * first
    rows = [residual, *(b * (output - first) for output in outputs[1:])]
    terms = torch.stack([row.flatten(1) for row in rows], dim=1).to(wide)  # (n, k, d)
    return torch.matmul(terms, terms[:, 1:].transpose(1, 2)).double().cpu().numpy()
