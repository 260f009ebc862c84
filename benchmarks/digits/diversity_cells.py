"""Diversity of the digits' networks along a segment of weights: cells of :mod:`benchmarks.digits.diversity`.

No network has an entropy, so diversity is measured on samples, in the first 32 principal components of real sevens and
nines, scaled to a mean variance of 1: the Vendi score of order 2 with kernel ``exp(-|x - y|^2 / 2 l^2)``, ``l^2 = 32``,
and density and coverage against real digits, as many of each. ``middle`` is the share of images between 1/4 and 3/4 of
the way from the real nines to the real sevens, on the judge's log-odds.
"""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, final

import numpy as np

from sfbench import FusedScore, sample
from sfbench._internal.aliases import Float64Array
from sfbench.baselines.networks import average_checkpoints
from sfbench.data import make_populations
from sfbench.nets import load_checkpoint
from sfbench.processes.times import time_steps
from sfbench.sampling import TrustWarning

from ..common.measures import density_and_coverage, log_vendi_of_samples
from ..common.study import Row, cell_rng, study_cells
from .cells import judge_of
from .models import FULL, NINE, PROCESS, SEVEN, T_MIN, load_pools

KEPT = Path(__file__).parents[1] / "results" / "digits_mnist"
ENDS = (0, 3)  # auxiliaries with 10 and 90 % of sevens
COMPONENTS = 32


@final
@dataclass(frozen=True)
class DiversitySpec:
    """One draw of all laws at the weights (of the second network), with ``images`` of each."""

    weights: tuple[float, ...]
    images: int
    steps: int
    draw: int
    seed: int


@study_cells(version=1, factors=("law", "weight"), replicate="draw", name="digits/diversity")
def run_cell(spec: DiversitySpec) -> list[Row]:
    """Share of sevens, middle, Vendi score, density and coverage by law and weight."""
    models = [load_checkpoint(KEPT / f"auxiliary_{i}") for i in ENDS]
    steps, rng, gauge = time_steps(PROCESS, spec.steps, t_min=T_MIN), cell_rng(spec), _Gauge.of(spec.images)

    def drawn(score: Any, sampler: Any = "fused") -> Any:
        options: Any = {"steps": steps, "check_steps": False, "dtype": np.float32, "rng": rng}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)  # the verdict is recorded
            return sample(score, spec.images, sampler, **options)

    def row(law: str, weight: float, x: Float64Array, **more: Any) -> Row:
        return {"law": law, "weight": weight, "draw": spec.draw, "seed": spec.seed} | gauge.read(x) | more

    fused = {w: drawn(FusedScore(models, [1.0 - w, w], process=PROCESS)).x for w in (0.0, *spec.weights, 1.0)}
    rows = [row("P_w", w, x) for w, x in fused.items()]
    for w in spec.weights:
        rows.append(row("merged", w, drawn(average_checkpoints(models, np.array([1.0 - w, w]))).x))
        second = rng.random(spec.images) < w
        rows.append(row("mixture", w, np.where(second[:, None], fused[1.0], fused[0.0])))
    found = drawn(FusedScore(models, [0.5, 0.5], process=PROCESS), "corrected")
    chosen = rng.choice(spec.images, spec.images, p=np.exp(found.log_weights) / np.exp(found.log_weights).sum())
    about = {"founders": found.diagnostics.founders, "trusted": found.diagnostics.trustworthy}
    rows.append(row("p_w", 0.5, found.x[chosen], **about))
    scaling = FULL.training.scaling
    rows.append(row("real digits", 0.5, scaling.apply(_real(spec.images, rng))))
    return rows


def _real(n: int, rng: np.random.Generator) -> Float64Array:
    """Dequantised real images (n, d), as many sevens as nines, of writers that no network saw."""
    pools = load_pools(FULL.training.data, 0)
    [(x, _, _)] = make_populations(pools.target_x, pools.target_y, [{SEVEN: 0.5, NINE: 0.5}], n, rng=rng)
    return np.asarray(x + rng.random(x.shape))


@final
@dataclass(frozen=True, eq=False)
class _Gauge:
    """What images are measured with."""

    mean: Float64Array
    axes: Float64Array
    scale: float
    reference: Float64Array
    ends: tuple[float, float]

    @classmethod
    @lru_cache(maxsize=2)
    def of(cls, n: int) -> "_Gauge":
        """Components of the auxiliaries' pool, n real digits as reference, and log-odds of real nines and sevens."""
        pools, scaling = load_pools(FULL.training.data, 0), FULL.training.scaling
        x = scaling.apply(pools.train_x + 0.5)
        mean = x.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov((x - mean).T))
        axes, scale = vectors[:, -COMPONENTS:], float(np.sqrt(values[-COMPONENTS:].mean()))
        odds = [float(_log_odds(pools.target_x[pools.target_y == kind]).mean()) for kind in (NINE, SEVEN)]
        real = (scaling.apply(_real(n, np.random.default_rng(902))) - mean) @ axes / scale
        return cls(mean, axes, scale, real, (odds[0], odds[1]))

    def read(self, x: Float64Array) -> Row:
        """Numbers of images (n, d) in the networks' coordinates."""
        scaling = FULL.training.scaling
        raw = np.asarray(x, dtype=np.float64) * scaling.scale + scaling.shift
        place = (_log_odds(raw) - self.ends[0]) / (self.ends[1] - self.ends[0])
        points = (np.asarray(x, dtype=np.float64) - self.mean) @ self.axes / self.scale
        density, coverage = density_and_coverage(self.reference, points)
        return {
            "share": judge_of(FULL.training.data, FULL.training.levels, 0).share(raw).value,
            "middle": float(((place > 0.25) & (place < 0.75)).mean()),
            "log_vendi": log_vendi_of_samples(points),
            "density": density,
            "coverage": coverage,
        }


def _log_odds(raw: Float64Array) -> Float64Array:
    """The judge's log-odds (n,) of a seven."""
    judge = judge_of(FULL.training.data, FULL.training.levels, 0)
    return -np.asarray(judge.features(raw) @ judge.model.coefs_[1][:, 0] + judge.model.intercepts_[1][0])
