"""One split of one task: every way to use the auxiliaries and n rows of the target, judged on rows left out in time."""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

import sfbench
from sfbench.baselines import fit_mixture, tune_mixture
from sfbench.laws import ode_log_density
from synthetic import GaussianMixture, arithmetic_mixture

from ..common.study import Row, cell_rng, study_cells
from .facts import covariance_error, crps, energy_score, stylised_facts
from .garch import GarchLaw, fit_garch
from .laws import (
    PROCESS,
    FusedLaw,
    MixtureLaw,
    SeriesLaw,
    fit_auxiliaries,
    flow_times,
    forecast_weights,
    pool_weights,
    score_matching_weights,
)
from .tasks import SeriesTask, make_task

FACT_DRAWS = 1000
_EM_ITERATIONS = 500


@final
@dataclass(frozen=True)
class SeriesSpec:
    """A task, its split, rows to fit to (0: all there are), draws of a forecast (0: none), and seeds."""

    task: str
    split: int
    n: int
    draws: int
    seed: int


@final
@dataclass(frozen=True, eq=False)
class GarchWindows:
    """A :class:`GarchLaw` as a law of rows."""

    law: GarchLaw
    dim: int

    def log_prob(self, x: np.ndarray) -> np.ndarray:
        """Log density (n,)."""
        return self.law.log_prob(x)

    def sample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Windows (n, d)."""
        return self.law.sample(n, rng, self.dim)

    def forecast(self, given: np.ndarray, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draws and their equal weights."""
        draws = self.law.forecast(given, self.dim - given.shape[1], n, rng)
        return draws, np.full(draws.shape[:2], 1.0 / n)


def em_weights(laws: tuple[GaussianMixture, ...], x: np.ndarray) -> np.ndarray:
    """Weights of the arithmetic mixture of maximum likelihood on rows x (n, d)."""
    logs = np.stack([law.log_prob(x) for law in laws], axis=1)
    densities, w = np.exp(logs - logs.max(axis=1, keepdims=True)), np.full(len(laws), 1.0 / len(laws))
    for _ in range(_EM_ITERATIONS):
        shares = densities * w
        w = (shares / shares.sum(axis=1, keepdims=True)).mean(axis=0)
    return np.asarray(w / w.sum())


def fit_laws(task: SeriesTask, x: np.ndarray, rng: np.random.Generator) -> dict[str, SeriesLaw]:
    """Every law, fitted to rows x (n, d) of the target in the order of time."""
    auxiliaries = fit_auxiliaries(task)
    k = len(auxiliaries)
    even = np.full(k, 1.0 / k)
    ahead = forecast_weights(auxiliaries, x, task.given, rng)
    pooled, log_z = pool_weights(auxiliaries, x, rng)
    nearest = max(auxiliaries, key=lambda law: float(law.log_prob(x).mean()))
    mixed = arithmetic_mixture(list(auxiliaries), em_weights(auxiliaries, x))
    kept = mixed.weights > 0
    mixed = GaussianMixture(mixed.weights[kept] / mixed.weights[kept].sum(), mixed.means[kept], mixed.covariances[kept])
    laws: dict[str, SeriesLaw] = {
        "fused": FusedLaw(auxiliaries, score_matching_weights(auxiliaries, x, rng), ahead, None, task.t_min),
        "barycenter": FusedLaw(auxiliaries, pooled, ahead, log_z),
        "uniform": FusedLaw(auxiliaries, even, even, None, task.t_min),
        "nearest": MixtureLaw(nearest),
        "mixture, equal": MixtureLaw(arithmetic_mixture(list(auxiliaries), even)),
        "mixture, EM": MixtureLaw(mixed),
        "fine-tuned": MixtureLaw(tune_mixture(nearest, x, in_order=task.in_time, rng=rng)),
        "fine-tuned mixture": MixtureLaw(tune_mixture(mixed, x, in_order=task.in_time, rng=rng)),
        "from scratch": MixtureLaw(fit_mixture(x, in_order=task.in_time, rng=rng)),
    }
    if task.history is not None:
        garch = fit_garch(task.history)
        laws["GARCH"] = GarchWindows(garch, task.dim)
        laws["GARCH, tuned"] = GarchWindows(garch.tuned(x), task.dim)
    return laws


