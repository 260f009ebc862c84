"""Total variation and Kullback-Leibler divergence of laws on product spaces, without Monte Carlo."""

import numpy as np

from ..estimate import Estimate
from .law import DiscreteLaw, as_discrete_laws
from .markov_chain import MarkovChain
from .pool import potentials_of
from .table import DiscreteTable


def discrete_total_variation(p: DiscreteLaw, q: DiscreteLaw) -> Estimate:
    """``1/2 sum_x |p(x) - q(x)|`` by enumeration.

    Raises
    ------
    IntractableError
        If the states cannot be enumerated.
    """
    p, q = as_discrete_laws("laws", [p, q])
    difference = np.abs(DiscreteTable.from_law(p).probs - DiscreteTable.from_law(q).probs)
    return Estimate(0.5 * float(difference.sum()), method="enumeration")


def discrete_kl(p: DiscreteLaw, q: DiscreteLaw) -> Estimate:
    """``KL(p || q)``: between Markov chains from their pair marginals, at any length; else by enumeration.

    Raises
    ------
    NotFiniteError
        If q misses a state of p: the divergence is infinite.
    IntractableError
        If the states cannot be enumerated.
    """
    p, q = as_discrete_laws("laws", [p, q])
    parts = [potentials_of(law) for law in (p, q)]
    if parts[0] is not None and parts[1] is not None:
        a, b = (MarkovChain.from_potentials(*part)[0] for part in (parts[0], parts[1]))
        value = _relative(a.initial, a.initial, b.initial)
        value += _relative(a.pair_marginals()[1], a.transitions, b.transitions)
        return Estimate(max(value, 0.0), method="transfer matrix")
    table, other = DiscreteTable.from_law(p), DiscreteTable.from_law(q)
    held = table.log_probs > -np.inf
    gap = table.log_probs[held] - other.log_probs[held]
    return Estimate(max(float(table.probs[held] @ gap), 0.0), method="enumeration")


def _relative(mass: np.ndarray, p: np.ndarray, q: np.ndarray) -> float:
    """``sum mass (log p - log q)`` over positive mass; infinite where q misses some."""
    held = mass > 0
    with np.errstate(divide="ignore"):
        return float(mass[held] @ (np.log(p[held]) - np.log(q[held])))
