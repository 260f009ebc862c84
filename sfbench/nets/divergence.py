r"""Divergences of networks by automatic differentiation, exact or estimated.

With the Jacobian J of the score, ``div s = tr J``: the sum of ``e' J e`` over the unit vectors, or, for random signs v,
the mean of ``v' J v`` (Hutchinson: unbiased, with a variance of twice the squares off the diagonal of J).
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor

from .._internal.aliases import FloatArray, SeedLike
from .._internal.validation import as_count, as_generator
from ..errors import ModelError
from ..processes import ForwardProcess
from .adapter import NetworkScore, Points, rows_of
from .inputs import as_tensor, as_times


@final
@dataclass(frozen=True, eq=False)
class NetworkDivergence:
    """A network's score with its divergence by automatic differentiation; what ``estimator="stein"`` needs.

    Parameters
    ----------
    network : NetworkScore
    n_probes : int or None
        Random sign vectors per point (Hutchinson: unbiased, noisy); None takes all d coordinate directions, exact at d
        backward passes a point.
    rng : Generator, SeedSequence, int or None
        Of the probes. Each call draws fresh ones.
    """

    network: NetworkScore
    n_probes: int | None
    rng: np.random.Generator

    def __init__(self, network: NetworkScore, n_probes: int | None = 1, *, rng: SeedLike = None) -> None:
        if n_probes is not None:
            n_probes = as_count("n_probes (None for the exact divergence)", n_probes, error=ModelError)
        object.__setattr__(self, "network", network)
        object.__setattr__(self, "n_probes", n_probes)
        object.__setattr__(self, "rng", as_generator(rng))

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.network.dim

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        return self.network.device

    @property
    def preferred_rows(self) -> int:
        """Those of the network."""
        return self.network.preferred_rows

    @property
    def process(self) -> ForwardProcess:
        """Process of the network."""
        return self.network.process

    @property
    def t_range(self) -> tuple[float, float] | None:
        """Times for which the network was trained."""
        return self.network.t_range

    def score(self, x: Points, t: float | FloatArray | Tensor) -> Points:
        """Score at points x (n, d) and time t, shape (n, d)."""
        return self.network.score(x, t)

    def score_and_projections(self, x: Points, t: float | FloatArray | Tensor, probes: Points) -> tuple[Points, Points]:
        """Those of the network, along directions that the caller chooses."""
        return self.network.score_and_projections(x, t, probes)

    def score_and_divergence(self, x: Points, t: float | FloatArray | Tensor) -> tuple[Points, Points]:
        """Score (n, d) and its (estimated) divergence (n,), both as x."""
        n, d = len(as_tensor(x, self.dim, self.network.device)), self.dim
        times = as_times(t, n)
        scores, divergences = [], []
        for start in range(0, max(n, 1), self.preferred_rows):  # no more probes at a time than points
            part = x[start : start + self.preferred_rows]
            probes = (
                np.eye(d)[:, None]
                if self.n_probes is None
                else self.rng.choice([-1.0, 1.0], size=(self.n_probes, len(part), d))
            )
            own = torch.from_numpy(probes).to(part) if isinstance(part, Tensor) else probes
            now = rows_of(times, slice(start, start + len(part)))
            score, products = self.network.score_and_projections(part, now, own)
            scores.append(score)
            divergences.append(products.sum(0) / (1 if self.n_probes is None else self.n_probes))
        if isinstance(x, Tensor):
            return torch.cat(scores), torch.cat(divergences)
        return np.concatenate(scores), np.concatenate(divergences)
