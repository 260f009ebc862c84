"""The corrected sampler: weighted particles that follow the KL barycenter; see :mod:`sfbench.sampling.particle_run`."""

import warnings
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, final

import numpy as np

from .._internal.arrays import on_device, to_host
from .._internal.validation import as_choice, as_flag, as_number
from ..errors import SfbenchError
from .base import Sampler, SampleRequest
from .device_particles import ON_DEVICE
from .errors import TrustWarning
from .guard import Survivors
from .integrators import CORRECTED_LAW, FLOW_LAW, AffineIntegrator, Exponential
from .lattice import FEWEST_PER_ISLAND, N_ISLANDS, LatticeNoise
from .moves import LangevinMoves
from .particle_run import ParticleRun, run_corrected
from .particles import Blocks, Particles, check_blocks
from .resampling import scheme
from .result import Diagnostics, SampleResult
from .trust import start_error

Noise = Literal["auto", "independent", "lattice"]

# Masses are known to about 1/2 founders^(-1/2), the worst of d coordinates' to sqrt(log(2 d) / (2 founders)); measured,
# the worst distribution function is wrong by more than 0.05 in one run of twenty at these numbers of founders, and with
# lattice noise, whose errors are smaller, at a share of them.
FEWEST_FOUNDERS = 500.0
_FOUNDERS_PER_LOG = 250.0
_LATTICE_SHARE = 0.6
_SMALLEST_ESS = 0.02


@final
@dataclass(frozen=True, eq=False)
class CorrectedSampler(Sampler):
    """Weighted particles that follow the KL barycenter ``p_w``; see :mod:`sfbench.sampling.particle_run`.

    Parameters
    ----------
    integrator : AffineIntegrator
        The chain whose geometric mean is sampled.
    resampling : {"systematic", "stratified", "srinivasan", "multinomial"}
        Scheme; see :mod:`sfbench.sampling.resampling`.
    threshold : float
        Resample when the effective share of the particles falls below this; 0 never does.
    moves : LangevinMoves, optional
        Moves at every time.
    blocks : array_like (d,), optional
        Labels of groups of coordinates over which *all* models factorise; weighted and resampled apart.
    noise : {"auto", "independent", "lattice"}
        Lattice noise (:mod:`sfbench.sampling.lattice`) divides the sampling error on the line by 3 with 4,000 particles
        and by 10 with 20,000 (measured). It needs blocks of one coordinate each; ``auto`` takes it there if n is at
        least 512, and independent noise elsewhere. It is made on the host.
    check_steps : bool
        False switches the check of the steps off, as ``sample(check_steps=False)`` does.
    n_steps : int
        Steps on a log-SNR grid, if the caller gives none.
    """

    integrator: AffineIntegrator = field(default_factory=lambda: Exponential(2))
    resampling: str = "systematic"
    threshold: float = 0.9
    moves: LangevinMoves | None = None
    blocks: Any = None
    noise: Noise = "auto"
    check_steps: bool = True
    n_steps: int = 256
    takes_devices: ClassVar[bool] = True
    law: ClassVar[str] = CORRECTED_LAW

    def __post_init__(self) -> None:
        scheme(self.resampling)
        as_choice("noise", self.noise, ("auto", "independent", "lattice"))
        as_flag("check_steps", self.check_steps)
        if self.moves is not None and not isinstance(self.moves, LangevinMoves):
            raise SfbenchError(f"moves must be LangevinMoves(...) or None, got {self.moves!r}")
        check_chain("corrected", self.integrator, self.threshold)

    def draw(self, request: SampleRequest) -> SampleResult:
        """Draw weighted particles."""
        n, steps, fused = request.n, request.steps, request.fused
        middle = float(np.sqrt(steps.times[0] * steps.times[-1]))
        blocks = check_blocks(self.blocks, fused, np.random.default_rng(0), middle)
        run = self._run(request, blocks)
        survivors = Survivors(n, run.looks)
        start = on_device(np.zeros((n, fused.dim), request.dtype), request.device)
        particles = run_corrected(run, start, steps, survivors, request.callback, request.order)
        if survivors.missed:
            return self.draw(request.again())
        law = self.law if fused.is_constant else f"{self.law}, of the weights at the end"
        return particle_result(self, request, run, particles, survivors, law)

    def _run(self, request: SampleRequest, blocks: Blocks) -> ParticleRun:
        fused, fewest = request.fused, N_ISLANDS * FEWEST_PER_ISLAND
        possible = blocks.on_lines(fused.dim) and request.n >= fewest
        if self.noise == "lattice" and not (possible or request.trial):
            raise SfbenchError(
                f"lattice noise needs blocks of one coordinate each and at least {fewest} particles, got {len(blocks)} "
                f"block(s) in dimension {fused.dim} and n = {request.n}; use noise='auto' or 'independent'"
            )
        lattice = LatticeNoise(request.rng) if possible and self.noise != "independent" else None
        pick = scheme(self.resampling)
        hidden = len(blocks) == 1 and lattice is None and pick in ON_DEVICE and fused.is_constant
        looks = request.looks or not hidden
        return ParticleRun(
            fused, self.integrator, blocks, self.threshold, pick, self.moves, request.normals, lattice, looks
        )


