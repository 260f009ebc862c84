r"""Ising and Potts laws on lattices (enumerated) and chains (transfer matrices).

Potts: ``log p(x) = J sum_{i ~ j} [x_i = x_j] + sum_i h_i(x_i) - log Z``. Ising, with spins ``s = 2x - 1``:
``log p = J sum_{i ~ j} s_i s_j + sum_i h_i s_i - log Z``, which is the Potts law of two values with coupling 2J and
fields ``h_i s``. The pool of such laws on one graph is the law of averaged couplings and fields.
"""

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Float64Array
from .._validation import as_count, as_number
from ..errors import ShapeError, SyntheticError
from .law import all_states
from .markov_chain import MarkovChain
from .table import DiscreteTable


def potts_lattice(
    rows: int, columns: int, states: int, coupling: float, field: ArrayLike = 0.0, *, periodic: bool = False
) -> DiscreteTable:
    """Potts law on a ``rows x columns`` lattice by enumeration.

    Parameters
    ----------
    rows, columns : int
        Shape of the lattice; sites are numbered row by row.
    states : int
        Values of a site, S.
    coupling : float
        J; positive for neighbours that agree.
    field : array_like
        ``h_i(v)``, shape () (zero only), (S,) or (rows * columns, S).
    periodic : bool
        Whether opposite edges are neighbours (only along axes of more than two sites).
    """
    r, c, s = as_count("rows", rows), as_count("columns", columns), as_count("states", states, at_least=2)
    x = all_states(s, r * c)
    energy = _field(field, r * c, s)[np.arange(r * c), x].sum(axis=1)
    grid = x.reshape(-1, r, c)
    j = as_number("coupling", coupling)
    for axis, size in ((1, r), (2, c)):
        same = grid == np.roll(grid, -1, axis=axis)
        if not (periodic and size > 2):
            same = np.take(same, range(size - 1), axis=axis)
        energy += j * same.sum(axis=(1, 2))
    return DiscreteTable.from_weights(energy, s, r * c)[0]


def ising_lattice(
    rows: int, columns: int, coupling: float, field: ArrayLike = 0.0, *, periodic: bool = False
) -> DiscreteTable:
    """Ising law on a ``rows x columns`` lattice by enumeration; ``field`` has shape () or (rows * columns,)."""
    r, c, j = as_count("rows", rows), as_count("columns", columns), as_number("coupling", coupling)
    return potts_lattice(r, c, 2, 2.0 * j, _spins(field, r * c), periodic=periodic)


def potts_chain(length: int, states: int, coupling: float, field: ArrayLike = 0.0) -> MarkovChain:
    """Potts law on a line of sites; ``field`` as in :func:`potts_lattice`."""
    n, s = as_count("length", length), as_count("states", states, at_least=2)
    pairwise = np.tile(as_number("coupling", coupling) * np.eye(s), (n - 1, 1, 1))
    return MarkovChain.from_potentials(_field(field, n, s), pairwise)[0]


def ising_chain(length: int, coupling: float, field: ArrayLike = 0.0) -> MarkovChain:
    """Ising law on a line of sites; ``field`` has shape () or (length,)."""
    n = as_count("length", length)
    return potts_chain(n, 2, 2.0 * as_number("coupling", coupling), _spins(field, n))


def _field(field: ArrayLike, sites: int, states: int) -> Float64Array:
    h = np.asarray(field, dtype=np.float64)
    if h.shape not in ((), (states,), (sites, states)):
        raise ShapeError(f"field must have shape (), ({states},) or ({sites}, {states}), got {h.shape}")
    if not np.all(np.isfinite(h)):
        raise SyntheticError("field must be finite")
    return np.broadcast_to(h, (sites, states))


def _spins(field: ArrayLike, sites: int) -> Float64Array:
    h = np.asarray(field, dtype=np.float64)
    if h.shape not in ((), (sites,)):
        raise ShapeError(f"field must be a number or have shape ({sites},), got {h.shape}")
    return np.asarray(np.broadcast_to(h, (sites,))[:, None] * np.array([-1.0, 1.0]))
