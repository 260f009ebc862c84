"""How methods choose weights. Those that use scores spend at most ``SHARE`` of the budget on them."""

from typing import Any

import numpy as np
import scipy  # submodules load on first use

from solvers import LogPartitionObjective, solve
from synthetic import IntractableError, common_subspace
from synthetic.quadrature import cover

from .._internal.aliases import Float64Array
from ..baselines.published_fusion import published_fusion
from ..errors import ModelError
from ..fusion.from_densities import likelihood_fit
from ..processes.times import time_grid
from ..statistics import GramSettings, score_gram
from ..statistics.gram import ScoreGram
from .base import BudgetError, NotApplicableError, Task

SHARE = 0.25
T_MIN = 1e-3
_LITTLE = 0.02  # share of the horizon
_NODES = 8
_EM_ITERATIONS = 500
_FEWEST_ROWS = 8


def one_pass(task: Task) -> Float64Array:
    """Weights of the score-matching objective."""
    return np.asarray(solve(_gram(task).to_qp(), "active_set").weights)


def little_noise(task: Task) -> Float64Array:
    """Weights of the score-matching objective at little noise: those of the target, if it is a pool."""
    return np.asarray(solve(_gram(task, _LITTLE * task.process.horizon).to_qp(), "active_set").weights)


def nearest(task: Task) -> Float64Array:
    """All weight on the auxiliary that explains the data best."""
    gram = _gram(task)
    vertices = np.eye(task.k)
    return np.asarray(vertices[int(np.argmin([gram.value(vertex) for vertex in vertices]))])


def published(task: Task, batch: int = 32) -> Float64Array:
    """Weights by stochastic gradients on softmax logits (Adam, learning rate 0.05).

    The solver's own certificate asks every model for every row at every node three times; rows are kept so few that
    half of the share is left for steps.
    """
    share = int(SHARE * task.meter.budget)
    rows = min(len(task.x), share // (2 * 3 * task.k * _NODES))
    steps = share // (2 * task.k * batch)
    if rows < _FEWEST_ROWS or steps < 1:
        raise BudgetError(f"a budget of {task.meter.budget} leaves nothing for stochastic gradients with k = {task.k}")
    x = task.x[task.rng.permutation(len(task.x))[:rows]]
    fit = published_fusion(
        task.models,
        x,
        process=task.process,
        grid=time_grid(T_MIN, task.process.horizon, _NODES),
        epochs=max(1, steps * batch // rows),
        batch=batch,
        learning_rate=0.05,
        rng=task.rng,
    )
    return np.asarray(fit.weights)


def uniform(task: Task) -> Float64Array:
    """Equal weights."""
    return np.full(task.k, 1.0 / task.k)


def likelihood(task: Task) -> Float64Array:
    """Maximum likelihood in the log-linear family.

    ``argmin log Z(w) - mean_n sum_i w_i log p_i(x_n)``, for densities that differ in one or two dimensions.
    """
    laws, x = _one_copy(task)
    try:
        return np.asarray(likelihood_fit(laws, x, keep=0)[0].weights)
    except (IntractableError, ModelError) as error:
        raise NotApplicableError(str(error)) from None


def minimax(task: Task) -> Float64Array:
    """Weights of the barycenter whose largest KL divergence to an auxiliary is least; the data are not used.

    ``argmax -log Z(w)``: the centre of the smallest KL ball around the auxiliaries.
    """
    laws, _ = _one_copy(task)
    subspace = common_subspace(laws) if all(hasattr(law, "core_in") for law in laws) else None
    if subspace is None or subspace.rank > 2:
        raise NotApplicableError("minimax weights need log Z(w): laws that differ in at most two dimensions")
    grid = cover(subspace.cores)
    logs = np.stack([core.log_prob(grid.nodes) for core in subspace.cores], axis=1)
    volumes = np.full(len(grid.nodes), np.log(grid.cell))
    return np.asarray(solve(LogPartitionObjective(logs, volumes, np.zeros(task.k)), "auto").weights)


def em(task: Task) -> Float64Array:
    """Shares of the arithmetic mixture of the auxiliaries."""
    logs = np.stack([law.log_prob(task.x) for law in task.densities()], axis=1)
    w = np.full(task.k, 1.0 / task.k)
    for _ in range(_EM_ITERATIONS):
        with np.errstate(divide="ignore"):
            updated = scipy.special.softmax(logs + np.log(w), axis=1).mean(axis=0)
        if float(np.abs(updated - w).max()) < 1e-9:
            return np.asarray(updated / updated.sum())
        w = updated
    return np.asarray(w / w.sum())


def _one_copy(task: Task) -> tuple[tuple[Any, ...], Float64Array]:
    """Laws and data; of products of independent copies those of one copy, whose weights are the same."""
    laws = task.densities()
    copies = {getattr(law, "copies", 1) for law in laws}
    if copies == {1} or len(copies) > 1:
        return laws, task.x
    return tuple(law.factor for law in laws), task.x.reshape(len(task.x) * copies.pop(), -1)


def _gram(task: Task, t_max: float | None = None) -> ScoreGram:
    """Score-matching statistics of as many rows as the share pays for."""
    rows = min(len(task.x), int(SHARE * task.meter.budget) // (2 * task.k * _NODES))
    if rows < _FEWEST_ROWS:
        raise BudgetError(f"a budget of {task.meter.budget} pays for {rows} rows of data with k = {task.k}: too few")
    settings = GramSettings(task.process, time_grid(T_MIN, t_max or task.process.horizon, _NODES))
    return score_gram(task.models, task.x[task.rng.permutation(len(task.x))[:rows]], settings, rng=task.rng)
