"""Warnings of fits: kept with the result, and given once as Python warnings of the caller's line."""

import warnings
from typing import Any

import numpy as np
import pytest

import sfbench
from sfbench import FitWarning
from synthetic import GaussianMixture

from ..common import Foreign

OU = sfbench.OrnsteinUhlenbeck()


def unit(*mean: float) -> GaussianMixture:
    return GaussianMixture([1.0], [list(mean)], 1.0)


LAWS = [unit(-1.0, 0.0), unit(1.0, 0.0), unit(0.0, 1.5)]
FLAT = [Foreign(GaussianMixture([1.0], [[0.0, m]], [[4.0, 0.02]]), OU) for m in (-0.1, 0.1)]
X = unit(0.0, 0.5).sample(400, rng=0)


def said(fit: Any, *args: Any, **options: Any) -> tuple[Any, list[str]]:
    """A fit, and the texts of its warnings, all of this file."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        result = fit(*args, **options)
    assert all(issubclass(one.category, FitWarning) for one in seen)
    assert {one.filename for one in seen} <= {__file__}
    return result, [str(one.message) for one in seen]


CASES: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "boundary": (LAWS, X - [4.0, 0.0], {}, "weight at the boundary for auxiliary 1, 2"),
    "few": (LAWS, X[:9], {}, "only n = 9 samples"),
    "twins": ([LAWS[0], *LAWS[:2]], X, {}, "not unique: auxiliaries 0, 1"),
    "outlier": (LAWS, np.vstack([X, [[90.0, 90.0]]]), {}, "sample 400 carries"),
    "likelihood": (LAWS, X - [4.0, 0.0], {"objective": "likelihood"}, "weight at the boundary"),
    "bins": ([LAWS[0], *LAWS[:2]], X, {"bins": 2}, "the weights of bins 0, 1 are not unique"),
    "few by bins": (LAWS, X[:9], {"bins": 2}, "only n = 9 samples"),
    "budget": ([Foreign(law, OU) for law in LAWS], X, {"weight_tol": 1e-3}, "above weight_tol=0.001"),
    "misfit": (FLAT, X * [2.0, 0.25], {}, "misfit: no weights of these models give"),
    "useless": ([Foreign(law, OU) for law in LAWS], X + 9.0, {}, "denoises these data worse than a linear predictor"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_a_fit_knows_is_warned_of_once_and_kept(case: str) -> None:
    models, x, options, text = CASES[case]
    result, texts = said(sfbench.fuse, models, x, process=OU, rng=0, **options)
    assert any(text in one for one in texts)
    assert sorted(texts) == sorted(result.warnings)


@pytest.mark.parametrize("options", [{}, {"objective": "likelihood"}, {"bins": 2, "n_nodes": 4}])
def test_a_fit_without_doubts_is_silent(options: dict[str, Any]) -> None:
    for models in (LAWS, [Foreign(law, OU) for law in LAWS]) if "objective" not in options else (LAWS,):
        result, texts = said(sfbench.fuse, models, X, process=OU, rng=0, **options)
        assert texts == []
        assert result.warnings == ()
