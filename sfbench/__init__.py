"""Fusing diffusion (score) models through Kullback-Leibler barycenters, with exact ground truth.

>>> import sfbench
>>> from synthetic import make_problem
>>> problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter")
>>> x = problem.target.sample(1000, rng=0)
>>> window = {"t_min": 1e-4, "t_max": 2e-4}  # near 0: the weights of the barycenter, which are 0.5 and 0.5
>>> result = sfbench.fuse(problem.auxiliaries, x, process=sfbench.OrnsteinUhlenbeck(), **window, rng=0)
>>> result.weights.round(1)
array([0.5, 0.5])
"""

from importlib import import_module
from typing import TYPE_CHECKING

from ._internal import sentinel  # noqa: F401  # refuses foreign packages of our names: before anything imports them

# isort: split
from ._internal.lazy import lazy_names

if TYPE_CHECKING:
    from . import (
        baselines,
        bounds,
        data,
        diffusers,
        discrete,
        errors,
        experiments,
        fusion,
        laws,
        methods,
        metrics,
        nets,
        noises,
        plots,
        processes,
        sampling,
        scores,
        statistics,
        truths,
    )
    from .errors import (
        FitWarning,
        GramError,
        GridError,
        InexactError,
        ModelError,
        NotFiniteError,
        OutputError,
        ProcessMismatchError,
        SfbenchError,
    )
    from .fusion import FusionOverTime, FusionResult, check_wiring, compare, fuse, load_result
    from .fusion.estimator import FusionEstimator as FusionEstimator
    from .noises import student, torus
    from .plots import plot_images, plot_samples
    from .processes import (
        ForwardProcess,
        OrnsteinUhlenbeck,
        VarianceExploding,
        VariancePreserving,
        check_process,
        times,
    )
    from .processes.times import TimeGrid, TimeSteps, time_grid, time_steps
    from .sampling import CorrectedSampler, FlowSampler, FusedSampler, SampleResult, sample
    from .scores import AlignedScore, AnalyticScore, FusedScore, ProductScore, ScoreModel, WeightsOverTime
    from .statistics import (
        GramSettings,
        ScoreGram,
        population_gram,
        population_weights,
        prefix_grams,
        score_gram,
        simulated_grams,
    )

__version__ = "0.2.0"

__all__ = [
    "AlignedScore",
    "AnalyticScore",
    "CorrectedSampler",
    "FitWarning",
    "FlowSampler",
    "ForwardProcess",
    "FusedSampler",
    "FusedScore",
    "FusionOverTime",
    "FusionResult",
    "GramError",
    "GramSettings",
    "GridError",
    "InexactError",
    "ModelError",
    "NotFiniteError",
    "OrnsteinUhlenbeck",
    "OutputError",
    "ProcessMismatchError",
    "ProductScore",
    "SampleResult",
    "ScoreGram",
    "ScoreModel",
    "SfbenchError",
    "TimeGrid",
    "TimeSteps",
    "VarianceExploding",
    "VariancePreserving",
    "WeightsOverTime",
    "baselines",
    "bounds",
    "check_process",
    "check_wiring",
    "compare",
    "data",
    "diffusers",
    "discrete",
    "errors",
    "experiments",
    "fuse",
    "fusion",
    "laws",
    "load_result",
    "methods",
    "metrics",
    "nets",
    "noises",
    "plot_images",
    "plot_samples",
    "plots",
    "population_gram",
    "population_weights",
    "prefix_grams",
    "processes",
    "sample",
    "sampling",
    "score_gram",
    "scores",
    "simulated_grams",
    "statistics",
    "student",
    "time_grid",
    "time_steps",
    "times",
    "torus",
    "truths",
]

_PLACES = {
    ".errors": "FitWarning GramError GridError InexactError ModelError NotFiniteError OutputError ProcessMismatchError "
    "SfbenchError",
    ".fusion": "FusionOverTime FusionResult check_wiring compare fuse load_result",
    ".plots": "plot_images plot_samples",
    ".processes": "ForwardProcess OrnsteinUhlenbeck VarianceExploding VariancePreserving check_process",
    ".sampling": "CorrectedSampler FlowSampler FusedSampler SampleResult sample",
    ".scores": "AlignedScore AnalyticScore FusedScore ProductScore ScoreModel WeightsOverTime",
    ".statistics": "GramSettings ScoreGram population_gram population_weights prefix_grams score_gram simulated_grams",
    ".processes.times": "TimeGrid TimeSteps time_grid time_steps times",
    ".noises.student": "student",
    ".noises.torus": "torus",
}
_NAMES = {name: place for place, names in _PLACES.items() for name in names.split()}
_OPTIONAL = {"FusionEstimator": ".fusion.estimator"}  # not in __all__: `import *` must not need scikit-learn


def _elsewhere(name: str) -> str:
    """Where a name is that belongs to one of the two packages beside this one."""
    for package in ("synthetic", "solvers"):
        if name == package:
            return f": it is a package of its own, import {package}"
        if not name.startswith("_") and name in import_module(package).__all__:
            return f": from {package} import {name}"
    return ""


__getattr__, __dir__ = lazy_names(
    __name__, {name: _NAMES.get(name, f".{name}") for name in __all__} | _OPTIONAL, _elsewhere
)
