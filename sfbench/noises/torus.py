r"""Fusing diffusion models of angles: Brownian motion on the torus, through its covering space.

A law on the torus is a periodic function on R^d, and so is its score after Brownian motion. The reverse SDE with a
periodic drift, taken modulo 2 pi, *is* the reverse SDE on the torus; the rate ``V = sum_i w_i |s_i|^2 - |s_w|^2`` of
weights is periodic too. So every process with ``alpha = 1`` serves (``sigma^2`` is the clock of the motion),
:func:`sfbench.fuse` fits weights of periodic scores as it is, and samplers run on the line. What the line does not know
is the prior: it is uniform on the torus, which ``N(0, sigma_T^2)`` modulo 2 pi is up to ``exp(-sigma_T^2 / 2)`` a
coordinate, in total variation.

Derivations and what is proved: ``docs/theory/noises.md``.
"""

import math
import warnings
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from synthetic.torus import WrappedMixture, WrappedPool, torus_grid, wrap

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_count, as_items, as_kind, as_number
from ..errors import GramError, GridError, ModelError
from ..processes import ForwardProcess, Karras
from ..processes.base import as_process
from ..processes.times import TimeGrid, Weighting, time_steps
from ..sampling import SampleResult, TrustWarning
from ..sampling import sample as sample_on_line
from ..scores import FusedScore
from ..statistics.gram import ScoreGram
from ..statistics.settings import GramSettings

__all__ = ["circle_law", "population_gram", "sample", "torus_motion", "uniform_mismatch"]

_TURN = 2.0 * math.pi
_PERIODIC = 1e-6  # relative difference of scores a turn apart
_PRIOR_WORDS = "from the prior"  # of the check that compares with a normal prior
_LEAST_DENSITY = 1e-12  # of the largest: below, rounding of the Fourier transform is seen
_SMALLEST = 1e-12
_MOST = 10**10  # points
_SHARE = 1e-3  # default t_min as a share of t_max


def torus_motion(t_max: float = 7.0) -> Karras:
    """Brownian motion on the torus with its standard deviation as the clock: ``sigma = t``, alpha = 1.

    At 7 the wrapped normal is uniform up to 5e-11.

    Raises
    ------
    GridError
        For a final time that is not positive and finite.
    """
    return Karras(t_max)


def sample(
    fused: FusedScore,
    n: int = 10_000,
    sampler: Any = "fused",
    *,
    n_steps: int = 128,
    t_min: float | None = None,
    rng: SeedLike = None,
    **options: Any,
) -> SampleResult:
    """Draw angles (n, d) in ``[-pi, pi)`` with the samplers of :func:`sfbench.sample`.

    Parameters
    ----------
    fused : FusedScore
        Periodic scores, or laws such as :class:`synthetic.torus.WrappedMixture`, under a process with alpha = 1.
    n : int
        Number of points.
    sampler : str or Sampler
        As in :func:`sfbench.sample`: ``"fused"``, ``"corrected"``, ``"switched"``, ``"ode"``.
    n_steps : int
        Steps on a log-SNR grid from the process's horizon.
    t_min : float, optional
        Last time; a thousandth of the horizon unless given.
    rng : Generator, int or None
    **options
        Further ones of :func:`sfbench.sample`.

    Returns
    -------
    SampleResult
        With angles; ``diagnostics.prior_mismatch`` is that from the uniform law.

    Raises
    ------
    ModelError, GridError
        For scores that are not periodic, or a process that scales points or ends before the law is uniform.
    """
    as_kind("fused", fused, FusedScore, ModelError)
    process, last = fused.process, fused.process.horizon
    _refuse_scaling(process)
    as_count("n", n, at_most=_MOST)
    mismatch = uniform_mismatch(process, fused.dim)
    if mismatch > 1e-3:
        raise GridError(
            f"at t = {last:g} angles are not uniform yet (total variation {mismatch:.2g} from a normal of variance "
            f"{float(process.sigma(last)) ** 2:.3g} modulo 2 pi); use torus_motion(), or a longer horizon"
        )
    _refuse_aperiodic(fused)
    first = _first_time(t_min, process)
    steps = time_steps(process, as_count("n_steps", n_steps), t_min=first, t_max=last)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=f".*{_PRIOR_WORDS}", category=TrustWarning)
        result = sample_on_line(fused, n, sampler, steps=steps, rng=rng, **options)
    found = result.diagnostics
    errors = {name: error for name, error in found.log_partition_errors.items() if name != "prior"}
    estimate = found.log_partition
    if estimate is not None:
        errors["prior"] = mismatch
        estimate = replace(estimate, stderr=math.hypot(*errors.values()))
    about = replace(
        found,
        prior_mismatch=mismatch,
        log_partition=estimate,
        log_partition_errors=errors,
        messages=tuple(text for text in found.messages if _PRIOR_WORDS not in text),
    )
    return replace(result, x=wrap(result.x), diagnostics=about)


