"""Fusing diffusion (score) models through Kullback-Leibler barycenters, with exact ground truth.

>>> import sfbench
>>> from synthetic import make_problem
>>> problem = make_problem("paper_mixture_1d", scale=6.0, target="barycenter")
>>> x = problem.target.sample(1000, rng=0)
>>> result = sfbench.fuse(problem.auxiliaries, x, process=sfbench.OrnsteinUhlenbeck(), rng=0)
>>> result.weights.round(1)
array([0.6, 0.4])
"""

from . import _sentinel  # noqa: F401  # refuses foreign packages of our names: before anything imports them

# isort: split
from . import bounds, metrics
from .aligned_score import AlignedScore
from .errors import (
    GramError,
    GridError,
    InexactError,
    ModelError,
    NotFiniteError,
    OutputError,
    ProcessMismatchError,
    SfbenchError,
)
from .fusion import FusionResult, fuse
from .gram import ScoreGram
from .grids import TimeGrid, time_grid
from .population import population_gram, population_weights
from .processes import ForwardProcess, OrnsteinUhlenbeck, VarianceExploding, VariancePreserving
from .product_score import ProductScore
from .sampling import CorrectedSampler, FlowSampler, FusedSampler, SampleResult, sample
from .scores import AnalyticScore, FusedScore, ScoreModel
from .statistics import GramSettings, prefix_grams, score_gram, simulated_grams
from .time_steps import TimeSteps, time_steps

__version__ = "0.1.0"

__all__ = [
    "AlignedScore",
    "AnalyticScore",
    "CorrectedSampler",
    "FlowSampler",
    "ForwardProcess",
    "FusedSampler",
    "FusedScore",
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
    "bounds",
    "fuse",
    "metrics",
    "population_gram",
    "population_weights",
    "prefix_grams",
    "sample",
    "score_gram",
    "simulated_grams",
    "time_grid",
    "time_steps",
]
