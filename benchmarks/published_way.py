r"""One Gram pass and an exact quadratic program, against the published way of learning the weights.

The published way parametrises the weights by softmax logits and runs a stochastic gradient optimiser through the scores
for 100 epochs, on denoising score matching with a random time and noise for every sample. Both minimise the same

.. math:: J(w) = \tfrac12 \int \sigma_t^2\, E \| s_w(x_t, t) - s^*(x_t, t) \|^2\, \frac{dt}{t}

over t in [1e-3, 5] on ``paper_mixture_1d`` with an Ornstein-Uhlenbeck process, from the same n samples. The Gram pass
uses 16 Gauss-Legendre nodes in log t and antithetic noise, one draw a sample ("gram_qp") or 8 ("gram_qp_8"). All are
judged by the population objective, which in one dimension is a quadrature, and by the training objective with the noise
averaged over 32 fresh antithetic draws of the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

_T_MIN, _T_MAX, _NODES = 1e-3, 5.0, 16


@dataclass(frozen=True)
class Mixture1D:
    """A one-dimensional Gaussian mixture whose noised score takes one noise level a point."""

    weights: Vector
    means: Vector
    variances: Vector

    def log_terms(self, x: Vector, alpha: Vector, sigma: Vector) -> tuple[Vector, Vector, Vector]:
        """Log weighted densities (n, m), offsets (n, m) and variances (n, m) at noise (alpha, sigma), each (n,)."""
        variance = alpha[:, None] ** 2 * self.variances + sigma[:, None] ** 2
        offset = alpha[:, None] * self.means - x[:, None]
        return np.log(self.weights) - 0.5 * (offset**2 / variance + np.log(2 * np.pi * variance)), offset, variance

    def score(self, x: Vector, alpha: Vector, sigma: Vector) -> Vector:
        """Score (n,) at `x` (n,)."""
        log_p, offset, variance = self.log_terms(x, alpha, sigma)
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        out: Vector = (p * offset / variance).sum(axis=1)
        return out


@dataclass(frozen=True)
class DenoisingObjective:
    """The denoising score-matching objective seen through minibatches, a `StochasticObjective`."""

    auxiliaries: tuple[Mixture1D, ...]
    data: Vector
    batch: int

    @property
    def dim(self) -> int:
        """Number of weights."""
        return len(self.auxiliaries)

    @property
    def scale(self) -> float:
        """Of order one, because each sample is weighted by its noise variance."""
        return 1.0

    def value(self, w: Vector) -> float:
        """Mean loss on the data with one fixed draw of times and noise."""
        loss, _ = self._loss(w, self.data, np.random.default_rng(0))
        return loss

    def gradient(self, w: Vector) -> Vector:
        """Gradient of `value`."""
        return self._loss(w, self.data, np.random.default_rng(0))[1]

    def minibatch_gradient(self, w: Vector, rng: np.random.Generator) -> Vector:
        """Gradient on `batch` samples drawn with replacement, with fresh times and noise."""
        return self._loss(w, self.data[rng.integers(len(self.data), size=self.batch)], rng)[1]

    def _loss(self, w: Vector, x: Vector, rng: np.random.Generator) -> tuple[float, Vector]:
        t = np.exp(rng.uniform(np.log(_T_MIN), np.log(_T_MAX), size=len(x)))
        alpha, sigma = np.exp(-t), np.sqrt(-np.expm1(-2 * t))
        z = rng.normal(size=len(x))
        scores = np.stack([p.score(alpha * x + sigma * z, alpha, sigma) for p in self.auxiliaries])
        residual = sigma * (w @ scores) + z
        return 0.5 * float(np.mean(residual**2)), scores @ (sigma * residual) / len(x)


def run(*, seed: int, quick: bool) -> dict[str, Any]:
    """Fit both ways on the same data, over several draws; excess objectives and CPU-time ratios, one per draw."""
    from solvers import SimplexQP, solve
    from synthetic import make_problem

    problem = make_problem("paper_mixture_1d", space="raw", scale=6.0, target="mixture")
    target, *auxiliaries = (_flatten(p) for p in (problem.target, *problem.auxiliaries))
    n, epochs, batch = 4096, 20 if quick else 100, 64
    population = SimplexQP(*_population_qp(target, auxiliaries))
    floor = solve(population, tol=1e-12).value
    ways = ("gram_qp", "gram_qp_8", "adam", "sgd")
    excess: dict[str, dict[str, list[float]]] = {kind: {way: [] for way in ways} for kind in ("population", "training")}
    ratios: dict[str, list[float]] = {way: [] for way in ways[1:]}
    for draw in range(2 if quick else 5):
        x = problem.target.sample(n, rng=np.random.default_rng([seed, draw]))[:, 0]
        objective = DenoisingObjective(tuple(auxiliaries), x, batch)
        if draw == 0:
            solve(objective, "torch", max_iter=2)  # imports torch
        began = process_time()
        fits = {"gram_qp": solve(SimplexQP(*_gram(auxiliaries, x, np.random.default_rng([seed, draw, 1]))))}
        gram_cpu = process_time() - began
        began = process_time()
        rng = np.random.default_rng([seed, draw, 1])
        fits["gram_qp_8"] = solve(SimplexQP(*_gram(auxiliaries, x, rng, n_noise=8)))
        ratios["gram_qp_8"].append((process_time() - began) / gram_cpu)
        for way, lr in (("adam", 0.01), ("sgd", 0.1)):
            began = process_time()
            fits[way] = solve(objective, "torch", max_iter=epochs * n // batch, rng=draw, optimizer=way, lr=lr)
            ratios[way].append((process_time() - began) / gram_cpu)
        training = SimplexQP(*_gram(auxiliaries, x, np.random.default_rng([seed, draw, 2]), n_noise=32))
        lowest = solve(training, tol=1e-12).value
        for way, fit in fits.items():
            excess["population"][way].append(population.value(fit.weights) - floor)
            excess["training"][way].append(training.value(fit.weights) - lowest)
    return {"kind": "published_way", "n": n, "epochs": epochs, "optimum": floor, "excess": excess, "cpu_ratio": ratios}


def _flatten(p: Any) -> Mixture1D:
    return Mixture1D(p.weights, p.means[:, 0], np.broadcast_to(p.covariances, p.weights.shape).astype(np.float64))


def _time_nodes() -> tuple[Vector, Vector]:
    """Nodes and weights of the average over log t."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    low, high = np.log(_T_MIN), np.log(_T_MAX)
    return np.exp(0.5 * (high + low) + 0.5 * (high - low) * nodes), 0.5 * weights


