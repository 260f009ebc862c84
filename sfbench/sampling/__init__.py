"""Samplers that say which law they sample.

Three limits hide behind one fused score: the law of the reverse SDE (the *fused law* ``P_w``), the law of the
probability flow (another one), and the KL barycenter ``p_w`` (which needs weights). :func:`sample` reaches each of them
and its result names the one it holds.
"""

from typing import TYPE_CHECKING

from .._internal.lazy import lazy_names
from .api import known_samplers, register_sampler, sample
from .base import Sampler, SampleRequest
from .controlled import ControlledSampler
from .corrected import CorrectedSampler
from .errors import DivergenceError, DivergenceWarning, TrustWarning
from .fused import FlowSampler, FusedSampler
from .integrators import (
    AdaptiveFlow,
    EulerMaruyama,
    Exponential,
    Heun,
    Integrator,
    PredictorCorrector,
    known_integrators,
)
from .result import Diagnostics, SampleResult
from .switched import SwitchedSampler
from .window import steps_for

if TYPE_CHECKING:
    from ..fusion.from_paths import PathRatios, ScoreLikelihoodFit, fit_from_scores, path_ratios

__all__ = [
    "AdaptiveFlow",
    "ControlledSampler",
    "CorrectedSampler",
    "Diagnostics",
    "DivergenceError",
    "DivergenceWarning",
    "EulerMaruyama",
    "Exponential",
    "FlowSampler",
    "FusedSampler",
    "Heun",
    "Integrator",
    "PathRatios",
    "PredictorCorrector",
    "SampleRequest",
    "SampleResult",
    "Sampler",
    "ScoreLikelihoodFit",
    "SwitchedSampler",
    "TrustWarning",
    "fit_from_scores",
    "known_integrators",
    "known_samplers",
    "path_ratios",
    "register_sampler",
    "sample",
    "steps_for",
]

# Fitting stands above this package; the names stay reachable here.
__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "..fusion"))
