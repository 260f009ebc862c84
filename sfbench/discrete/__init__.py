"""Fusing discrete diffusion models: continuous-time Markov chains on product spaces ``{0, ..., S - 1}^L``.

>>> from sfbench.discrete import ExactRates, MaskedNoise, fuse
>>> from synthetic.discrete import make_discrete_problem
>>> problem = make_discrete_problem("potts_chains", weights=(0.6, 0.3, 0.1), contrast=1.0)
>>> models = [ExactRates(law, MaskedNoise(2)) for law in problem.auxiliaries]
>>> fuse(models, problem.target.sample(4000, rng=0), rng=0).weights.round(1)
array([0.6, 0.3, 0.1])
"""

from .exact_laws import certificate, chain_law
from .fit import DiscreteFit, fuse
from .models import ExactRates, FusedRates, RateModel, RatiosAsRates
from .noise import DiscreteNoise, MaskedNoise, UniformNoise
from .sampling import sample

__all__ = [
    "DiscreteFit",
    "DiscreteNoise",
    "ExactRates",
    "FusedRates",
    "MaskedNoise",
    "RateModel",
    "RatiosAsRates",
    "UniformNoise",
    "certificate",
    "chain_law",
    "fuse",
    "sample",
]
