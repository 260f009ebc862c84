"""What a law on a product space offers, and how its states are counted.

States are rows of whole numbers ``x`` (n, L), every entry in ``0 ... S - 1``; the state of number c is c written with L
digits in base S, the first site most significant.
"""

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._memory import refuse_huge
from .._typing import Float64Array, SeedLike
from .._validation import as_count, show
from ..errors import DataTypeError, IntractableError, ShapeError, SyntheticError

States = NDArray[np.int64]
MOST_STATES = 1 << 26  # of a table; 2^16 sites of two states masked are 3^16, 43 million


class DiscreteLaw(Protocol):
    """A law on ``{0, ..., alphabet - 1}^length``."""

    @property
    def alphabet(self) -> int:
        """Number of values of a site, S."""

    @property
    def length(self) -> int:
        """Number of sites, L."""

    def log_prob(self, x: ArrayLike) -> Float64Array:
        """Log probability of states x (n, L), shape (n,); -inf where it is zero."""

    def sample(self, n: int, *, rng: SeedLike = None) -> States:
        """Draws, shape (n, L)."""

    def infer(self, evidence: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """Posterior of the sites under independent evidence.

        Parameters
        ----------
        evidence : array (n, L, S)
            Non-negative likelihoods ``e_l(v)``.

        Returns
        -------
        log_evidence : array (n,)
            ``log sum_x p(x) prod_l e_l(x_l)``.
        posteriors : array (n, L, S)
            ``P(x_l = v)`` under ``p(x) prod_l e_l(x_l)``, normalised over v.
        """


def as_states(name: str, x: ArrayLike, length: int, alphabet: int) -> States:
    """States (n, L) as int64, refused if the shape, the kind of number, or a value is wrong."""
    array = np.asarray(x)
    if array.ndim != 2 or array.shape[1] != length:
        raise ShapeError(f"{name} must have shape (n, {length}), got {array.shape}")
    if array.dtype.kind not in "iu":
        raise DataTypeError(f"{name} must hold whole numbers, got dtype {array.dtype}; convert it with astype(int)")
    if array.size and (int(array.min()) < 0 or int(array.max()) >= alphabet):
        bad = (array < 0) | (array >= alphabet)
        row, site = (int(i) for i in np.argwhere(bad)[0])
        raise SyntheticError(f"{name}[{row}, {site}] is {array[row, site]}; values are 0 ... {alphabet - 1}")
    return array.astype(np.int64)


def as_evidence(evidence: ArrayLike, length: int, alphabet: int) -> Float64Array:
    """Evidence (n, L, S), non-negative and finite."""
    array = np.asarray(evidence, dtype=np.float64)
    if array.ndim != 3 or array.shape[1:] != (length, alphabet):
        raise ShapeError(f"evidence must have shape (n, {length}, {alphabet}), got {array.shape}")
    if array.size and not (array.min() >= 0 and array.max() < np.inf):  # NaN fails too
        raise SyntheticError(f"evidence must be finite and at least 0, got {array.min()} to {array.max()}")
    return array


def as_probabilities(name: str, values: ArrayLike, ndim: int) -> Float64Array:
    """Probabilities whose last axis sums to one, as float64 of a given number of axes."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != ndim or 0 in array.shape:
        raise ShapeError(f"{name} must have {ndim} axes, none empty, got shape {array.shape}")
    if not (array.min() >= 0 and array.max() < np.inf):
        raise SyntheticError(f"{name} must be finite and at least 0, got {array.min()} to {array.max()}")
    totals = array.sum(axis=-1, keepdims=True)
    worst = float(totals.ravel()[np.abs(totals - 1.0).argmax()])
    if abs(worst - 1.0) > 1e-8:
        raise SyntheticError(f"{name} must sum to 1 over the last axis, got a sum of {worst:.9g}")
    array /= totals
    array.setflags(write=False)
    return array


def impossible(log_evidence: Float64Array) -> None:
    """Refuse evidence of probability zero, which leaves no posterior."""
    if len(log_evidence) and log_evidence.min() == -np.inf:
        row = int(log_evidence.argmin())
        raise SyntheticError(f"evidence[{row}] has probability zero under the law, so there is no posterior")


def count_states(alphabet: int, length: int) -> int:
    """``S^L``, refused where a table of it is out of the question."""
    number = as_count("alphabet", alphabet, at_least=2) ** as_count("length", length)
    if number > MOST_STATES:
        raise IntractableError(f"{alphabet}^{length} states are too many to enumerate; at most {MOST_STATES:,}")
    refuse_huge("a table of all states", number)
    return int(number)


def all_states(alphabet: int, length: int) -> States:
    """Every state, (S^L, L), in the order of its number."""
    number = count_states(alphabet, length)
    refuse_huge("all states", number, length)
    return np.stack(np.unravel_index(np.arange(number), (alphabet,) * length), axis=1).astype(np.int64)


def numbers_of(x: States, alphabet: int) -> NDArray[np.int64]:
    """Numbers (n,) of states (n, L)."""
    powers = alphabet ** np.arange(x.shape[1] - 1, -1, -1, dtype=np.int64)
    return np.asarray(x @ powers, dtype=np.int64)


def draw_columns(probabilities: Float64Array, rng: np.random.Generator) -> States:
    """One value from each row of probabilities (n, S), which need not be normalised; shape (n,)."""
    cumulative = np.cumsum(probabilities, axis=-1)
    level = rng.random(cumulative.shape[:-1]) * cumulative[..., -1]
    drawn = np.minimum((cumulative <= level[..., None]).sum(axis=-1), probabilities.shape[-1] - 1)
    return np.asarray(drawn, dtype=np.int64)


def as_discrete_laws(name: str, laws: object) -> tuple[DiscreteLaw, ...]:
    """Laws on one product space, at least one."""
    if not isinstance(laws, list | tuple) or not laws:
        raise ShapeError(f"{name} must be a sequence of at least one law, got {show(laws)}")
    for i, law in enumerate(laws):
        if not all(hasattr(law, attribute) for attribute in ("alphabet", "length", "log_prob", "sample", "infer")):
            raise SyntheticError(f"{name}[{i}] is a {type(law).__name__}, not a law with alphabet, length and infer")
    spaces = {(law.alphabet, law.length) for law in laws}
    if len(spaces) > 1:
        raise ShapeError(f"{name} must live on one space, got (alphabet, length) = {sorted(spaces)}")
    return tuple(laws)
