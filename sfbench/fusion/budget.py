r"""Fits that stop: after so many evaluations, or when all intervals are short enough.

A full pass asks every model for every sample, node and sign. Here samples come in random order, and after a pilot each
is asked only at some of the nodes, those that matter to the weights (:mod:`sfbench.statistics.subsampled`). Weights and
intervals are known at any time, and looked at when the evaluations have doubled. What is still needed is spread over
all samples that are left: terms of one sample at two nodes go together, so many samples at few nodes say more than few
at many.

Intervals that are looked at repeatedly until they are short are valid only to first order (looks are few, some ten);
their coverage is measured (docs/fit.md).
"""

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from solvers import SimplexSolver, solve

from .._internal.aliases import Float64Array
from .._internal.validation import as_count, as_generator, as_number
from ..errors import GramError
from ..progress import progress
from ..statistics import GramSettings, NodeStatistics
from ..statistics.gram import tangent_basis
from ..statistics.passes import accumulate
from ..statistics.rows import is_file
from ..statistics.samples import as_data, data_source
from ..statistics.subsampled import SubsampledPass, shares
from .intervals import confidence_interval

LEVEL = 0.9
_PILOT, _FEWEST_ROWS = 256, 16
_PILOT_NUMBERS = 1 << 22
_RIDGE = 1e-6
_SPARE = 1.1  # of the evaluations that the intervals seem to need


@final
@dataclass(frozen=True)
class Budget:
    """At most so many score evaluations, and the length of the longest interval at which to stop; None for no limit.

    Raises
    ------
    GramError
        For a number of evaluations below 1, or a length outside (0, 1).
    """

    evaluations: int | None = None
    weight_tol: float | None = None

    def __post_init__(self) -> None:
        if self.evaluations is not None:
            as_count("evaluations", self.evaluations, error=GramError)
        if self.weight_tol is not None and not 0.0 < as_number("weight_tol", self.weight_tol, GramError) < 1.0:
            raise GramError(f"weight_tol is the length of an interval and must lie in (0, 1), got {self.weight_tol!r}")


@final
@dataclass(frozen=True, eq=False)
class Spent:
    """What a budgeted pass found and spent.

    Attributes
    ----------
    statistics : NodeStatistics
    evaluations : int
        Score evaluations of single models, each of one point.
    length : float or None
        Of the longest interval, if a length was asked for.
    """

    statistics: NodeStatistics
    evaluations: int
    length: float | None

    def doubts(self, budget: Budget) -> tuple[str, ...]:
        """What to warn of: intervals that are longer than asked for."""
        if budget.weight_tol is None or self.length is None or self.length <= budget.weight_tol:
            return ()
        found = f"the longest 90 % interval is {self.length:.3g} after {self.evaluations:,} evaluations"
        return (f"{found}, above weight_tol={budget.weight_tol:g}: more data, or a larger budget, are needed",)

    def some(self, x: Any, k: int) -> Any:
        """Every so many-th row of data (n, d), on which a look at all nodes costs a quarter of what was spent."""
        settings = self.statistics.settings
        rows = max(_FEWEST_ROWS, self.evaluations // (4 * settings.evaluations(k, 1)))
        if is_file(x):
            return x.take(np.arange(0, x.n, max(1, x.n // rows)))
        x = as_data(x)
        return x[:: max(1, len(x) // rows)]


def budgeted_statistics(
    models: Any,
    x: Any,
    settings: GramSettings,
    solver: SimplexSolver,
    budget: Budget,
    keep: int,
    parts: int,
    *,
    show_progress: bool = False,
    rng: Any = None,
) -> Spent:
    """Statistics from at most ``budget.evaluations``, or until no interval is longer than ``budget.weight_tol``.

    Raises
    ------
    GramError
        For a budget that is below the pilot's, or data that cannot be read in random order.
    """
    weight_tol = budget.weight_tol
    source = data_source(models, x, settings, generator := as_generator(rng))
    n, k, n_nodes = len(source.data), len(source.models), len(settings.grid)
    full = settings.evaluations(k, n)
    most = full if budget.evaluations is None else min(int(budget.evaluations), full)
    if most >= full and weight_tol is None:
        return Spent(accumulate(source, settings, [n], keep, parts, show_progress)[0], full, None)
    run = SubsampledPass(source, settings, keep, parts, generator.spawn(1)[0])
    each = run.cost * n_nodes
    pilot = min(n, _PILOT, max(most // (4 * each), _FEWEST_ROWS), max(_PILOT_NUMBERS // (n_nodes * k * k), 2))
    if pilot * each > most:
        raise GramError(
            f"evaluations={budget.evaluations} is too small a budget: {pilot} samples at {n_nodes} nodes by {k} models "
            f"cost {pilot * each} to begin with, and all data {full}; take more, or fewer n_nodes"
        )
    with progress(most, "evaluations", show_progress) as bar:
        note = ""

        def advance(count: int) -> None:
            bar.advance(count, note)

        seen = run.extend(pilot, np.ones(n_nodes), advance, remember=True)
        length: float | None = None
        while True:
            statistics = run.statistics()
            gram = statistics.at()
            weights = np.asarray(solve(gram.to_qp(), solver).weights)
            needed = most - run.evaluations - run.cost * n_nodes  # numbers of samples are rounded, up to one a node
            if weight_tol is not None or show_progress:
                ends = confidence_interval(gram, weights, LEVEL, solver=solver)
                length = float((ends[:, 1] - ends[:, 0]).max())
                note = " ".join(f"{w:.3f} [{a:.3f}, {b:.3f}]" for w, (a, b) in zip(weights[:4], ends[:4], strict=True))
                if weight_tol is not None:
                    if length <= weight_tol:
                        break
                    wanted = (length / weight_tol) ** 2 - 1.0
                    needed = min(needed, int(_SPARE * wanted * run.evaluations) + run.cost)
            left = n - run.done
            if left == 0 or needed < run.cost:
                break
            nodes = float(np.clip(needed / (run.cost * left), 1.0, n_nodes))
            stage = needed if weight_tol is None and not show_progress else min(needed, run.evaluations)
            rows = min(left, int(stage / (run.cost * nodes)))
            if rows == 0:
                break
            run.extend(rows, shares(influence(seen, gram.G, weights, settings.omega), nodes), advance)
    return Spent(statistics, run.evaluations, length if weight_tol is not None else None)


def influence(seen: list[Float64Array], G: Float64Array, weights: Float64Array, omega: Float64Array) -> Float64Array:
    """How much the terms of each node (rows, k, k - 1) move the weights: ``omega_t sqrt(E|A u_t|^2)``, shape (t,)."""
    free = np.flatnonzero(weights > 1e-9)
    if len(free) < 2:  # a vertex: what would move it off
        free = np.arange(len(weights))
    basis = tangent_basis(len(free))
    H = 2.0 * basis.T @ G[np.ix_(free, free)] @ basis
    if not np.trace(H) > 0.0:  # the models are one: no node moves the weights
        return np.zeros(len(omega))
    H += _RIDGE * float(np.trace(H)) * np.eye(len(H))
    found = []
    for weight, terms in zip(omega, seen, strict=True):
        gradient = 2.0 * (np.einsum("rij,j->ri", terms[:, 1:], weights[1:]) - terms[:, 0])  # of weights 1, 2, ...
        gradient = np.concatenate([np.zeros((len(terms), 1)), gradient], axis=1)[:, free]
        moved = np.linalg.solve(H, basis.T @ (gradient - gradient.mean(axis=0)).T)
        found.append(abs(weight) * float(np.sqrt(np.mean(np.sum(moved**2, axis=0)))))
    return np.array(found)