@study_cells(version=1, factors=("task", "n", "method"), replicate="split", name="series/split")
def run_split(spec: SeriesSpec) -> list[Row]:
    """Held-out log density in nats a row, scores of forecasts, and with all rows the stylised facts of each law."""
    task, rng = make_task(spec.task, spec.seed), cell_rng(spec)
    x, held_out = task.rows(spec.split, spec.n, rng), task.target[task.splits[spec.split][1]]
    shared: Row = {"task": spec.task, "split": spec.split, "n": spec.n, "rows": len(x), "seed": spec.seed}
    return [
        shared | {"method": name} | _judged(law, task, held_out, spec, rng)
        for name, law in fit_laws(task, x, rng).items()
    ]


def _judged(law: SeriesLaw, task: SeriesTask, held_out: np.ndarray, spec: SeriesSpec, rng: np.random.Generator) -> Row:
    row: Row = {"log_prob": float(law.log_prob(held_out).mean())} | getattr(law, "record", {"weights": None})
    if spec.draws:
        given, follows = held_out[:, : task.given], held_out[:, task.given :]
        draws, weights = law.forecast(given, spec.draws, rng)
        row |= {"energy": float(energy_score(draws, weights, follows).mean())}
        row |= {"crps": float(crps(draws, weights, follows).mean())}
        for name, by in (("shuffled", max(1, len(held_out) // 2)), ("moved", 1)):  # forecasts of other rows
            others = np.roll(np.arange(len(held_out)), by)
            row[f"energy_{name}"] = float(energy_score(draws[others], weights[others], follows).mean())
    if spec.n == 0:
        x = law.sample(FACT_DRAWS, rng)
        row |= {f"fact_{name}": value for name, value in stylised_facts(x).items()}
        row["fact_covariance_error"] = covariance_error(x, task.target)
    return row


@final
@dataclass(frozen=True)
class FactsSpec:
    """The target's own facts, with bootstrap intervals over its rows, and those of a Gaussian of its covariance."""

    task: str
    resamplings: int
    seed: int


@study_cells(version=1, factors=("task", "of"), name="series/facts")
def run_facts(spec: FactsSpec) -> list[Row]:
    """Facts of the target with intervals (blocks of ten rows), of a Gaussian; and the error of flow densities."""
    task, rng = make_task(spec.task, spec.seed), cell_rng(spec)
    x = task.target
    blocks = np.array_split(np.arange(len(x)), max(2, len(x) // 10))

    def pick() -> np.ndarray:
        return np.asarray(x[np.concatenate([blocks[i] for i in rng.integers(len(blocks), size=len(blocks))])])

    again = [stylised_facts(pick()) for _ in range(spec.resamplings)]
    gaussian = rng.multivariate_normal(x.mean(axis=0), np.cov(x, rowvar=False), size=FACT_DRAWS)
    law = fit_auxiliaries(task)[0]
    score, few = sfbench.FusedScore((law,), [1.0], process=PROCESS), x[:: max(1, len(x) // 8)]
    flow, coarse = (
        float(np.abs(ode_log_density(score, few, steps=steps).values - law.log_prob(few)).max())
        for steps in (flow_times(task.t_min), flow_times(task.t_min, 16))
    )
    rows: list[Row] = [{"task": spec.task, "fact": "flow error", "seed": spec.seed, "target": flow, "gaussian": coarse}]
    for name, value in stylised_facts(x).items():
        ends: Any = np.quantile([facts[name] for facts in again], [0.05, 0.95])
        row = {"task": spec.task, "fact": name, "seed": spec.seed, "target": value}
        rows.append(row | {"low": float(ends[0]), "high": float(ends[1]), "gaussian": stylised_facts(gaussian)[name]})
    return rows
