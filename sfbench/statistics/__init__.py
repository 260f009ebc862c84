"""Score-matching statistics: by time node from data, in law, and exactly."""

from .estimators import ESTIMATORS, AbstractEstimator, Estimator, known_estimators, register_estimator
from .gram import Contributions, ScoreGram, tangent_basis
from .nodes import NodeStatistics
from .passes import prefix_grams, score_gram, score_statistics, simulated_grams
from .population import population_gram, population_weights
from .samples import as_data
from .settings import GramSettings

__all__ = [
    "ESTIMATORS",
    "AbstractEstimator",
    "Contributions",
    "Estimator",
    "GramSettings",
    "NodeStatistics",
    "ScoreGram",
    "as_data",
    "known_estimators",
    "population_gram",
    "population_weights",
    "prefix_grams",
    "register_estimator",
    "score_gram",
    "score_statistics",
    "simulated_grams",
    "tangent_basis",
]
