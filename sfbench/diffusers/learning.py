r"""Learning the weights of a fusion from pictures: the score Gram through the pipeline's own network.

The objective is that of :func:`sfbench.fuse`, in latents x_0 of the pictures with their prompts y,

    J(w) = int omega(t) E |sum_i w_i s_i(x_t, t, y) - grad log p(x_t | x_0)|^2 dt,      x_t = alpha x_0 + sigma z.

All usual predictions are affine in the score, so with ``E_i`` the difference of the predicted noise of experts i and 0
and ``R = z - noise_0``, ``G_ij = <E_i, E_j> / sigma^2`` and ``b_i = <E_i, R> / sigma^2``: k^2 numbers per picture and
noise level leave the device. Nodes are Gauss-Legendre in the log signal-to-noise ratio, moved to the timesteps that
networks of a table of betas were trained at; under the weighting "girsanov", ``g^2 / 2``, every part of the log
signal-to-noise ratio counts the same: the weighting of a likelihood.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from solvers import SimplexSolver, resolve_solver, solve

from .._internal.aliases import Float64Array, SeedLike
from .._internal.validation import as_count, as_flag, as_generator, as_items, as_positive, as_window
from ..fusion import FusionOverTime, FusionResult
from ..fusion.adequacy import adequacy
from ..fusion.advice import announced
from ..fusion.api import fit_constant
from ..fusion.budget import LEVEL, Budget, Spent
from ..fusion.intervals import confidence_interval
from ..fusion.over_time import fit_over_time
from ..processes import ForwardProcess
from ..processes.times import TimeGrid, Weighting, time_bins
from ..progress import progress as progress_bar
from ..statistics import Estimator, GramSettings
from .calling import accepted
from .drawing import distilled_reason
from .errors import DiffusersError
from .handle import fused
from .hook import Method
from .latents import as_pictures, encode
from .schedules import Schedule, from_scheduler
from .score_pass import ScorePass
from .template import ExpertScore, NetworkCall, visit

_LOG_SNR = (-6.0, 7.0)  # default window: beyond it experts differ by noise, or by nothing
_FEWEST, _MOST_NODES = 2, 256
_FEWEST_TO_STOP = 16  # pictures before intervals are believed


def learn_weights(
    pipe: Any,
    experts: Sequence[Any] | Mapping[str, Any],
    images: Any,
    *,
    prompts: Any = None,
    bins: int | None = None,
    smoothing: float = 0.0,
    t_min: float | None = None,
    t_max: float | None = None,
    n_nodes: int = 8,
    evaluations: int | None = None,
    weight_tol: float | None = None,
    n_noise: int = 1,
    estimator: Estimator = "antithetic",
    weighting: Weighting = "girsanov",
    solver: str | SimplexSolver = "auto",
    tol: float = 1e-9,
    allow_inexact: bool = False,
    method: Method = "sequential",
    batch: int = 4,
    progress: bool = False,
    rng: SeedLike = None,
    **options: Any,
) -> FusionResult | FusionOverTime:
    """Learn the weights with which experts explain pictures best.

    Parameters
    ----------
    pipe : diffusers pipeline
        Not fused yet; it is as before afterwards.
    experts : sequence, or mapping that names them
        As for :func:`sfbench.diffusers.fuse`.
    images : path, sequence of paths or PIL images, array (n, height, width, colours), or tensor (n, colours, h, w)
        Pictures of what the fusion is to draw, two at least; a few dozen give useful weights. Arrays hold bytes or
        numbers in [0, 1]. Give ``height=`` and ``width=`` to resize them.
    prompts : str, sequence, or None
        One prompt for all pictures, or one for each (integers for pipelines of classes).
    bins : int, optional
        Weights that change with the noise: constant in so many bins of equal length in log signal-to-noise ratio.
    smoothing : float
        How strongly weights of neighbouring bins are held together.
    t_min, t_max : float, optional
        Window in times of the scheduler's process (see :func:`sfbench.diffusers.from_scheduler`); log signal-to-noise
        ratios between -6 and 7 by default.
    n_nodes : int
        Noise levels in all; with bins, at least two in each.
    evaluations : int, optional
        Most network evaluations to spend (one network, one picture, one noise level): fewer pictures, drawn at random,
        or more noise for each of them, are taken accordingly.
    weight_tol : float, optional
        Stop when no weight's 90 % interval is longer than this (constant weights only); a warning of the fit says if
        the pictures, or ``evaluations``, end before. Intervals are looked at when the pictures have doubled.
    n_noise : int
        Noise vectors for each picture, where ``evaluations`` does not say.
    estimator : {"antithetic", "dsm"}
        Noise in pairs of z and -z, or single.
    weighting : {"girsanov", "sigma2"} or function of t
    solver : str or SimplexSolver
        Of the quadratic program; see :func:`solvers.known_solvers`.
    tol : float
        Accepted duality gap relative to the problem's scale.
    allow_inexact : bool
        Return weights whose gap was not certified below ``tol`` instead of raising.
    method : {"sequential", "batched"}
        As for :func:`sfbench.diffusers.fuse`.
    batch : int
        Pictures in one call of the pipeline.
    progress : bool
        Show evaluations, the time that is left, and the weights so far.
    rng : Generator, SeedSequence, int or None
        Noise, and which pictures are taken. Results do not depend on ``batch``, but for rounding.
    options
        Handed to the pipeline: ``height``, ``width``, ...

    Returns
    -------
    FusionResult, or FusionOverTime if ``bins`` is given
        ``handle.weights = fit`` takes either. Ctrl-C ends the pass early, and the fit says so. Both come with
        ``fit.adequacy``: losses on the same noise, and a test of whether the pictures' law is a fused law
        (:mod:`sfbench.fusion.adequacy`; two experts need a hundred pictures for it).

    Warns
    -----
    FitWarning
        For all that is kept in ``fit.warnings``.

    Raises
    ------
    NoiseScheduleError
        If the pipeline is not one of a diffusion; says why.
    DiffusersError
        For distilled networks, pictures of another size than the pipeline's, prompts that do not match.
    InexactError
        If the weights are not certified.

    Notes
    -----
    Costs ``2 k n n_noise n_nodes`` evaluations of a network (half with ``"dsm"``). The pipeline is run
    without guidance, since guided fields are not scores.
    """
    backend = resolve_solver(solver)
    schedule = from_scheduler(getattr(pipe, "scheduler", None))
    if bins is not None and solver != "auto":
        raise DiffusersError(f"weights by bins have a solver of their own, got solver={solver!r}; leave it out")
    if bins is not None and weight_tol is not None:
        raise DiffusersError("weight_tol is for constant weights; leave it, or bins, out")
    if bins is None and smoothing:
        raise DiffusersError(f"smoothing holds bins together; pass bins=4 with smoothing={smoothing!r}")
    budget = Budget(evaluations, weight_tol)
    as_positive("tol", tol, DiffusersError)
    for name, flag in (("allow_inexact", allow_inexact), ("progress", progress)):
        as_flag(name, flag, DiffusersError)
    for name in {"height", "width"} & options.keys():
        as_count(name, options[name], error=DiffusersError)
    if method == "switched":
        raise DiffusersError("method='switched' runs one expert a step; learning needs all: take 'sequential'")
    rows, count = (as_count(n, v, error=DiffusersError) for n, v in (("batch", batch), ("n_noise", n_noise)))
    settings, times, edges = _window(schedule, t_min, t_max, n_nodes, bins, estimator, weighting)
    pictures, generator = as_pictures(images), as_generator(rng)
    n = as_count("the number of images", len(pictures), at_least=_FEWEST, error=DiffusersError)
    labels = _labels(pipe, prompts, n)
    size = (options["height"], options["width"]) if {"height", "width"} <= options.keys() else None
    notes: tuple[str, ...] = ()
    with fused(pipe, experts, method=method) as handle:
        if reason := distilled_reason(handle.module):
            raise DiffusersError(f"there is no score to fit: {reason}")
        k = len(handle.experts)
        taken, count = _within(evaluations, settings.evaluations(k, 1), n, count, generator)
        parts = [encode(pipe, [pictures[i] for i in taken[j : j + rows]], size) for j in range(0, len(taken), rows)]
        if len(shapes := {part.shape[1:] for part in parts}) > 1:
            raise DiffusersError(
                f"images have several sizes (latents {shapes}); pass height= and width= to resize them"
            )
        by_part = bins is not None and bool(
            np.diff(edges).min() > 0
        )  # a table of few timesteps may leave a bin without one
        work = ScorePass(settings, edges, k, taken, torch.cat(parts), count, generator, by_part)
        seen: list[NetworkCall] = []
        with progress_bar(settings.evaluations(k, len(taken)) * count, "learning weights", progress) as bar:

            def look(call: NetworkCall) -> None:
                if not seen:
                    seen.append(call.only(0, 1))
                work.add(call, bar)

            length, looked = None, 1
            try:
                for start in range(0, len(taken), rows):
                    which = taken[start : start + rows]
                    own = options if size else _size_of(pipe, pictures[which[0]]) | options
                    visit(handle, schedule, labels and [labels[i] for i in which], len(which), own, look)
                    if progress:
                        bar.advance(0, work.note())
                    if weight_tol is not None and (
                        work.done >= max(2 * looked, _FEWEST_TO_STOP) or work.done == len(taken)
                    ):
                        length, looked = _longest(work, backend), work.done
                        if length <= weight_tol:
                            break
            except KeyboardInterrupt:
                if work.done < _FEWEST:
                    raise
                notes = (f"stopped after {work.done} of {len(taken)} pictures",)
    names, statistics = tuple(expert.name for expert in handle.experts), work.finish()
    models = tuple(ExpertScore(seen[0], i) for i in range(k))
    if bins is not None:
        over_time = fit_over_time(models, statistics, times, smoothing, tol, allow_inexact, names)
        judged = adequacy(work.residuals(), over_time.weights.weights) if by_part else None
        texts = (*notes, *over_time.warnings, *(judged.doubts() if judged else ()))
        return announced(replace(over_time, warnings=texts, judged=judged))
    spent = Spent(statistics, settings.evaluations(k, work.done) * count, length)
    fit = fit_constant(models, statistics, backend, tol, allow_inexact, names)
    judged = adequacy(work.residuals(), fit.weights)
    fit = replace(
        fit,
        warnings=(*notes, *spent.doubts(budget), *judged.doubts(), *fit.warnings),
        judged=judged,
        n_evaluations=spent.evaluations if budget != Budget() else None,
    )
    return announced(fit)


def _longest(work: ScorePass, solver: SimplexSolver) -> float:
    """Length of the longest interval so far."""
    gram = work.finish().at()
    ends = confidence_interval(gram, np.asarray(solve(gram.to_qp(), solver).weights), LEVEL, solver=solver)
    return float((ends[:, 1] - ends[:, 0]).max())


def _window(
    schedule: Schedule,
    t_min: float | None,
    t_max: float | None,
    n_nodes: int,
    bins: int | None,
    estimator: Estimator,
    weighting: Weighting,
) -> tuple[GramSettings, Float64Array, tuple[int, ...]]:
    """Settings of the objective, edges of its bins in time, and the nodes at which parts with their own terms start."""
    process, known = schedule.process, schedule.kind == "vp"
    first = 1.0 / schedule.n_timesteps if known else 0.0  # the first timestep of a table
    ends = process.time_at(np.array(_LOG_SNR[::-1]))
    low = max(float(ends[0]), first) if t_min is None else t_min
    high = min(float(ends[1]), process.horizon) if t_max is None else t_max
    low, high = as_window(low, high)
    if not first * (1 - 1e-9) <= low or not high <= process.horizon:
        raise DiffusersError(
            f"the networks were trained at times between {first:g} and {process.horizon:g}, got t_min={low:g}, "
            f"t_max={high:g}"
        )
    count = as_count("n_nodes", n_nodes, at_most=_MOST_NODES, error=DiffusersError)
    parts = as_count("bins", bins, error=DiffusersError) if bins is not None else 2 if count > 1 and low < high else 1
    times = np.array([low, high]) if low == high else time_bins(process, low, high, parts)
    each = max(2 if bins is not None else 1, -(-count // parts))
    nodes, weights = _quadrature(process, times, each)  # in increasing order
    if known:  # networks of a table of betas were trained at its timesteps alone
        nodes = np.round(nodes * schedule.n_timesteps) / schedule.n_timesteps
        distinct, inverse = np.unique(nodes, return_inverse=True)
        nodes, weights = distinct, np.bincount(inverse, weights).astype(np.float64)
    settings = GramSettings(process, TimeGrid(nodes, weights), estimator, weighting)
    if any(settings.rule.noise_share(*pair) != 1.0 for pair in settings.coefficients):
        raise DiffusersError(
            f"estimator={estimator!r} needs divergences, which networks do not give: take 'antithetic'"
        )
    starts = np.searchsorted(nodes, times[1:-1])
    return settings, times, (0, *starts.tolist(), len(nodes))


def _quadrature(process: ForwardProcess, times: Float64Array, n_nodes: int) -> tuple[Float64Array, Float64Array]:
    """Nodes and weights in time of Gauss-Legendre rules in the log signal-to-noise ratio of each bin."""
    if times[0] == times[-1]:
        return times[:1], np.ones(1)
    points, shares = np.polynomial.legendre.leggauss(n_nodes)
    ratios = process.log_snr(times)[:, None]
    middle, half = (ratios[1:] + ratios[:-1]) / 2, (ratios[:-1] - ratios[1:]) / 2
    nodes = process.time_at((middle - half * points).ravel())
    slope = process.g(nodes) ** 2 / process.sigma(nodes) ** 2  # of the ratio in time, downwards
    return nodes, (half * shares).ravel() / slope


def _labels(pipe: Any, prompts: Any, n: int) -> list[Any] | None:
    """A prompt for each of n pictures; the empty one for pipelines that need one."""
    if prompts is None:
        return [""] * n if "prompt" in accepted(pipe) else None
    if isinstance(prompts, str | int | np.integer):
        return [prompts] * n
    labels = as_items("prompts", prompts, "prompts, one for each image, or one prompt for all", DiffusersError)
    if len(labels) != n:
        raise DiffusersError(f"{len(labels)} prompts are given for {n} images; give one for each, or one for all")
    return list(labels)


def _size_of(pipe: Any, picture: Any) -> dict[str, int]:
    """The size that the pipeline is to draw: that of the picture."""
    if not {"height", "width"} <= accepted(pipe):
        return {}
    height, width = picture.shape[-2:] if isinstance(picture, Tensor) else picture.size[::-1]
    return {"height": int(height), "width": int(width)}


def _within(
    evaluations: int | None, per_picture: int, n: int, n_noise: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """The pictures to take, in random order, and noise vectors for each, within a number of evaluations."""
    order = rng.permutation(n)
    if evaluations is None:
        return order, n_noise
    budget = as_count("evaluations", evaluations, error=DiffusersError)
    affordable = budget // per_picture
    if affordable < _FEWEST:
        raise DiffusersError(
            f"evaluations={budget} are not enough: a picture costs {per_picture} (experts x noise levels x signs), and "
            f"{_FEWEST} are needed; allow {_FEWEST * per_picture}, or take fewer n_nodes"
        )
    return order[:affordable], max(1, affordable // n)
