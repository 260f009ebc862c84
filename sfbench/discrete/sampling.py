r"""Sampling fused discrete models: three laws, two schemes.

- ``"fused"``: the chain of rates ``r_w = prod_i r_i^{w_i}``; its law at t = 0 is the fused law, not the KL barycenter.
- ``"switched"``: one model per particle and step, drawn by the weights. Its mean rates are ``sum_i w_i r_i``, not r_w:
  unlike for scores, which are averaged, this is a law of its own, the law of the averaged rates.
- ``"corrected"``: particles of the fused chain with weights ``exp(-int V d lambda)``, resampled: the KL barycenter, and
  its log Z.

Schemes: ``"tau_leaping"`` (:mod:`sfbench.discrete.leaping`) has errors of first order in the steps;
``"uniformisation"`` (:mod:`sfbench.discrete.uniformisation`; first-hitting for masked noise) has none.
"""

import math
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np

from .._internal.aliases import SeedLike
from .._internal.validation import as_choice, as_count, as_generator, as_number
from ..errors import GridError, ModelError
from ..sampling.corrected import FEWEST_FOUNDERS
from ..sampling.integrators import CORRECTED_LAW
from ..sampling.particles import Blocks, Particles
from ..sampling.resampling import scheme as resampling_scheme
from ..sampling.result import Diagnostics, SampleResult
from .fit import DiscreteFit
from .leaping import leap
from .models import FusedRates
from .noise import MaskedNoise
from .uniformisation import uniformise

Law = Literal["fused", "switched", "corrected"]
Scheme = Literal["tau_leaping", "uniformisation"]
LAWS = {
    "fused": "fused law (rates prod r_i^w_i)",
    "switched": "law of the averaged rates",
    "corrected": CORRECTED_LAW,
}
_REACH = 9.0  # log-odds at the ends: alpha from 0.00012 to 0.99988


def sample(
    rates: FusedRates | DiscreteFit,
    n: int,
    law: Law = "fused",
    *,
    scheme: Scheme = "uniformisation",
    n_steps: int = 64,
    reach: float = _REACH,
    resampling: str = "systematic",
    threshold: float = 0.5,
    rng: SeedLike = None,
) -> SampleResult:
    """Draw n states.

    Parameters
    ----------
    rates : FusedRates or DiscreteFit
        What to sample.
    n : int
        Number of particles.
    law : {"fused", "switched", "corrected"}
    scheme : {"tau_leaping", "uniformisation"}
    n_steps : int
        Steps between log-odds ``-reach`` and ``reach``; with uniformisation only the times of resampling.
    reach : float
        Noise is pure below ``-reach``, and what is left above it is undone in one step.
    resampling, threshold : str, float
        Scheme, and the effective share of the particles below which the corrected sampler resamples.
    rng : Generator, int or None

    Returns
    -------
    SampleResult
        States ``x`` (n, L), log weights, the name of the law, diagnostics with log Z.

    Raises
    ------
    ModelError, GridError, SfbenchError
        For models and settings that do not fit.

    Notes
    -----
    Costs about ``n_steps`` evaluations a particle by leaping; by uniformisation ``2 reach L`` with uniform noise, with
    masked noise L (corrected) or somewhat more (fused). ``diagnostics.n_score_evaluations`` counts them per particle.
    """
    fused = rates.rates if isinstance(rates, DiscreteFit) else rates
    if not isinstance(fused, FusedRates):
        raise ModelError(f"rates must be FusedRates or a DiscreteFit, got a {type(rates).__name__}")
    count, generator = as_count("n", n), as_generator(rng)
    as_choice("law", law, get_args(Law))
    as_choice("scheme", scheme, get_args(Scheme))
    if not 0.0 < as_number("reach", reach, GridError) <= 30.0:
        raise GridError(f"reach must lie in (0, 30], got {reach!r}")
    if not 0.0 <= as_number("threshold", threshold, GridError) <= 1.0:
        raise GridError(f"threshold must lie in [0, 1], got {threshold!r}")
    edges = np.linspace(-reach, reach, as_count("n_steps", n_steps) + 1)
    ends = [*edges.tolist(), math.inf]
    exact = scheme == "uniformisation"
    if exact and isinstance(fused.noise, MaskedNoise):
        ends[0] = -math.inf  # the first event, wherever it comes
    start: Any = fused.noise.prior(count, fused.length, generator)
    particles = Particles.start(start, 1)
    draw = resampling_scheme(resampling)
    rows = 0
    for here, there in pairwise(ends):
        x: Any = particles.x
        moved: Any
        if exact and (math.isfinite(there) or isinstance(fused.noise, MaskedNoise)):
            moved, log_weights, used = uniformise(fused, x, here, there, law, generator)
        else:
            moved, log_weights, used = leap(fused, x, here, there, law == "switched", generator)
        particles.x, rows = moved, rows + used
        if law == "corrected":
            particles.log_weights[0] += log_weights
            if not np.any(particles.log_weights > -np.inf):
                raise ModelError("all particles have weight zero: the models have nothing in common")
            particles.resample(Blocks(None), threshold, draw, generator, [])
    evaluations = math.ceil(rows / count)
    label = f"{law}, {scheme}"
    if law != "corrected":
        about = Diagnostics(label, n_steps, evaluations)
        return SampleResult(particles.x, np.full(count, -math.log(count)), LAWS[law], 0.0, about)
    log_weights = particles.log_weights[0]
    founders = 1.0 / float(particles.founder_shares()[0])
    about = Diagnostics(
        label,
        n_steps,
        evaluations,
        ess=np.array(particles.ess),
        n_resamplings=int(particles.resamplings[0]),
        founders=founders,
        log_partition=particles.log_partition(),
        messages=_doubts(founders, min(particles.ess), count),
    )
    return SampleResult(particles.x, log_weights - np.logaddexp.reduce(log_weights), LAWS[law], 0.0, about)


def _doubts(founders: float, worst: float, n: int) -> tuple[str, ...]:
    doubts = []
    if founders < FEWEST_FOUNDERS:
        doubts.append(
            f"all weight descends from about {founders:.0f} of {n} first particles: take more particles, or fewer sites"
        )
    if worst < 0.02:
        doubts.append(f"the effective share of the particles fell to {worst:.2%} between two resamplings: more steps")
    return tuple(doubts)
