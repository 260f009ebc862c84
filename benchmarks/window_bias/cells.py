"""Cells of the study of the window-bias test: pure functions of frozen specs (see :mod:`benchmarks.window_bias`)."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

import sfbench
from synthetic import Law, make_problem

from ..common.fits import quietly
from ..common.study import Row, study_cells

_PROCESS = sfbench.OrnsteinUhlenbeck()


@final
@dataclass(frozen=True)
class Case:
    """Sample sizes, options of the fit, and whether the weights depend on the window."""

    sizes: tuple[int, ...]
    biased: bool
    options: Mapping[str, Any] = field(default_factory=dict)


_PAPER_SIZES = (64, 256, 1024, 4096)
CASES = {
    "around the score, k = 2": Case((128, 256, 1024), biased=False),
    "around the score, k = 4": Case((128, 256, 1024), biased=False),
    "shifted_gaussians, dsm": Case((256, 1024), biased=False, options={"estimator": "dsm"}),
    "paper_mixture_1d, [1e-4, 2e-4]": Case(_PAPER_SIZES, biased=False, options={"t_min": 1e-4, "t_max": 2e-4}),
    "paper_mixture_1d, [1e-3, 5]": Case(_PAPER_SIZES, biased=True, options={"t_min": 1e-3, "t_max": 5.0}),
}


@final
@dataclass(frozen=True)
class WindowSpec:
    """One fit; ``draw`` seeds data and noise."""

    case: str
    n: int
    draw: int


@final
@dataclass(frozen=True, eq=False)
class Around:
    """The target's score plus a fixed combination of directions that change with x and t."""

    base: sfbench.ScoreModel
    others: tuple[sfbench.ScoreModel, ...]
    factors: tuple[float, ...]

    @property
    def dim(self) -> int:
        """Dimension d."""
        return self.base.dim

    def score(self, x: Any, t: float) -> Any:
        """Score at points x (n, d) and time t, shape (n, d)."""
        s = self.base.score(x, t)
        return s + sum(c * (other.score(x, t) - s) for c, other in zip(self.factors, self.others, strict=True))


@functools.lru_cache(maxsize=len(CASES))
def target_and_models(case: str) -> tuple[Law, Sequence[Any]]:
    """Target and auxiliaries of a case."""
    if case.startswith("around the score"):
        k = int(case.rpartition(" ")[2])
        rng = np.random.default_rng(3)
        laws = make_problem("random_mixtures", d=2, k=k, rng=3).auxiliaries
        base, *others = (sfbench.AnalyticScore(law, _PROCESS) for law in laws)
        w = rng.dirichlet(5 * np.ones(k))
        factors = rng.normal(size=(k, k - 1))
        factors -= w @ factors  # the average at w is the target's score
        return laws[0], [Around(base, tuple(others), tuple(row)) for row in factors.tolist()]
    if case.startswith("shifted_gaussians"):
        problem = make_problem("shifted_gaussians", k=4, d=4, rng=0)
    else:
        problem = make_problem("paper_mixture_1d", rng=0, scale=6.0, target="barycenter")
    return problem.target, problem.auxiliaries


@study_cells(version=1, factors=("case", "n"), replicate="draw", name="window_bias/window")
def run_window_cell(spec: WindowSpec) -> Row:
    """Whether one fit warns of window bias, and the p-value of its test; None where the fit tests nothing."""
    case = CASES[spec.case]
    target, models = target_and_models(spec.case)
    x = target.sample(spec.n, rng=np.random.default_rng([spec.draw, spec.n]))
    result = quietly(sfbench.fuse, models, x, process=_PROCESS, rng=spec.draw, **case.options)
    warned = any(text.startswith("window bias") for text in result.warnings)
    p_value = None if result.window_bias is None else result.window_bias.p_value
    return {
        "case": spec.case,
        "n": spec.n,
        "draw": spec.draw,
        "warned": warned,
        "p_value": p_value,
        "verdict_holds": warned == case.biased,
    }
