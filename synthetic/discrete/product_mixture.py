r"""Mixtures of product laws: ``p(x) = sum_m c_m prod_l p_{m,l}(x_l)``.

Evidence multiplies every factor, so the posterior is a mixture of products again:

    P(x_l = v) = sum_m rho_m p_{m,l}(v) e_l(v) / T_{m,l},      T_{m,l} = sum_v p_{m,l}(v) e_l(v),
    rho_m  proportional to  c_m prod_l T_{m,l}.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import ArrayLike

from .._typing import Float64Array, SeedLike
from .._validation import as_count, as_generator, as_simplex
from ..errors import ShapeError
from .law import States, as_evidence, as_probabilities, as_states, draw_columns, impossible


@final
@dataclass(frozen=True, eq=False)
class ProductMixture:
    """A mixture of product laws; one component is a product law.

    Parameters
    ----------
    weights : array_like (m,)
        Simplex weights of the components.
    marginals : array_like (m, L, S)
        ``p_{m,l}(v)``; the last axis sums to one.
    """

    weights: Float64Array
    marginals: Float64Array

    def __post_init__(self) -> None:
        marginals = as_probabilities("marginals", self.marginals, 3)
        object.__setattr__(self, "marginals", marginals)
        object.__setattr__(self, "weights", as_simplex(self.weights, len(marginals)))
        if self.alphabet < 2:
            raise ShapeError("marginals must have at least two values a site")

    @property
    def alphabet(self) -> int:
        """Number of values of a site, S."""
        return int(self.marginals.shape[2])

    @property
    def length(self) -> int:
        """Number of sites, L."""
        return int(self.marginals.shape[1])

    def log_prob(self, x: ArrayLike) -> Float64Array:
        """Log probability of states x (n, L), shape (n,)."""
        states = as_states("x", x, self.length, self.alphabet)
        with np.errstate(divide="ignore"):
            logs = (
                np.log(self.marginals)[:, np.arange(self.length), states].sum(axis=-1) + np.log(self.weights)[:, None]
            )
        return np.asarray(np.logaddexp.reduce(logs, axis=0))

    def sample(self, n: int, *, rng: SeedLike = None) -> States:
        """Draws, shape (n, L)."""
        generator = as_generator(rng)
        component = generator.choice(len(self.weights), size=as_count("n", n), p=self.weights)
        return draw_columns(self.marginals[component], generator)

    def infer(self, evidence: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """Log evidence (n,) and posterior marginals (n, L, S); see :class:`~synthetic.discrete.DiscreteLaw`."""
        e = as_evidence(evidence, self.length, self.alphabet)
        totals = np.einsum("nls,mls->nml", e, self.marginals)
        with np.errstate(divide="ignore"):
            logs = np.log(totals).sum(axis=-1) + np.log(self.weights)
        log_evidence = np.asarray(np.logaddexp.reduce(logs, axis=1))
        impossible(log_evidence)
        share = np.exp(logs - log_evidence[:, None])
        ratio = np.divide(share[:, :, None], totals, out=np.zeros_like(totals), where=totals > 0)
        return log_evidence, e * np.einsum("nml,mls->nls", ratio, self.marginals)
