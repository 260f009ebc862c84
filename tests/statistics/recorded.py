"""Fits whose numbers were recorded before statistics were kept by time node; `python -m tests.statistics.recorded`
writes what the present code gives."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import sfbench
from sfbench.fusion import inspect_windows
from synthetic import EmbeddedMixture, GaussianMixture

PATH = Path(__file__).with_name("recorded_numbers.json")
OU = sfbench.OrnsteinUhlenbeck()


@dataclass(frozen=True)
class Foreign:
    """A model that only has a score and a divergence."""

    law: GaussianMixture

    @property
    def dim(self) -> int:
        return self.law.dim

    def score(self, x: np.ndarray, t: float) -> np.ndarray:
        return self.law.diffuse(float(OU.alpha(t)), float(OU.sigma(t))).score(x)

    def score_and_divergence(self, x: np.ndarray, t: float) -> tuple[np.ndarray, np.ndarray]:
        return self.law.diffuse(float(OU.alpha(t)), float(OU.sigma(t))).score_and_divergence(x)


def _mixtures(rng: np.random.Generator, d: int, shared: bool) -> list[GaussianMixture]:
    return [
        GaussianMixture([0.3, 0.7], rng.normal(size=(2, d)), 0.8 if shared else rng.uniform(0.5, 1.5, 2))
        for _ in range(3)
    ]


def _networks(rng: np.random.Generator) -> list[Any]:
    import torch

    from sfbench.nets import NetworkDivergence, NetworkScore

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            first, second = rng.normal(size=(8, 4)), rng.normal(size=(3, 8))
            self.first, self.second = (torch.nn.Parameter(torch.tensor(v)) for v in (first, second))

        def forward(self, x: Any, t: Any) -> Any:
            return torch.tanh(torch.cat([x, t[:, None]], 1) @ self.first.T) @ self.second.T

    return [NetworkDivergence(NetworkScore(Net(), 3, OU, "v"), None) for _ in range(3)]


def models(kind: str) -> list[Any]:
    rng = np.random.default_rng(20)
    if kind == "gaussians":
        return [GaussianMixture([1.0], rng.normal(size=(1, 3)), rng.uniform(0.5, 2.0, (1, 3))) for _ in range(3)]
    if kind == "embedded":
        frame = np.linalg.qr(rng.normal(size=(6, 2)))[0]
        return [EmbeddedMixture(law, frame, 0.7, np.ones(6)) for law in _mixtures(rng, 2, shared=False)]
    if kind == "networks":
        return _networks(rng)
    laws = _mixtures(rng, {"foreign": 3, "isotropic": 7, "shared": 9}[kind], shared=kind == "shared")
    return [Foreign(law) for law in laws] if kind == "foreign" else laws


KINDS = ("gaussians", "isotropic", "shared", "embedded", "foreign", "networks")
ESTIMATORS = ("antithetic", "dsm", "stein")


def _numbers(gram: sfbench.ScoreGram) -> dict[str, Any]:
    return {"G": gram.G.tolist(), "b": gram.b.tolist()}


def _fit(kind: str, estimator: str, n_nodes: int, n_noise: int, weighting: str) -> dict[str, Any]:
    auxiliaries = models(kind)
    x = np.random.default_rng(21).normal(0.3, 1.2, (300, auxiliaries[0].dim))
    result = sfbench.fuse(
        auxiliaries,
        x,
        process=OU,
        t_min=0.02,
        t_max=0.02 if n_nodes == 1 else 3.0,
        n_nodes=n_nodes,
        estimator=estimator,
        n_noise=n_noise,
        weighting=weighting,
        rng=22,
    )
    kept, bias = result.gram.contributions, result.window_bias
    assert kept is not None
    return {
        **_numbers(result.gram),
        "weights": result.weights.tolist(),
        "spread": kept.gradient_covariance(result.weights).tolist(),
        "rows": [kept.g[[0, 150, 299]].tolist(), kept.b[[0, 150, 299]].tolist()],
        "early": None if bias is None else bias.early.tolist(),
        "late": None if bias is None else bias.late.tolist(),
        "p_value": None if bias is None else bias.p_value,
        "intervals": result.confidence_interval().tolist(),
        "bootstrap": result.confidence_interval(method="bootstrap", rng=3).tolist(),
    }


def _without_rows(kind: str, estimator: str) -> dict[str, Any]:
    auxiliaries = models(kind)
    x = np.random.default_rng(23).normal(0.3, 1.2, (500, auxiliaries[0].dim))
    settings = sfbench.GramSettings(OU, sfbench.time_grid(0.01, 2.0, 5), estimator, n_noise=2)
    whole = sfbench.score_gram(auxiliaries, x, settings, rng=24)
    prefixes = sfbench.prefix_grams(auxiliaries, x, settings, [3, 100, 499], rng=25)
    return {"whole": _numbers(whole), "prefixes": [_numbers(gram) for gram in prefixes]}


def _simulated(kind: str, estimator: str) -> dict[str, Any]:
    laws = models(kind)
    settings = sfbench.GramSettings(OU, sfbench.time_grid(0.01, 2.0, 5), estimator)
    target = laws[0] if kind == "embedded" else laws[0].affine(1.0, 0.1)
    grams = sfbench.simulated_grams(laws, target, settings, [10, 50, 200], rng=26)
    return {"prefixes": [_numbers(gram) for gram in grams]}


def _windows(kind: str) -> dict[str, Any]:
    auxiliaries = models(kind)
    held_out = [np.random.default_rng(i).normal(0.1 * i, 1.0, (200, auxiliaries[0].dim)) for i in range(3)]
    grid = sfbench.time_grid(0.05, 1.0, 4)
    report = inspect_windows(auxiliaries, held_out, process=OU, grid=grid, n_noise=2, rng=27)
    return {name: getattr(report, name).tolist() for name in ("difference", "error", "noise")}


def cases() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Names and computations."""
    for kind in KINDS:
        for estimator in ESTIMATORS:
            for n_nodes, n_noise, weighting in ((1, 1, "girsanov"), (7, 1, "girsanov"), (4, 3, "sigma2")):
                name = f"fuse {kind} {estimator} {n_nodes} nodes"
                yield name, lambda a=(kind, estimator, n_nodes, n_noise, weighting): _fit(*a)
            yield f"score_gram {kind} {estimator}", lambda a=(kind, estimator): _without_rows(*a)
            if kind in ("gaussians", "isotropic", "shared", "embedded"):
                yield f"simulated {kind} {estimator}", lambda a=(kind, estimator): _simulated(*a)
        yield f"windows {kind}", lambda kind=kind: _windows(kind)


if __name__ == "__main__":
    numbers = {name: compute() for name, compute in cases()}
    Path(sys.argv[1] if len(sys.argv) > 1 else PATH).write_text(json.dumps(numbers) + "\n")
