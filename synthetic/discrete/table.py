"""Laws given by the probability of every state: any law that is small enough, and the oracle for the others."""

from dataclasses import dataclass
from typing import Self, final

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Float64Array, SeedLike
from .._validation import as_count, as_generator
from ..errors import IntractableError, ShapeError, SyntheticError
from .law import DiscreteLaw, States, all_states, as_evidence, as_states, count_states, impossible, numbers_of

_BLOCK = 1 << 21  # numbers of a block of evidence times states


@final
@dataclass(frozen=True, eq=False)
class DiscreteTable:
    """A law by its table.

    Parameters
    ----------
    log_probs : array_like (S^L,)
        Log probabilities of the states in the order of :func:`~synthetic.discrete.all_states`, of sum 1 up to 1e-8.
    alphabet, length : int
        S and L.
    """

    log_probs: Float64Array
    alphabet: int
    length: int

    def __post_init__(self) -> None:
        number = count_states(self.alphabet, self.length)
        logs = np.array(self.log_probs, dtype=np.float64)
        if logs.shape != (number,):
            raise ShapeError(
                f"log_probs must have shape ({number},) for {self.alphabet}^{self.length}, got {logs.shape}"
            )
        if np.isnan(logs).any() or logs.max() == np.inf:
            raise SyntheticError("log_probs must be numbers below infinity")
        top = float(logs.max())
        total = top + float(np.log(np.exp(logs - top).sum())) if top > -np.inf else -np.inf
        if not abs(total) <= 1e-8:
            raise SyntheticError(f"log_probs must sum to 1, got exp({total:.6g}); use DiscreteTable.from_weights")
        logs -= total
        logs.setflags(write=False)
        object.__setattr__(self, "log_probs", logs)

    @classmethod
    def from_weights(cls, log_weights: ArrayLike, alphabet: int, length: int) -> tuple[Self, float]:
        """The law proportional to ``exp(log_weights)`` (S^L,), and the ``log`` of their sum."""
        logs = np.asarray(log_weights, dtype=np.float64)
        top = float(logs.max(initial=-np.inf))
        if not np.isfinite(top):
            raise IntractableError(f"log_weights reach {top}: no state is left, or one is not a number")
        log_partition = top + float(np.log(np.exp(logs - top).sum()))
        return cls(logs - log_partition, alphabet, length), log_partition

    @classmethod
    def from_law(cls, law: DiscreteLaw) -> Self:
        """The table of any law of few enough states."""
        if isinstance(law, cls):
            return law
        return cls.from_weights(law.log_prob(all_states(law.alphabet, law.length)), law.alphabet, law.length)[0]

    @classmethod
    def from_samples(cls, x: ArrayLike, alphabet: int, *, weights: ArrayLike | None = None) -> Self:
        """Shares of (weighted) samples x (n, L)."""
        states = np.asarray(x)
        if states.ndim != 2 or not len(states):
            raise ShapeError(f"x must have shape (n, L), n >= 1, got {states.shape}")
        length = states.shape[1]
        number = count_states(alphabet, length)
        where = numbers_of(as_states("x", states, length, alphabet), alphabet)
        shares = np.bincount(where, None if weights is None else np.asarray(weights, np.float64), number)
        with np.errstate(divide="ignore"):
            return cls(np.log(shares / shares.sum()), alphabet, length)

    @property
    def probs(self) -> Float64Array:
        """Probabilities (S^L,)."""
        return np.asarray(np.exp(self.log_probs))

    def log_prob(self, x: ArrayLike) -> Float64Array:
        """Log probability of states x (n, L), shape (n,)."""
        chosen = self.log_probs[numbers_of(as_states("x", x, self.length, self.alphabet), self.alphabet)]
        return np.asarray(chosen)

    def sample(self, n: int, *, rng: SeedLike = None) -> States:
        """Draws, shape (n, L)."""
        generator = as_generator(rng)
        cumulative = np.cumsum(self.probs)
        level = generator.random(as_count("n", n)) * cumulative[-1]
        where = np.minimum(np.searchsorted(cumulative, level, side="right"), len(cumulative) - 1)
        return np.stack(np.unravel_index(where, (self.alphabet,) * self.length), axis=1).astype(np.int64)

    def infer(self, evidence: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """Log evidence (n,) and posterior marginals (n, L, S), in O(n L S^L)."""
        e = as_evidence(evidence, self.length, self.alphabet)
        n, rows = len(e), max(_BLOCK // len(self.log_probs), 1)
        log_evidence, posteriors = np.empty(n), np.empty_like(e)
        probs = self.probs
        for start in range(0, n, rows):
            part = e[start : start + rows]
            joint = np.ones((len(part), 1))
            for site in range(self.length):
                joint = (joint[:, :, None] * part[:, None, site]).reshape(len(part), -1)
            joint *= probs
            total = joint.sum(axis=1)
            with np.errstate(divide="ignore"):
                log_evidence[start : start + rows] = np.log(total)
            impossible(log_evidence[start : start + rows])
            for site in range(self.length):
                split = joint.reshape(len(part), self.alphabet**site, self.alphabet, -1)
                posteriors[start : start + rows, site] = split.sum(axis=(1, 3)) / total[:, None]
        return log_evidence, posteriors
