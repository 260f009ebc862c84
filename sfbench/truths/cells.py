r"""Where the mass is: cells around the modes of the barycenter, and moments of the laws.

A cell holds the points nearest to one local maximum of the barycenter's density, found by ascent from the mean of every
component of every auxiliary. Angles are numbers in [-pi, pi), their distances go around. Copies of a product have the
cells of the factor, whose mass is averaged over the copies.
States of a finite space have a cell each for the likeliest three, and one for the others.
"""

import functools
from dataclasses import dataclass
from typing import Any, cast, final

import numpy as np
import scipy  # submodules load on first use

from synthetic import components_of
from synthetic.discrete import all_states
from synthetic.quadrature import cover
from synthetic.torus import wrap

from .._internal.aliases import Float64Array
from .truth import Truth

_MOST_MODES = 8
_ANGLES = 8192  # nodes of the midpoint rule in [-pi, pi)
_SAME = 0.05  # distance below which two maxima are one, in units of the smallest deviation


@final
@dataclass(frozen=True, eq=False)
class Cells:
    """Cells by their centres (c, r); of states, one more cell for all other states."""

    centres: Float64Array
    copies: int
    of_states: bool
    period: float | None = None

    @property
    def count(self) -> int:
        """Number of cells."""
        return len(self.centres) + self.of_states

    def shares(self, y: Any) -> Float64Array:
        """Share of the copies of each point y (n, rank) that lie in each cell, (n, count)."""
        if self.of_states:
            hits = (np.asarray(y)[:, None, :] == self.centres[None]).all(axis=2)
            return np.column_stack([hits, ~hits.any(axis=1)]).astype(np.float64)
        points = np.asarray(y, np.float64).reshape(-1, self.centres.shape[1])
        # the tree measures around the circle, for coordinates in [0, period)
        shift = 0.0 if self.period is None else 0.5 * self.period
        nearest = scipy.spatial.cKDTree(self.centres + shift, boxsize=self.period).query(points + shift)[1]
        hits = np.eye(len(self.centres))[nearest].reshape(-1, self.copies, len(self.centres))
        return np.asarray(hits.mean(axis=1))


@functools.lru_cache(maxsize=16)
def find_cells(truth: Truth) -> Cells:
    """The cells of a problem, those of more mass first."""
    if truth.is_discrete:
        law = truth.auxiliaries[0]
        states = all_states(law.alphabet, law.length)
        likeliest = np.argsort(-np.asarray(truth.laws["barycenter"].log_prob(states)), kind="stable")[:3]
        return Cells(states[likeliest].astype(np.float64), 1, True)
    law, copies = truth.laws["barycenter"], truth.entry.copies
    pool: Any = getattr(law, "factor", law)
    mixtures: Any = pool.components if truth.on_circle else components_of(pool)
    starts = np.unique(np.concatenate([part.means for part in mixtures]).round(9), axis=0)
    variances = [part.variances if truth.on_circle else part.spectrum.values for part in mixtures]
    scale = float(np.sqrt(min(values.min() for values in variances)))
    found: list[tuple[float, Float64Array]] = []
    for start in starts:
        climbed = scipy.optimize.minimize(
            lambda y: -float(pool.log_prob(y[None])[0]), start, jac=lambda y: -pool.score(y[None])[0], tol=1e-9
        )
        top = wrap(climbed.x) if truth.on_circle else climbed.x
        if all(np.linalg.norm(top - other) > _SAME * scale for _, other in found):
            found.append((float(climbed.fun), top))
    found.sort(key=lambda pair: (round(pair[0], 6), pair[1].round(6).tolist()))
    period = 2.0 * np.pi if truth.on_circle else None
    return Cells(np.stack([y for _, y in found[:_MOST_MODES]]), copies, False, period)


def moments(law: Any, truth: Truth) -> tuple[Float64Array, Float64Array]:
    """Means and standard deviations of the coordinates of a law, without sampling."""
    first, second = _raw_moments(law, truth)
    return first, np.sqrt(np.maximum(second - first**2, 0.0))


def _raw_moments(law: Any, truth: Truth) -> tuple[Float64Array, Float64Array]:
    if truth.is_discrete:
        states = all_states(truth.auxiliaries[0].alphabet, truth.dim)
        masses = np.exp(law.log_prob(states))
        return masses @ states, masses @ states**2
    if hasattr(law, "raw_moments"):
        return cast(tuple[Float64Array, Float64Array], law.raw_moments(lambda part: _raw_moments(part, truth)))
    if components_of(law) == (law,):  # a Gaussian mixture
        spread = np.einsum("mdd->md", law.spectrum.dense())
        return law.mean(), law.weights @ (law.means**2 + spread)
    if truth.on_circle:
        nodes = np.linspace(-np.pi, np.pi, _ANGLES, endpoint=False) + np.pi / _ANGLES
        masses = np.exp(law.log_prob(nodes[:, None])) * (2.0 * np.pi / _ANGLES)
        return np.array([masses @ nodes]), np.array([masses @ nodes**2])
    grid = cover([law])  # a pool of rank at most 2
    masses = np.exp(np.asarray(law.log_prob(grid.nodes), np.float64)) * grid.cell
    return masses @ grid.nodes, masses @ grid.nodes**2
