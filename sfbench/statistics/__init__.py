"""Score-matching statistics: the Gram matrix of auxiliaries, from data, in law, and exactly."""

from .gram import Contributions, ScoreGram, tangent_basis
from .passes import ESTIMATORS, Estimator, GramSettings, as_data, prefix_grams, score_gram, simulated_grams
from .population import population_gram, population_weights

__all__ = [
    "ESTIMATORS",
    "Contributions",
    "Estimator",
    "GramSettings",
    "ScoreGram",
    "as_data",
    "population_gram",
    "population_weights",
    "prefix_grams",
    "score_gram",
    "simulated_grams",
    "tangent_basis",
]
