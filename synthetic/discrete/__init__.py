"""Laws on product spaces ``{0, ..., S - 1}^L`` with exact marginals, their log-linear pools, and named problems.

A law answers one question besides ``log_prob`` and ``sample``: given independent evidence about every site, what are
the posterior marginals of the sites (``infer``)? Everything a noising process needs follows from the answer.
"""

from .distances import discrete_kl, discrete_total_variation
from .lattices import ising_chain, ising_lattice, potts_chain, potts_lattice
from .law import DiscreteLaw, all_states
from .markov_chain import MarkovChain
from .pool import DiscretePool
from .problems import DiscreteProblem, known_discrete_problems, make_discrete_problem
from .product_mixture import ProductMixture
from .table import DiscreteTable

__all__ = [
    "DiscreteLaw",
    "DiscretePool",
    "DiscreteProblem",
    "DiscreteTable",
    "MarkovChain",
    "ProductMixture",
    "all_states",
    "discrete_kl",
    "discrete_total_variation",
    "ising_chain",
    "ising_lattice",
    "known_discrete_problems",
    "make_discrete_problem",
    "potts_chain",
    "potts_lattice",
]