def _gram(auxiliaries: list[Mixture1D], x: Vector, rng: np.random.Generator, n_noise: int = 1) -> tuple[Vector, Vector]:
    """P (k, k) and q (k,) from `n_noise` antithetic passes over the data."""
    k = len(auxiliaries)
    P, q = np.zeros((k, k)), np.zeros(k)
    for t, weight in zip(*_time_nodes(), strict=True):
        alpha, sigma = np.full(len(x), np.exp(-t)), np.full(len(x), np.sqrt(-np.expm1(-2 * t)))
        share = 0.5 * weight / (n_noise * len(x))
        for _ in range(n_noise):
            z = rng.normal(size=len(x))
            for noise in (z, -z):
                noisy = alpha * x + sigma * noise
                scores = np.stack([sigma * p.score(noisy, alpha, sigma) for p in auxiliaries])
                P += share * (scores @ scores.T)
                q += share * (scores @ noise)
    return P, q


def _population_qp(target: Mixture1D, auxiliaries: list[Mixture1D]) -> tuple[Vector, Vector, float]:
    """The same with the expectation over the target by quadrature on a wide grid, and the true score."""
    k = len(auxiliaries)
    P, q, r = np.zeros((k, k)), np.zeros(k), 0.0
    x = np.linspace(-12.0, 12.0, 20_001)
    for t, weight in zip(*_time_nodes(), strict=True):
        alpha, sigma = np.full(len(x), np.exp(-t)), np.full(len(x), np.sqrt(-np.expm1(-2 * t)))
        density = np.exp(target.log_terms(x, alpha, sigma)[0]).sum(axis=1) * (x[1] - x[0]) * weight * sigma**2
        truth = target.score(x, alpha, sigma)
        scores = np.stack([p.score(x, alpha, sigma) for p in auxiliaries])
        P += (scores * density) @ scores.T
        q -= (scores * density) @ truth
        r += 0.5 * float(density @ truth**2)
    return 0.5 * (P + P.T), q, r
