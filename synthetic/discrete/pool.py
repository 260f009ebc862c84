r"""Log-linear pools on product spaces: ``p_w(x) = prod_i p_i(x)^{w_i} / Z(w)``, the KL barycenter.

The pool of product laws is a product law; that of Markov chains (product laws among them) is a Markov chain, with
``log Z`` by transfer matrices; any other is enumerated. A law of weight zero has no part in the pool (``0^0 = 1``).
"""

from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Float64Array, SeedLike
from .._validation import as_simplex
from ..errors import IntractableError
from ..estimate import Estimate
from .law import DiscreteLaw, States, as_discrete_laws, count_states
from .markov_chain import MarkovChain
from .product_mixture import ProductMixture
from .table import DiscreteTable


@final
@dataclass(frozen=True, eq=False)
class DiscretePool:
    """The KL barycenter of laws on one product space.

    Parameters
    ----------
    components : sequence of DiscreteLaw
    weights : array_like (k,)
        Simplex weights.

    Attributes
    ----------
    law : DiscreteLaw
        The pool itself: a product law, a Markov chain, or a table.
    """

    components: tuple[DiscreteLaw, ...]
    weights: Float64Array
    law: DiscreteLaw = field(init=False)
    _log_partition: float = field(init=False, repr=False)

    def __post_init__(self) -> None:
        laws = as_discrete_laws("components", self.components)
        weights = as_simplex(self.weights, len(laws))
        used = [(law, float(w)) for law, w in zip(laws, weights, strict=True) if w > 0]
        chains = [potentials_of(law) for law, _ in used]
        if all(part is not None for part in chains):
            unary, pairwise = (
                sum(_scaled(w, part[i]) for (_, w), part in zip(used, chains, strict=True) if part is not None)
                for i in (0, 1)
            )
            pool: DiscreteLaw
            pool, log_partition = MarkovChain.from_potentials(unary, pairwise)
            if all(isinstance(law, ProductMixture) for law, _ in used):
                pool = ProductMixture(np.ones(1), pool.pair_marginals()[0][None])
        else:
            count_states(laws[0].alphabet, laws[0].length)
            logs = sum(_scaled(w, DiscreteTable.from_law(law).log_probs) for law, w in used)
            pool, log_partition = DiscreteTable.from_weights(logs, laws[0].alphabet, laws[0].length)
        if log_partition == -np.inf:
            raise IntractableError("the components have no state in common, so there is no pool")
        for name, value in (("components", laws), ("weights", weights), ("law", pool)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_log_partition", min(log_partition, 0.0))

    @property
    def alphabet(self) -> int:
        """Number of values of a site, S."""
        return self.law.alphabet

    @property
    def length(self) -> int:
        """Number of sites, L."""
        return self.law.length

    def log_partition(self) -> Estimate:
        """``log Z(w) <= 0``, exact."""
        return Estimate(self._log_partition, method="transfer matrix or enumeration")

    def log_prob(self, x: ArrayLike) -> Float64Array:
        """Log probability of states x (n, L), shape (n,)."""
        return self.law.log_prob(x)

    def sample(self, n: int, *, rng: SeedLike = None) -> States:
        """Draws, shape (n, L)."""
        return self.law.sample(n, rng=rng)

    def infer(self, evidence: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """Log evidence (n,) and posterior marginals (n, L, S)."""
        return self.law.infer(evidence)


def potentials_of(law: DiscreteLaw) -> tuple[Float64Array, Float64Array] | None:
    """Potentials (L, S) and (L - 1, S, S) of a chain or product law; None for any other."""
    with np.errstate(divide="ignore"):
        if isinstance(law, DiscretePool):
            return potentials_of(law.law)
        if isinstance(law, ProductMixture) and len(law.weights) == 1:
            return np.log(law.marginals[0]), np.zeros((law.length - 1, law.alphabet, law.alphabet))
        if isinstance(law, MarkovChain):
            unary = np.zeros((law.length, law.alphabet))
            unary[0] = np.log(law.initial)
            return unary, np.log(law.transitions)
    return None


def _scaled(weight: float, logs: Float64Array) -> Float64Array:
    return weight * logs  # weights are positive here, so -inf stays -inf
