r"""Markov chains of length L, by transfer matrices.

A chain given by potentials, ``p(x)`` proportional to ``exp( sum_l u_l(x_l) + sum_l b_l(x_l, x_{l+1}) )``, is a Markov
chain: with backward messages ``m_L = 1``, ``m_l(v) = sum_w e^{b_l(v, w) + u_{l+1}(w)} m_{l+1}(w)`` its transitions are
``e^{b_l(v, w) + u_{l+1}(w)} m_{l+1}(w) / m_l(v)``, and ``Z = sum_v e^{u_1(v)} m_1(v)``. Pools of chains are chains with
averaged potentials. Evidence enters by the forward-backward recursion, O(n L S^2).
"""

from dataclasses import dataclass
from typing import Self, final

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Float64Array, SeedLike
from .._validation import as_count, as_generator
from ..errors import IntractableError, ShapeError, SyntheticError
from .law import States, as_evidence, as_probabilities, as_states, draw_columns, impossible


@final
@dataclass(frozen=True, eq=False)
class MarkovChain:
    """A Markov chain ``p(x) = a(x_1) prod_l P_l(x_l, x_{l+1})``, transitions free to depend on l.

    Parameters
    ----------
    initial : array_like (S,)
        Law of the first site.
    transitions : array_like (L - 1, S, S)
        Row-stochastic matrices; (0, S, S) for one site.
    """

    initial: Float64Array
    transitions: Float64Array

    def __post_init__(self) -> None:
        initial = as_probabilities("initial", self.initial, 1)
        s = len(initial)
        moves = np.asarray(self.transitions, dtype=np.float64)
        if moves.ndim != 3 or moves.shape[1:] != (s, s) or s < 2:
            raise ShapeError(f"transitions must have shape (L - 1, {s}, {s}), with S >= 2, got {moves.shape}")
        object.__setattr__(self, "initial", initial)
        object.__setattr__(self, "transitions", as_probabilities("transitions", moves, 3) if len(moves) else moves)

    @classmethod
    def from_potentials(cls, unary: ArrayLike, pairwise: ArrayLike) -> tuple[Self, float]:
        """The chain of potentials (L, S) and (L - 1, S, S), which may be -inf, and its ``log Z``."""
        u, b = np.asarray(unary, dtype=np.float64), np.asarray(pairwise, dtype=np.float64)
        if u.ndim != 2 or b.shape != (len(u) - 1, u.shape[1], u.shape[1]):
            raise ShapeError(f"potentials must have shapes (L, S) and (L - 1, S, S), got {u.shape} and {b.shape}")
        if np.isnan(u).any() or np.isnan(b).any() or max(u.max(), b.max(initial=-np.inf)) == np.inf:
            raise SyntheticError("potentials must be numbers below infinity; one is NaN or +inf")
        message = np.zeros(u.shape[1])
        moves = np.empty_like(b)
        for site in range(len(b) - 1, -1, -1):
            step = b[site] + u[site + 1] + message
            message = np.logaddexp.reduce(step, axis=1)
            dead = message == -np.inf  # states that reach nothing: never entered, any row will do
            moves[site] = np.where(dead[:, None], -np.log(len(message)), step - np.where(dead, 0.0, message)[:, None])
        start = u[0] + message
        log_partition = float(np.logaddexp.reduce(start))
        if log_partition == -np.inf:
            raise IntractableError("the potentials leave no state: Z is zero")
        initial, transitions = np.exp(start - log_partition), np.exp(moves)
        return cls(initial / initial.sum(), transitions / transitions.sum(axis=-1, keepdims=True)), log_partition

    @property
    def alphabet(self) -> int:
        """Number of values of a site, S."""
        return len(self.initial)

    @property
    def length(self) -> int:
        """Number of sites, L."""
        return len(self.transitions) + 1

    def log_prob(self, x: ArrayLike) -> Float64Array:
        """Log probability of states x (n, L), shape (n,)."""
        states = as_states("x", x, self.length, self.alphabet)
        with np.errstate(divide="ignore"):
            first, moves = np.log(self.initial)[states[:, 0]], np.log(self.transitions)
        return np.asarray(first + moves[np.arange(self.length - 1), states[:, :-1], states[:, 1:]].sum(axis=1))

    def sample(self, n: int, *, rng: SeedLike = None) -> States:
        """Draws, shape (n, L)."""
        generator, count = as_generator(rng), as_count("n", n)
        out = np.empty((count, self.length), dtype=np.int64)
        out[:, 0] = generator.choice(self.alphabet, size=count, p=self.initial)
        for site, move in enumerate(self.transitions):
            out[:, site + 1] = draw_columns(move[out[:, site]], generator)
        return out

    def pair_marginals(self) -> tuple[Float64Array, Float64Array]:
        """Marginals (L, S) of the sites and (L - 1, S, S) of neighbours."""
        sites = np.empty((self.length, self.alphabet))
        sites[0] = self.initial
        for site, move in enumerate(self.transitions):
            sites[site + 1] = sites[site] @ move
        return sites, sites[:-1, :, None] * self.transitions

    def infer(self, evidence: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """Log evidence (n,) and posterior marginals (n, L, S); see :class:`~synthetic.discrete.DiscreteLaw`."""
        e = as_evidence(evidence, self.length, self.alphabet)
        forward = np.empty_like(e)
        log_evidence = np.zeros(len(e))
        current = self.initial * e[:, 0]
        for site in range(self.length):
            if site:
                current = (forward[:, site - 1] @ self.transitions[site - 1]) * e[:, site]
            total = current.sum(axis=1)
            with np.errstate(divide="ignore"):
                log_evidence += np.log(total)
            forward[:, site] = current / np.where(total > 0, total, 1.0)[:, None]
        impossible(log_evidence)
        posteriors = forward
        message = np.ones((len(e), self.alphabet))
        for site in range(self.length - 2, -1, -1):
            message = (message * e[:, site + 1]) @ self.transitions[site].T
            message /= message.max(axis=1, keepdims=True)
            posteriors[:, site] *= message
            posteriors[:, site] /= posteriors[:, site].sum(axis=1, keepdims=True)
        return log_evidence, posteriors
