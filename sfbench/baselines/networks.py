"""What people do with networks instead of fusing their scores; beside it, uniform weights are a fused score with
``w_i = 1/k``, and :mod:`sfbench.baselines.published_fusion` learns weights by stochastic gradients.

This module imports torch; the others of this package do not.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .._internal.aliases import FloatArray, SeedLike
from .._internal.validation import as_generator, as_weights
from ..errors import ModelError
from ..nets import NetworkScore, TrainingResult, TrainingSettings, build_network, train_score_network
from ..processes import ForwardProcess
from ..scores import ScoreModel
from ..statistics.gram import ScoreGram


def from_scratch(
    x: ArrayLike,
    candidates: Sequence[tuple[str, Mapping[str, Any]]],
    settings: TrainingSettings,
    *,
    process: ForwardProcess,
    seed: int = 0,
    **options: Any,
) -> TrainingResult:
    """Train every candidate architecture on the target data x (n, d) and keep the one with the best validation loss.

    All share one validation split, drawn from x, and stop early on it: capacity is chosen by the data. Candidates are
    pairs (architecture, options) for :func:`sfbench.nets.build_network`; ``seed`` is that of initial weights, split and
    noise; options are those of :func:`sfbench.nets.train_score_network`, and candidate i keeps its own folder,
    ``candidate_i``, below ``folder``.
    """
    if not candidates:
        raise ModelError("no candidate architecture given")
    folder, results = options.pop("folder", None), []
    for i, (name, arguments) in enumerate(candidates):
        own = None if folder is None else Path(folder) / f"candidate_{i}"
        network = build_network(name, arguments, process=process, seed=seed)
        results.append(train_score_network(network, x, settings, process=process, folder=own, rng=seed, **options))
    return min(results, key=lambda result: result.best_loss)


def nearest(gram: ScoreGram) -> int:
    """Index of the auxiliary whose own score explains the data best: the least ``J(e_i)``."""
    return int(np.argmin([gram.value(vertex) for vertex in np.eye(gram.k)]))


def fine_tuned_nearest(
    auxiliaries: Sequence[NetworkScore], x: ArrayLike, gram: ScoreGram, settings: TrainingSettings, **options: Any
) -> tuple[int, TrainingResult]:
    """Fine-tune the nearest auxiliary, by the statistics of the same data; returns its index and the result."""
    chosen = nearest(gram)
    base = auxiliaries[chosen]
    result = train_score_network(
        base.module,
        x,
        settings,
        process=base.process,
        parameterisation=base.parameterisation,
        device=base.device,
        **options,
    )
    return chosen, result


def average_checkpoints(models: Sequence[NetworkScore], weights: ArrayLike) -> NetworkScore:
    """One network whose every parameter is the weighted average of the models' parameters.

    Raises
    ------
    ModelError
        If the networks differ in shape, process or parameterisation, or the weights are off the simplex.
    """
    w = as_weights(weights, len(models), ModelError)
    first = models[0]
    states = [model.module.state_dict() for model in models]
    for i, (model, state) in enumerate(zip(models, states, strict=True)):
        if (model.process, model.parameterisation) != (first.process, first.parameterisation):
            raise ModelError(f"networks 0 and {i} have other processes or parameterisations; they cannot be averaged")
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in states[0].items()}:
            raise ModelError(f"networks 0 and {i} have parameters of other names or shapes; they cannot be averaged")
    merged = {
        key: sum(float(wi) * state[key].double() for wi, state in zip(w, states, strict=True)).to(value.dtype)
        if value.is_floating_point()
        else value
        for key, value in states[0].items()
    }
    module = deepcopy(first.module)
    module.load_state_dict(merged)
    return replace(first, module=module)


def sample_mixture(
    models: Sequence[ScoreModel],
    weights: ArrayLike,
    n: int,
    draw: Callable[[ScoreModel, int, np.random.Generator], FloatArray],
    *,
    rng: SeedLike = None,
) -> FloatArray:
    """Points (n, d) of the arithmetic mixture ``sum_i w_i p_i``; ``draw(model, count, rng)`` draws from one model, for
    example through :func:`sfbench.sample`.
    """
    generator = as_generator(rng)
    w = as_weights(weights, len(models), ModelError)
    counts = generator.multinomial(n, w / w.sum())
    parts = [draw(m, int(c), generator) for m, c in zip(models, counts, strict=True) if c]
    return np.asarray(generator.permutation(np.concatenate(parts)))
