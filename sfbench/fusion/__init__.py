"""Fitting fusion weights to data: ``fuse`` and what its result can tell."""

from .adequacy import Adequacy
from .api import Objective, fuse
from .comparison import Comparison, compare
from .from_paths import PathRatios, ScoreLikelihoodFit, fit_from_scores, path_ratios
from .identity import DataIdentity
from .over_time import FusionOverTime
from .result import FusionResult
from .saving import ResultError, load_result
from .window_bias import WindowBias
from .windows import WindowReport, inspect_windows
from .wiring import Wiring, check_wiring

__all__ = [
    "Adequacy",
    "Comparison",
    "DataIdentity",
    "FusionOverTime",
    "FusionResult",
    "Objective",
    "PathRatios",
    "ResultError",
    "ScoreLikelihoodFit",
    "WindowBias",
    "WindowReport",
    "Wiring",
    "check_wiring",
    "compare",
    "fit_from_scores",
    "fuse",
    "inspect_windows",
    "load_result",
    "path_ratios",
]
