r"""Composition by densities estimated on the fly (in the manner of SuperDiff, Skreta et al. 2024).

Along a path of the reverse SDE, Ito's formula gives every model's log density without a divergence,

    d log p_i = <s_i, dx> + (f d + f <x, s_i> - g^2/2 |s_i|^2) dtau,

and the paths are driven by ``sum_i kappa_i s_i`` with kappa chosen from the running densities:

- ``OR``: ``kappa = softmax(log p_i + log w_i)``, whose law is the arithmetic mixture ``sum_i w_i p_i`` up to steps;
- ``AND``: the kappa (summing to one) for which all ``log p_i`` change alike in the step; for more than two models, or
  where scores nearly agree, by least squares with a ridge. Its law has no closed form and ignores w.

The AND rule divides by differences of scores: where auxiliaries agree kappa is not determined, and far from all of them
it can be large. It is bounded here by ``largest``.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from .._internal.aliases import Array, SeedLike
from .._internal.arrays import astype, library, on_device, take, zeros
from .._internal.validation import as_choice, as_positive
from ..processes.times import TimeSteps
from ..sampling import Diagnostics, Sampler, SampleRequest, SampleResult, sample
from ..sampling.guard import CountedScore, Survivors
from ..scores import FusedScore
from ..statistics import tangent_basis


@final
@dataclass(frozen=True)
class SuperposedSampler(Sampler):
    """Composition of the active models of a fused score by Euler-Maruyama.

    Parameters
    ----------
    rule : {"or", "and"}
        See the module; the weights are used by ``"or"``.
    largest : float
        Bound on the coefficients of ``"and"``.
    n_steps : int
        Steps on a log-SNR grid, if the caller gives none.
    """

    rule: Literal["or", "and"] = "or"
    largest: float = 10.0
    n_steps: int = 512
    takes_devices: ClassVar[bool] = True

    def __post_init__(self) -> None:
        as_choice("rule", self.rule, ("or", "and"))
        as_positive("largest", self.largest)

    @property
    def law(self) -> str:
        """The composition; for ``"or"`` the arithmetic mixture up to steps."""
        return f"SuperDiff-style {self.rule.upper()} composition"

    def draw(self, request: SampleRequest) -> SampleResult:
        """Draw from the composition."""
        fused, n, process, times = request.fused, request.n, request.fused.process, request.steps.times.tolist()
        support = np.flatnonzero(fused.weights)
        models = [CountedScore(fused.models[i], f"models[{i}]") for i in support]
        k = len(models)
        log_w = on_device(np.log(fused.weights[support])[:, None], request.device)
        frame = tuple(on_device(m, request.device) for m in (tangent_basis(k), np.eye(k) - 1.0 / k, np.eye(k - 1)))
        survivors, equal = Survivors(n, request.looks), np.full(n, -np.log(n))
        x = request.start()
        xp, log_p = library(x), zeros((k, n), x, "float64")
        for j in request.order:
            t, t_next = times[j : j + 2]
            dt, f, g = t - t_next, float(process.f(t)), float(process.g(t))
            answers = [model(x, t) if request.looks else model.unchecked(x, t) for model in models]
            scores, y = astype(xp.stack(answers), "float64"), astype(x, "float64")  # (k, n, d), (n, d)
            noise = math.sqrt(dt) * astype(request.normal(x.shape), "float64")
            if self.rule == "or":
                kappa = softmax(log_p + log_w)
            else:
                kappa = _equalising(scores, g * g * dt, g * noise, self.largest, frame)
            dx = (-f * y + g * g * xp.einsum("kn,knd->nd", kappa, scores)) * dt + g * noise
            squares = xp.einsum("knd,knd->kn", scores, scores)
            drift = f * fused.dim + f * xp.einsum("nd,knd->kn", y, scores) - 0.5 * g * g * squares
            log_p += xp.einsum("nd,knd->kn", dx, scores) + drift * dt
            x = astype(y + dx, request.dtype.name)
            keep = survivors.drop(x, t_next)
            if keep is not None:
                x, log_p = take(x, keep), take(log_p.T, keep).T
            request.observe(j + 1, x, equal[survivors.alive])
        if survivors.missed:
            return self.draw(request.again())
        messages = survivors.report(request.max_lost)
        name, spent = f"Euler-Maruyama, rule {self.rule!r}", models[0].evaluations
        diagnostics = Diagnostics(name, len(request.steps), spent, survivors.lost_share, messages=messages)
        return SampleResult(survivors.restore(x), survivors.log_weights(), self.law, times[-1], diagnostics)


def superdiff(
    fused: FusedScore,
    n: int = 10_000,
    rule: Literal["or", "and"] = "or",
    *,
    steps: TimeSteps | int = 512,
    largest: float = 10.0,
    rng: SeedLike = None,
) -> SampleResult:
    """Sample the composition of the active models of a fused score: :func:`sfbench.sample` with a
    :class:`SuperposedSampler` of that rule and bound.
    """
    return sample(fused, n, SuperposedSampler(rule, largest), steps=steps, rng=rng)


def softmax(logs: Array) -> Array:
    """Softmax over the first axis."""
    xp = library(logs)
    weights = xp.exp(logs - xp.amax(logs, 0))
    return weights / weights.sum(axis=0)


def _equalising(scores: Array, strength: float, noise: Array, largest: float, frame: tuple[Array, ...]) -> Array:
    """Coefficients (k, n) that sum to one and equalise the changes of the log densities (least squares, ridge).
    ``frame``: an orthonormal basis of the tangent of the simplex, the centring matrix, and the identity there.

    ``d log p_i = <s_i, strength sum_j kappa_j s_j + noise> - strength/2 |s_i|^2`` + terms; what involves f is common up
    to ``<f x, s_i> dtau``, which cancels against the drift's own ``-f x``.
    """
    k, xp = len(scores), library(scores)
    if k == 1:
        return zeros(tuple(scores.shape[:2]), scores) + 1.0
    gram = strength * xp.einsum("ind,jnd->nij", scores, scores)
    constant = xp.einsum("nd,ind->ni", noise, scores) - 0.5 * xp.einsum("nii->ni", gram)
    basis, centre, identity = frame  # kappa = 1/k + basis c; rows: differences to the mean change
    system = xp.einsum("ai,nij,jc->nac", centre, gram, basis)
    target = -xp.einsum("ai,ni->na", centre, constant + gram.mean(axis=2))
    normal = xp.einsum("nac,nad->ncd", system, system)
    ridge = 1e-8 * xp.einsum("ncc->n", normal)[:, None, None] + 1e-12
    solution = xp.linalg.solve(normal + ridge * identity, xp.einsum("nac,na->nc", system, target)[..., None])[..., 0]
    length = (solution * solution).sum(axis=1) ** 0.5
    solution *= (largest / length.clip(largest))[:, None]
    return 1.0 / k + basis @ solution.T
