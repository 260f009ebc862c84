"""Fitting fusion weights to data: ``fuse`` and what its result can tell."""

from typing import TYPE_CHECKING

from .._lazy import lazy_names

if TYPE_CHECKING:
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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        **dict.fromkeys(["PathRatios", "ScoreLikelihoodFit", "fit_from_scores", "path_ratios"], ".from_paths"),
        **dict.fromkeys(["WindowReport", "inspect_windows"], ".windows"),
        "Adequacy": ".adequacy",
        **dict.fromkeys(["Comparison", "compare"], ".comparison"),
        **dict.fromkeys(["Wiring", "check_wiring"], ".wiring"),
        **dict.fromkeys(["FusionResult"], ".result"),
        **dict.fromkeys(["DataIdentity"], ".identity"),
        **dict.fromkeys(["ResultError", "load_result"], ".saving"),
        **dict.fromkeys(["FusionOverTime"], ".over_time"),
        **dict.fromkeys(["Objective", "fuse"], ".api"),
        **dict.fromkeys(["WindowBias"], ".window_bias"),
    },
)
