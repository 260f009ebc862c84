"""Score models: anything with ``dim`` and ``score(x, t)``; exact, fused, aligned and product scores."""

from .aligned import AlignedScore
from .models import (
    AnalyticScore,
    DivergenceScoreModel,
    FusedScore,
    ScoreModel,
    as_score_models,
    process_of,
    score_and_divergence,
)
from .product import ProductScore
from .weights import WeightsOverTime

__all__ = [
    "AlignedScore",
    "AnalyticScore",
    "DivergenceScoreModel",
    "FusedScore",
    "ProductScore",
    "ScoreModel",
    "WeightsOverTime",
    "as_score_models",
    "process_of",
    "score_and_divergence",
]
