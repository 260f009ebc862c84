"""One random problem: the exact KL between target and fused law, and the certificates that must not be below it."""

from dataclasses import dataclass
from typing import cast, final

import numpy as np

from sfbench import (
    FusedScore,
    OrnsteinUhlenbeck,
    VarianceExploding,
    VariancePreserving,
    bounds,
    population_gram,
    time_grid,
)
from sfbench.laws import affine_fused_law, fokker_planck_1d
from sfbench.metrics import kl_divergence
from synthetic import Estimate, GaussianMixture, SyntheticProblem

from ..common.study import Row, cell_rng, study_cells

PROCESSES = (OrnsteinUhlenbeck(), VariancePreserving(0.1, 20.0), VarianceExploding(10.0))
T_MIN = 1e-3
FAMILIES = ("narrow", "wide", "gaussians")


@final
@dataclass(frozen=True)
class CertificateSpec:
    """A family and the number of the problem in it."""

    family: str
    number: int
    root_seed: int


@study_cells(version=1, factors=("family",), replicate="number", name="certificates/problem")
def run_certificate_cell(spec: CertificateSpec) -> Row:
    """KL(q_delta || P_w) with its error, the certificate, and the one that 16 time nodes would give."""
    rng = cell_rng(spec)
    problem = _problem(spec.family, rng)
    weights = rng.dirichlet(np.ones(problem.k))
    if rng.random() < 0.5:  # at a vertex the certificate is an equality up to the prior
        weights = np.eye(problem.k)[int(rng.integers(problem.k))]
    process = PROCESSES[int(rng.integers(len(PROCESSES)))]
    horizon = process.horizon
    observed = _observed(problem, weights, process)
    mismatch = bounds.prior_mismatch(problem.target, process, horizon)
    integral = bounds.objective_integral(problem, weights, process, T_MIN, horizon)
    bound = bounds.instance_certificate(integral, mismatch)
    coarse = population_gram(problem, process=process, grid=time_grid(T_MIN, horizon, 16)).value(weights)
    return {
        "process": type(process).__name__,
        "vertex": bool(np.max(weights) == 1.0),
        "kl": observed.value,
        "kl_error": observed.stderr,
        "bound": bound.value,
        "integral": integral.value,
        "integral_error": integral.stderr,
        "evaluations": integral.n,
        "holds": bounds.check(observed, bound).holds,
        "coarse": coarse,
        "coarse_holds": bounds.check(observed, bounds.instance_certificate(max(coarse, 0.0), mismatch)).holds,
    }


def _problem(family: str, rng: np.random.Generator) -> SyntheticProblem:
    k, d = int(rng.integers(2, 4)), 1 if family != "gaussians" else int(rng.integers(1, 20))
    smallest = {"narrow": 0.005, "wide": 0.3, "gaussians": 0.05}[family]

    def law() -> GaussianMixture:
        m = 1 if family == "gaussians" else int(rng.integers(1, 4))
        std = np.exp(rng.uniform(np.log(smallest), np.log(1.5), m))
        return GaussianMixture(rng.dirichlet(np.ones(m)), rng.normal(0.0, 1.5, (m, d)), std**2)

    auxiliaries = tuple(law() for _ in range(k))
    target = auxiliaries[int(rng.integers(k))] if rng.random() < 0.3 else law()
    return SyntheticProblem(family, target, auxiliaries, None)


def _observed(problem: SyntheticProblem, weights: np.ndarray, process: object) -> Estimate:
    forward = next(p for p in PROCESSES if p == process)
    target = cast(GaussianMixture, problem.target)
    noised = target.diffuse(float(forward.alpha(T_MIN)), float(forward.sigma(T_MIN)))
    if problem.name == "gaussians":
        laws = cast(tuple[GaussianMixture, ...], problem.auxiliaries)
        return kl_divergence(noised, affine_fused_law(laws, weights, process=forward, t_min=T_MIN))
    score = FusedScore(problem.auxiliaries, weights, process=forward)
    return fokker_planck_1d(score, t_min=T_MIN, t_max=forward.horizon).kl_from(noised)