def uniform_mismatch(process: ForwardProcess, dim: int) -> float:
    """A bound on the total variation of the law at the horizon from the uniform law on the torus of dimension d.

    ``|p - u| <= 2 u sum_{n >= 1} exp(-n^2 sigma^2 / 2)`` for one angle, whatever the law at time 0; coordinates add.
    """
    _refuse_scaling(process)
    decay = math.exp(-0.5 * float(process.sigma(process.horizon)) ** 2)
    return min(1.0, as_count("dim", dim, at_most=2**62) * decay / (1.0 - decay))


def circle_law(
    fused: FusedScore, *, n_cells: int = 256, n_steps: int = 400, t_min: float | None = None
) -> tuple[Float64Array, Float64Array]:
    r"""The law at ``t_min`` of the reverse SDE of one angle, started uniform, without Monte Carlo.

    With the clock ``v = sigma^2`` the density solves ``d rho / dv = -(s rho)' + rho'' / 2``: Fourier collocation in
    space (exponentially accurate), the implicit midpoint rule in time (second order).

    Returns
    -------
    nodes, density : arrays (n_cells,)
        Angles and density; each node has mass ``2 pi / n_cells``.

    Raises
    ------
    ModelError, GridError
        For scores that are not those of one angle, not periodic, or a process that scales points.

    Notes
    -----
    Costs ``n_steps`` evaluations and dense solves of ``n_cells`` equations.
    """
    as_kind("fused", fused, FusedScore, ModelError)
    if fused.dim != 1:
        raise ModelError(f"circle_law is for one angle, got dim {fused.dim}")
    process, last = fused.process, fused.process.horizon
    _refuse_scaling(process)
    _refuse_aperiodic(fused)
    m = as_count("n_cells", n_cells, at_least=16, at_most=2048, error=GridError)
    nodes = np.arange(m) * (_TURN / m) - math.pi
    waves = 1j * np.fft.fftfreq(m, 1.0 / m)
    waves[m // 2] = 0.0 if m % 2 == 0 else waves[m // 2]
    modes = np.fft.fft(np.eye(m), axis=0)
    slope = np.fft.ifft(waves[:, None] * modes, axis=0).real
    bend = np.fft.ifft(waves[:, None] ** 2 * modes, axis=0).real
    first = _first_time(t_min, process)
    times = time_steps(process, as_count("n_steps", n_steps), t_min=first, t_max=last).times
    density, identity = np.full(m, 1.0 / _TURN), np.eye(m)
    for start, end in pairwise(times):
        v_start, v_end = float(process.sigma(start)) ** 2, float(process.sigma(end)) ** 2
        middle = float(process.time_at(-math.log(0.5 * (v_start + v_end))))
        drift = np.asarray(fused.score(nodes[:, None], middle))[:, 0]
        half = 0.5 * (v_start - v_end) * (0.5 * bend - slope * drift)
        density = np.linalg.solve(identity - half, density + half @ density)
    return np.asarray(nodes), density


def population_gram(
    target: WrappedMixture | WrappedPool,
    auxiliaries: Iterable[WrappedMixture],
    *,
    process: ForwardProcess,
    grid: TimeGrid,
    weighting: Weighting = "girsanov",
) -> ScoreGram:
    """Exact statistics of the objective on the torus, d <= 2, their constant included; ``n = 0``.

    The noised target is a convolution: its Fourier coefficients on the grid times ``exp(-|n|^2 sigma^2 / 2)``.

    Raises
    ------
    GramError, GridError, SyntheticError
        For arguments that are not such laws, process, grid or weighting.
    """
    settings = GramSettings(process, grid, weighting=weighting)
    _refuse_scaling(process)
    if not isinstance(target, WrappedMixture | WrappedPool):  # arguments of any kind: a law of R^d has log_prob, too
        raise GramError(f"target must be a WrappedMixture or a WrappedPool, got a {type(target).__name__}")
    laws = as_items("auxiliaries", auxiliaries, "laws of angles", GramError)
    for i, law in enumerate(laws):
        if not isinstance(law, WrappedMixture) or law.dim != target.dim:
            raise GramError(f"auxiliaries[{i}] must be a WrappedMixture of dimension {target.dim}, got {law!r:.80}")
    if not laws:
        raise GramError("auxiliaries are empty; at least one law is needed")
    k = len(laws)
    nodes, d = torus_grid(target.dim), target.dim
    side = round(len(nodes) ** (1.0 / d))
    clean = np.fft.fftn(np.exp(target.log_prob(nodes)).reshape((side,) * d))
    waves = np.stack(np.meshgrid(*[np.fft.fftfreq(side, 1.0 / side)] * d, indexing="ij"))
    G, b, c, cell = np.zeros((k, k)), np.zeros(k), 0.0, _TURN**d / len(nodes)
    for (_, sigma), omega in zip(settings.coefficients, settings.omega, strict=True):
        noised = clean * np.exp(-0.5 * sigma**2 * (waves**2).sum(axis=0))
        density = np.fft.ifftn(noised).real.ravel()
        gradient = np.stack([np.fft.ifftn(1j * wave * noised).real.ravel() for wave in waves], axis=1)
        scores = np.stack([law.diffuse(1.0, sigma).score(nodes) for law in laws])
        gaps = (scores - scores[0]).reshape(k, -1)
        residual = gradient - density[:, None] * scores[0]
        seen = density > _LEAST_DENSITY * density.max()
        G += omega * cell * (gaps * np.repeat(density, d)) @ gaps.T
        b += omega * cell * gaps @ residual.ravel()
        c += omega * cell * float((residual[seen] ** 2).sum(axis=1) @ (1.0 / density[seen]))
    return ScoreGram(0.5 * (G + G.T), b, c, 0, f"{process!r} on the torus, {len(grid)} nodes, population")


def _first_time(t_min: float | None, process: ForwardProcess) -> float:
    first = _SHARE * process.horizon if t_min is None else as_number("t_min", t_min, GridError)
    if not _SMALLEST * process.horizon <= first < process.horizon:
        raise GridError(f"t_min must lie in [{_SMALLEST:g} T, T) with T = {process.horizon:g}, got {t_min!r}")
    return first


def _refuse_scaling(process: ForwardProcess) -> None:
    as_process(process)
    if not np.all(process.alpha(np.array([0.0, 0.5, 1.0]) * process.horizon) == 1.0):
        raise GridError(
            f"angles have no scale, so alpha must be 1 at all times; {process!r} has not: use torus_motion()"
        )


def _refuse_aperiodic(fused: FusedScore) -> None:
    x = np.random.default_rng(0).uniform(-math.pi, math.pi, (16, fused.dim))
    t = 0.1 * fused.process.horizon
    here, there = (np.asarray(fused.score(points, t)) for points in (x, x + _TURN))
    if not np.allclose(here, there, rtol=_PERIODIC, atol=_PERIODIC * float(np.abs(here).max(initial=1e-300))):
        raise ModelError(
            "the scores are not periodic: at points a full turn apart they differ; models of angles see cosines and "
            "sines, laws of angles are synthetic.torus.WrappedMixture"
        )
