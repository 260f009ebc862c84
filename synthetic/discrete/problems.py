"""Named fusion problems on product spaces: k auxiliaries and the pool that equals the target.

Every family is a function of ``rng`` and parameters with defaults. ``contrast`` is the standard deviation of the random
potentials, in nats: how much the auxiliaries differ.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import signature
from typing import Any, final

import numpy as np

from .._typing import Float64Array, SeedLike
from .._validation import as_count, as_generator, as_positive, as_simplex, close_matches
from ..errors import SyntheticError
from .lattices import ising_lattice, potts_chain
from .law import DiscreteLaw
from .markov_chain import MarkovChain
from .pool import DiscretePool
from .product_mixture import ProductMixture


@final
@dataclass(frozen=True, eq=False)
class DiscreteProblem:
    """Auxiliaries on one product space and the weights of the pool that is the target.

    Attributes
    ----------
    name : str
    auxiliaries : tuple of DiscreteLaw
    true_weights : array (k,)
    params : mapping
        Parameters of the family.
    """

    name: str
    auxiliaries: tuple[DiscreteLaw, ...]
    true_weights: Float64Array
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> DiscretePool:
        """The pool at the true weights."""
        return self.barycenter(self.true_weights)

    def barycenter(self, weights: Any) -> DiscretePool:
        """The pool of the auxiliaries at any weights."""
        return DiscretePool(self.auxiliaries, weights)


def product_mixtures(
    *,
    rng: np.random.Generator,
    k: int = 3,
    alphabet: int = 3,
    length: int = 2,
    components: int = 2,
    contrast: float = 1.0,
) -> tuple[DiscreteLaw, ...]:
    """Mixtures of random product laws; their pools are not mixtures."""
    shape = (as_count("k", k), as_count("components", components), as_count("length", length), alphabet)
    logits = contrast * rng.standard_normal(shape)
    shares = rng.dirichlet(np.full(components, 5.0), size=k)
    return tuple(ProductMixture(c, _softmax(u)) for c, u in zip(shares, logits, strict=True))


def markov_chains(
    *,
    rng: np.random.Generator,
    k: int = 3,
    alphabet: int = 3,
    length: int = 4,
    contrast: float = 1.0,
) -> tuple[DiscreteLaw, ...]:
    """Markov chains of random transitions; their pools are Markov chains."""
    moves = _softmax(
        contrast * rng.standard_normal((as_count("k", k), as_count("length", length) - 1, alphabet, alphabet))
    )
    starts = _softmax(contrast * rng.standard_normal((k, alphabet)))
    return tuple(MarkovChain(a, p) for a, p in zip(starts, moves, strict=True))


def potts_chains(
    *,
    rng: np.random.Generator,
    k: int = 3,
    alphabet: int = 2,
    length: int = 6,
    coupling: float = 0.5,
    contrast: float = 0.5,
) -> tuple[DiscreteLaw, ...]:
    """Potts chains of couplings ``coupling`` (1 - 2 i / (k - 1)) and random fields that do not depend on the site."""
    signs = np.linspace(1.0, -1.0, as_count("k", k)) if k > 1 else np.ones(1)
    fields = contrast * rng.standard_normal((k, alphabet))
    return tuple(potts_chain(length, alphabet, coupling * c, h) for c, h in zip(signs, fields, strict=True))


def ising_lattices(
    *,
    rng: np.random.Generator,
    k: int = 3,
    rows: int = 2,
    columns: int = 4,
    coupling: float = 0.4,
    contrast: float = 0.3,
) -> tuple[DiscreteLaw, ...]:
    """Ising laws on a lattice: couplings from ``coupling`` to its negative, random fields."""
    signs = np.linspace(1.0, -1.0, as_count("k", k)) if k > 1 else np.ones(1)
    fields = contrast * rng.standard_normal((k, rows * columns))
    return tuple(ising_lattice(rows, columns, coupling * c, h) for c, h in zip(signs, fields, strict=True))


_FAMILIES: dict[str, Callable[..., tuple[DiscreteLaw, ...]]] = {
    function.__name__: function for function in (product_mixtures, markov_chains, potts_chains, ising_lattices)
}


def known_discrete_problems() -> dict[str, str]:
    """Names of the families, and a line about each."""
    return {name: (function.__doc__ or "").splitlines()[0] for name, function in _FAMILIES.items()}


def make_discrete_problem(name: str, *, rng: SeedLike = 0, weights: Any = None, **params: Any) -> DiscreteProblem:
    """Build a named problem on a product space.

    Parameters
    ----------
    name : str
        One of :func:`known_discrete_problems`.
    rng : Generator, int or None
        Randomness of the laws and weights, not of any data.
    weights : array_like (k,), optional
        True weights; random and interior without.
    **params
        Parameters of the family.

    Raises
    ------
    UnknownNameError, SyntheticError
        For an unknown family (close matches are listed) or parameter, or a bad value.
    """
    if not (isinstance(name, str) and name in _FAMILIES):
        raise close_matches(name, _FAMILIES, "discrete problem")
    accepted = {key: p.default for key, p in signature(_FAMILIES[name]).parameters.items() if key != "rng"}
    if unknown := sorted(set(params) - set(accepted)):
        raise SyntheticError(f"problem {name!r} takes no parameter {unknown[0]!r}; it takes {', '.join(accepted)}")
    if "contrast" in params:
        as_positive("contrast", params["contrast"])
    generator = as_generator(rng)
    laws = _FAMILIES[name](rng=generator, **params)
    k = len(laws)
    true = generator.dirichlet(np.full(k, 4.0)) if weights is None else as_simplex(weights, k)
    return DiscreteProblem(name, laws, true, accepted | params)


def _softmax(logits: Float64Array) -> Float64Array:
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))
