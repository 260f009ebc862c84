"""What people do instead of pooling, as laws that can be compared with both truths.

=====================  ==================================================================================
single auxiliary       ``p_i`` itself: take it from the problem
arithmetic mixture     ``sum_i w_i p_i``: :func:`synthetic.arithmetic_mixture`
averaged score         the fused law ``P_w``: :func:`sfbench.sample` with ``sampler="fused"``
parameter averaging    the model whose parameters are averages: :func:`parameter_average`
SuperDiff OR, AND      composition by densities estimated on the fly: :class:`SuperposedSampler`, :func:`superdiff`
annealed MCMC          Hamiltonian moves on the averaged score at every noise level: :class:`AnnealedHamiltonian`
fine-tuning            the auxiliary trained on, held back by itself: :func:`tune_mixture`; networks in `networks`
from scratch           a mixture of the target's data alone: :func:`fit_mixture`
=====================  ==================================================================================
"""

from .annealed_mcmc import AnnealedHamiltonian
from .law_parameters import parameter_average
from .mixture_fits import fit_mixture, tune_mixture
from .superposition import SuperposedSampler, superdiff

__all__ = [
    "AnnealedHamiltonian",
    "SuperposedSampler",
    "fit_mixture",
    "parameter_average",
    "superdiff",
    "tune_mixture",
]
