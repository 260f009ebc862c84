"""Samplers that say which law they sample.

Three limits hide behind one fused score: the law of the reverse SDE (the *fused law* ``P_w``), the law of the
probability flow (another one), and the KL barycenter ``p_w`` (which needs weights). :func:`sample` reaches each of them
and its result names the one it holds.
"""

from typing import TYPE_CHECKING

from .._lazy import lazy_names
from .api import sample
from .errors import DivergenceError, DivergenceWarning, TrustWarning
from .integrators import AdaptiveFlow, EulerMaruyama, Exponential, Heun, Integrator, PredictorCorrector
from .result import Diagnostics, SampleResult
from .samplers import CorrectedSampler, FlowSampler, FusedSampler, known_integrators

if TYPE_CHECKING:
    from ..fusion.from_paths import PathRatios, ScoreLikelihoodFit, fit_from_scores, path_ratios

__all__ = [
    "AdaptiveFlow",
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
    "SampleResult",
    "ScoreLikelihoodFit",
    "TrustWarning",
    "fit_from_scores",
    "known_integrators",
    "path_ratios",
    "sample",
]

# Fitting stands above this package; the names stay reachable here.
__getattr__, __dir__ = lazy_names(__name__, dict.fromkeys(__all__, "..fusion"))