def check_chain(name: str, integrator: object, threshold: object) -> None:
    """Refuse what particles cannot follow, or a threshold that is not a share."""
    if not 0.0 <= as_number("threshold", threshold) <= 1.0:
        raise SfbenchError(f"threshold must be a number that lies in [0, 1], got {threshold!r}")
    if not isinstance(integrator, AffineIntegrator) or integrator.law == FLOW_LAW:
        raise SfbenchError(
            f"the {name} sampler needs a stochastic one-evaluation integrator, got {integrator!r}; "
            "use Exponential(1), Exponential(2) or EulerMaruyama()"
        )


def particle_result(
    sampler: Sampler, request: SampleRequest, run: ParticleRun, particles: Particles, survivors: Survivors, law: str
) -> SampleResult:
    """The weighted particles at the end of a run, with warnings where they are not to be trusted."""
    fused, steps, n = request.fused, request.steps, request.n
    log_partition, masses = particles.log_partition(), particles.founder_masses()
    founders = float(1.0 / np.einsum("bn,bn->b", masses, masses).max())
    prior = start_error(request, to_host(particles.origin), masses, run.blocks)
    if len(run.blocks) > 1:
        particles.unite(run.blocks, run.scheme, request.rng)
    lost = survivors.report(request.max_lost)
    doubts = distrust(particles.ess, founders, fewest_founders(fused.dim, run.lattice is not None), n)
    for message in doubts:
        warnings.warn(message, TrustWarning, stacklevel=4)
    diagnostics = Diagnostics(
        repr(sampler),
        len(steps),
        run.evaluations,
        survivors.lost_share,
        np.asarray(particles.ess),
        int(particles.resamplings.max()),
        founders,
        log_partition,
        {"sampling": log_partition.stderr, "prior": prior},
        messages=(*lost, *doubts),
    )
    log_weights = survivors.log_weights(particles.log_weights.sum(axis=0))
    return SampleResult(survivors.restore(particles.x), log_weights, law, float(steps.times[-1]), diagnostics)


def fewest_founders(dim: int, lattice: bool) -> float:
    """Founders from which no coordinate's distribution function is likely to be wrong by more than 0.05."""
    fewest = max(FEWEST_FOUNDERS, _FOUNDERS_PER_LOG * float(np.log(2.0 * dim)))
    return _LATTICE_SHARE * fewest if lattice else fewest


def distrust(ess: list[float], founders: float, fewest: float, n: int) -> tuple[str, ...]:
    """Objections to a run with these effective shares and founders of n particles, in words."""
    messages = []
    if ess and min(ess) < _SMALLEST_ESS:
        messages.append(
            f"the effective share of the particles fell to {min(ess):.2%}: the weights changed too fast for the steps, "
            "and the answer rests on few particles (take more steps, more particles, or blocks if the models factorise)"
        )
    if founders < fewest:
        messages.append(
            f"all weight descends from about {founders:.0f} initial particles of {n}, and masses are known to 0.05 "
            f"from {fewest:.0f} on: modes may be missing (take more particles, or blocks if the models factorise)"
        )
    return tuple(messages)
