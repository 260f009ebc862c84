"""Targets at a distance from the fusible family, and how often the misfit test refuses them."""

from dataclasses import dataclass
from typing import final

import numpy as np

import sfbench
from sfbench import FusedScore, GramSettings, OrnsteinUhlenbeck, time_grid
from sfbench.fusion.adequacy import adequacy
from sfbench.scores import as_score_models
from sfbench.statistics.passes import accumulate
from sfbench.statistics.residuals import Residuals
from sfbench.statistics.samples import DataSource
from solvers import solve
from synthetic import GaussianMixture

from ..common.study import Row, cell_rng, study_cells

PROCESS = OrnsteinUhlenbeck()
SETTINGS = GramSettings(PROCESS, time_grid(1e-3, 5.0, 12))
Case = tuple[tuple[GaussianMixture, ...], GaussianMixture]


def line_mixture(distance: float) -> Case:
    """On the line: a model itself, moved towards the arithmetic mixture with another one."""
    first = GaussianMixture([0.5, 0.5], [[-2.0], [0.0]], 0.3)
    second = GaussianMixture([0.4, 0.6], [[0.5], [2.5]], 0.3)
    share = 0.5 * distance
    weights = np.concatenate([(1 - share) * first.weights, share * second.weights])
    return (first, second), GaussianMixture(weights, np.vstack([first.means, second.means]), 0.3)


def line_scale(distance: float) -> Case:
    """On the line: a model itself, wider."""
    models, target = line_mixture(0.0)
    return models, GaussianMixture(target.weights[:2], target.means[:2], 0.3 * (1.0 + distance))


def plane_modes(distance: float) -> Case:
    """In the plane: two modes whose masses move, models that are shifted along the other axis."""

    def law(shift: float, mass: float) -> GaussianMixture:
        return GaussianMixture([mass, 1.0 - mass], [[shift, 1.5], [shift, -1.5]], 0.3)

    return (law(-1.0, 0.5), law(1.0, 0.5), law(0.3, 0.5)), law(0.2, 0.5 + 0.4 * distance)


def space_place(distance: float) -> Case:
    """In 64 dimensions: a fused law of three Gaussians, moved out of the plane of their means."""
    models, target = _space()
    outside = np.zeros(64)
    outside[3:] = 1.0 / np.sqrt(61.0)
    return models, GaussianMixture([1.0], target.means + 4.0 * distance * outside, 1.0)


def space_scale(distance: float) -> Case:
    """In 64 dimensions: a fused law of three Gaussians, wider in all directions."""
    models, target = _space()
    return models, GaussianMixture([1.0], target.means, 1.0 + distance)


def space_modes(distance: float) -> Case:
    """In 64 dimensions: a fused law of three Gaussians, split into two modes."""
    models, target = _space()
    apart = np.zeros(64)
    apart[5] = np.sqrt(distance)
    return models, GaussianMixture([0.5, 0.5], np.vstack([target.means - apart, target.means + apart]), 1.0)


def _space() -> Case:
    means = np.zeros((3, 64))
    means[[0, 1, 2], [0, 1, 2]] = 2.0
    models = tuple(GaussianMixture([1.0], [mean], 1.0) for mean in means)
    return models, GaussianMixture([1.0], [np.array([0.5, 0.3, 0.2]) @ means], 1.0)


CASES = {case.__name__: case for case in (line_mixture, line_scale, plane_modes, space_place, space_scale, space_modes)}


@final
@dataclass(frozen=True)
class AdequacySpec:
    """A direction out of the family, the distance along it, samples, and the number of the draw."""

    case: str
    distance: float
    n: int
    draws: int
    block: int
    root_seed: int


@study_cells(version=1, factors=("case", "distance", "n"), replicate="block", name="adequacy/draws")
def run_adequacy_cell(spec: AdequacySpec) -> list[Row]:
    """P-value, size of the misfit, and the excess loss over the target's own score on the same noise."""
    rng = cell_rng(spec)
    models, target = CASES[spec.case](spec.distance)
    rows = []
    for i in range(spec.draws):
        x = target.sample(spec.n, rng=rng)
        noise_rng = rng.spawn(1)[0]
        seed = int(noise_rng.integers(1 << 62))
        fit = sfbench.score_gram(models, x, SETTINGS, rng=noise_rng)
        weights = np.asarray(solve(fit.to_qp()).weights)
        found = adequacy(_residuals(models, x, seed), weights)
        exact = adequacy(_residuals((FusedScore([target], [1.0], process=PROCESS),), x, seed), np.ones(1))
        rows.append(
            {
                "case": spec.case,
                "distance": spec.distance,
                "n": spec.n,
                "draw": spec.block * spec.draws + i,
                "p_value": found.p_value,
                "misfit": found.misfit,
                "excess": found.fused - exact.fused,
                "statistic": found.statistic,
                "moments": found.n_moments - found.dimension,
            }
        )
    return rows


def _residuals(models: tuple[object, ...], x: np.ndarray, seed: int) -> Residuals:
    """Residuals in all coordinates, whatever the models have in common."""
    residuals = Residuals(SETTINGS)
    scores = as_score_models(models, PROCESS)  # type: ignore[arg-type]
    source = DataSource(scores, x, None, SETTINGS, np.random.default_rng(seed))
    accumulate(source, SETTINGS, [len(x)], residuals=residuals)
    return residuals
