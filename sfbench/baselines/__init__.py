"""What people do instead of pooling, as laws that can be compared with both truths.

=====================  ==================================================================================
single auxiliary       ``p_i`` itself: take it from the problem
arithmetic mixture     ``sum_i w_i p_i``: :func:`synthetic.arithmetic_mixture`
averaged score         the fused law ``P_w``: :func:`sfbench.sample` with ``sampler="fused"``
parameter averaging    the model whose parameters are averages: :func:`parameter_average`
SuperDiff OR, AND      composition by densities estimated on the fly: :class:`SuperposedSampler`, :func:`superdiff`
=====================  ==================================================================================
"""

from .law_parameters import parameter_average
from .superposition import SuperposedSampler, superdiff

__all__ = ["SuperposedSampler", "parameter_average", "superdiff"]
