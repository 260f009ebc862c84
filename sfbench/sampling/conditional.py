"""Points under conditions: one run for each distinct condition, of models bound to it, and the points in order.

Within a run nothing distinguishes conditional models from others, so every sampler, check and law means what it means
without conditions. Weights of particles are normalised within a condition, and conditions count by their rows.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from .._internal.arrays import is_tensor, on_device, to_host, zeros
from ..errors import SfbenchError
from ..scores import FusedScore
from ..scores.conditions import ConditionRows, as_condition, conditioned
from .result import Diagnostics, SampleResult

MOST = 1024  # runs


def sample_under(
    draw: Callable[..., SampleResult], fused: FusedScore, n: int, condition: Any, rng: np.random.Generator
) -> SampleResult:
    """Draw n points, each under its condition, by runs of ``draw(fused, count, rng=)``; conditions are as in
    :func:`sfbench.sample`. ModelError if no model takes one, SfbenchError if there are too many different ones.
    """
    given = as_condition(condition, n, SfbenchError)
    flat = np.ascontiguousarray(to_host(given)).reshape(n, -1)
    if not np.all(np.isfinite(flat)):
        raise SfbenchError("condition must be finite")
    first, inverse = np.unique(flat, axis=0, return_index=True, return_inverse=True)[1:]
    if len(first) > MOST:
        raise SfbenchError(f"{len(first)} different conditions need as many runs; at most {MOST} are drawn at once")
    runs = []
    for label, (row, child) in enumerate(zip(first.tolist(), rng.spawn(len(first)), strict=True)):
        models = conditioned(fused.models, ConditionRows(given[row : row + 1]))
        places = np.flatnonzero(inverse.reshape(-1) == label)
        bound = FusedScore(models, fused.schedule, process=fused.process)
        runs.append((places, row, draw(bound, len(places), rng=child)))
    if len(runs) == 1:
        return runs[0][2]
    x, log_weights = zeros((n, fused.dim), runs[0][2].x), np.empty(n)
    for places, _, run in runs:
        x[on_device(places, x.device) if is_tensor(x) else places] = run.x
        log_weights[places] = run.log_weights + np.log(len(places) / n)
    about = [(row, len(places), run.diagnostics) for places, row, run in runs]
    return replace(runs[0][2], x=x, log_weights=log_weights, diagnostics=_together(about, n))


def _together(about: list[tuple[int, int, Diagnostics]], n: int) -> Diagnostics:
    """What the runs have in common: sums, worst values, and messages that name the first row of their condition."""
    first = about[0][2]
    founders = [d.founders for _, _, d in about if d.founders is not None]
    counts = [d.n_model_evaluations for _, _, d in about]
    return Diagnostics(
        first.sampler,
        first.n_steps,
        sum(d.n_score_evaluations for _, _, d in about),
        lost_share=sum(count * d.lost_share for _, count, d in about) / n,
        n_resamplings=sum(d.n_resamplings for _, _, d in about),
        founders=min(founders) if founders else None,
        n_model_evaluations=None if None in counts else sum(c for c in counts if c is not None),
        messages=tuple(f"under the condition of row {row}: {text}" for row, _, d in about for text in d.messages),
    )
